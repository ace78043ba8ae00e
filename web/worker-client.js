import { checkAnalyzer } from './analysis.js';
import { EmotionError, messageOf } from './errors.js';
import { listOf } from './patch.js';
import { absolute } from './options.js';
import { packagedFor } from './packaged.js';
import { isLoading, loaded, sizeOf, tainted, unreadable } from './source.js';

/** @typedef {import('./analysis.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analysis.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analysis.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./analysis.js').FrameOptions} FrameOptions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */

/**
 * @typedef {object} WorkerOptions
 * @property {string | URL} [workerUrl] address of this package's worker.js, for pages that move it
 */

/**
 * Milliseconds that each stage of the last frame took. `capture` is the total on the page's own thread, `longestTask`
 * its longest single task there.
 *
 * @typedef {import('./analysis.js').Timings & { capture: number, longestTask: number }} WorkerTimings
 */

/** @typedef {{ source: Source, boxes: readonly (Box | null)[] | undefined, options: FrameOptions | undefined, resolve: (faces: FaceEmotions[] | null) => void, reject: (error: unknown) => void }} Request */

const URLS = /** @type {const} */ (['modelUrl', 'classesUrl', 'detectorUrl', 'wasmBasePath']);

/** An analyzer that computes in a worker; created by `EmotionAnalyzer.create({ worker: true })`. */
export class WorkerAnalyzer {
  /** @type {WorkerTimings} */
  timings = { read: 0, detect: 0, classify: 0, capture: 0, longestTask: 0 };

  #worker;
  /** @type {EmotionError | null} */
  #end = null;
  #lastId = 0;
  /** @type {Map<number, { resolve: (answer: any) => void, reject: (error: unknown) => void }>} */
  #open = new Map();
  #busy = false;
  /** @type {Request | null} */
  #next = null;
  // Ends the wait for a picture, which may never load.
  #stopWaiting = () => {};
  /** @type {AnalyzerInfo | null} */
  #info = null;
  /** @type {readonly string[]} */
  #outputKeys = [];

  /** @param {Worker} worker */
  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#receive(data));
    worker.addEventListener('error', (event) => this.#fail(this.#explain(event)));
    worker.addEventListener('messageerror', () => this.#fail(lost('it sent an unreadable message')));
  }

  /**
   * Starts a worker from its file beside this module or, where a bundler did not take that along, from its text.
   *
   * @param {WorkerOptions['workerUrl']} workerUrl
   * @param {AnalyzerOptions} options
   * @returns {Promise<WorkerAnalyzer>}
   * @throws {EmotionError} `bad_option`, `worker_not_found`, `worker_lost`, and the errors of `EmotionAnalyzer.init`
   */
  static async start(workerUrl, options) {
    checkAnalyzer(options);
    for (const name of /** @type {const} */ (['ort', 'fetch'])) {
      if (options[name] === undefined) continue;
      throw new EmotionError('bad_option', `${name} cannot be sent to a worker; leave it out, or do without a worker`);
    }
    // Relative addresses are relative to the page, not to the worker's file.
    const resolved = { ...options };
    for (const name of URLS) if (resolved[name] !== undefined) resolved[name] = absolute(resolved[name], name);
    try {
      return await WorkerAnalyzer.#begin(() => newWorker(workerUrl), resolved);
    } catch (error) {
      const missing = error instanceof EmotionError && error.code === 'worker_not_found' && workerUrl === undefined;
      const text = missing && (await import('./worker-text.js').catch(() => null));
      if (!text) throw error;
      return WorkerAnalyzer.#begin(() => workerOf(text.worker), resolved);
    }
  }

  /**
   * @param {() => Worker} launch
   * @param {AnalyzerOptions} options
   */
  static async #begin(launch, options) {
    const packaged = await packagedFor(options);
    const analyzer = new WorkerAnalyzer(launch());
    try {
      await analyzer.#init(options, packaged);
    } catch (error) {
      await analyzer.dispose();
      throw error;
    }
    return analyzer;
  }

  /** Class names in output order. */
  get outputKeys() {
    return this.#outputKeys;
  }

  /**
   * Facts about models and runtime.
   *
   * @returns {AnalyzerInfo}
   * @throws {EmotionError} `disposed`, `worker_lost`
   */
  info() {
    if (this.#end) throw this.#end;
    return /** @type {AnalyzerInfo} */ (this.#info);
  }

  /**
   * Detects and classifies the faces that the source shows once the worker is free. Only the newest call waits for the
   * worker or for its picture; older waiting calls return null. An `ImageBitmap` or `VideoFrame` is transferred and
   * closed.
   *
   * @param {Source} source if it is an `<img>`, waits until it has loaded
   * @param {readonly (Box | null)[]} [boxes] as `EmotionAnalyzer.analyze`
   * @param {FrameOptions} [options] as `EmotionAnalyzer.analyze`
   * @returns {Promise<FaceEmotions[] | null>} null if a newer call replaced this one
   * @throws {EmotionError} as `EmotionAnalyzer.analyze`, and `worker_lost`
   */
  analyze(source, boxes, options) {
    return new Promise((resolve, reject) => {
      if (this.#next) supersede(this.#next);
      this.#next = { source, boxes, options, resolve, reject };
      this.#stopWaiting();
      this.#pump();
    });
  }

  /** Ends the worker. The object cannot be used afterwards. */
  async dispose() {
    this.#fail(new EmotionError('disposed', 'this EmotionAnalyzer was disposed; create a new one'));
  }

  async #pump() {
    const request = this.#next;
    if (this.#busy || !request) return;
    this.#next = null;
    this.#busy = true;
    try {
      request.resolve(await this.#analyze(request));
    } catch (error) {
      close(request.source);
      request.reject(error);
    }
    this.#busy = false;
    this.#pump();
  }

  /** @param {Request} request */
  async #analyze({ source, boxes, options }) {
    if (this.#end) throw this.#end;
    // postMessage drops the properties of boxes that are not plain objects.
    const plainBoxes = listOf(boxes);
    /** @type {Promise<void>} */
    const stopped = new Promise((resolve) => {
      this.#stopWaiting = resolve;
    });
    await Promise.race([loaded(source), stopped]);
    if (this.#end) throw this.#end;
    if (this.#next && isLoading(source)) return null;
    const begin = performance.now();
    sizeOf(source);
    const capturing = capture(source);
    const between = performance.now();
    const frame = await capturing;
    const captured = performance.now();
    const message = { kind: 'analyze', frame, boxes: plainBoxes, options: { boxKind: options?.boxKind, time: options?.time ?? begin } };
    const answer = this.#ask(message, 'data' in frame ? [] : [frame]).catch((error) => {
      // A frame that was not transferred must be closed here.
      close(frame);
      throw error;
    });
    const first = between - begin;
    const second = performance.now() - captured;
    const { faces, timings } = await answer;
    this.timings = { ...timings, capture: first + second, longestTask: Math.max(first, second) };
    return faces;
  }

  /**
   * @param {AnalyzerOptions} options
   * @param {import('./packaged.js').Packaged} packaged
   */
  async #init(options, packaged) {
    const lock = `pyojeong ${crypto.randomUUID?.() ?? Math.random()}`;
    const { info, outputKeys } = await this.#ask(
      { kind: 'init', options, packaged, lock },
      Object.values(packaged).map(({ buffer }) => buffer),
    );
    this.#info = info;
    this.#outputKeys = Object.freeze(outputKeys);
    // Granted once the worker no longer holds it, which means that it has died.
    navigator.locks?.request(lock, () => this.#fail(lost('it ended'))).catch(() => {});
  }

  /**
   * @param {object} message
   * @param {any[]} [transfer]
   * @returns {Promise<any>}
   */
  #ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.#end) throw this.#end;
      const id = ++this.#lastId;
      try {
        this.#worker.postMessage({ id, ...message }, transfer);
      } catch (error) {
        if (!(error instanceof DOMException && error.name === 'DataCloneError')) throw error;
        // Browsers do not transfer a bitmap with pixels of another site.
        if ('frame' in message && transfer.length) throw tainted(error);
        throw new EmotionError('bad_option', `an option cannot be sent to a worker (${messageOf(error)})`, error);
      }
      this.#open.set(id, { resolve, reject });
    });
  }

  /** @param {{ id: number, answer?: any, error?: { code?: import('./errors.js').ErrorCode, message: string } }} data */
  #receive({ id, answer, error }) {
    const pending = this.#open.get(id);
    this.#open.delete(id);
    if (!error) pending?.resolve(answer);
    else pending?.reject(new EmotionError(error.code ?? 'runtime_failed', error.message));
  }

  /** @param {EmotionError} error rejects all pending and all later calls */
  #fail(error) {
    if (this.#end) return;
    this.#end = error;
    this.#worker.terminate();
    for (const { reject } of this.#open.values()) reject(error);
    this.#open.clear();
    this.#stopWaiting();
    this.#pump();
  }

  /** @param {ErrorEvent} event */
  #explain(event) {
    if (this.#info) return lost(messageOf(event.error ?? event.message));
    return new EmotionError(
      'worker_not_found',
      `the worker did not start${event.message ? ` (${event.message})` : ''}; set workerUrl to the address of ` +
        "this package's worker.js on your own site",
      event.error,
    );
  }
}

/** @param {string | URL | undefined} url */
function newWorker(url) {
  try {
    // A policy of trusted types lets only this object itself through.
    if (isTrusted(url)) return new Worker(/** @type {URL} */ (url), { type: 'module' });
    // Bundlers recognize only this exact form of the second call.
    if (url !== undefined) return new Worker(absolute(url, 'workerUrl'), { type: 'module' });
    return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  } catch (error) {
    throw error instanceof EmotionError ? error : refused(error);
  }
}

/** @param {unknown} error thrown by the browser */
function refused(error) {
  return new EmotionError(
    'worker_not_found',
    `the browser refused to start the worker (${messageOf(error)}); set workerUrl to worker.js on your own site`,
    error,
  );
}

/** @param {unknown} url */
function isTrusted(url) {
  const { trustedTypes } = /** @type {{ trustedTypes?: { isScriptURL(value: unknown): boolean } }} */ (globalThis);
  return trustedTypes?.isScriptURL(url) ?? false;
}

/** @param {string} text of the worker's module */
function workerOf(text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  try {
    const worker = new Worker(url, { type: 'module' });
    // The address is needed until the module has been read, which its first message tells.
    worker.addEventListener('message', () => URL.revokeObjectURL(url), { once: true });
    return worker;
  } catch (error) {
    URL.revokeObjectURL(url);
    throw refused(error);
  }
}

/** @param {string} why */
function lost(why) {
  return new EmotionError('worker_lost', `the worker was lost (${why}); create a new one`);
}

/**
 * Returns a copy of the pixels that can be sent to a worker.
 *
 * @param {Source} source
 * @returns {Promise<ImageBitmap | VideoFrame | ImageData | import('./source.js').RawImage>}
 */
async function capture(source) {
  if ('data' in source || 'displayWidth' in source || source instanceof ImageBitmap) return source;
  if ('videoWidth' in source && !framesAreUpright()) return drawn(source);
  if (!('naturalWidth' in source) && typeof VideoFrame === 'function') {
    try {
      // A video frame shares its pixels; a bitmap copies them.
      return new VideoFrame(source, { timestamp: 0 });
    } catch {
      // Fails for a canvas that was never drawn on; other errors are reported by createImageBitmap below.
    }
  }
  try {
    // Without a size, the bitmap of an image has the pixels of its file, not natural pixels (srcset, EXIF).
    const size = 'naturalWidth' in source && { resizeWidth: source.naturalWidth, resizeHeight: source.naturalHeight };
    return await (size ? createImageBitmap(source, size) : createImageBitmap(source));
  } catch (error) {
    throw unreadable(error);
  }
}

/**
 * Returns whether frames of a film that a phone recorded on its side come upright. Firefox and WebKit hand over the stored
 * pixels, in a `VideoFrame` and in a bitmap alike; browsers that know the rotation of a frame apply it.
 */
function framesAreUpright() {
  return typeof VideoFrame === 'function' && 'rotation' in VideoFrame.prototype;
}

/**
 * Returns a film's frame as it is shown; drawing turns it upright in every browser.
 *
 * @param {HTMLVideoElement} video
 * @returns {ImageBitmap}
 * @throws {EmotionError} `bad_source`, `tainted_source`
 */
function drawn(video) {
  try {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext('2d', { alpha: false })?.drawImage(video, 0, 0);
    return canvas.transferToImageBitmap();
  } catch (error) {
    throw unreadable(error);
  }
}

/** @param {Request} request replaced by a newer one */
function supersede({ source, resolve }) {
  close(source);
  resolve(null);
}

/**
 * Closes a bitmap or frame, which the analyzer owns after `analyze` was called with it.
 *
 * @param {Source} source
 */
function close(source) {
  if (source && typeof source === 'object' && 'close' in source) source.close();
}
