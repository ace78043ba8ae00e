/**
 * Facial expression in the browser: a face goes in, a probability for each emotion comes out.
 *
 * Pixels never leave the page. The patch around the face is cut here by the same rule as in Python; all
 * further arithmetic (resizing, normalization, network, softmax) is in the ONNX graph, which Python runs as well.
 */

import { EmotionError } from './errors.js';
import { Head, checkModelUrl } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { checkProvider } from './runtime.js';
import { PixelReader, isLoading, loaded } from './source.js';

export { EmotionError };

/** @typedef {import('./errors.js').ErrorCode} ErrorCode */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {import('./runtime.js').Ort} Ort */
/** @typedef {import('./head.js').EmotionInfo} EmotionInfo */
/** @typedef {import('./head.js').HeadOptions & import('./runtime.js').RuntimeOptions} EmotionOptions */

/**
 * @typedef {object} PredictOptions
 * @property {BoxKind} [boxKind] whose box it is: `'detector'` for TinyFaceDetector's, `'annotator'` for one drawn around
 *   the face as AI Hub's annotators did; a box of the other kind than the model's own (`info().boxKind`) is converted.
 *   The model's own when omitted
 */

/** Classifies the expression of a face in an image, a video or a canvas. */
export class EmotionAPI {
  /** Kept for pages that rename outputs: names are never changed here. */
  remap = null;

  #reader = new PixelReader();
  /** @type {Lifecycle<Head>} */
  #head;

  /**
   * @param {EmotionOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    checkModelUrl(options);
    checkProvider(options);
    this.#head = new Lifecycle('EmotionAPI', () => Head.load(options), (head) => head.release());
  }

  /**
   * Loads runtime and model and runs the network once, so that the first prediction is as fast as the next.
   * Calling it again does nothing; after a failure it tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  async init() {
    await this.#head.start();
  }

  /**
   * Class names in output order; empty before `init()`.
   *
   * @returns {readonly string[]}
   */
  get outputKeys() {
    return this.#head.loaded?.facts.classes ?? [];
  }

  /**
   * What runs, and how.
   *
   * @returns {EmotionInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    return this.#head.ready().info();
  }

  /**
   * @param {Source} source an `<img>` is waited for
   * @param {Box} [box] of the face, in pixels of the upright image; without it the whole image is the face
   * @param {PredictOptions} [options]
   * @returns {Promise<Record<string, number>>} probability by class name, in the order of `outputKeys`, sum 1
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `bad_box`, `bad_option`, `runtime_failed`
   */
  async predictFromImage(source, box, options) {
    return this.#predict(source, box, options);
  }

  /**
   * The frame that the video shows now.
   *
   * @param {Source} source as `predictFromImage`
   * @param {Box} [box] in pixels of the video (`videoWidth` x `videoHeight`)
   * @param {PredictOptions} [options]
   * @returns {Promise<Record<string, number>>} as `predictFromImage`
   * @throws {EmotionError} as `predictFromImage`
   */
  async predictFromVideo(source, box, options) {
    return this.#predict(source, box, options);
  }

  /**
   * @param {Source} source as `predictFromImage`
   * @param {Box} [box] in pixels of the canvas
   * @param {PredictOptions} [options]
   * @returns {Promise<Record<string, number>>} as `predictFromImage`
   * @throws {EmotionError} as `predictFromImage`
   */
  async predictFromCanvas(source, box, options) {
    return this.#predict(source, box, options);
  }

  /** Frees model and canvas when all predictions are done. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#head.end();
  }

  /**
   * @param {Source} source
   * @param {Box | null} [box]
   * @param {PredictOptions} [options]
   */
  async #predict(source, box, { boxKind } = {}) {
    this.#head.ready();
    // Nothing else waits, not even a moment: what is read is what the source shows when it is given.
    if (isLoading(source)) await loaded(source);
    return this.#head.use(async (head) =>
      head.name(await head.run(this.#reader.patch(source, box, head.facts, boxKind))),
    );
  }
}
