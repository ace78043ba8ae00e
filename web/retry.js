/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./detector.js').Face} Face */

// As in pyojeong.analyzer, which documents the choice.
const CLOSE = 0.5; // share of the longer side
const PADDING = 0.75; // share of the longer side, on each side
const GRAY = 128;
const MAX_SIDE = 416; // pixels of the longer side

/**
 * Returns whether to detect again: no face was found, or one so close that its box is unsteady.
 *
 * @param {readonly Face[]} faces
 * @param {{ width: number, height: number }} frame
 */
export function needsRetry(faces, { width, height }) {
  const longest = Math.max(...faces.map(({ box }) => Math.max(box.width, box.height)));
  return !faces.length || longest > CLOSE * Math.max(width, height);
}

/**
 * Returns the faces of the second detection and those of the first whose center lies in none of them.
 *
 * @param {readonly Face[]} second
 * @param {readonly Face[]} first
 * @returns {Face[]} by descending score
 */
export function merge(second, first) {
  const others = first.filter(({ box }) => !second.some((face) => holdsCenter(face.box, box)));
  return [...second, ...others].sort((a, b) => b.score - a.score);
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
 * Returns a gray-padded copy of a frame, because TinyFaceDetector misses a face that fills its frame. The copy has
 * every n-th pixel of every n-th line, as in `pyojeong.analyzer.find_faces`.
 *
 * @param {Frame} frame
 * @returns {{ padded: Frame, back: (box: Box) => Box }} `back` converts a box to pixels of `frame`
 */
export function pad({ data, width, height }) {
  const step = Math.ceil(Math.max(width, height) / MAX_SIDE);
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
