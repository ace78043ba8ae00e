/**
 * Facial expression in the browser: a face goes in, a probability for each emotion comes out.
 *
 * Pixels never leave the page. The square patch around the face is cut here by the same rule as in Python; all
 * further arithmetic (resizing, normalisation, network, softmax) is in the ONNX graph, which Python runs as well.
 */

import { EmotionError } from './errors.js';
import { loadModel } from './model.js';
import { PatchReader } from './patch.js';
import { explainFailure, loadRuntime } from './runtime.js';

export { EmotionError };

/** @typedef {import('./errors.js').ErrorCode} ErrorCode */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Source} Source */
/** @typedef {import('./runtime.js').Ort} Ort */
/** @typedef {import('onnxruntime-web/wasm').InferenceSession} InferenceSession */

/**
 * @typedef {object} EmotionOptions
 * @property {string | URL} modelUrl the exported ONNX file
 * @property {string | URL} [classesUrl] its classes.json; without it the names in the model are used
 * @property {'wasm'} [provider] how the network is computed
 * @property {string | URL} [wasmBasePath] the address of onnxruntime-web's dist folder
 * @property {Ort} [ort] the module `onnxruntime-web/wasm`, where the page has loaded it already
 * @property {typeof globalThis.fetch} [fetch] used for the model and classes.json
 */

/**
 * @typedef {object} EmotionInfo
 * @property {'wasm'} provider
 * @property {number} threads
 * @property {string} threadsWhy
 * @property {string} runtimeVersion of onnxruntime-web
 * @property {number} modelBytes
 * @property {string | null} scheme
 * @property {number} margin
 * @property {number | null} size
 * @property {string | null} version of pyojeong that exported the model
 * @property {boolean} drawnSample whether the model was trained on drawn faces: its answers then prove nothing
 */

/** Classifies the expression of a face in an image, a video or a canvas. */
export class EmotionAPI {
  /** Kept for pages that rename outputs: names are never changed here. */
  remap = null;

  /** @type {Required<Pick<EmotionOptions, 'modelUrl' | 'provider' | 'fetch'>> & EmotionOptions} */
  #options;
  #reader = new PatchReader();
  /** @type {Promise<Loaded> | null} */
  #loading = null;
  /** @type {Loaded | null} */
  #loaded = null;
  #disposed = false;

  /**
   * @param {EmotionOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    if (!options?.modelUrl) throw new EmotionError('bad_option', 'give modelUrl, the address of the ONNX file');
    const { provider = 'wasm', fetch = globalThis.fetch.bind(globalThis) } = options;
    if (provider !== 'wasm') {
      throw new EmotionError('bad_option', `provider must be "wasm", not ${JSON.stringify(provider)}`);
    }
    this.#options = { ...options, provider, fetch };
  }

  /**
   * Loads runtime and model and runs the network once, so that the first prediction is as fast as the next.
   * Calling it again does nothing; after a failure it tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  async init() {
    if (this.#disposed) throw disposed();
    this.#loading ??= load(this.#options);
    try {
      this.#loaded = await this.#loading;
    } catch (error) {
      this.#loading = null;
      throw error;
    }
    if (this.#disposed) await this.dispose();
  }

  /**
   * Class names in output order; empty before `init()`.
   *
   * @returns {readonly string[]}
   */
  get outputKeys() {
    return this.#loaded?.facts.classes ?? [];
  }

  /**
   * What runs, and how.
   *
   * @returns {EmotionInfo}
   * @throws {EmotionError} `not_initialised`, `disposed`
   */
  info() {
    const { ort, facts, modelBytes } = this.#ready();
    const { classes: _, ...rest } = facts;
    const threads = ort.env.wasm.numThreads ?? 1;
    return {
      provider: this.#options.provider ?? 'wasm',
      threads,
      threadsWhy: globalThis.crossOriginIsolated
        ? 'the page is cross-origin isolated'
        : 'the page is not cross-origin isolated (COOP and COEP headers), so there is one thread',
      runtimeVersion: ort.env.versions.web ?? ort.env.versions.common,
      modelBytes,
      ...rest,
    };
  }

  /**
   * @param {Source} source an `<img>` is waited for
   * @param {Box} [box] of the face, in pixels of the upright image; without it the whole image is the face
   * @returns {Promise<Record<string, number>>} probability by class name, in the order of `outputKeys`, sum 1
   * @throws {EmotionError} `not_initialised`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `bad_box`
   */
  async predictFromImage(source, box) {
    this.#ready();
    if (source && typeof source === 'object' && 'naturalWidth' in source && !source.complete) {
      // A broken image is reported below, as one without pixels.
      await source.decode().catch(() => undefined);
    }
    return this.#predict(source, box);
  }

  /**
   * The frame that the video shows now.
   *
   * @param {Source} source
   * @param {Box} [box] in pixels of the video (`videoWidth` x `videoHeight`)
   * @returns {Promise<Record<string, number>>} as `predictFromImage`
   * @throws {EmotionError} as `predictFromImage`
   */
  async predictFromVideo(source, box) {
    return this.#predict(source, box);
  }

  /**
   * @param {Source} source
   * @param {Box} [box] in pixels of the canvas
   * @returns {Promise<Record<string, number>>} as `predictFromImage`
   * @throws {EmotionError} as `predictFromImage`
   */
  async predictFromCanvas(source, box) {
    return this.#predict(source, box);
  }

  /** Frees model and canvas. The object cannot be used afterwards. */
  async dispose() {
    this.#disposed = true;
    const loaded = this.#loaded;
    this.#loaded = null;
    this.#reader.dispose();
    await loaded?.session.release();
  }

  /**
   * @param {Source} source
   * @param {Box | null} [box]
   */
  async #predict(source, box) {
    const { ort, session, facts } = this.#ready();
    const { pixels, side } = this.#reader.read(source, box, facts.margin);
    const output = await runGraph(ort, session, pixels, side);
    return Object.fromEntries(facts.classes.map((name, index) => [name, /** @type {number} */ (output[index])]));
  }

  #ready() {
    if (this.#disposed) throw disposed();
    if (!this.#loaded) throw new EmotionError('not_initialised', 'call and await init() before the first prediction');
    return this.#loaded;
  }
}

/**
 * @typedef {{ ort: Ort, session: InferenceSession, facts: import('./model.js').ModelFacts, modelBytes: number }} Loaded
 */

/**
 * @param {EmotionOptions & { fetch: typeof globalThis.fetch }} options
 * @returns {Promise<Loaded>}
 */
async function load(options) {
  const [{ ort, wasmUrl }, { bytes, facts }] = await Promise.all([loadRuntime(options), loadModel(options)]);
  let session;
  try {
    session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  } catch (error) {
    throw await explainFailure(error, wasmUrl, options.fetch);
  }
  const count = await outputCount(ort, session);
  if (count !== facts.classes.length) {
    await session.release();
    throw new EmotionError(
      'class_mismatch',
      `the model has ${count} outputs, but there are ${facts.classes.length} class names ` +
        `(${facts.classes.join(', ')}); modelUrl and classesUrl must come from the same export`,
    );
  }
  return { ort, session, facts, modelBytes: bytes.byteLength };
}

/**
 * @param {Ort} ort
 * @param {InferenceSession} session
 */
async function outputCount(ort, session) {
  try {
    return (await runGraph(ort, session, new Uint8Array(160 * 160 * 4), 160)).length;
  } catch (error) {
    await session.release();
    throw new EmotionError(
      'model_invalid',
      'the model at modelUrl does not turn "image" (uint8 [N, H, W, 4]) into "probabilities"; export it with ' +
        '"pyojeong export"',
      error,
    );
  }
}

/**
 * @param {Ort} ort
 * @param {InferenceSession} session
 * @param {Uint8Array} pixels side * side * 4 bytes
 * @param {number} side
 */
async function runGraph(ort, session, pixels, side) {
  const image = new ort.Tensor('uint8', pixels, [1, side, side, 4]);
  const { probabilities } = await session.run({ image });
  return /** @type {Float32Array} */ (probabilities?.data);
}

function disposed() {
  return new EmotionError('disposed', 'this EmotionAPI was disposed; make a new one');
}
