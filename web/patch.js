import { EmotionError } from './errors.js';

/**
 * A face box in pixels of the upright source (EXIF orientation applied). Fractions are allowed.
 *
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 */

/**
 * Who drew the box: a person, as AI Hub's annotators did, face-api.js's TinyFaceDetector, or `FaceDetector`.
 *
 * @typedef {'annotator' | 'detector' | 'blazeface'} BoxKind
 */

/**
 * The crop of a model: margin, offset and aspect (width / height), the kind of box that they refer to, and whether faces
 * with known landmarks are turned upright instead (`turnedRegion`).
 *
 * @typedef {{ margin: number, offset: number, aspect: number, boxKind: BoxKind, alignedBy: 'box' | 'landmarks' }} Framing
 */

/**
 * A rectangle in whole source pixels; it may extend beyond the source.
 *
 * @typedef {{ x: number, y: number, width: number, height: number }} Region
 */

/**
 * An image in memory: RGBA bytes, top row first.
 *
 * @typedef {{ data: Uint8Array, width: number, height: number }} Frame
 */

// As in pyojeong.core.geometry.cut: a larger patch is a mistake and could exhaust the memory.
const MAX_SIDE = 3; // times the longer side of the source

// In pixels: wasm's memory holds several intermediate copies of a patch.
const MAX_PIXELS = 2 ** 27;

// As in pyojeong.core.geometry, which documents how they were measured: an annotator's box in longer sides of a
// detector's, and the detector's width / height.
const RELATIONS = {
  detector: { width: 0.93, height: 1.06, rise: 0.164, aspect: 1.19 },
  blazeface: { width: 1.14, height: 1.27, rise: 0.175, aspect: 1 },
};

/**
 * Returns the region of a box that the network sees, equal to `pyojeong.core.geometry.patch_region`.
 *
 * @param {Box} box
 * @param {number} margin added above and below, as a share of the longer side of the box
 * @param {number} offset of the region's center below the box's, as a share of the same side
 * @param {number} aspect width / height of the region
 * @returns {Region}
 */
export function patchRegion(box, margin, offset, aspect) {
  const maxX = box.x + box.width;
  const maxY = box.y + box.height;
  const longer = longerOf(box);
  const height = Math.max(1, round(longer * (1 + 2 * margin)));
  const width = Math.max(1, round(longer * (1 + 2 * margin) * aspect));
  const x = round((box.x + maxX - width) / 2);
  const y = round((box.y + maxY - height) / 2 + offset * longer);
  return { x, y, width, height };
}

/**
 * Converts a box from one kind to another, as `pyojeong.core.geometry.convert_box` does.
 *
 * @param {BoxKind} target
 * @param {Box} box
 * @param {BoxKind} kind of `box`
 * @returns {Box}
 * @throws {EmotionError} `bad_option`
 */
export function boxAs(target, box, kind) {
  checkKind(kind);
  if (target === kind) return box;
  const drawn = kind === 'annotator' ? box : annotatorBox(box, RELATIONS[kind]);
  return target === 'annotator' ? drawn : detectorBox(drawn, RELATIONS[target]);
}

/**
 * @param {BoxKind | undefined} kind undefined means the model's
 * @throws {EmotionError} `bad_option`
 */
export function checkKind(kind) {
  if (kind === undefined || kind === 'annotator' || Object.hasOwn(RELATIONS, kind)) return;
  const kinds = 'boxKind must be "annotator", "detector" or "blazeface"';
  throw new EmotionError('bad_option', `${kinds}, not ${JSON.stringify(kind)}`);
}

/**
 * @param {Box} box
 * @param {typeof RELATIONS.detector} relation
 * @returns {Box}
 */
function annotatorBox(box, { width, height, rise }) {
  const longer = longerOf(box);
  return centered(box, width * longer, height * longer, -rise * longer);
}

/**
 * @param {Box} box
 * @param {typeof RELATIONS.detector} relation
 * @returns {Box}
 */
function detectorBox(box, { height, rise, aspect }) {
  const longer = longerOf(box) / height;
  return centered(box, longer, longer / aspect, rise * longer);
}

// Computed from the corners, as in Python: x + width - x is not always equal to width.
/** @param {Box} box */
function longerOf({ x, y, width, height }) {
  return Math.max(x + width - x, y + height - y);
}

/**
 * @param {Box} box
 * @param {number} width
 * @param {number} height
 * @param {number} lower distance in pixels by which the center moves down
 * @returns {Box}
 */
function centered(box, width, height, lower) {
  const x = (box.x + (box.x + box.width)) / 2 - width / 2;
  const y = (box.y + (box.y + box.height)) / 2 + lower - height / 2;
  return { x, y, width, height };
}

// Math.round(v) and floor(v + 0.5) differ for 0.49999999999999994; Python computes the latter.
/** @param {number} value */
function round(value) {
  return Math.floor(value + 0.5);
}

/**
 * Cuts a patch out of a frame in memory; the result equals that of `PixelReader.patch` in source.js.
 *
 * @param {Frame} frame
 * @param {Box | null} box
 * @param {Framing} framing
 * @param {BoxKind} [boxKind]
 * @returns {Frame}
 * @throws {EmotionError} `bad_box`, `bad_option`, `bad_source` if the patch would have more than 2^27 pixels
 */
export function cut(frame, box, framing, boxKind) {
  const region = regionOf(box, framing, boxKind, frame);
  const part = overlapOf(region, frame);
  const { width, height } = region;
  const data = new Uint8Array(width * height * 4);
  for (let row = part.y; row < part.y + part.height; row++) {
    const from = (row * frame.width + part.x) * 4;
    const line = frame.data.subarray(from, from + part.width * 4);
    data.set(line, ((row - region.y) * width + part.x - region.x) * 4);
  }
  return { data, width, height };
}

/**
 * @param {Box | null | undefined} box
 * @param {Framing} framing
 * @param {BoxKind | undefined} boxKind
 * @param {{ width: number, height: number }} size of the source
 * @returns {Region}
 * @throws {EmotionError} `bad_box`, `bad_option`
 */
export function regionOf(box, framing, boxKind, { width, height }) {
  // A finished crop is treated as a square, whatever its shape was.
  if (!box) return patchRegion({ x: 0, y: 0, width, height }, 0, 0, 1);
  const { margin, offset, aspect, boxKind: modelKind } = framing;
  return patchRegion(boxAs(modelKind, checked(box), boxKind ?? modelKind), margin, offset, aspect);
}

/**
 * Checks boxes and copies them to plain objects.
 *
 * @param {readonly (Box | null | undefined)[] | null | undefined} boxes
 * @returns {(Box | null)[] | undefined}
 * @throws {EmotionError} `bad_box`
 */
export function listOf(boxes) {
  if (!boxes) return undefined;
  if (Array.isArray(boxes)) return boxes.map((box) => (box ? checked(box) : null));
  throw new EmotionError('bad_box', `the boxes must be a list of boxes, not ${JSON.stringify(boxes)}`);
}

/**
 * Checks a box and copies it to a plain object; it may be a `DOMRect`, a `Box` of face-api.js or a proxy.
 *
 * @param {Box} box
 * @returns {Box}
 * @throws {EmotionError} `bad_box`
 */
export function checked(box) {
  const { x, y, width, height } = box;
  if (![x, y, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
    throw new EmotionError(
      'bad_box',
      `the box must be {x, y, width, height} in pixels with width and height above 0, not ${JSON.stringify(box)}`,
    );
  }
  return { x, y, width, height };
}

/**
 * Returns the part of the source that lies in the region.
 *
 * @param {Region} region
 * @param {{ width: number, height: number }} size
 * @returns {Region}
 * @throws {EmotionError} `bad_box`, `bad_source` if the region has more than 2^27 pixels
 */
export function overlapOf(region, size) {
  if (Math.max(region.width, region.height) > MAX_SIDE * Math.max(size.width, size.height)) {
    throw new EmotionError(
      'bad_box',
      `the patch would be ${region.width} x ${region.height} pixels, far more than the source ` +
        `(${size.width} x ${size.height})`,
    );
  }
  if (region.width * region.height > MAX_PIXELS) {
    throw new EmotionError(
      'bad_source',
      `the patch would be ${region.width} x ${region.height} pixels; make the picture smaller first, or pass a box`,
    );
  }
  const x = Math.max(0, region.x);
  const y = Math.max(0, region.y);
  const width = Math.min(size.width, region.x + region.width) - x;
  const height = Math.min(size.height, region.y + region.height) - y;
  if (width <= 0 || height <= 0) {
    throw new EmotionError('bad_box', `the box lies outside of the source (${size.width} x ${size.height} pixels)`);
  }
  return { x, y, width, height };
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
