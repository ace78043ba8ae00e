/** Brings pixels into the engine's memory, in strips, so that a picture of any size takes the same memory. */

import { EmotionError } from './errors.js';
import { taps } from './sampling.js';

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {Omit<import('./view.js').View, 'width' | 'height' | 'scaleX' | 'scaleY' | 'originX' | 'originY'>} Fit */
/** @typedef {import('./layout.js').Layout} Layout */
/** @typedef {import('./engine.js').Engine} Engine */

const STRIP = 2 ** 19; // bytes; two rows of the widest picture that browsers can read
const STRIP_ROWS = 512;
const MAX_SIDE = 2 ** 14; // pixels of a region's side; its taps must have room
const ONE = 2 ** 22; // a tap's weight of 1, as in kernels.c

/** The input of a network that sees resized bytes: an antialiased triangle filter, as Pillow's and onnxruntime's. */
export class ResizedPixels {
  #strip;
  #lines;
  #sums;
  #fit;
  #scale;
  #across;
  #down;

  /**
   * @param {Layout} layout
   * @param {import('./layers.js').Plan} plan
   * @param {(value: number) => number} round of intermediate results: `Math.fround` for the weights that onnxruntime
   *   computes (upsample_antialias.h), the identity for Pillow's
   */
  constructor(layout, { input, gain, offset }, round) {
    this.#strip = layout.reserve(STRIP / 4);
    this.#lines = layout.reserve(STRIP_ROWS * input.width);
    this.#sums = layout.reserve(4 * input.width * input.height);
    this.#fit = layout.reserve(4);
    this.#scale = [layout.put(Float32Array.of(...gain, 0)), layout.put(Float32Array.of(...offset, 0))];
    this.#across = new Taps(layout, input.width, round);
    this.#down = new Taps(layout, input.height, round);
  }

  /**
   * @param {Engine} engine
   * @param {Frame} frame
   * @param {Fit} view
   * @throws {EmotionError} `bad_source`
   */
  write(engine, frame, { region, step, firstX, firstY, wide, high, columns, rows, left, top }) {
    const { width, height } = region;
    if (Math.max(width, height) > MAX_SIDE) {
      throw new EmotionError('bad_source', `a patch of ${width} x ${height} pixels is too large; make the picture smaller first`);
    }
    const { kernels, words } = engine;
    this.#across.set(engine, wide, columns);
    this.#down.set(engine, high, rows);
    words.set([columns, rows, left, top], this.#fit / 4);
    const most = Math.min(STRIP_ROWS, Math.floor(STRIP / (4 * width)));
    for (let from = 0; from < high; from += most) {
      const to = Math.min(from + most, high);
      for (let line = from; line < to; line++) {
        const { bytes } = engine;
        copyRow(bytes, this.#strip + 4 * width * (line - from), frame, region, region.y + firstY + step * line);
      }
      const first = this.#strip + 4 * firstX;
      kernels.resize(first, 4 * width, 4 * step, from, to, this.#across.at, this.#down.at, this.#fit, this.#lines, this.#sums);
    }
    kernels.normalize(this.#sums, engine.inputAt, this.#fit, ...this.#scale);
  }
}

/**
 * Copies a row of a region, black where it lies outside of the frame.
 *
 * @param {Uint8Array} bytes
 * @param {number} to
 * @param {Frame} frame
 * @param {import('./patch.js').Region} region
 * @param {number} y row of the frame
 */
function copyRow(bytes, to, { data, width, height }, region, y) {
  const left = Math.max(0, region.x);
  const right = y < 0 || y >= height ? left : Math.min(width, region.x + region.width);
  if (right - left < region.width) bytes.fill(0, to, to + 4 * region.width);
  if (right > left) bytes.set(data.subarray(4 * (y * width + left), 4 * (y * width + right)), to + 4 * (left - region.x));
}

/** The taps of one axis in the engine's memory. */
class Taps {
  #round;
  #first;
  #weights;
  #length = 0;
  #size = 0;

  /**
   * @param {Layout} layout
   * @param {number} size of the network's input
   * @param {(value: number) => number} round
   */
  constructor(layout, size, round) {
    this.#round = round;
    this.#first = layout.reserve(size);
    this.#weights = layout.reserve(2 * MAX_SIDE + 4 * size);
    this.at = layout.put(Int32Array.of(this.#first, this.#weights, 0));
  }

  /**
   * Computes the triangle filter for resizing `length` pixels to `size`.
   *
   * @param {Engine} engine
   * @param {number} length
   * @param {number} size
   */
  set({ words }, length, size) {
    if (length === this.#length && size === this.#size) return;
    this.#length = length;
    this.#size = size;
    const round = this.#round;
    const { floor, max, min, abs } = Math;
    const ratio = round(size / length);
    const scale = round(1 / ratio);
    const support = max(1, scale);
    const narrow = round(1 / support);
    const most = 2 * Math.ceil(support) + 1;
    const shares = new Float64Array(size * most);
    const first = new Int32Array(size);
    let count = 1;
    for (let index = 0; index < size; index++) {
      const center = scale === 1 ? index + 0.5 : round(round(round(index + 0.5) / ratio) - 0.5) + 0.5;
      const begin = max(0, floor(round(round(center - support) + 0.5)));
      const end = min(length, floor(round(round(center + support) + 0.5)));
      const line = shares.subarray(index * most, index * most + end - begin);
      let sum = 0;
      for (let at = begin; at < end; at++) {
        const distance = abs(round(round(round(at - center) + 0.5) * narrow));
        line[at - begin] = max(0, round(1 - distance));
        sum = round(sum + /** @type {number} */ (line[at - begin]));
      }
      const share = round(1 / sum);
      for (let at = 0; at < line.length; at++) line[at] = round(/** @type {number} */ (line[at]) * share) * ONE;
      first[index] = begin;
      count = max(count, line.length);
    }
    words.set(first, this.#first / 4);
    const weights = this.#weights / 4;
    for (let index = 0; index < size; index++) {
      for (let at = 0; at < count; at++) {
        words[weights + index * count + at] = floor(/** @type {number} */ (shares[index * most + at]) + 0.5);
      }
    }
    words[this.at / 4 + 2] = count;
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
   * @param {import('./layers.js').Plan} plan
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
