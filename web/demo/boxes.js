import { languageOf } from './bars.js';

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
  if (drawn) {
    return `박스 ${Math.round(drawn.width)} × ${Math.round(drawn.height)} 픽셀. 박스를 지우면 얼굴을 찾습니다.`;
  }
  if (found) return `얼굴 ${found}개를 찾았습니다. 끌어서 박스를 그리면 그 박스만 봅니다.`;
  if (found === 0 && still) return '얼굴을 찾지 못해 전체를 얼굴로 봅니다. 얼굴 위를 끌어 박스를 그리십시오.';
  return '';
}
