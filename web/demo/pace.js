import { text } from './language.js';

const SMOOTHING = 0.1; // weight of the newest frame of a video

/** @typedef {{ read: number, detect: number, classify: number }} Timings milliseconds */

/** Measures how long results for one source take, smoothed if the source is a video. */
export class Pace {
  /** @type {Timings} */
  #times = { read: 0, detect: 0, classify: 0 };
  #interval = 0;
  #last = 0;

  /**
   * Records the timings of a result.
   *
   * @param {Timings} timings
   * @param {boolean} live
   */
  count({ read, detect, classify }, live) {
    const now = performance.now();
    const ease = (/** @type {number} */ old, /** @type {number} */ value) =>
      old && live ? old + SMOOTHING * (value - old) : value;
    this.#times = {
      read: ease(this.#times.read, read),
      detect: ease(this.#times.detect, detect),
      classify: ease(this.#times.classify, classify),
    };
    this.#interval = this.#last ? ease(this.#interval, now - this.#last) : 0;
    this.#last = now;
  }

  /**
   * Returns the text for the page; nothing before the first result.
   *
   * @param {boolean} live
   */
  words(live) {
    if (!this.#last) return [];
    return [text().stages(this.#times), live && this.#interval ? text().rate(1000 / this.#interval) : ''];
  }
}
