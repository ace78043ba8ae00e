/** Brings pixels into the engine's memory, in strips, so that a picture of any size takes the same memory. */

import { EmotionError } from './errors.js';
import { taps } from './sampling.js';

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./layout.js').Layout} Layout */
/** @typedef {import('./engine.js').Engine} Engine */

const STRIP = 2 ** 19; // bytes; two rows of the widest picture that browsers can read
const STRIP_ROWS = 512;
const MAX_SIDE = 2 ** 14; // pixels of a patch's side; its taps must have room
const ONE = 2 ** 22; // a tap's weight of 1, as in kernels.c

/** The input of the expression network: the patch of a face, resized as Pillow and onnxruntime do. */
export class FacePixels {
  #size;
  #strip;
  #lines;
  #sums;
  #scale;
  #across;
  #down;

  /**
   * @param {Layout} layout
   * @param {import('./plan.js').Plan} plan
   */
  constructor(layout, { input, gain, offset }) {
    this.#size = input.width;
    this.#strip = layout.reserve(STRIP / 4);
    this.#lines = layout.reserve(STRIP_ROWS * this.#size);
    this.#sums = layout.reserve(4 * this.#size ** 2);
    this.#scale = [layout.put(Float32Array.of(...gain, 0)), layout.put(Float32Array.of(...offset, 0))];
    this.#across = new Taps(layout, this.#size);
    this.#down = new Taps(layout, this.#size);
  }

  /**
   * @param {Engine} engine
   * @param {Frame} patch
   * @throws {EmotionError} `bad_source`
   */
  write(engine, { data, width, height }) {
    if (Math.max(width, height) > MAX_SIDE) {
      throw new EmotionError('bad_source', `a patch of ${width} x ${height} pixels is too large; make the picture smaller first`);
    }
    const { kernels, bytes } = engine;
    this.#across.set(engine, width);
    this.#down.set(engine, height);
    const rows = Math.min(STRIP_ROWS, Math.floor(STRIP / (4 * width)));
    for (let from = 0; from < height; from += rows) {
      const to = Math.min(from + rows, height);
      bytes.set(data.subarray(4 * width * from, 4 * width * to), this.#strip);
      kernels.resize(this.#strip, width, from, to, this.#across.at, this.#down.at, this.#size, this.#lines, this.#sums);
    }
    kernels.normalize(this.#sums, engine.inputAt, ...this.#scale);
  }
}

/** The taps of one axis in the engine's memory. */
class Taps {
  #size;
  #first;
  #weights;
  #length = 0;

  /**
   * @param {Layout} layout
   * @param {number} size
   */
  constructor(layout, size) {
    this.#size = size;
    this.#first = layout.reserve(size);
    this.#weights = layout.reserve(size * (2 * Math.ceil(MAX_SIDE / size) + 2));
    this.at = layout.reserve(3);
  }

  /**
   * Computes the antialiased triangle filter in float32 throughout, as onnxruntime does (upsample_antialias.h), so that
   * weights and pixels are equal to the last bit.
   *
   * @param {Engine} engine
   * @param {number} length pixels along the axis
   */
  set({ words }, length) {
    if (length === this.#length) return;
    this.#length = length;
    const { fround, floor, max, min, abs } = Math;
    const size = this.#size;
    const ratio = fround(size / length);
    const scale = fround(1 / ratio);
    const support = max(1, scale);
    const narrow = fround(1 / support);
    const most = 2 * Math.ceil(support) + 1;
    const shares = new Float32Array(size * most);
    const first = new Int32Array(size);
    let count = 1;
    for (let index = 0; index < size; index++) {
      const center = scale === 1 ? index + 0.5 : fround(fround(fround(index + 0.5) / ratio) - 0.5) + 0.5;
      const begin = max(0, floor(fround(fround(center - support) + 0.5)));
      const end = min(length, floor(fround(fround(center + support) + 0.5)));
      const line = shares.subarray(index * most, index * most + end - begin);
      let sum = 0;
      for (let at = begin; at < end; at++) {
        const distance = abs(fround(fround(fround(at - center) + 0.5) * narrow));
        line[at - begin] = max(0, fround(1 - distance));
        sum = fround(sum + /** @type {number} */ (line[at - begin]));
      }
      const share = fround(1 / sum);
      for (let at = 0; at < line.length; at++) line[at] = fround(/** @type {number} */ (line[at]) * share) * ONE;
      first[index] = begin;
      count = max(count, line.length);
    }
    const weights = this.#weights / 4;
    words.set(first, this.#first / 4);
    for (let index = 0; index < size; index++) {
      for (let at = 0; at < count; at++) {
        words[weights + index * count + at] = floor(/** @type {number} */ (shares[index * most + at]) + 0.5);
      }
    }
    words.set([this.#first, this.#weights, count], this.at / 4);
  }
}

/** The input of the detector: a whole frame, sampled as face-api.js does, black right of it and below. */
export class FramePixels {
  #size;
  #strip;
  #scale;
  #left;
  #right;
  #across;
  #side = 0;
  /** @type {{ low: Int32Array, high: Int32Array, share: Float32Array }} */
  #taps = taps(1, 1);
  // Rows below this one are black from the frames before.
  #black;

  /**
   * @param {Layout} layout
   * @param {import('./plan.js').Plan} plan
   */
  constructor(layout, { input, gain, offset }) {
    this.#size = this.#black = input.width;
    this.#strip = layout.reserve(STRIP / 4);
    this.#scale = [layout.put(Float32Array.of(...gain, 0)), layout.put(Float32Array.of(...offset, 0))];
    this.#left = layout.reserve(input.width);
    this.#right = layout.reserve(input.width);
    this.#across = layout.reserve(input.width);
  }

  /**
   * @param {Engine} engine
   * @param {Frame} frame
   * @returns {number} rows of the input that are not black
   */
  write(engine, { data, width, height }) {
    const size = this.#size;
    this.#prepare(engine, Math.max(width, height));
    const { low, high, share } = this.#taps;
    const stripRows = Math.floor(STRIP / (4 * width));
    let from = 0;
    let to = 0;
    let row = 0;
    for (; row < size; row++) {
      const upper = /** @type {number} */ (low[row]);
      const lower = /** @type {number} */ (high[row]);
      if (upper >= height) break;
      if (Math.min(lower, height - 1) >= to) {
        from = upper;
        to = Math.min(from + stripRows, height);
        engine.bytes.set(data.subarray(4 * width * from, 4 * width * to), this.#strip);
      }
      const [above, below] = [upper, lower].map((y) => (y < height ? this.#strip + 4 * width * (y - from) : 0));
      this.#sample(engine, row, /** @type {number} */ (above), /** @type {number} */ (below), width, /** @type {number} */ (share[row]));
    }
    for (let black = row; black < this.#black; black++) this.#sample(engine, black, 0, 0, 0, 0);
    this.#black = row;
    return row;
  }

  /**
   * @param {Engine} engine
   * @param {number} row
   * @param {number} above address of a row of the frame; 0 for black
   * @param {number} below
   * @param {number} width of the frame
   * @param {number} down
   */
  #sample(engine, row, above, below, width, down) {
    const [gain, offset] = /** @type {[number, number]} */ (this.#scale);
    const to = engine.inputRow(row);
    engine.kernels.sample(above, below, width, this.#left, this.#right, this.#across, down, gain, offset, to, this.#size);
  }

  /**
   * @param {Engine} engine
   * @param {number} side of the frame's square
   */
  #prepare({ words, floats }, side) {
    if (side === this.#side) return;
    this.#side = side;
    this.#taps = taps(side, this.#size);
    words.set(this.#taps.low, this.#left / 4);
    words.set(this.#taps.high, this.#right / 4);
    floats.set(this.#taps.share, this.#across / 4);
  }
}
