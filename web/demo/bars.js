/** English beside the seven Korean classes; other models show their own words alone. */
const ENGLISH = /** @type {Record<string, string>} */ ({
  기쁨: 'joy', 당황: 'embarrassed', 분노: 'anger', 불안: 'anxiety', 상처: 'hurt', 슬픔: 'sadness', 중립: 'neutral',
});

// A live picture changes many times a second; a screen reader must be able to finish its sentence.
const SPEAK_EVERY = 2000;

/** Draws probabilities as bars in class order, and says the most probable one. */
export class Bars {
  /** @type {Map<string, { row: HTMLElement, fill: HTMLElement, value: HTMLElement }>} */
  #rows = new Map();
  #answer;
  #spoken = { text: '', at: -Infinity };

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} answer a live region
   * @param {readonly string[]} classes
   */
  constructor(list, answer, classes) {
    this.#answer = answer;
    list.replaceChildren(...classes.map((name) => this.#newRow(name)));
    this.clear();
  }

  /** @param {Record<string, number>} probabilities */
  show(probabilities) {
    const [top, best] = Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    for (const [name, { row, fill, value }] of this.#rows) {
      const share = probabilities[name] ?? 0;
      row.classList.toggle('top', name === top);
      fill.style.transform = `scaleX(${share})`;
      value.textContent = `${(share * 100).toFixed(1)}%`;
    }
    this.#speak(top, best);
  }

  clear() {
    this.#spoken = { text: '', at: -Infinity };
    this.#answer.textContent = '사진이나 카메라를 기다립니다';
    for (const { row, fill, value } of this.#rows.values()) {
      row.classList.remove('top');
      fill.style.transform = 'scaleX(0)';
      value.textContent = '–';
    }
  }

  /**
   * @param {string} name
   * @param {number} share
   */
  #speak(name, share) {
    const now = performance.now();
    const { text, at } = this.#spoken;
    if (text === name && now - at < SPEAK_EVERY) return;
    if (now - at < SPEAK_EVERY / 4) return;
    this.#spoken = { text: name, at: now };
    this.#answer.replaceChildren(`${name} `, Object.assign(document.createElement('small'), {
      textContent: `${ENGLISH[name] ?? ''} ${(share * 100).toFixed(0)}%`,
    }));
  }

  /** @param {string} name */
  #newRow(name) {
    const row = document.createElement('li');
    const label = document.createElement('span');
    label.append(name, ' ', Object.assign(document.createElement('small'), { textContent: ENGLISH[name] ?? '', lang: 'en' }));
    const track = Object.assign(document.createElement('span'), { className: 'track', ariaHidden: 'true' });
    const fill = Object.assign(document.createElement('span'), { className: 'fill' });
    const value = document.createElement('span');
    value.className = 'value';
    track.append(fill);
    row.append(label, track, value);
    this.#rows.set(name, { row, fill, value });
    return row;
  }
}
