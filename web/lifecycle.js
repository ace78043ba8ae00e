import { EmotionError } from './errors.js';

/**
 * Something that is loaded once, used many times and freed once.
 *
 * @template T
 */
export class Lifecycle {
  #name;
  #load;
  #free;
  /** @type {Promise<void> | null} */
  #loading = null;
  /** @type {T | null} */
  #loaded = null;
  /** @type {Set<Promise<unknown>>} */
  #uses = new Set();
  #ended = false;

  /**
   * @param {string} name of the class, for its errors
   * @param {() => Promise<T>} load
   * @param {(loaded: T) => Promise<void>} free
   */
  constructor(name, load, free) {
    this.#name = name;
    this.#load = load;
    this.#free = free;
  }

  /**
   * Loads. Calling it again does nothing; after a failure it tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} `disposed`, also where it ends while it loads, and what loading throws
   */
  async start() {
    if (this.#ended) throw this.#disposed();
    this.#loading ??= this.#run();
    return this.#loading;
  }

  /** What was loaded, null before and after. */
  get loaded() {
    return this.#loaded;
  }

  /**
   * @returns {T}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  ready() {
    if (this.#ended) throw this.#disposed();
    if (!this.#loaded) throw new EmotionError('not_initialized', 'call and await init() before the first prediction');
    return this.#loaded;
  }

  /**
   * Does something with what was loaded, which is not freed before that is done.
   *
   * @template R
   * @param {(loaded: T) => Promise<R>} task
   * @returns {Promise<R>}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  async use(task) {
    const using = task(this.ready());
    this.#uses.add(using);
    try {
      return await using;
    } finally {
      this.#uses.delete(using);
    }
  }

  /** Frees what was loaded after its last use; what is being loaded is freed as soon as it is there. */
  async end() {
    this.#ended = true;
    const loaded = this.#loaded;
    this.#loaded = null;
    await Promise.allSettled(this.#uses);
    if (loaded) await this.#free(loaded);
  }

  async #run() {
    let loaded;
    try {
      loaded = await this.#load();
    } catch (error) {
      this.#loading = null;
      throw error;
    }
    if (this.#ended) {
      await this.#free(loaded);
      throw this.#disposed();
    }
    this.#loaded = loaded;
  }

  #disposed() {
    return new EmotionError('disposed', `this ${this.#name} was disposed; make a new one`);
  }
}
