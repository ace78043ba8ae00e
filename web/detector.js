/** Detects faces with face-api.js's TinyFaceDetector, without tfjs; the boxes equal those of `pyojeong.faceapi`. */

import { EmotionError } from './errors.js';
import { checkModelUrl } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { fetchModel, readMetadata } from './model.js';
import { loadBackend } from './network.js';
import { checkRuntime, fetchOf } from './options.js';
import { merge, needsRetry, pad } from './retry.js';
import { PixelReader, loaded } from './source.js';

export { EmotionError };

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {import('./patch.js').Frame} Frame */

/**
 * A face: its box in pixels of the source, not clipped to it, and the detector's confidence (0..1).
 *
 * @typedef {{ box: Box, score: number }} Face
 */

/**
 * @typedef {object} SearchOptions
 * @property {number} [inputSize] side of the detector's input, a multiple of 32; default 416; a smaller one is faster but
 *   misses small faces
 * @property {number} [scoreThreshold] lowest score of a face, between 0 and 1; default 0.5
 * @property {boolean} [retry] whether to detect again on a gray-padded copy if no face, or a face close to the camera,
 *   was found: the detector misses faces that fill the frame, and its boxes of close faces are unsteady. Default false
 *   for `FaceDetector`, as in face-api.js, and true for `EmotionAnalyzer`
 */

/**
 * @typedef {{ modelUrl: string | URL } & SearchOptions & import('./options.js').RuntimeOptions} DetectorOptions
 *   `modelUrl` is the address of the file written by `python -m pyojeong.faceapi.nets`
 */

/** @typedef {import('./network.js').RuntimeInfo & { modelBytes: number, inputSize: number, scoreThreshold: number }} DetectorInfo */

// Width and height of TinyFaceDetector's five anchors, in cells.
const ANCHORS = /** @type {const} */ ([
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
]);
const VALUES = 5; // tx, ty, tw, th, to
const STRIDE = 32; // pixels per cell
const INPUT_SIZE = 416; // pixels; the default, as in face-api.js
const MAX_OVERLAP = 0.4; // of two boxes that overlap more, the weaker one is dropped; TinyFaceDetector's constant

/** Detects faces in an image, a video or a canvas. */
export class FaceDetector {
  #reader = new PixelReader();
  /** @type {Lifecycle<FaceNet>} */
  #net;

  /**
   * @param {DetectorOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    checkModelUrl(options);
    checkRuntime(options);
    checkSearch(options);
    this.#net = new Lifecycle('FaceDetector', () => FaceNet.load(options, 'modelUrl'), (net) => net.release());
  }

  /**
   * Loads runtime and model and runs the network once. Further calls do nothing, except that a call after a failure
   * tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  async init() {
    await this.#net.start();
  }

  /**
   * @param {Source} source if it is an `<img>`, waits until it has loaded
   * @returns {Promise<Face[]>} by descending score
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `runtime_failed`
   */
  async detect(source) {
    this.#net.ready();
    await loaded(source);
    return this.#net.use(async (net) => net.find(this.#reader.frame(source)));
  }

  /**
   * Facts about model and runtime.
   *
   * @returns {DetectorInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    return this.#net.ready().info();
  }

  /** Frees model and canvas once running calls have ended. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#net.end();
  }
}

/** The detector network, from frame to faces. */
export class FaceNet {
  #network;
  #inputSize;
  #threshold;
  #retry;
  #modelBytes;

  /**
   * @param {import('./network.js').Network} network
   * @param {SearchOptions} search
   * @param {number} modelBytes
   */
  constructor(network, { inputSize = INPUT_SIZE, scoreThreshold = 0.5, retry = false }, modelBytes) {
    this.#network = network;
    this.#inputSize = inputSize;
    this.#threshold = scoreThreshold;
    this.#retry = retry;
    this.#modelBytes = modelBytes;
  }

  /**
   * @param {DetectorOptions} options
   * @param {string} option name of the caller's option for `modelUrl`, for errors
   * @returns {Promise<FaceNet>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options, option) {
    const fetch = fetchOf(options);
    const [backend, bytes] = await Promise.all([loadBackend(options), fetchModel(options.modelUrl, fetch, option)]);
    readMetadata(bytes, option);
    const { inputSize = INPUT_SIZE } = options;
    const network = await backend.openDetector(bytes, inputSize, option);
    if (network.outputs === (inputSize / STRIDE) ** 2 * ANCHORS.length * VALUES) return new FaceNet(network, options, bytes.byteLength);
    await network.release();
    throw new EmotionError(
      'model_invalid',
      `the model at ${option} is not the face detector written by "python -m pyojeong.faceapi.nets --out DIR"`,
    );
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<Face[]>} by descending score
   */
  async find(frame) {
    const faces = await this.#detect(frame);
    if (!this.#retry || !needsRetry(faces, frame)) return faces;
    const { padded, back } = pad(frame);
    const retried = await this.#detect(padded);
    return merge(retried.map(({ box, score }) => ({ box: back(box), score })), faces);
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<Face[]>}
   */
  async #detect(frame) {
    return decode(await this.#network.run(frame), frame, this.#inputSize, this.#threshold);
  }

  /** @returns {DetectorInfo} */
  info() {
    return {
      ...this.#network.info(),
      modelBytes: this.#modelBytes,
      inputSize: this.#inputSize,
      scoreThreshold: this.#threshold,
    };
  }

  async release() {
    await this.#network.release();
  }
}

/**
 * @param {SearchOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkSearch({ inputSize = INPUT_SIZE, scoreThreshold = 0.5 }) {
  if (!Number.isInteger(inputSize) || inputSize <= 0 || inputSize % STRIDE) {
    throw new EmotionError('bad_option', `inputSize must be a multiple of 32, such as 416, not ${inputSize}`);
  }
  if (!(scoreThreshold > 0 && scoreThreshold < 1)) {
    throw new EmotionError('bad_option', `scoreThreshold must lie between 0 and 1, such as 0.5, not ${scoreThreshold}`);
  }
}

/**
 * Converts raw cells to faces in pixels, as TinyFaceDetector's extractBoxes does, but in doubles.
 *
 * @param {Float32Array} cells rows x columns x anchors x (tx, ty, tw, th, to)
 * @param {{ width: number, height: number }} frame
 * @param {number} inputSize
 * @param {number} threshold
 * @returns {Face[]}
 */
function decode(cells, { width, height }, inputSize, threshold) {
  const count = inputSize / STRIDE;
  const [gridX, gridY] = grid(width, height, inputSize);
  if (!gridX || !gridY) return [];
  const stretchX = Math.max(gridX, gridY) / gridX;
  const stretchY = Math.max(gridX, gridY) / gridY;
  /** @type {Face[]} */
  const faces = [];
  for (let at = 0; at < cells.length; at += VALUES) {
    const [tx, ty, tw, th, to] = /** @type {[number, number, number, number, number]} */ (
      /** @type {unknown} */ (cells.subarray(at, at + VALUES))
    );
    const score = sigmoid(to);
    if (!(score > threshold)) continue;
    const anchor = (at / VALUES) % ANCHORS.length;
    const cell = Math.floor(at / VALUES / ANCHORS.length);
    const [anchorWidth, anchorHeight] = /** @type {readonly [number, number]} */ (ANCHORS[anchor]);
    const w = ((Math.exp(tw) * anchorWidth) / count) * stretchX;
    const h = ((Math.exp(th) * anchorHeight) / count) * stretchY;
    const x = (((cell % count) + sigmoid(tx)) / count) * stretchX - w / 2;
    const y = ((Math.floor(cell / count) + sigmoid(ty)) / count) * stretchY - h / 2;
    faces.push({ box: { x, y, width: w, height: h }, score });
  }
  return suppress(faces).map(({ box, score }) => ({
    box: { x: box.x * width, y: box.y * height, width: box.width * width, height: box.height * height },
    score,
  }));
}

/**
 * Applies non-maximum suppression.
 *
 * @param {Face[]} faces
 * @returns {Face[]} by descending score
 */
function suppress(faces) {
  let rest = [...faces].sort((a, b) => a.score - b.score);
  const kept = [];
  for (let best = rest.pop(); best; best = rest.pop()) {
    const { box } = best;
    kept.push(best);
    rest = rest.filter((face) => overlap(face.box, box) <= MAX_OVERLAP);
  }
  return kept;
}

/**
 * Returns the intersection over union of two boxes.
 *
 * @param {Box} a
 * @param {Box} b
 * @returns {number} 0..1; NaN if neither has an area
 */
export function overlap(a, b) {
  const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const shared = Math.max(0, across) * Math.max(0, down);
  return shared / (a.width * a.height + b.width * b.height - shared);
}

/**
 * Returns width and height of the frame in the detector's input; 0 for a side that rounds to nothing.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} size
 * @returns {[number, number]}
 */
function grid(width, height, size) {
  const scale = size / Math.max(width, height);
  return [Math.round(width * scale), Math.round(height * scale)];
}

/** @param {number} x */
function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}
