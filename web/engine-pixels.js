/** Brings pixels into the engine's memory, in strips, so that a picture of any size takes the same memory. */

import { EmotionError } from './errors.js';
import { taps } from './sampling.js';

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {Omit<import('./view.js').View, 'width' | 'height' | 'scaleX' | 'scaleY' | 'originX' | 'originY'>} Fit */
/** @typedef {import('./layout.js').Layout} Layout */
/** @typedef {import('./engine.js').Engine} Engine */

const STRIP = 2 ** 19; // bytes
const STRIP_ROWS = 512;
const MAX_SIDE = 2 ** 14; // pixels of a side that count; their taps must have room
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
    if (Math.max(wide, high) > MAX_SIDE) {
      throw new EmotionError('bad_source', `a patch of ${wide} x ${high} pixels is too large; make the picture smaller first`);
    }
    const { kernels, words } = engine;
    this.#across.set(engine, wide, columns);
    this.#down.set(engine, high, rows);
    words.set([columns, rows, left, top], this.#fit / 4);
    const most = Math.min(STRIP_ROWS, Math.floor(STRIP / (4 * wide)));
    const corner = { x: region.x + firstX, y: region.y + firstY, step };
    for (let from = 0; from < high; from += most) {
      const to = Math.min(from + most, high);
      for (let line = from; line < to; line++) copyRow(engine.bytes, this.#strip + 4 * wide * (line - from), frame, corner, line, wide);
      kernels.resize(this.#strip, 4 * wide, 4, from, to, this.#across.at, this.#down.at, this.#fit, this.#lines, this.#sums);
    }
    kernels.normalize(this.#sums, engine.inputAt, this.#fit, ...this.#scale);
  }
}

/**
 * Copies every `step`-th pixel of a row, black where it lies outside of the frame.
 *
 * @param {Uint8Array} bytes
 * @param {number} to
 * @param {Frame} frame
 * @param {{ x: number, y: number, step: number }} corner the first pixel in the frame
 * @param {number} line counted in steps from the corner
 * @param {number} wide pixels to copy
 */
function copyRow(bytes, to, { data, width, height }, { x, y, step }, line, wide) {
  const row = y + step * line;
  const isInside = row >= 0 && row < height;
  // Those from `first` to before `end` lie in the frame.
  const first = isInside ? Math.min(wide, Math.max(0, Math.ceil(-x / step))) : 0;
  const end = isInside ? Math.max(first, Math.min(wide, Math.ceil((width - x) / step))) : 0;
  if (end - first < wide) bytes.fill(0, to, to + 4 * wide);
  let from = row * width + x + step * first;
  if (step === 1) {
    bytes.set(data.subarray(4 * from, 4 * (from + end - first)), to + 4 * first);
    return;
  }
  // Four bytes at once.
  const pixels = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const strip = new Uint32Array(bytes.buffer, to, end);
  for (let at = first; at < end; at++, from += step) strip[at] = /** @type {number} */ (pixels[from]);
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
  write(engine, frame) {
    const size = this.#size;
    // The strip has room for two rows.
    const isWide = 8 * frame.width > STRIP;
    this.#prepare(engine, Math.max(frame.width, frame.height), isWide);
    const { low, high, share } = this.#taps;
    const { data, width, height } = isWide ? pairsOf(frame, low, high) : frame;
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
   * @param {boolean} isWide whether rows have only the pixels that are read
   */
  #prepare({ words, floats }, side, isWide) {
    const key = isWide ? -side : side;
    if (key === this.#side) return;
    this.#side = key;
    this.#taps = taps(side, this.#size);
    const { low, high, share } = this.#taps;
    words.set(isWide ? low.map((_, at) => 2 * at) : low, this.#left / 4);
    words.set(isWide ? high.map((_, at) => 2 * at + 1) : high, this.#right / 4);
    floats.set(share, this.#across / 4);
  }
}

/**
 * Returns the pixels of each row that are read, black right of the frame.
 *
 * @param {Frame} frame
 * @param {Int32Array} low for each column of the input the left one
 * @param {Int32Array} high and the right one
 * @returns {Frame} twice as wide as the input
 */
function pairsOf({ data, width, height }, low, high) {
  const wide = 2 * low.length;
  const pairs = new Uint8Array(4 * wide * height);
  for (let pair = 0; pair < wide; pair++) {
    const x = /** @type {number} */ ((pair % 2 ? high : low)[pair >> 1]);
    if (x >= width) continue;
    for (let y = 0, to = 4 * pair; y < height; y++, to += 4 * wide) {
      const from = 4 * (y * width + x);
      pairs.set(data.subarray(from, from + 4), to);
    }
  }
  return { data: pairs, width: wide, height };
}
