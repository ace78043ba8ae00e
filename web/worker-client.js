import { checkAnalyzer } from './analysis.js';
import { EmotionError, messageOf } from './errors.js';
import { checked, listOf } from './patch.js';
import { absolute } from './runtime.js';
import { isLoading, loaded, sizeOf, tainted, unreadable } from './source.js';

/** @typedef {import('./analysis.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analysis.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analysis.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./onnx_emotion_api.js').PredictOptions} PredictOptions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */

/**
 * @typedef {object} WorkerOptions
 * @property {string | URL} [workerUrl] where worker.js of this package is, for pages that move it
 */

/**
 * Milliseconds of the last frame by stage. `capture` is all that the page's own thread did for it, in whose longest
 * single task it spent `longestTask`.
 *
 * @typedef {import('./analysis.js').Timings & { capture: number, longestTask: number }} WorkerTimings
 */

/** @typedef {{ source: Source, boxes: readonly (Box | null)[] | undefined, options: PredictOptions | undefined, resolve: (faces: FaceEmotions[] | null) => void, reject: (error: unknown) => void }} Wish */

const URLS = /** @type {const} */ (['modelUrl', 'classesUrl', 'detectorUrl', 'wasmBasePath']);

/** An analyzer whose work is done in a worker; `EmotionAnalyzer.inWorker()` makes it. */
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
  /** @type {Wish | null} */
  #next = null;
  // Ends the wait for a picture: nobody knows whether it will ever be loaded.
  #stopWaiting = () => {};
  /** @type {AnalyzerInfo | null} */
  #info = null;
  /** @type {readonly string[]} */
  #outputKeys = [];

  /** @param {Worker} worker */
  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#hear(data));
    worker.addEventListener('error', (event) => this.#fail(this.#explain(event)));
    worker.addEventListener('messageerror', () => this.#fail(lost('it sent something that cannot be read')));
  }

  /**
   * @param {AnalyzerOptions & WorkerOptions} options
   * @returns {Promise<WorkerAnalyzer>}
   * @throws {EmotionError} `bad_option`, `worker_not_found`, `worker_lost`, and those of `EmotionAnalyzer.init`
   */
  static async start({ workerUrl, ...options }) {
    checkAnalyzer(options);
    for (const name of /** @type {const} */ (['ort', 'fetch'])) {
      if (options[name] === undefined) continue;
      throw new EmotionError('bad_option', `${name} cannot be handed to a worker; leave it out, or do without inWorker()`);
    }
    // Relative addresses start from the page, not from the worker's file.
    const given = { ...options };
    for (const name of URLS) if (given[name] !== undefined) given[name] = absolute(given[name], name);
    const analyzer = new WorkerAnalyzer(newWorker(workerUrl));
    try {
      await analyzer.#init(given);
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
   * What runs, and how.
   *
   * @returns {AnalyzerInfo}
   * @throws {EmotionError} `disposed`, `worker_lost`
   */
  info() {
    if (this.#end) throw this.#end;
    return /** @type {AnalyzerInfo} */ (this.#info);
  }

  /**
   * Asks for the faces in what the source shows when the worker is free to look. Of several wishes only the newest
   * waits, for the worker or for its picture to load; the others are answered with null. An `ImageBitmap` or
   * `VideoFrame` is handed over and closed.
   *
   * @param {Source} source an `<img>` is waited for
   * @param {readonly (Box | null)[]} [boxes] as `EmotionAnalyzer.analyze`
   * @param {PredictOptions} [options] as `EmotionAnalyzer.analyze`
   * @returns {Promise<FaceEmotions[] | null>} null where a newer wish took its place
   * @throws {EmotionError} as `EmotionAnalyzer.analyze`, and `worker_lost`
   */
  analyze(source, boxes, options) {
    return new Promise((resolve, reject) => {
      if (this.#next) withdraw(this.#next);
      this.#next = { source, boxes, options, resolve, reject };
      this.#stopWaiting();
      this.#pump();
    });
  }

  /** Ends the worker. The object cannot be used afterwards. */
  async dispose() {
    this.#fail(new EmotionError('disposed', 'this EmotionAnalyzer was disposed; make a new one'));
  }

  async #pump() {
    const wish = this.#next;
    if (this.#busy || !wish) return;
    this.#next = null;
    this.#busy = true;
    try {
      wish.resolve(await this.#analyze(wish));
    } catch (error) {
      close(wish.source);
      wish.reject(error);
    }
    this.#busy = false;
    this.#pump();
  }

  /** @param {Wish} wish */
  async #analyze({ source, boxes, options }) {
    if (this.#end) throw this.#end;
    const given = boxesOf(boxes);
    /** @type {Promise<void>} */
    const noLonger = new Promise((resolve) => {
      this.#stopWaiting = resolve;
    });
    await Promise.race([loaded(source), noLonger]);
    if (this.#end) throw this.#end;
    if (this.#next && isLoading(source)) return null;
    const begin = performance.now();
    sizeOf(source);
    const capturing = capture(source);
    const between = performance.now();
    const frame = await capturing;
    const captured = performance.now();
    const question = { kind: 'analyze', frame, time: begin, boxes: given, boxKind: options?.boxKind };
    const asking = this.#ask(question, 'data' in frame ? [] : [frame]).catch((error) => {
      // Where it was not handed over, nobody else does.
      close(frame);
      throw error;
    });
    const first = between - begin;
    const second = performance.now() - captured;
    const { faces, timings } = await asking;
    this.timings = { ...timings, capture: first + second, longestTask: Math.max(first, second) };
    return faces;
  }

  /** @param {AnalyzerOptions} options */
  async #init(options) {
    const lock = `pyojeong ${crypto.randomUUID?.() ?? Math.random()}`;
    const { info, outputKeys } = await this.#ask({ kind: 'init', options, lock });
    this.#info = info;
    this.#outputKeys = Object.freeze(outputKeys);
    // Granted when the worker holds it no longer, that is, when it is dead.
    navigator.locks?.request(lock, () => this.#fail(lost('it ended'))).catch(() => {});
  }

  /**
   * @param {object} question
   * @param {any[]} [transfer]
   * @returns {Promise<any>}
   */
  #ask(question, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.#end) throw this.#end;
      const id = ++this.#lastId;
      try {
        this.#worker.postMessage({ id, ...question }, transfer);
      } catch (error) {
        if (!(error instanceof DOMException && error.name === 'DataCloneError')) throw error;
        // A bitmap with pixels of another site stays on its page.
        if (transfer.length) throw tainted(error);
        throw new EmotionError('bad_option', `an option cannot be handed to a worker (${messageOf(error)})`, error);
      }
      this.#open.set(id, { resolve, reject });
    });
  }

  /** @param {{ id: number, answer?: any, error?: { code?: import('./errors.js').ErrorCode, message: string } }} data */
  #hear({ id, answer, error }) {
    const asked = this.#open.get(id);
    this.#open.delete(id);
    if (!error) asked?.resolve(answer);
    else asked?.reject(error.code ? new EmotionError(error.code, error.message) : lost(error.message));
  }

  /** @param {EmotionError} error what all that is open, and all that comes, is answered with */
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
      `the worker does not start${event.message ? ` (${event.message})` : ''}; set workerUrl to the address of ` +
        'worker.js of this package, on your own site',
      event.error,
    );
  }
}

/** @param {string | URL | undefined} url */
function newWorker(url) {
  try {
    // Bundlers look for the second form, word for word.
    if (url !== undefined) return new Worker(absolute(url, 'workerUrl'), { type: 'module' });
    return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  } catch (error) {
    if (error instanceof EmotionError) throw error;
    throw new EmotionError(
      'worker_not_found',
      `the browser refuses the worker (${messageOf(error)}); set workerUrl to worker.js on your own site`,
      error,
    );
  }
}

/** @param {string} why */
function lost(why) {
  return new EmotionError('worker_lost', `the worker was lost (${why}); make a new one with EmotionAnalyzer.inWorker()`);
}

/**
 * A copy of the pixels that can be handed to a worker.
 *
 * @param {Source} source
 * @returns {Promise<ImageBitmap | VideoFrame | ImageData>}
 */
async function capture(source) {
  if ('data' in source || 'displayWidth' in source || source instanceof ImageBitmap) return source;
  if (!('naturalWidth' in source) && typeof VideoFrame === 'function') {
    try {
      // A video frame shares its pixels where a bitmap copies them.
      return new VideoFrame(source, { timestamp: 0 });
    } catch {
      // A canvas on which nothing was drawn has none; what is wrong otherwise, a bitmap says as well.
    }
  }
  try {
    // An image's bitmap would have the pixels of its file, which srcset and EXIF make other than natural ones.
    const size = 'naturalWidth' in source && { resizeWidth: source.naturalWidth, resizeHeight: source.naturalHeight };
    return await (size ? createImageBitmap(source, size) : createImageBitmap(source));
  } catch (error) {
    throw unreadable(error);
  }
}

/**
 * Boxes as plain objects: the members of others would be lost on the way to the worker.
 *
 * @param {readonly (Box | null)[] | undefined} boxes
 */
function boxesOf(boxes) {
  return listOf(boxes)?.map((box) => box && checked(box));
}

/** @param {Wish} wish that a newer one replaces */
function withdraw({ source, resolve }) {
  close(source);
  resolve(null);
}

/**
 * Bitmaps and frames belong to the analyzer once they are given to it.
 *
 * @param {Source} source
 */
function close(source) {
  if (source && typeof source === 'object' && 'close' in source) source.close();
}
