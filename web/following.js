/** @typedef {import('./detector.js').Face} Face */
/** @typedef {import('./patch.js').Frame} Frame */

// Milliseconds in which a face that comes into the picture may be missed.
const SEARCH_EVERY = 200;

/**
 * Finds the faces of a film. From one search of the whole frame to the next, known faces are followed by a close look at
 * each, which costs one run of the detector instead of two.
 */
export class Follower {
  /** @type {readonly Face[]} */
  #faces = [];
  #searched = -Infinity;
  #size = '';

  /**
   * @param {import('./detector.js').FaceNet} net
   * @param {Frame} frame
   * @param {number} time of the frame in ms
   * @returns {Promise<readonly Face[]>} by descending score
   */
  async find(net, frame, time) {
    const size = `${frame.width} x ${frame.height}`;
    const age = time - this.#searched;
    const isRecent = age >= 0 && age < SEARCH_EVERY && size === this.#size;
    const followed = isRecent && this.#faces.length ? await net.follow(frame, this.#faces) : null;
    const faces = followed ?? (await net.find(frame));
    if (!followed) [this.#searched, this.#size] = [time, size];
    this.#faces = faces;
    return faces;
  }
}
