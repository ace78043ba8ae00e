import { EmotionError, messageOf } from './errors.js';
import { loadModel } from './model.js';
import { compute, describe, fetchOf, loadRuntime, openNetwork, pattern } from './runtime.js';

/** @typedef {import('./runtime.js').RuntimeOptions} RuntimeOptions */

const TRIAL_SIDE = 120; // pixels; differs from the network's input, so that the first run includes resizing

/**
 * @typedef {object} HeadOptions
 * @property {string | URL} modelUrl the exported ONNX file
 * @property {string | URL} [classesUrl] its classes.json; default: the names inside the model
 */

/** @typedef {import('./runtime.js').RuntimeInfo & { modelBytes: number } & Omit<import('./model.js').ModelFacts, 'classes'>} EmotionInfo */

/** The expression network, from patch to probabilities. */
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
   * Loads the network and runs it once, so that the first prediction is as fast as the others.
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
      return { network: head, output: await head.#check() };
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
      // The network worked on its first run, so if wasm fails now, the patch is too large for its memory.
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
    const probabilities = await this.#runOnce();
    const count = probabilities.length;
    if (count === classes.length) return probabilities;
    throw new EmotionError(
      'class_mismatch',
      `the model has ${count} outputs, but there are ${classes.length} class names (${classes.join(', ')}); ` +
        'modelUrl and classesUrl must come from the same export',
    );
  }

  async #runOnce() {
    try {
      return await this.run({ data: pattern(TRIAL_SIDE ** 2 * 4), width: TRIAL_SIDE, height: TRIAL_SIDE });
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
  if (!options?.modelUrl) throw new EmotionError('bad_option', 'modelUrl is missing; pass the address of the ONNX file');
}
