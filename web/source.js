import { EmotionError, messageOf } from './errors.js';
import { overlapOf, regionOf } from './patch.js';

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./patch.js').Framing} Framing */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./patch.js').Region} Region */

/**
 * Whatever pixels can be read from.
 *
 * @typedef {HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | ImageData
 *   | VideoFrame} Source
 */

const SOURCES = 'an img, video or canvas element, OffscreenCanvas, ImageBitmap, ImageData or VideoFrame';

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
  while (isLoading(source)) {
    // A lazy one that is not in sight would never come.
    if (source.loading === 'lazy') source.loading = 'eager';
    const { src, srcset } = source;
    await source.decode().catch(() => undefined);
    // Where another picture has taken its place, that one is waited for.
    if (source.src === src && source.srcset === srcset) return;
  }
}

/** Reads pixels out of sources through one canvas that it keeps. */
export class PixelReader {
  /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */
  #context = null;

  /**
   * The patch of a box, zeros outside the source. Without a box: the whole source, centered in a square, no margin.
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
        draw(context, source, part, region);
      }
    } catch (error) {
      throw unreadable(error);
    }
    try {
      return { data: bytesOf(context, width, height), width, height };
    } catch (error) {
      // A canvas that another site's pixels have touched stays unreadable.
      this.dispose();
      throw error;
    }
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
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {Exclude<Source, ImageData>} source
 * @param {Region} part that lies in the source
 * @param {Region} region
 */
function draw(context, source, part, region) {
  const { x, y, width, height } = part;
  if ('naturalWidth' in source) {
    // A part of it would be measured in pixels of the file, which srcset and EXIF make other than natural ones.
    context.drawImage(source, -region.x, -region.y, source.naturalWidth, source.naturalHeight);
  } else {
    context.drawImage(source, x, y, width, height, x - region.x, y - region.y, width, height);
  }
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
