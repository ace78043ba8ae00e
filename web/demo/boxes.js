import { languageOf } from './bars.js';

/** @typedef {import('../index.js').FaceEmotions} FaceEmotions */

/** Draws the found faces over a picture or video, each with its most probable emotion. */
export class Boxes {
  #layer;

  /** @param {HTMLElement} layer as large as the picture */
  constructor(layer) {
    this.#layer = layer;
  }

  /**
   * @param {readonly FaceEmotions[]} faces
   * @param {{ width: number, height: number }} size of the source in pixels
   * @param {number} chosen the one that the bars describe
   */
  show(faces, { width, height }, chosen) {
    while (this.#layer.children.length > faces.length) this.#layer.lastElementChild?.remove();
    faces.forEach(({ box, emotions, label }, at) => {
      const face = this.#layer.children[at] ?? this.#layer.appendChild(newFace());
      if (!(face instanceof HTMLElement) || !box) return;
      face.classList.toggle('chosen', at === chosen);
      Object.assign(face.style, {
        left: `${(100 * box.x) / width}%`,
        top: `${(100 * box.y) / height}%`,
        width: `${(100 * box.width) / width}%`,
        height: `${(100 * box.height) / height}%`,
      });
      const text = `${label} ${(100 * (emotions[label] ?? 0)).toFixed(0)}%`;
      const words = /** @type {HTMLElement} */ (face.firstElementChild);
      words.textContent = text;
      words.lang = languageOf(label);
      this.#keepInSight(face, words);
    });
  }

  /**
   * Words that would reach over the picture's edge are put into the box, or end where it ends.
   *
   * @param {HTMLElement} face
   * @param {HTMLElement} words
   */
  #keepInSight(face, words) {
    const mirrored = this.#layer.closest('.mirrored') !== null;
    const room = mirrored ? face.offsetLeft + face.offsetWidth : this.#layer.clientWidth - face.offsetLeft;
    // Boxes are not clipped to the picture.
    face.style.setProperty('--above', `${-face.offsetTop}px`);
    face.classList.toggle('high', face.offsetTop < words.offsetHeight);
    face.classList.toggle('aside', room < words.offsetWidth);
  }

  clear() {
    this.#layer.replaceChildren();
  }
}

function newFace() {
  const face = Object.assign(document.createElement('div'), { className: 'face' });
  face.append(document.createElement('span'));
  return face;
}
