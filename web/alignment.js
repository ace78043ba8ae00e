/**
 * Turns a face upright by its landmarks, with the arithmetic of `pyojeong.core.alignment`, which documents the constants.
 */

import { EmotionError } from './errors.js';

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./patch.js').Region} Region */

/**
 * A position in pixels of the upright source; pixel 0 reaches from 0 to 1.
 *
 * @typedef {{ x: number, y: number }} Point
 */

/**
 * Landmarks of a detected face; right and left are the person's.
 *
 * @typedef {{ rightEye: Point, leftEye: Point, noseTip: Point, mouth: Point, rightEar: Point, leftEar: Point }} Landmarks
 */

/**
 * The landmarks that a face is aligned on: both eyes and the middle of the mouth.
 *
 * @typedef {Pick<Landmarks, 'rightEye' | 'leftEye' | 'mouth'>} AlignmentPoints
 */

/**
 * A rectangle that is upright on the face, in pixels of the source; `angle` in radians, clockwise as seen.
 *
 * @typedef {{ x: number, y: number, width: number, height: number, angle: number }} Turned `x` and `y` of its center
 */

// Right eye, left eye and mouth in an aligned crop, as shares of its sides; and the crop's width / height.
const ALIGNED = /** @type {const} */ ([
  [0.25, 0.348],
  [0.732, 0.349],
  [0.492, 0.742],
]);
const ASPECT = 0.8;
const MAX_SIDE = 320;

/**
 * Returns the region in which eyes and mouth lie at their places in an aligned crop.
 *
 * @param {AlignmentPoints} landmarks
 * @returns {Turned}
 * @throws {EmotionError} `bad_landmarks`
 */
export function turnedRegion(landmarks) {
  const points = [landmarks?.rightEye, landmarks?.leftEye, landmarks?.mouth].map((point) => [numberOf(point?.x), numberOf(point?.y)]);
  const own = ALIGNED.map(([x, y]) => [x * ASPECT, y]);
  const [ownX, ownY] = mean(own);
  const [meanX, meanY] = mean(points);
  let along = 0;
  let across = 0;
  let spread = 0;
  own.forEach(([fromX = 0, fromY = 0], at) => {
    const [toX = NaN, toY = NaN] = points[at] ?? [];
    const [x, y, u, v] = [fromX - ownX, fromY - ownY, toX - meanX, toY - meanY];
    along += x * u + y * v;
    across += x * v - y * u;
    spread += x * x + y * y;
  });
  const cos = along / spread;
  const sin = across / spread;
  const height = Math.hypot(cos, sin);
  if (!(Number.isFinite(height) && height > 0)) {
    throw new EmotionError(
      'bad_landmarks',
      `landmarks must have rightEye, leftEye and mouth as {x, y} at different places, not ${JSON.stringify(landmarks)}`,
    );
  }
  const x = ASPECT / 2 - ownX;
  const y = 0.5 - ownY;
  return {
    x: meanX + x * cos - y * sin,
    y: meanY + x * sin + y * cos,
    width: height * ASPECT,
    height,
    angle: Math.atan2(sin, cos),
  };
}

/**
 * Returns the part of the source that a turned region is cut from, with two pixels to spare; its sides may be 0.
 *
 * @param {Turned} region
 * @param {{ width: number, height: number }} size of the source
 * @returns {Region}
 */
export function partAround(region, size) {
  const { across, down, left, top, columns, rows } = gridOf(region);
  const xs = [0, columns * across, -rows * down, columns * across - rows * down].map((offset) => left + offset);
  const ys = [0, columns * down, rows * across, columns * down + rows * across].map((offset) => top + offset);
  const x = Math.max(0, Math.floor(Math.min(...xs)) - 2);
  const y = Math.max(0, Math.floor(Math.min(...ys)) - 2);
  const right = Math.min(size.width, Math.ceil(Math.max(...xs)) + 2);
  const bottom = Math.min(size.height, Math.ceil(Math.max(...ys)) + 2);
  return { x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y) };
}

/**
 * Returns the patch of a turned region, interpolated bilinearly as Pillow does, black outside the source.
 *
 * @param {Frame} frame the whole source, or a part of it that contains `partAround`
 * @param {Turned} region
 * @param {{ x: number, y: number }} [corner] of the part in the source
 * @returns {Frame} at most 320 x 320 pixels
 */
export function cutTurned(frame, region, corner = { x: 0, y: 0 }) {
  const { across, down, left, top, columns, rows } = gridOf(region);
  const data = new Uint8Array(columns * rows * 4);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, to += 4) {
      const x = across * (column + 0.5) - down * (row + 0.5) + (left - corner.x);
      const y = down * (column + 0.5) + across * (row + 0.5) + (top - corner.y);
      data[to + 3] = 255;
      if (x >= 0 && y >= 0 && x < frame.width && y < frame.height) interpolate(frame, x - 0.5, y - 0.5, data, to);
    }
  }
  return { data, width: columns, height: rows };
}

/**
 * Returns the patch's size, the step from pixel to pixel along a row, and where its upper left corner lies.
 *
 * @param {Turned} region
 */
function gridOf({ x, y, width, height, angle }) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const columns = Math.max(1, Math.floor(width * scale + 0.5));
  const rows = Math.max(1, Math.floor(height * scale + 0.5));
  const across = Math.cos(angle) * (height / rows);
  const down = Math.sin(angle) * (height / rows);
  const left = x - (columns / 2) * across + (rows / 2) * down;
  const top = y - (columns / 2) * down - (rows / 2) * across;
  return { across, down, left, top, columns, rows };
}

/**
 * @param {Frame} frame
 * @param {number} x between pixel centers
 * @param {number} y
 * @param {Uint8Array} data
 * @param {number} to where red, green and blue are written
 */
function interpolate({ data: from, width, height }, x, y, data, to) {
  const column = Math.floor(x);
  const row = Math.floor(y);
  const right = x - column;
  const below = y - row;
  const x0 = Math.max(0, column);
  const x1 = Math.min(width - 1, column + 1);
  const upper = Math.max(0, row) * width;
  const lower = Math.min(height - 1, row + 1) * width;
  for (let channel = 0; channel < 3; channel++) {
    const a = /** @type {number} */ (from[(upper + x0) * 4 + channel]);
    const b = /** @type {number} */ (from[(upper + x1) * 4 + channel]);
    const c = /** @type {number} */ (from[(lower + x0) * 4 + channel]);
    const d = /** @type {number} */ (from[(lower + x1) * 4 + channel]);
    const above = a + (b - a) * right;
    data[to + channel] = above + (c + (d - c) * right - above) * below;
  }
}

// Null and texts are no positions.
/** @param {unknown} value */
function numberOf(value) {
  return typeof value === 'number' ? value : NaN;
}

/**
 * @param {readonly (readonly number[])[]} points
 * @returns {[number, number]}
 */
function mean(points) {
  const sum = (/** @type {number} */ axis) => points.reduce((total, point) => total + /** @type {number} */ (point[axis]), 0);
  return [sum(0) / points.length, sum(1) / points.length];
}
