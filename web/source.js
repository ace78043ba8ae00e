import { cutTurned, partAround, turnedRegion } from './alignment.js';
import { EmotionError, messageOf } from './errors.js';
import { cut, overlapOf, regionOf } from './patch.js';

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./patch.js').Framing} Framing */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./patch.js').Region} Region */

/** @typedef {{ data: Uint8Array | Uint8ClampedArray, width: number, height: number }} RawImage RGBA, top row first */

/**
 * Anything that pixels can be read from. Without a canvas, as in Node.js, only pixels in memory: `ImageData` or an object
 * like it.
 *
 * @typedef {HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | ImageData
 *   | VideoFrame | RawImage} Source
 */

const SOURCES =
  'an img, video or canvas element, OffscreenCanvas, ImageBitmap, ImageData, VideoFrame, or { data, width, height } with RGBA bytes';

/**
 * Returns width and height of a source in the pixels that its boxes refer to.
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
      // Below HAVE_CURRENT_DATA there is no frame to draw.
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
 * Returns whether the source is an `<img>` that has not loaded yet.
 *
 * @param {Source} source
 * @returns {source is HTMLImageElement}
 */
export function isLoading(source) {
  return source && typeof source === 'object' && 'naturalWidth' in source && !source.complete;
}

/**
 * Waits for an `<img>` to load. Does not throw for a broken one, which has no pixels when it is read.
 *
 * @param {Source} source
 */
export async function loaded(source) {
  while (isLoading(source)) {
    // A lazy image outside the viewport would never load.
    if (source.loading === 'lazy') source.loading = 'eager';
    const { src, srcset } = source;
    await source.decode().catch(() => undefined);
    // If the address changed meanwhile, waits for the new picture.
    if (source.src === src && source.srcset === srcset) return;
  }
}

/** Reads pixels from sources through one canvas that is reused. */
export class PixelReader {
  /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */
  #context = null;

  /**
   * Returns the patch of a box, black outside the source. Without a box: the whole source, centered in a square.
   *
   * @param {Source} source
   * @param {Box | null | undefined} box
   * @param {Framing} framing of the model
   * @param {BoxKind} [boxKind] default: the model's kind
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `bad_box`, `tainted_source`,
   *   `bad_option`
   */
  patch(source, box, framing, boxKind) {
    if (inMemory(source)) return cut(opaque(source), box ?? null, framing, boxKind);
    const size = sizeOf(source);
    const region = regionOf(box, framing, boxKind, size);
    return this.#read(source, overlapOf(region, size), region);
  }

  /**
   * Returns the patch that is upright on a face, black outside the source.
   *
   * @param {Source} source
   * @param {import('./alignment.js').AlignmentPoints} landmarks
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `bad_landmarks`, `tainted_source`
   */
  turned(source, landmarks) {
    const region = turnedRegion(landmarks);
    const part = partAround(region, sizeOf(source));
    if (!part.width || !part.height) throw new EmotionError('bad_landmarks', 'the landmarks lie outside of the source');
    if (inMemory(source)) return cutTurned(opaque(source), region);
    return cutTurned(this.#read(source, part, part), region, part);
  }

  /**
   * Returns all pixels of a source.
   *
   * @param {Source} source
   * @returns {Frame}
   * @throws {EmotionError} `bad_source`, `source_not_ready`, `empty_source`, `tainted_source`
   */
  frame(source) {
    if (inMemory(source)) return opaque(source);
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
   * @param {Region} part of the region that lies in the source
   * @param {Region} region
   * @returns {Frame}
   */
  #read(source, part, region) {
    const { width, height } = region;
    const context = this.#contextOf(width, height);
    context.clearRect(0, 0, width, height);
    try {
      if ('data' in source) {
        context.putImageData(/** @type {ImageData} */ (source), -region.x, -region.y);
      } else {
        draw(context, source, part, region);
      }
    } catch (error) {
      throw unreadable(error);
    }
    try {
      return { data: bytesOf(context, width, height), width, height };
    } catch (error) {
      // A canvas stays unreadable once pixels of another site were drawn on it.
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
 * Returns whether the source has to be read without a canvas: it has its pixels in memory, and there is no canvas, or it
 * is no `ImageData`, which a canvas requires.
 *
 * @param {Source} source
 * @returns {source is RawImage}
 */
function inMemory(source) {
  if (!source || typeof source !== 'object' || !('data' in source)) return false;
  return typeof ImageData === 'undefined' || !(source instanceof ImageData);
}

/**
 * Returns a copy of the pixels over black, as a canvas without alpha has them.
 *
 * @param {RawImage} source
 * @returns {Frame}
 * @throws {EmotionError} `bad_source`, `empty_source`
 */
function opaque(source) {
  const { width, height } = sizeOf(source);
  const { data: bytes } = source;
  // The name is the same for a list of another window, and for a Buffer of Node.js.
  if (!['Uint8Array', 'Uint8ClampedArray'].includes(bytes?.[Symbol.toStringTag])) {
    throw new EmotionError('bad_source', 'the data of the source must be a Uint8Array or Uint8ClampedArray of RGBA bytes');
  }
  if (!Number.isInteger(width) || !Number.isInteger(height) || bytes.length !== 4 * width * height) {
    const need = `4 bytes (RGBA) for each of ${width} x ${height} pixels`;
    throw new EmotionError('bad_source', `the data of the source has ${bytes.length} bytes; it needs ${need}`);
  }
  // The caller may change the bytes while the networks compute.
  const data = new Uint8Array(bytes);
  let at = 3;
  while (at < data.length && data[at] === 255) at += 4;
  if (at > data.length) return { data, width, height };
  const over = data.map((value, index) => Math.round((value * /** @type {number} */ (data[index | 3])) / 255));
  return { data: over, width, height };
}

/**
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {Exclude<Source, ImageData | RawImage>} source
 * @param {Region} part of the region that lies in the source
 * @param {Region} region
 */
function draw(context, source, part, region) {
  const { x, y, width, height } = part;
  if ('naturalWidth' in source) {
    // Source rectangles refer to pixels of the file, which srcset and EXIF make differ from natural pixels.
    context.drawImage(source, -region.x, -region.y, source.naturalWidth, source.naturalHeight);
  } else {
    context.drawImage(source, x, y, width, height, x - region.x, y - region.y, width, height);
  }
}

function newContext() {
  if (typeof OffscreenCanvas === 'undefined' && typeof document === 'undefined') {
    throw new EmotionError('bad_source', 'there is no canvas here, so the source must be { data, width, height } with RGBA bytes');
  }
  const canvas =
    typeof OffscreenCanvas === 'undefined' ? document.createElement('canvas') : new OffscreenCanvas(1, 1);
  // Without alpha, transparent pixels become black, as in Python.
  const options = { alpha: false, willReadFrequently: true };
  const context = /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */ (
    canvas.getContext('2d', options)
  );
  if (!context) throw new EmotionError('bad_source', 'this browser provides no 2d canvas, which is needed to read pixels');
  checkReadback(context);
  return context;
}

/**
 * Reads known pixels back: against fingerprinting, some browsers return noise for what a page has drawn.
 *
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @throws {EmotionError} `bad_source`
 */
function checkReadback(context) {
  const side = 8;
  context.canvas.width = context.canvas.height = side;
  context.fillStyle = 'rgb(40, 120, 200)';
  context.fillRect(0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  const drawn = [40, 120, 200, 255];
  const error = data.reduce((sum, value, at) => sum + Math.abs(value - /** @type {number} */ (drawn[at % 4])), 0);
  // A weaker protection changes a few pixels by a level or two, which changes no answer.
  if (error / data.length <= 2) return;
  throw new EmotionError(
    'bad_source',
    'this browser returns noise instead of the pixels of a canvas, a protection against fingerprinting ' +
      '(privacy.resistFingerprinting in Firefox); the user has to allow this site to read canvas data',
  );
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
 * Converts an error of reading a source.
 *
 * @param {unknown} error thrown by the browser
 * @returns {EmotionError}
 */
export function unreadable(error) {
  if (error instanceof DOMException && error.name === 'SecurityError') return tainted(error);
  return new EmotionError('bad_source', `the browser cannot read the source (${messageOf(error)}); pass ${SOURCES}`, error);
}

/** @param {unknown} error thrown by the browser */
export function tainted(error) {
  return new EmotionError(
    'tainted_source',
    'the browser blocks reading pixels of another site; serve the image from your own site, or set ' +
      'crossOrigin = "anonymous" on the element and send Access-Control-Allow-Origin from that site',
    error,
  );
}
