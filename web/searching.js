import { Lifecycle } from './lifecycle.js';
import { PixelReader, isLoading, loaded } from './source.js';

/** @typedef {import('./source.js').Source} Source */

/**
 * A network that finds faces in a frame.
 *
 * @template Found
 * @template Info
 * @typedef {object} SearchNet
 * @property {(frame: import('./patch.js').Frame) => Promise<Found[]>} find
 * @property {() => Info} info
 * @property {() => Promise<void>} release frees its memory
 */

/**
 * What all detectors share: loading the network, reading pixels, freeing both.
 *
 * @template Found
 * @template Info
 */
export class Searching {
  #reader = new PixelReader();
  /** @type {Lifecycle<SearchNet<Found, Info>>} */
  #net;

  /**
   * @param {string} name of the class, for its errors
   * @param {() => Promise<SearchNet<Found, Info>>} load
   */
  constructor(name, load) {
    this.#net = new Lifecycle(name, load, (net) => net.release());
  }

  /**
   * Loads runtime and model and runs the network once. Further calls do nothing, except that a call after a failure
   * tries again.
   *
   * @returns {Promise<void>}
   * @throws {import('./errors.js').EmotionError} see `docs/js_api.md`
   */
  async init() {
    await this.#net.start();
  }

  /**
   * @param {Source} source if it is an `<img>`, waits until it has loaded
   * @returns {Promise<Found[]>} by descending score
   * @throws {import('./errors.js').EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`,
   *   `empty_source`, `tainted_source`, `runtime_failed`
   */
  async detect(source) {
    this.#net.ready();
    // Does not wait otherwise, so that the pixels are those at the time of the call.
    if (isLoading(source)) await loaded(source);
    return this.#net.use(async (net) => net.find(this.#reader.frame(source)));
  }

  /**
   * Facts about model and runtime.
   *
   * @returns {Info}
   * @throws {import('./errors.js').EmotionError} `not_initialized`, `disposed`
   */
  info() {
    return this.#net.ready().info();
  }

  /** Frees model and canvas once running calls have ended. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#net.end();
  }
}
