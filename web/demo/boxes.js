import { text, wordOf } from './language.js';
import { languageOf } from './words.js';

/** @typedef {import('../index.js').FaceEmotions} FaceEmotions */
/** @typedef {import('../patch.js').Box} Box */

/** Marks the detected faces on a picture or video, each with its most probable emotion. */
export class Boxes {
  #layer;

  /** @param {HTMLElement} layer as large as the picture */
  constructor(layer) {
    this.#layer = layer;
  }

  /**
   * @param {readonly FaceEmotions[]} faces
   * @param {{ width: number, height: number }} size of the source in pixels
   * @param {number} chosen index of the face that the bars describe
   */
  show(faces, { width, height }, chosen) {
    while (this.#layer.children.length > faces.length) this.#layer.lastElementChild?.remove();
    faces.forEach(({ box, emotions, label, unsure }, at) => {
      const face = this.#layer.children[at] ?? this.#layer.appendChild(newFace());
      if (!(face instanceof HTMLElement) || !box) return;
      face.classList.toggle('chosen', at === chosen);
      face.classList.toggle('unsure', unsure);
      Object.assign(face.style, {
        left: `${(100 * box.x) / width}%`,
        top: `${(100 * box.y) / height}%`,
        width: `${(100 * box.width) / width}%`,
        height: `${(100 * box.height) / height}%`,
      });
      const word = wordOf(label);
      const words = /** @type {HTMLElement} */ (face.firstElementChild);
      words.textContent = unsure ? text().unsure : `${word} ${(100 * (emotions[label] ?? 0)).toFixed(0)}%`;
      words.lang = languageOf(words.textContent);
      this.#keepInside(face, words);
    });
  }

  /**
   * Keeps the label inside the picture: it moves into the box at the top, and ends with the box at the right.
   *
   * @param {HTMLElement} face
   * @param {HTMLElement} label
   */
  #keepInside(face, label) {
    const mirrored = this.#layer.closest('.mirrored') !== null;
    const room = mirrored ? face.offsetLeft + face.offsetWidth : this.#layer.clientWidth - face.offsetLeft;
    // Boxes are not clipped to the picture.
    face.style.setProperty('--above', `${-face.offsetTop}px`);
    face.classList.toggle('high', face.offsetTop < label.offsetHeight);
    face.classList.toggle('right', room < label.offsetWidth);
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

/**
 * Returns the text below the picture.
 *
 * @param {Box | null} drawn by the user
 * @param {number | undefined} found number of detected faces, if no box is drawn
 * @param {boolean} still whether the source is a picture, which is classified as a whole if no face is found
 */
export function boxWords(drawn, found, still) {
  if (drawn) return text().boxDrawn(Math.round(drawn.width), Math.round(drawn.height));
  if (found) return text().facesFound(found);
  return found === 0 && still ? text().wholePicture : '';
}
