/** face-api.js's own TinyFaceDetector, without tfjs; the boxes equal those of `pyojeong.faceapi`. */

import { EmotionError } from './errors.js';
import { checkModelUrl } from './head.js';
import { fetchModel, readMetadata } from './model.js';
import { loadBackend } from './network.js';
import { checkRuntime, fetchOf } from './options.js';
import { overlap } from './patch.js';
import { Searching } from './searching.js';

export { EmotionError };

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Frame} Frame */

/**
 * A face: its box in pixels of the source, not clipped to it, and the detector's confidence (0..1).
 *
 * @typedef {{ box: Box, score: number }} TinyFace
 */

/**
 * @typedef {object} TinySearchOptions
 * @property {number} [inputSize] side of the detector's input, a multiple of 32; default 416; a smaller one is faster but
 *   misses small faces
 * @property {number} [scoreThreshold] lowest score of a face, between 0 and 1; default 0.5
 */

/**
 * @typedef {{ modelUrl: string | URL } & TinySearchOptions & import('./options.js').RuntimeOptions} TinyDetectorOptions
 *   `modelUrl` is the address of the file written by `python -m pyojeong.faceapi.nets`
 */

/** @typedef {import('./network.js').RuntimeInfo & { modelBytes: number, inputSize: number, scoreThreshold: number }} TinyDetectorInfo */

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

/**
 * Detects faces in an image, a video or a canvas.
 *
 * @extends {Searching<TinyFace, TinyDetectorInfo>}
 */
export class TinyFaceDetector extends Searching {
  /**
   * @param {TinyDetectorOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    checkModelUrl(options);
    checkRuntime(options);
    checkSearch(options);
    super('TinyFaceDetector', () => TinyFaceNet.load(options, 'modelUrl'));
  }
}

/** The detector network, from frame to faces. */
class TinyFaceNet {
  #network;
  #inputSize;
  #threshold;
  #modelBytes;

  /**
   * @param {import('./network.js').Network} network
   * @param {TinySearchOptions} search
   * @param {number} modelBytes
   */
  constructor(network, { inputSize = INPUT_SIZE, scoreThreshold = 0.5 }, modelBytes) {
    this.#network = network;
    this.#inputSize = inputSize;
    this.#threshold = scoreThreshold;
    this.#modelBytes = modelBytes;
  }

  /**
   * @param {TinyDetectorOptions} options
   * @param {string} option name of the caller's option for `modelUrl`, for errors
   * @returns {Promise<TinyFaceNet>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options, option) {
    const fetch = fetchOf(options);
    const [backend, bytes] = await Promise.all([loadBackend(options), fetchModel(options.modelUrl, fetch, option)]);
    readMetadata(bytes, option);
    const { inputSize = INPUT_SIZE } = options;
    const network = await backend.openCells(bytes, inputSize, option);
    if (network.outputs === (inputSize / STRIDE) ** 2 * ANCHORS.length * VALUES) return new TinyFaceNet(network, options, bytes.byteLength);
    await network.release();
    throw new EmotionError(
      'model_invalid',
      `the model at ${option} is not the face detector written by "python -m pyojeong.faceapi.nets --out DIR"`,
    );
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<TinyFace[]>} by descending score
   */
  async find(frame) {
    return decode(await this.#network.run(frame), frame, this.#inputSize, this.#threshold);
  }

  /** @returns {TinyDetectorInfo} */
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
 * @param {TinySearchOptions} options
 * @throws {EmotionError} `bad_option`
 */
function checkSearch({ inputSize = INPUT_SIZE, scoreThreshold = 0.5 }) {
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
 * @returns {TinyFace[]}
 */
function decode(cells, { width, height }, inputSize, threshold) {
  const count = inputSize / STRIDE;
  const [gridX, gridY] = grid(width, height, inputSize);
  if (!gridX || !gridY) return [];
  const stretchX = Math.max(gridX, gridY) / gridX;
  const stretchY = Math.max(gridX, gridY) / gridY;
  /** @type {TinyFace[]} */
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
 * @param {TinyFace[]} faces
 * @returns {TinyFace[]} by descending score
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
