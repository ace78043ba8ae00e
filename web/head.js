import { EmotionError, messageOf } from './errors.js';
import { loadModel } from './model.js';
import { describe, fetchOf, loadRuntime, openNetwork } from './runtime.js';

/** @typedef {import('./runtime.js').RuntimeOptions} RuntimeOptions */

/**
 * @typedef {object} HeadOptions
 * @property {string | URL} modelUrl the exported ONNX file
 * @property {string | URL} [classesUrl] its classes.json; without it the names in the model are used
 */

/** @typedef {import('./runtime.js').RuntimeInfo & { modelBytes: number } & Omit<import('./model.js').ModelFacts, 'classes'>} EmotionInfo */

/** The expression network: patches in, probabilities out. */
export class Head {
  #runtime;
  #session;
  #modelBytes;

  /**
   * @param {import('./runtime.js').Runtime} runtime
   * @param {import('./runtime.js').InferenceSession} session
   * @param {import('./model.js').ModelFacts} facts
   * @param {number} modelBytes
   */
  constructor(runtime, session, facts, modelBytes) {
    this.#runtime = runtime;
    this.#session = session;
    this.facts = facts;
    this.#modelBytes = modelBytes;
  }

  /**
   * Loads the network and runs it once, so that the first prediction is as fast as the next.
   *
   * @param {HeadOptions & RuntimeOptions} options
   * @returns {Promise<Head>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options) {
    const fetch = fetchOf(options);
    const [runtime, { bytes, facts }] = await Promise.all([loadRuntime(options), loadModel({ ...options, fetch })]);
    return openNetwork(runtime, bytes, 'modelUrl', fetch, async (session) => {
      const head = new Head(runtime, session, facts, bytes.byteLength);
      await head.#check();
      return head;
    });
  }

  /**
   * @param {import('./patch.js').Frame} patch of any size
   * @returns {Promise<Float32Array>} probabilities in class order
   * @throws {EmotionError} `bad_source`
   */
  async run({ data, width, height }) {
    const image = new this.#runtime.ort.Tensor('uint8', data, [1, height, width, 4]);
    try {
      const { probabilities } = await this.#session.run({ image });
      return /** @type {Float32Array} */ (probabilities?.data);
    } catch (error) {
      throw new EmotionError(
        'bad_source',
        `onnxruntime-web cannot compute a patch of ${width} x ${height} pixels (${messageOf(error)}); make the picture ` +
          'smaller first',
        error,
      );
    }
  }

  /**
   * @param {Float32Array} probabilities
   * @returns {Record<string, number>}
   */
  name(probabilities) {
    return Object.fromEntries(
      this.facts.classes.map((name, index) => [name, /** @type {number} */ (probabilities[index])]),
    );
  }

  /** @returns {EmotionInfo} */
  info() {
    const { classes: _, ...facts } = this.facts;
    return { ...describe(this.#runtime), modelBytes: this.#modelBytes, ...facts };
  }

  async release() {
    await this.#session.release();
  }

  async #check() {
    const { classes } = this.facts;
    const count = await this.#outputCount();
    if (count === classes.length) return;
    throw new EmotionError(
      'class_mismatch',
      `the model has ${count} outputs, but there are ${classes.length} class names (${classes.join(', ')}); ` +
        'modelUrl and classesUrl must come from the same export',
    );
  }

  async #outputCount() {
    try {
      return (await this.run({ data: new Uint8Array(160 * 160 * 4), width: 160, height: 160 })).length;
    } catch (error) {
      throw new EmotionError(
        'model_invalid',
        'the model at modelUrl does not turn "image" (uint8 [N, H, W, 4]) into "probabilities"; export it with ' +
          '"pyojeong export"',
        error,
      );
    }
  }
}

/**
 * @param {HeadOptions | undefined} options
 * @throws {EmotionError} `bad_option`
 */
export function checkModelUrl(options) {
  if (!options?.modelUrl) throw new EmotionError('bad_option', 'give modelUrl, the address of the ONNX file');
}
