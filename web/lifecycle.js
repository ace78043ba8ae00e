import { EmotionError } from './errors.js';

/**
 * A resource that is loaded once, used many times and freed once.
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
   * Loads the resource. Further calls do nothing, except that a call after a failure tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} `disposed`, also if `end` is called while loading, and the errors of loading
   */
  async start() {
    if (this.#ended) throw this.#disposed();
    this.#loading ??= this.#run();
    return this.#loading;
  }

  /** The resource; null before it has loaded and after the end. */
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
   * Runs a task with the resource, which is not freed before the task has ended.
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

  /** Frees the resource after its last use, or as soon as it has loaded. */
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
