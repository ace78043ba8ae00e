import { EmotionError } from './errors.js';
import { loadModel } from './model.js';
import { loadBackend } from './network.js';
import { checkNames, fetchOf } from './options.js';

/** @typedef {import('./options.js').RuntimeOptions} RuntimeOptions */

const USUAL_SIZE = 160; // pixels; side of the network's input if the metadata of an old model do not say

/**
 * @typedef {object} HeadOptions
 * @property {string | URL} modelUrl the exported ONNX file
 * @property {string | URL} [classesUrl] its classes.json; default: the names inside the model
 */

/** @typedef {import('./network.js').RuntimeInfo & { modelBytes: number } & Omit<import('./model.js').ModelFacts, 'classes'>} EmotionInfo */

/** The expression network, from patch to probabilities. */
export class Head {
  #network;
  #modelBytes;

  /**
   * @param {import('./network.js').Network} network
   * @param {import('./model.js').ModelFacts} facts
   * @param {number} modelBytes
   */
  constructor(network, facts, modelBytes) {
    this.#network = network;
    this.facts = facts;
    this.#modelBytes = modelBytes;
  }

  /**
   * Loads the network and runs it once, so that the first prediction is as fast as the others.
   *
   * @param {Partial<HeadOptions> & RuntimeOptions} options
   * @param {Uint8Array} [packaged] the model's bytes, in place of those at `modelUrl`
   * @returns {Promise<Head>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options, packaged) {
    const fetch = fetchOf(options);
    const loading = loadModel({ ...options, fetch }, packaged);
    const [backend, { bytes, facts }] = await Promise.all([loadBackend(options), loading]);
    const network = await backend.openExpression(bytes, facts.size ?? USUAL_SIZE, 'modelUrl');
    const { classes } = facts;
    if (network.outputs === classes.length) return new Head(network, facts, bytes.byteLength);
    await network.release();
    throw new EmotionError(
      'class_mismatch',
      `the model has ${network.outputs} outputs, but there are ${classes.length} class names (${classes.join(', ')}); ` +
        'modelUrl and classesUrl must come from the same export',
    );
  }

  /**
   * @param {import('./patch.js').Frame} patch of any size
   * @returns {Promise<Float32Array>} probabilities in class order
   * @throws {EmotionError} `bad_source`, `runtime_failed`
   */
  async run(patch) {
    return this.#network.run(patch);
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
    return { ...this.#network.info(), modelBytes: this.#modelBytes, ...facts };
  }

  async release() {
    await this.#network.release();
  }
}

/**
 * @param {HeadOptions | undefined} options
 * @throws {EmotionError} `bad_option`
 */
export function checkModelUrl(options) {
  checkNames(options);
  if (!options?.modelUrl) throw new EmotionError('bad_option', 'modelUrl is missing; pass the address of the ONNX file');
}
