/** Resizes frames for the face detector, with the arithmetic of `pyojeong.detection.network.View` and Pillow. */

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./patch.js').Region} Region */

/**
 * Where a region of a frame goes in a network's input of `width` x `height` pixels. Of the region every `step`-th pixel of
 * every `step`-th row counts, from its pixel (`firstX`, `firstY`) on, `wide` x `high` in all. They are resized to
 * `columns` x `rows`, which lie `left` and `top` pixels from the corner of the input, with black around them. Position x
 * of the input lies at `originX + x * scaleX` in the frame.
 *
 * @typedef {object} View
 * @property {Region} region
 * @property {number} step
 * @property {number} firstX
 * @property {number} firstY
 * @property {number} wide
 * @property {number} high
 * @property {number} columns
 * @property {number} rows
 * @property {number} left
 * @property {number} top
 * @property {number} width
 * @property {number} height
 * @property {number} scaleX
 * @property {number} scaleY
 * @property {number} originX
 * @property {number} originY
 */

/** Taps of a resize: for each target position its first source position and its weights, as Pillow computes them. */
/** @typedef {{ first: Int32Array, count: number, weights: Int32Array }} Taps */

export const SIDE = 128; // pixels; the input that the network was trained on

const SAMPLES = 2; // samples of the frame in a pixel of the input, on each side; more are skipped
const BITS = 22; // of the fraction of a weight; Pillow's PRECISION_BITS

/**
 * Returns the view of a region, black outside the frame, whose longer side has `side` pixels.
 *
 * @param {{ width: number, height: number }} frame
 * @param {number} side
 * @param {Region} [region] default: the whole frame
 * @returns {View}
 */
export function viewOf(frame, side, region = { x: 0, y: 0, width: frame.width, height: frame.height }) {
  const longer = Math.max(region.width, region.height);
  const step = Math.max(1, Math.floor(longer / (SAMPLES * side)));
  const columns = Math.max(1, Math.floor((region.width * side) / longer + 0.5));
  const rows = Math.max(1, Math.floor((region.height * side) / longer + 0.5));
  const [width, height] = side === SIDE ? [side, side] : [multiple(columns), multiple(rows)];
  const left = Math.floor((width - columns) / 2);
  const top = Math.floor((height - rows) / 2);
  const firstX = firstOf(region.width, step);
  const firstY = firstOf(region.height, step);
  const wide = Math.ceil((region.width - firstX) / step);
  const high = Math.ceil((region.height - firstY) / step);
  const scaleX = (wide * step) / columns;
  const scaleY = (high * step) / rows;
  const [originX, originY] = [region.x - left * scaleX, region.y - top * scaleY];
  return { region, step, firstX, firstY, wide, high, columns, rows, left, top, width, height, scaleX, scaleY, originX, originY };
}

/**
 * Returns the pixels of a view, for onnxruntime-web; the package's engine resizes on its own.
 *
 * @param {Frame} frame
 * @param {View} view
 * @returns {Frame}
 */
export function pixelsOf(frame, { region, step, firstX, firstY, wide, high, columns, rows, left, top, width, height }) {
  const narrow = squeeze(frame, { x: region.x + firstX, y: region.y + firstY, step }, taps(wide, columns), high);
  const data = new Uint8Array(width * height * 4);
  flatten(narrow, columns, taps(high, rows), data, (top * width + left) * 4, width * 4);
  return { data, width, height };
}

/**
 * Returns the first position where every `step`-th is taken: the middle of the first step, or of a shorter strip.
 *
 * @param {number} length
 * @param {number} step
 */
function firstOf(length, step) {
  return Math.min(Math.floor(step / 2), Math.floor((length - 1) / 2));
}

/** @param {number} length */
function multiple(length) {
  return Math.ceil(length / 16) * 16;
}

/**
 * Takes every `step`-th row of a frame from a corner on and resizes it across.
 *
 * @param {Frame} frame
 * @param {{ x: number, y: number, step: number }} corner
 * @param {Taps} across
 * @param {number} rows
 * @returns {Uint8Array} rows x columns x 3
 */
function squeeze({ data, width, height }, { x: left, y: top, step }, { first, count, weights }, rows) {
  const columns = first.length;
  const result = new Uint8Array(rows * columns * 3);
  // Reads four bytes at once; red is the lowest.
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  for (let row = 0, to = 0; row < rows; row++) {
    const y = top + row * step;
    if (y < 0 || y >= height) {
      to += columns * 3;
      continue;
    }
    for (let column = 0; column < columns; column++) {
      let x = left + /** @type {number} */ (first[column]) * step;
      let [red, green, blue] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
      for (let tap = column * count; tap < (column + 1) * count; tap++, x += step) {
        if (x < 0 || x >= width) continue;
        const pixel = /** @type {number} */ (from[y * width + x]);
        const weight = /** @type {number} */ (weights[tap]);
        red += (pixel & 255) * weight;
        green += ((pixel >> 8) & 255) * weight;
        blue += ((pixel >> 16) & 255) * weight;
      }
      result[to++] = red >> BITS;
      result[to++] = green >> BITS;
      result[to++] = blue >> BITS;
    }
  }
  return result;
}

/**
 * Resizes rows x columns x 3 levels down, into RGBA.
 *
 * @param {Uint8Array} levels
 * @param {number} columns
 * @param {Taps} down
 * @param {Uint8Array} data
 * @param {number} start of the first row in `data`
 * @param {number} stride bytes from row to row in `data`
 */
function flatten(levels, columns, { first, count, weights }, data, start, stride) {
  const width = columns * 3;
  const sums = new Int32Array(width);
  for (let row = 0; row < first.length; row++) {
    sums.fill(1 << (BITS - 1));
    for (let tap = 0; tap < count; tap++) {
      const weight = /** @type {number} */ (weights[row * count + tap]);
      if (!weight) continue;
      const from = (/** @type {number} */ (first[row]) + tap) * width;
      for (let at = 0; at < width; at++) {
        sums[at] = /** @type {number} */ (sums[at]) + /** @type {number} */ (levels[from + at]) * weight;
      }
    }
    for (let at = 0, to = start + row * stride; at < width; at += 3, to += 4) {
      data[to] = /** @type {number} */ (sums[at]) >> BITS;
      data[to + 1] = /** @type {number} */ (sums[at + 1]) >> BITS;
      data[to + 2] = /** @type {number} */ (sums[at + 2]) >> BITS;
    }
  }
}

/**
 * Returns the taps of Pillow's BILINEAR: a triangle as wide as two source pixels, or as two target pixels if they are
 * larger. Weights are whole multiples of 2^-22.
 *
 * @param {number} size of the source
 * @param {number} target
 * @returns {Taps}
 */
function taps(size, target) {
  const scale = size / target;
  const support = Math.max(scale, 1);
  const count = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(target);
  const weights = new Int32Array(target * count);
  for (let index = 0; index < target; index++) {
    const center = (index + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(size, Math.trunc(center + support + 0.5));
    const shares = [];
    for (let at = low; at < high; at++) shares.push(Math.max(0, 1 - Math.abs((at - center + 0.5) * (1 / support))));
    const sum = shares.reduce((total, share) => total + share, 0);
    first[index] = low;
    shares.forEach((share, at) => (weights[index * count + at] = Math.trunc(0.5 + (share / sum) * 2 ** BITS)));
  }
  return { first, count, weights };
}
