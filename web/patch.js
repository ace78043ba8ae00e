import { EmotionError, messageOf } from './errors.js';

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
 * Which crop a model wants: margin, offset and width / height, relative to boxes of which kind.
 *
 * @typedef {{ margin: number, offset: number, aspect: number, box: BoxKind }} Framing
 */

/**
 * Whole source pixels; it may reach over the borders.
 *
 * @typedef {{ x: number, y: number, width: number, height: number }} Region
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

const SOURCES = 'an img, video or canvas element, OffscreenCanvas, ImageBitmap, ImageData or VideoFrame';

// As in pyojeong.crops.cut: a longer patch is a mistake, and it could fill the memory.
const WIDEST = 3;

// Pixels of a patch: wasm's memory holds what the graph makes of them a few times.
const MOST = 2 ** 27;

// As in pyojeong.crops, which says how they were measured.
const DETECTOR_ASPECT = 1.19;
const ANNOTATOR_WIDTH = 0.93;
const ANNOTATOR_HEIGHT = 1.06;
const ANNOTATOR_RISE = 0.164;

/**
 * What the network sees for a box: the rule of `pyojeong.crops.patch_region`, number for number.
 *
 * @param {Box} box
 * @param {number} margin added above and below, as a share of the longer side of the box
 * @param {number} offset of the region's centre below the box's, as a share of the same side
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
  throw new EmotionError('bad_source', `the source must be ${SOURCES}`);
}

/**
 * @param {string} what
 * @param {string} remedy
 */
function notReady(what, remedy) {
  return new EmotionError('source_not_ready', `the ${what} has no pixels yet; ${remedy}`);
}

/**
 * Whether it is an `<img>` that has not arrived.
 *
 * @param {Source} source
 * @returns {source is HTMLImageElement}
 */
export function isLoading(source) {
  return source && typeof source === 'object' && 'naturalWidth' in source && !source.complete;
}

/**
 * Waits for an `<img>`; one that is broken is reported by whoever reads it, as one without pixels.
 *
 * @param {Source} source
 */
export async function loaded(source) {
  if (isLoading(source)) {
    // A lazy one that is not in sight would never come.
    if (source.loading === 'lazy') source.loading = 'eager';
    await source.decode().catch(() => undefined);
  }
}

/** Reads pixels out of sources through one canvas that it keeps. */
export class PixelReader {
  /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */
  #context = null;

  /**
   * The patch of a box, zeros outside the source. Without a box: the whole source, centred in a square, no margin.
   *
   * @param {Source} source
   * @param {Box | null | undefined} box
   * @param {Framing} framing of the model
   * @param {BoxKind} [boxKind] the model's own when omitted
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `bad_box`, `tainted_source`,
   *   `bad_option`
   */
  patch(source, box, framing, boxKind) {
    const size = sizeOf(source);
    const region = regionOf(box, framing, boxKind, size);
    return this.#read(source, overlapOf(region, size), region);
  }

  /**
   * All pixels of a source.
   *
   * @param {Source} source
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `tainted_source`
   */
  frame(source) {
    const whole = { x: 0, y: 0, ...sizeOf(source) };
    return this.#read(source, whole, whole);
  }

  /** Frees the canvas. */
  dispose() {
    if (this.#context) this.#context.canvas.width = this.#context.canvas.height = 0;
    this.#context = null;
  }

  /**
   * @param {Source} source
   * @param {Region} part that lies in the source
   * @param {Region} region
   * @returns {Frame}
   */
  #read(source, part, region) {
    const { width, height } = region;
    const context = this.#contextOf(width, height);
    context.clearRect(0, 0, width, height);
    try {
      if ('data' in source) {
        context.putImageData(source, -region.x, -region.y);
      } else {
        const { x, y } = part;
        context.drawImage(source, x, y, part.width, part.height, x - region.x, y - region.y, part.width, part.height);
      }
    } catch (error) {
      throw unreadable(error);
    }
    return { data: bytesOf(context, width, height), width, height };
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
 * @returns {Frame}
 * @throws {EmotionError} `bad_box`, `bad_option`
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
    if (error instanceof DOMException && error.name === 'SecurityError') throw tainted(error);
    throw new EmotionError(
      'bad_source',
      `this browser cannot read ${width} x ${height} pixels at once; make the picture smaller first`,
      error,
    );
  }
}

/**
 * @param {unknown} error what the browser threw when it was given a source
 * @returns {EmotionError}
 */
export function unreadable(error) {
  if (error instanceof DOMException && error.name === 'SecurityError') return tainted(error);
  return new EmotionError('bad_source', `the browser cannot read the source (${messageOf(error)}); give ${SOURCES}`, error);
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
 * @returns {Region}
 */
function regionOf(box, framing, boxKind, { width, height }) {
  // A finished crop is square, whatever shape it was cut with.
  if (!box) return patchRegion({ x: 0, y: 0, width, height }, 0, 0, 1);
  const { margin, offset, aspect, box: own } = framing;
  return patchRegion(boxAs(own, checked(box), boxKind ?? own), margin, offset, aspect);
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
  const region = regionOf(box, framing, boxKind, { width, height });
  const { x, y } = region;
  const inside = x < width && y < height && x + region.width > 0 && y + region.height > 0;
  return inside && Math.max(region.width, region.height) <= WIDEST * Math.max(width, height);
}

/**
 * @param {readonly (Box | null)[] | undefined} boxes
 * @returns {readonly (Box | null)[] | undefined}
 * @throws {EmotionError} `bad_box`
 */
export function listOf(boxes) {
  if (!boxes || Array.isArray(boxes)) return boxes;
  throw new EmotionError('bad_box', `the boxes must be a list of boxes, not ${JSON.stringify(boxes)}`);
}

/**
 * A copy of a box as a plain object, whatever it was: a `DOMRect`, a `Box` of face-api.js, a proxy.
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
 * The part of the source that lies in the region.
 *
 * @param {Region} region
 * @param {{ width: number, height: number }} size
 * @returns {Region}
 */
function overlapOf(region, size) {
  if (Math.max(region.width, region.height) > WIDEST * Math.max(size.width, size.height)) {
    throw new EmotionError(
      'bad_box',
      `the patch would be ${region.width} x ${region.height} pixels, far more than the source ` +
        `(${size.width} x ${size.height})`,
    );
  }
  if (region.width * region.height > MOST) {
    throw new EmotionError(
      'bad_source',
      `the patch would be ${region.width} x ${region.height} pixels; make the picture smaller first, or give a box`,
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
