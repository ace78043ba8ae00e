import { text, wordOf } from './language.js';
import { Speech } from './speech.js';
import { languageOf } from './words.js';

/** @typedef {{ emotions: Readonly<Record<string, number>>, unsure: boolean }} Shares */

/** Shows probabilities as bars in class order, with the most probable class in large letters and spoken. */
export class Bars {
  /** @type {Map<string, { row: HTMLElement, label: HTMLElement, fill: HTMLElement, value: HTMLElement }>} */
  #rows = new Map();
  #answer;
  #speech;
  /** @type {Shares | null} */
  #shares = null;
  /** @type {import('./language.js').Telling} in place of the answer */
  #instead = (texts) => texts.waiting;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} answer
   * @param {HTMLElement} spoken a live region
   * @param {readonly string[]} classes
   * @param {Readonly<Record<string, string>>} colors by class
   */
  constructor(list, answer, spoken, classes, colors) {
    this.#answer = answer;
    this.#speech = new Speech(spoken);
    list.replaceChildren(...classes.map((name) => this.#newRow(name, colors[name])));
    this.write();
  }

  /** @param {Shares} shares */
  show(shares) {
    this.#shares = shares;
    this.write();
  }

  /** @param {import('./language.js').Telling} instead of the answer */
  clear(instead = (texts) => texts.waiting) {
    this.#shares = null;
    this.#instead = instead;
    this.write();
  }

  /** Writes what is shown, in the current language. */
  write() {
    const { emotions = {}, unsure = false } = this.#shares ?? {};
    const [top, best] = Object.entries(emotions).reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
    for (const [name, { row, label, fill, value }] of this.#rows) {
      const share = this.#shares ? (emotions[name] ?? 0) : 0;
      const word = wordOf(name);
      if (label.textContent !== word) Object.assign(label, { textContent: word, lang: languageOf(word) });
      row.classList.toggle('top', name === top);
      row.classList.toggle('unsure', unsure);
      fill.style.transform = `translateX(${100 * (share - 1)}%)`;
      value.textContent = this.#shares ? `${(share * 100).toFixed(1)}%` : '–';
    }
    this.#answer.classList.toggle('unsure', unsure);
    this.#answer.classList.toggle('none', !this.#shares);
    const figure = `${(best * 100).toFixed(0)}%`;
    if (!this.#shares) this.#answer.textContent = this.#instead(text());
    else if (unsure) this.#answer.replaceChildren(text().unsure, ' ', small(`${text().perhaps(wordOf(top))} ${figure}`));
    else this.#answer.replaceChildren(wordOf(top), ' ', small(figure));
    this.#speech.say(this.#shares ? (this.#answer.textContent ?? '') : '');
  }

  /**
   * @param {string} name
   * @param {string} [color]
   */
  #newRow(name, color) {
    const row = document.createElement('li');
    const label = document.createElement('span');
    const track = Object.assign(document.createElement('span'), { className: 'track', ariaHidden: 'true' });
    const fill = Object.assign(document.createElement('span'), { className: 'fill' });
    if (color) fill.style.setProperty('--class-color', color);
    const value = Object.assign(document.createElement('span'), { className: 'value' });
    track.append(fill);
    row.append(label, track, value);
    this.#rows.set(name, { row, label, fill, value });
    return row;
  }
}

/** @param {string} words */
function small(words) {
  return Object.assign(document.createElement('small'), { textContent: words });
}
