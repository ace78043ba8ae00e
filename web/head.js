import { EmotionError, messageOf } from './errors.js';
import { loadModel } from './model.js';
import { compute, describe, fetchOf, loadRuntime, openNetwork, pattern } from './runtime.js';

/** @typedef {import('./runtime.js').RuntimeOptions} RuntimeOptions */

const TRIAL = 120; // side in pixels of what it is tried out on: not the network's own, so that resizing is tried too

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
      return { network: head, answer: await head.#check() };
    });
  }

  /**
   * @param {import('./patch.js').Frame} patch of any size
   * @returns {Promise<Float32Array>} probabilities in class order
   * @throws {EmotionError} `bad_source`, `runtime_failed`
   */
  async run({ data, width, height }) {
    const image = new this.#runtime.ort.Tensor('uint8', data, [1, height, width, 4]);
    try {
      const { probabilities } = await compute(this.#runtime, this.#session, { image });
      return /** @type {Float32Array} */ (probabilities?.data);
    } catch (error) {
      // The network is the same for every patch: what wasm cannot compute is too large for its memory.
      if (this.#runtime.provider === 'webgpu') throw error;
      throw new EmotionError(
        'bad_source',
        `a patch of ${width} x ${height} pixels is too large (${messageOf(error)}); make the picture smaller first`,
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
    const answer = await this.#tryOut();
    const count = answer.length;
    if (count === classes.length) return answer;
    throw new EmotionError(
      'class_mismatch',
      `the model has ${count} outputs, but there are ${classes.length} class names (${classes.join(', ')}); ` +
        'modelUrl and classesUrl must come from the same export',
    );
  }

  async #tryOut() {
    try {
      return await this.run({ data: pattern(TRIAL * TRIAL * 4), width: TRIAL, height: TRIAL });
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
