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
      if (face.firstElementChild) face.firstElementChild.textContent = text;
    });
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
