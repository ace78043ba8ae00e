/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./detector.js').Face} Face */

// As in pyojeong.analyzer, which says how they were chosen.
const CLOSE = 0.5; // of the longer side
const PADDING = 0.75; // of the longer side, on each side
const GRAY = 128;
const ENOUGH = 416; // pixels of the longer side

/**
 * Whether a frame deserves a second look: nobody was found, or a face so close that its box is unsteady.
 *
 * @param {readonly Face[]} found
 * @param {{ width: number, height: number }} frame
 */
export function isUnsure(found, { width, height }) {
  const longest = Math.max(...found.map(({ box }) => Math.max(box.width, box.height)));
  return !found.length || longest > CLOSE * Math.max(width, height);
}

/**
 * Faces of the second look, and those of the first whose center lies in none of them.
 *
 * @param {readonly Face[]} again
 * @param {readonly Face[]} found
 * @returns {Face[]} best score first
 */
export function merge(again, found) {
  const others = found.filter(({ box }) => !again.some((close) => holdsCenter(close.box, box)));
  return [...again, ...others].sort((a, b) => b.score - a.score);
}

/**
 * @param {Box} box
 * @param {Box} other
 */
function holdsCenter(box, other) {
  const x = other.x + other.width / 2;
  const y = other.y + other.height / 2;
  return box.x <= x && x <= box.x + box.width && box.y <= y && y <= box.y + box.height;
}

/**
 * The frame of a second look, because TinyFaceDetector misses a face that fills its frame: every n-th pixel of every
 * n-th line amid gray, as `pyojeong.analyzer.find_faces` has it.
 *
 * @param {Frame} frame
 * @returns {{ padded: Frame, back: (box: Box) => Box }} `back` brings a box to the pixels of `frame`
 */
export function pad({ data, width, height }) {
  const step = Math.ceil(Math.max(width, height) / ENOUGH);
  const columns = Math.ceil(width / step);
  const rows = Math.ceil(height / step);
  const edge = Math.floor(PADDING * Math.max(columns, rows) + 0.5);
  const wide = columns + 2 * edge;
  const high = rows + 2 * edge;
  const result = new Uint8Array(wide * high * 4).fill(GRAY);
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const to = new Uint32Array(result.buffer);
  for (let row = 0; row < rows; row++) {
    let at = (row + edge) * wide + edge;
    for (let column = 0; column < width; column += step) to[at++] = /** @type {number} */ (from[row * step * width + column]);
  }
  return {
    padded: { data: result, width: wide, height: high },
    back: (box) => ({
      x: (box.x - edge) * step,
      y: (box.y - edge) * step,
      width: box.width * step,
      height: box.height * step,
    }),
  };
}
