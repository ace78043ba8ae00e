import { EmotionError } from './errors.js';

/**
 * A face box in source pixels, in the frame that a person sees (EXIF orientation applied). Fractions are allowed.
 *
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 */

/**
 * Whose box it is: that of a person who drew it as AI Hub's annotators did, or TinyFaceDetector's.
 *
 * @typedef {'annotator' | 'detector'} BoxKind
 */

/**
 * Which crop a model wants: margin and offset, relative to boxes of which kind.
 *
 * @typedef {{ margin: number, offset: number, box: BoxKind }} Framing
 */

/**
 * A square in whole source pixels; it may reach over the borders.
 *
 * @typedef {{ x: number, y: number, side: number }} Square
 */

/**
 * An image in memory: RGBA bytes, rows from the top.
 *
 * @typedef {{ data: Uint8Array, width: number, height: number }} Frame
 */

/**
 * Whatever pixels can be read from.
 *
 * @typedef {HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | ImageData
 *   | VideoFrame} Source
 */

// As in pyojeong.crops.cut: a wider box is a mistake, and its patch could fill the memory.
const WIDEST = 3;

// As in pyojeong.crops, which says how they were measured.
const DETECTOR_ASPECT = 1.19;
const ANNOTATOR_WIDTH = 0.93;
const ANNOTATOR_HEIGHT = 1.06;
const ANNOTATOR_RISE = 0.164;

/**
 * The square patch that the network sees for a box: the rule of `pyojeong.crops.patch_square`, number for number.
 *
 * @param {Box} box
 * @param {number} margin added on each side, as a share of the longer side of the box
 * @param {number} offset of the square's centre below the box's, as a share of the same side
 * @returns {Square}
 */
export function patchSquare(box, margin, offset) {
  const maxX = box.x + box.width;
  const maxY = box.y + box.height;
  const longer = longerOf(box);
  const side = Math.max(1, round(longer * (1 + 2 * margin)));
  return { x: round((box.x + maxX - side) / 2), y: round((box.y + maxY - side) / 2 + offset * longer), side };
}

/**
 * A box of one kind as one of the other: `pyojeong.crops.box_as`, number for number.
 *
 * @param {BoxKind} wanted
 * @param {Box} box
 * @param {BoxKind} given
 * @returns {Box}
 * @throws {EmotionError} `bad_option`
 */
export function boxAs(wanted, box, given) {
  if (given !== 'annotator' && given !== 'detector') {
    throw new EmotionError('bad_option', `boxKind must be "annotator" or "detector", not ${JSON.stringify(given)}`);
  }
  if (wanted === given) return box;
  if (wanted === 'annotator') {
    const longer = longerOf(box);
    return centred(box, ANNOTATOR_WIDTH * longer, ANNOTATOR_HEIGHT * longer, -ANNOTATOR_RISE * longer);
  }
  const longer = longerOf(box) / ANNOTATOR_HEIGHT;
  return centred(box, longer, longer / DETECTOR_ASPECT, ANNOTATOR_RISE * longer);
}

// From the corners, as Python has them: x + width - x is not always width.
/** @param {Box} box */
function longerOf({ x, y, width, height }) {
  return Math.max(x + width - x, y + height - y);
}

/**
 * @param {Box} box
 * @param {number} width
 * @param {number} height
 * @param {number} lower
 * @returns {Box}
 */
function centred(box, width, height, lower) {
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
 * Width and height of a source in pixels, as its boxes are measured.
 *
 * @param {Source} source
 * @returns {{ width: number, height: number }}
 * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`
 */
export function sizeOf(source) {
  const { width, height } = rawSizeOf(source);
  if (width > 0 && height > 0) return { width, height };
  throw new EmotionError(
    'empty_source',
    `the source is ${width} x ${height} pixels; wait until it has loaded (image: decode(), video: playing)`,
  );
}

/** @param {Source} source */
function rawSizeOf(source) {
  if (source && typeof source === 'object') {
    if ('naturalWidth' in source) {
      if (!source.complete) throw notReady('image', 'await image.decode() first');
      return { width: source.naturalWidth, height: source.naturalHeight };
    }
    if ('videoWidth' in source) {
      // HAVE_CURRENT_DATA: below it there is no frame to draw.
      if (source.readyState < 2) throw notReady('video', 'wait for its "loadeddata" event');
      return { width: source.videoWidth, height: source.videoHeight };
    }
    if ('displayWidth' in source) return { width: source.displayWidth, height: source.displayHeight };
    if (typeof source.width === 'number') return { width: source.width, height: source.height };
  }
  throw new EmotionError(
    'bad_source',
    'the source must be an img, video or canvas element, OffscreenCanvas, ImageBitmap, ImageData or VideoFrame',
  );
}

/**
 * @param {string} what
 * @param {string} remedy
 */
function notReady(what, remedy) {
  return new EmotionError('source_not_ready', `the ${what} has no pixels yet; ${remedy}`);
}

/**
 * Waits for an `<img>`; one that is broken is reported by whoever reads it, as one without pixels.
 *
 * @param {Source} source
 */
export async function loaded(source) {
  if (source && typeof source === 'object' && 'naturalWidth' in source && !source.complete) {
    await source.decode().catch(() => undefined);
  }
}

/** Reads pixels out of sources through one canvas that it keeps. */
export class PixelReader {
  /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */
  #context = null;

  /**
   * The patch of a box as RGBA bytes, zeros outside the source. Without a box: the whole source, centred in a
   * square, no margin.
   *
   * @param {Source} source
   * @param {Box | null | undefined} box
   * @param {Framing} framing of the model
   * @param {BoxKind} [boxKind] the model's own when omitted
   * @returns {{ pixels: Uint8Array, side: number }} `pixels` has side * side * 4 bytes, rows from the top
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `bad_box`, `tainted_source`,
   *   `bad_option`
   */
  patch(source, box, framing, boxKind) {
    const size = sizeOf(source);
    const square = squareOf(box, framing, boxKind, size);
    return { pixels: this.#read(source, overlapOf(square, size), square, square.side, square.side), side: square.side };
  }

  /**
   * All pixels of a source.
   *
   * @param {Source} source
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `tainted_source`
   */
  frame(source) {
    const { width, height } = sizeOf(source);
    const origin = { x: 0, y: 0 };
    return { data: this.#read(source, { ...origin, width, height }, origin, width, height), width, height };
  }

  /** Frees the canvas. */
  dispose() {
    if (this.#context) this.#context.canvas.width = this.#context.canvas.height = 0;
    this.#context = null;
  }

  /**
   * @param {Source} source
   * @param {Box} part of the source
   * @param {{ x: number, y: number }} origin of the result, in source pixels
   * @param {number} width of the result
   * @param {number} height of the result
   */
  #read(source, part, origin, width, height) {
    const context = this.#contextOf(width, height);
    context.clearRect(0, 0, width, height);
    if ('data' in source) {
      context.putImageData(source, -origin.x, -origin.y);
    } else {
      const { x, y } = part;
      context.drawImage(source, x, y, part.width, part.height, x - origin.x, y - origin.y, part.width, part.height);
    }
    return bytesOf(context, width, height);
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #contextOf(width, height) {
    this.#context ??= newContext();
    const { canvas } = this.#context;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      // Setting the size resets the context.
      this.#context.imageSmoothingEnabled = false;
    }
    return this.#context;
  }
}

/**
 * The patch that `PixelReader.patch` gives, cut out of a frame that was read already.
 *
 * @param {Frame} frame
 * @param {Box | null} box
 * @param {Framing} framing
 * @param {BoxKind} [boxKind]
 * @returns {{ pixels: Uint8Array, side: number }}
 * @throws {EmotionError} `bad_box`, `bad_option`
 */
export function cut(frame, box, framing, boxKind) {
  const square = squareOf(box, framing, boxKind, frame);
  const { x, y, width, height } = overlapOf(square, frame);
  const { side } = square;
  const pixels = new Uint8Array(side * side * 4);
  for (let row = y; row < y + height; row++) {
    const from = (row * frame.width + x) * 4;
    pixels.set(frame.data.subarray(from, from + width * 4), ((row - square.y) * side + x - square.x) * 4);
  }
  return { pixels, side };
}

function newContext() {
  const canvas =
    typeof OffscreenCanvas === 'undefined' ? document.createElement('canvas') : new OffscreenCanvas(1, 1);
  // Without alpha, transparent pixels lie on black, as they do in Python.
  const options = { alpha: false, willReadFrequently: true };
  const context = /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */ (
    canvas.getContext('2d', options)
  );
  if (!context) throw new EmotionError('bad_source', 'this browser gives no 2d canvas to read pixels with');
  return context;
}

/**
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 */
function bytesOf(context, width, height) {
  try {
    const { data } = context.getImageData(0, 0, width, height);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } catch (error) {
    throw tainted(error);
  }
}

/** @param {unknown} error what the browser threw */
export function tainted(error) {
  return new EmotionError(
    'tainted_source',
    'the browser forbids reading pixels that come from another site; serve the image yourself, or set ' +
      'crossOrigin = "anonymous" on the element and let that site answer with Access-Control-Allow-Origin',
    error,
  );
}

/**
 * @param {Box | null | undefined} box
 * @param {Framing} framing
 * @param {BoxKind | undefined} boxKind
 * @param {{ width: number, height: number }} size of the source
 * @returns {Square}
 */
function squareOf(box, framing, boxKind, { width, height }) {
  if (!box) return patchSquare({ x: 0, y: 0, width, height }, 0, 0);
  const { margin, offset, box: own } = framing;
  return patchSquare(boxAs(own, checked(box), boxKind ?? own), margin, offset);
}

/**
 * Whether a box has a patch that shows something of its frame.
 *
 * @param {{ width: number, height: number }} size of the frame
 * @param {Box} box
 * @param {Framing} framing
 * @param {BoxKind} boxKind
 */
export function hasPatch({ width, height }, box, framing, boxKind) {
  const { x, y, side } = squareOf(box, framing, boxKind, { width, height });
  const inside = x < width && y < height && x + side > 0 && y + side > 0;
  return inside && side <= WIDEST * Math.max(width, height);
}

/**
 * @param {Box} box
 * @returns {Box}
 */
function checked(box) {
  const { x, y, width, height } = box;
  if (![x, y, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
    throw new EmotionError(
      'bad_box',
      `the box must be {x, y, width, height} in pixels with width and height above 0, not ${JSON.stringify(box)}`,
    );
  }
  return box;
}

/**
 * The part of the source that lies in the square, in source pixels.
 *
 * @param {Square} square
 * @param {{ width: number, height: number }} size
 * @returns {Box}
 */
function overlapOf(square, size) {
  if (square.side > WIDEST * Math.max(size.width, size.height)) {
    throw new EmotionError(
      'bad_box',
      `the patch would be ${square.side} pixels wide, far more than the source (${size.width} x ${size.height})`,
    );
  }
  const x = Math.max(0, square.x);
  const y = Math.max(0, square.y);
  const width = Math.min(size.width, square.x + square.side) - x;
  const height = Math.min(size.height, square.y + square.side) - y;
  if (width <= 0 || height <= 0) {
    throw new EmotionError('bad_box', `the box lies outside of the source (${size.width} x ${size.height} pixels)`);
  }
  return { x, y, width, height };
}
