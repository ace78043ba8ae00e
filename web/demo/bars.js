import { Speech } from './speech.js';

/** The English word for each of the seven Korean classes, the Korean one for face-api.js's words. */
const TRANSLATIONS = /** @type {Record<string, string>} */ ({
  기쁨: 'joy', 당황: 'embarrassed', 분노: 'anger', 불안: 'anxiety', 상처: 'hurt', 슬픔: 'sadness', 중립: 'neutral',
  neutral: '중립', happy: '기쁨', sad: '슬픔', angry: '분노', fearful: '두려움', disgusted: '혐오', surprised: '놀람',
});

/** Shows probabilities as bars in class order, with the most probable class in large letters and spoken. */
export class Bars {
  /** @type {Map<string, { row: HTMLElement, fill: HTMLElement, value: HTMLElement }>} */
  #rows = new Map();
  #answer;
  #speech;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} answer
   * @param {HTMLElement} spoken a live region
   * @param {readonly string[]} classes
   * @param {Readonly<Record<string, string>>} colors by class, as `#rrggbb`; other classes have the page's color
   */
  constructor(list, answer, spoken, classes, colors = {}) {
    this.#answer = answer;
    this.#speech = new Speech(spoken);
    list.replaceChildren(...classes.map((name) => this.#newRow(name, colors[name])));
    this.clear();
  }

  /** @param {Record<string, number>} probabilities */
  show(probabilities) {
    const [top, best] = Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    for (const [name, { row, fill, value }] of this.#rows) {
      const share = probabilities[name] ?? 0;
      row.classList.toggle('top', name === top);
      fill.style.transform = `translateX(${100 * (share - 1)}%)`;
      value.textContent = `${(share * 100).toFixed(1)}%`;
    }
    this.#answer.replaceChildren(word(top), ' ', small(`${TRANSLATIONS[top] ?? ''} ${(best * 100).toFixed(0)}%`));
    this.#speech.say(this.#answer.textContent ?? '');
  }

  /** @param {string} [text] in place of the answer */
  clear(text = '사진이나 카메라를 기다립니다') {
    this.#answer.textContent = text;
    this.#speech.say('');
    for (const { row, fill, value } of this.#rows.values()) {
      row.classList.remove('top');
      fill.style.transform = 'translateX(-100%)';
      value.textContent = '–';
    }
  }

  /**
   * @param {string} name
   * @param {string} [color]
   */
  #newRow(name, color) {
    const row = document.createElement('li');
    const label = document.createElement('span');
    label.append(word(name), ' ', small(TRANSLATIONS[name] ?? ''));
    const track = Object.assign(document.createElement('span'), { className: 'track', ariaHidden: 'true' });
    const fill = Object.assign(document.createElement('span'), { className: 'fill' });
    if (color) fill.style.setProperty('--class-color', color);
    const value = Object.assign(document.createElement('span'), { className: 'value' });
    track.append(fill);
    row.append(label, track, value);
    this.#rows.set(name, { row, fill, value });
    return row;
  }
}

/** @param {string} text */
function small(text) {
  return Object.assign(document.createElement('small'), { textContent: text, lang: languageOf(text) });
}

/** @param {string} text */
function word(text) {
  return Object.assign(document.createElement('span'), { textContent: text, lang: languageOf(text) });
}

/** @param {string} text */
export function languageOf(text) {
  return /[가-힣]/.test(text) ? 'ko' : 'en';
}
