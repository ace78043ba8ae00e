/**
 * Classifies the facial expression of a face in the browser.
 *
 * Pixels never leave the page. This module cuts the patch around the face by the same rule as Python; everything else
 * (resizing, normalization, network, softmax) happens in the ONNX graph, which Python runs as well.
 */

import { EmotionError } from './errors.js';
import { Head, checkModelUrl } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { checkNames, checkRuntime } from './options.js';
import { checkKind, checked } from './patch.js';
import { PixelReader, isLoading, loaded } from './source.js';

export { EmotionError };

/** @typedef {import('./errors.js').ErrorCode} ErrorCode */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {import('./options.js').Ort} Ort */
/** @typedef {import('./head.js').EmotionInfo} EmotionInfo */
/** @typedef {import('./head.js').HeadOptions & import('./options.js').RuntimeOptions} EmotionOptions */

/**
 * @typedef {object} PredictOptions
 * @property {BoxKind} [boxKind] the kind of box: `'blazeface'` for one of `FaceDetector`, `'detector'` for one of
 *   TinyFaceDetector, `'annotator'` for one that a person drew around the face, as AI Hub's annotators did. A box of
 *   another kind than the model's (`info().boxKind`) is converted. Default: the model's kind
 * @property {import('./alignment.js').AlignmentPoints} [landmarks] eyes and mouth of the face in pixels of the source, such
 *   as those of `FaceDetector`. A model that is aligned by landmarks (`info().alignedBy`) uses them instead of the box, any
 *   other ignores them. Only for the three `predictFrom…`
 */

/** Classifies the expression of a face in an image, a video or a canvas. */
export class EmotionAPI {
  /** Always null: output names are never changed. Kept for pages that check it. */
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
    checkRuntime(options);
    this.#head = new Lifecycle('EmotionAPI', () => Head.load(options), (head) => head.release());
  }

  /**
   * Loads runtime and model and runs the network once, so that the first prediction is as fast as the others.
   * Further calls do nothing, except that a call after a failure tries again.
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
   * Facts about model and runtime.
   *
   * @returns {EmotionInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    return this.#head.ready().info();
  }

  /**
   * @param {Source} source if it is an `<img>`, waits until it has loaded
   * @param {Box} [box] of the face, in pixels of the upright image; default: the whole image is one face
   * @param {PredictOptions} [options]
   * @returns {Promise<Record<string, number>>} probability by class name, in the order of `outputKeys`, sum 1
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `bad_box`, `bad_landmarks`, `bad_option`, `runtime_failed`
   */
  async predictFromImage(source, box, options) {
    return this.#predict(source, box, options);
  }

  /**
   * Classifies the frame that the video shows now.
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

  /** Frees model and canvas once running predictions have ended. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#head.end();
  }

  /**
   * @param {Source} source
   * @param {Box | null} [box]
   * @param {PredictOptions | null} [options]
   */
  async #predict(source, box, options) {
    const { boxKind, landmarks } = options ?? {};
    this.#head.ready();
    // A box beside landmarks is not cut, but a broken one is a mistake all the same.
    if (box) checked(box);
    checkNames(options);
    checkKind(boxKind);
    // Does not wait otherwise, not even for a microtask, so that the pixels are those at the time of the call.
    if (isLoading(source)) await loaded(source);
    return this.#head.use(async (head) => {
      const turned = landmarks && head.facts.alignedBy === 'landmarks';
      const patch = turned ? this.#reader.turned(source, landmarks) : this.#reader.patch(source, box, head.facts, boxKind);
      return head.name(await head.run(patch));
    });
  }
}
