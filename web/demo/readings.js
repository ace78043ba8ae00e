import { Smoother } from '../smoothing.js';

/** @typedef {import('../analyzer.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./stage.js').Shown} Shown */

/**
 * What was read of a picture or of one frame.
 *
 * @typedef {object} Reading
 * @property {Shown} shown
 * @property {number | null} time in seconds since the start of the film or camera; null for a picture
 * @property {{ width: number, height: number }} size of the source in pixels
 * @property {readonly FaceEmotions[]} faces
 * @property {number} chosen index of the largest face, which the bars describe; -1 if there is none
 * @property {boolean} marked whether the box is the visitor's
 */

const HALF_LIFE = 300; // ms, as in pyojeong.analysis.tracking

/** Follows the faces of one film or camera, as `pyojeong analyze` does; the faces of a picture are numbered. */
export class Follower {
  #smoother = new Smoother(HALF_LIFE);

  /**
   * @param {readonly FaceEmotions[]} faces of one frame
   * @param {{ width: number, height: number }} size of the frame
   * @param {number | null} now in ms; null for a picture
   * @param {number} unsureBelow the model's threshold
   * @returns {FaceEmotions[]} with their numbers, and probabilities averaged over time
   */
  next(faces, size, now, unsureBelow) {
    if (now === null) return faces.map((face, at) => ({ ...face, id: at + 1 }));
    const whole = { x: 0, y: 0, ...size };
    const values = faces.map(({ box, emotions }) => (
      { box: box ?? whole, values: Float32Array.from(Object.values(emotions)) }));
    return this.#smoother.next(values, now).map((track, at) => {
      const face = /** @type {FaceEmotions} */ (faces[at]);
      const names = Object.keys(face.emotions);
      const best = Math.max(...track.values);
      return {
        ...face,
        id: track.id,
        emotions: Object.fromEntries(names.map((name, index) => [name, track.values[index] ?? 0])),
        label: /** @type {string} */ (names[track.values.indexOf(best)]),
        unsure: best < unsureBelow,
      };
    });
  }
}

/**
 * Returns the index of the largest face; -1 if there is none.
 *
 * @param {readonly FaceEmotions[]} faces
 */
export function largest(faces) {
  const areas = faces.map(({ box }) => (box ? box.width * box.height : 0));
  return areas.indexOf(Math.max(...areas));
}
