/** Faces in the browser: TinyFaceDetector of face-api.js without tfjs, box for box what `pyojeong.faceapi` finds. */

import { EmotionError } from './errors.js';
import { checkModelUrl } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { fetchModel, readMetadata } from './model.js';
import { checkProvider, compute, describe, fetchOf, loadRuntime, openNetwork, pattern } from './runtime.js';
import { isUnsure, merge, pad } from './retry.js';
import { sample } from './sampling.js';
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
 * @property {number} [inputSize] side of the detector's input, a multiple of 32; 416 when omitted, less is faster and
 *   misses small faces
 * @property {number} [scoreThreshold] weakest face that counts, between 0 and 1; 0.5 when omitted
 * @property {boolean} [retry] whether a frame in which no face, or a close one, is found is searched once more amid
 *   gray, because the detector misses faces that fill their frame and frames close ones unsteadily. face-api.js does
 *   not: false when omitted for `FaceDetector`, true for `EmotionAnalyzer`
 */

/**
 * @typedef {{ modelUrl: string | URL } & SearchOptions & import('./runtime.js').RuntimeOptions} DetectorOptions
 *   `modelUrl` is the file that `python -m pyojeong.faceapi.nets` writes
 */

/** @typedef {import('./runtime.js').RuntimeInfo & { modelBytes: number, inputSize: number, scoreThreshold: number }} DetectorInfo */

// Width and height of TinyFaceDetector's five anchors, in cells.
const ANCHORS = /** @type {const} */ ([
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
]);
const VALUES = 5; // tx, ty, tw, th, to
const STRIDE = 32; // pixels to a cell
const OVERLAP = 0.4; // two faces that share more are one; TinyFaceDetector's own constant

/** Finds faces in an image, a video or a canvas. */
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
    checkProvider(options);
    checkSearch(options);
    this.#net = new Lifecycle('FaceDetector', () => FaceNet.load(options, 'modelUrl'), (net) => net.release());
  }

  /**
   * Loads runtime and model and runs the network once. Calling it again does nothing; after a failure it tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  async init() {
    await this.#net.start();
  }

  /**
   * @param {Source} source an `<img>` is waited for
   * @returns {Promise<Face[]>} best score first
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `runtime_failed`
   */
  async detect(source) {
    this.#net.ready();
    await loaded(source);
    return this.#net.use(async (net) => net.find(this.#reader.frame(source)));
  }

  /**
   * What runs, and how.
   *
   * @returns {DetectorInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    return this.#net.ready().info();
  }

  /** Frees model and canvas when all searches are done. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#net.end();
  }
}

/** The detector network: frames in, faces out. */
export class FaceNet {
  #runtime;
  #session;
  #inputSize;
  #threshold;
  #retry;
  #modelBytes;

  /**
   * @param {import('./runtime.js').Runtime} runtime
   * @param {import('./runtime.js').InferenceSession} session
   * @param {SearchOptions} search
   * @param {number} modelBytes
   */
  constructor(runtime, session, { inputSize = 416, scoreThreshold = 0.5, retry = false }, modelBytes) {
    this.#runtime = runtime;
    this.#session = session;
    this.#inputSize = inputSize;
    this.#threshold = scoreThreshold;
    this.#retry = retry;
    this.#modelBytes = modelBytes;
  }

  /**
   * @param {DetectorOptions} options
   * @param {string} option what the caller's option for `modelUrl` is called
   * @returns {Promise<FaceNet>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options, option) {
    const fetch = fetchOf(options);
    const [runtime, bytes] = await Promise.all([loadRuntime(options), fetchModel(options.modelUrl, fetch, option)]);
    readMetadata(bytes, option);
    return openNetwork(runtime, bytes, option, fetch, async (session) => {
      const net = new FaceNet(runtime, session, options, bytes.byteLength);
      return { network: net, answer: await net.#check(option) };
    });
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<Face[]>} best score first
   */
  async find(frame) {
    const found = await this.#look(frame);
    if (!this.#retry || !isUnsure(found, frame)) return found;
    const { padded, back } = pad(frame);
    const again = await this.#look(padded);
    return merge(again.map(({ box, score }) => ({ box: back(box), score })), found);
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<Face[]>}
   */
  async #look(frame) {
    return decode(await this.#cells(frame), frame, this.#inputSize, this.#threshold);
  }

  /** @param {Frame} frame */
  async #cells(frame) {
    const size = this.#inputSize;
    const { pixels, rows, columns } = sample(frame, size);
    const tensor = new this.#runtime.ort.Tensor('float32', pixels, [1, rows, columns, 3]);
    const { cells } = await compute(this.#runtime, this.#session, { pixels: tensor });
    const values = /** @type {Float32Array} */ (cells?.data);
    if (values.length !== (size / STRIDE) ** 2 * ANCHORS.length * VALUES) throw new Error('the output has other cells');
    return values;
  }

  /** @param {string} option */
  async #check(option) {
    try {
      // Not square: graphs of old format want a square.
      return await this.#cells({ data: pattern(32 * 16 * 4), width: 32, height: 16 });
    } catch (error) {
      throw new EmotionError(
        'model_invalid',
        `the model at ${option} is not the face detector that "python -m pyojeong.faceapi.nets --out DIR" writes`,
        error,
      );
    }
  }

  /** @returns {DetectorInfo} */
  info() {
    return {
      ...describe(this.#runtime),
      modelBytes: this.#modelBytes,
      inputSize: this.#inputSize,
      scoreThreshold: this.#threshold,
    };
  }

  async release() {
    await this.#session.release();
  }
}

/**
 * @param {SearchOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkSearch({ inputSize = 416, scoreThreshold = 0.5 }) {
  if (!Number.isInteger(inputSize) || inputSize <= 0 || inputSize % STRIDE) {
    throw new EmotionError('bad_option', `inputSize must be a multiple of 32, such as 416, not ${inputSize}`);
  }
  if (!(scoreThreshold > 0 && scoreThreshold < 1)) {
    throw new EmotionError('bad_option', `scoreThreshold must lie between 0 and 1, such as 0.5, not ${scoreThreshold}`);
  }
}

/**
 * TinyFaceDetector's extractBoxes, in doubles: raw cells to faces in pixels.
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
  const found = [];
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
    found.push({ box: { x, y, width: w, height: h }, score });
  }
  return suppress(found).map(({ box, score }) => ({
    box: { x: box.x * width, y: box.y * height, width: box.width * width, height: box.height * height },
    score,
  }));
}

/**
 * Non-maximum suppression.
 *
 * @param {Face[]} faces
 * @returns {Face[]} best score first
 */
function suppress(faces) {
  let rest = [...faces].sort((a, b) => a.score - b.score);
  const kept = [];
  for (let best = rest.pop(); best; best = rest.pop()) {
    const { box } = best;
    kept.push(best);
    rest = rest.filter((face) => overlap(face.box, box) <= OVERLAP);
  }
  return kept;
}

/**
 * Intersection over union.
 *
 * @param {Box} a
 * @param {Box} b
 * @returns {number} 0..1; NaN where neither has an area
 */
export function overlap(a, b) {
  const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const shared = Math.max(0, across) * Math.max(0, down);
  return shared / (a.width * a.height + b.width * b.height - shared);
}

/**
 * Width and height of the frame in the detector's pixels; 0 for a side that is nothing beside the other.
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
