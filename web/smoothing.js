import { overlap } from './patch.js';

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {{ id: number, box: Box, values: Float32Array, seen: number }} Track */

const SAME_FACE = 0.3; // least overlap of a face's boxes in consecutive frames
const FORGET = 4; // half-lives after which a lost face is forgotten

/**
 * Follows each face from frame to frame and averages its probabilities, with weights that halve every `halfLife` ms.
 * `pyojeong.analysis.tracking` is the same rule in Python.
 */
export class Smoother {
  #halfLife;
  /** @type {Track[]} */
  #tracks = [];
  #count = 0;

  /** @param {number} halfLife in ms */
  constructor(halfLife) {
    this.#halfLife = halfLife;
  }

  /**
   * @param {readonly { box: Box, values: Float32Array }[]} faces of one frame
   * @param {number} time of the frame in ms
   * @returns {Track[]} one for each face: its number, from 1 on, and its averages
   */
  next(faces, time) {
    const old = this.#tracks;
    const now = faces.map(({ box, values }) => {
      const track = takeNearest(old, box);
      if (!track) return { id: ++this.#count, box, values, seen: time };
      const keep = 2 ** (-Math.max(0, time - track.seen) / this.#halfLife);
      const averages = values.map((value, at) => value + keep * ((track.values[at] ?? value) - value));
      return { id: track.id, box, values: averages, seen: time };
    });
    const lost = old.filter((track) => time - track.seen <= FORGET * this.#halfLife);
    this.#tracks = [...now, ...lost];
    return now;
  }
}

/**
 * Removes the track that overlaps a box most from the list, and returns it.
 *
 * @param {Track[]} tracks
 * @param {Box} box
 * @returns {Track | null}
 */
function takeNearest(tracks, box) {
  const shares = tracks.map((track) => overlap(track.box, box));
  const best = Math.max(...shares);
  return best > SAME_FACE ? /** @type {Track} */ (tracks.splice(shares.indexOf(best), 1)[0]) : null;
}
