import { onLanguage, text, wordOf } from './language.js';
import { element } from './page.js';

/** @typedef {import('./readings.js').Reading} Reading */

/**
 * An answer that the visitor may judge.
 *
 * @typedef {object} Answer
 * @property {Reading} reading
 * @property {string} label
 * @property {boolean} unsure
 * @property {string | null | undefined} rival face-api.js's word, null if it found no face, undefined if it was not asked
 */

/** @typedef {{ right: number, all: number, unsure: number }} Score */

/**
 * Counts who was right. An unsure answer and a missed face are not right; face-api.js is not judged where it was not asked
 * or has no word for the right class.
 *
 * @param {readonly { answer: Answer, truth: string }[]} verdicts
 * @param {Readonly<Record<string, string>>} faceapi face-api.js's word by class
 * @returns {{ ours: Score, rival: Score }}
 */
export function scoresOf(verdicts, faceapi) {
  const ours = { right: 0, all: 0, unsure: 0 };
  const rival = { right: 0, all: 0, unsure: 0 };
  for (const { answer, truth } of verdicts) {
    ours.all += 1;
    if (answer.unsure) ours.unsure += 1;
    else if (answer.label === truth) ours.right += 1;
    const word = faceapi[truth];
    if (answer.rival === undefined || word === undefined) continue;
    rival.all += 1;
    if (answer.rival === word) rival.right += 1;
  }
  return { ours, rival };
}

/** Lets the visitor say what the right word is, and counts who was right. */
export class Verdicts {
  /** @type {{ answer: Answer, truth: string }[]} */
  #given = [];
  /** @type {Answer | null} */
  #answer = null;
  /** @type {Readonly<Record<string, string>>} */
  #faceapi = {};
  #choices = element('truths');
  #corrections = element('corrections');

  constructor() {
    element('undo').addEventListener('click', () => this.#take(this.#given.slice(0, -1)));
    element('reset').addEventListener('click', () => this.#take([]));
    onLanguage(() => this.#write());
  }

  /**
   * Starts again with the classes of a model.
   *
   * @param {readonly string[]} classes
   * @param {Readonly<Record<string, string>>} faceapi face-api.js's word by class
   */
  start(classes, faceapi) {
    this.#faceapi = faceapi;
    this.#choices.replaceChildren(...classes.map((name) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', className: 'button small', value: name });
      button.addEventListener('click', () => this.#judge(name));
      return button;
    }));
    this.#answer = null;
    this.#take([]);
  }

  /** @param {Answer | null} answer that is shown now; null if there is none */
  set answer(answer) {
    this.#answer = answer;
    this.#write();
  }

  /** @param {string} truth */
  #judge(truth) {
    const answer = this.#answer;
    if (!answer) return;
    // Another word for the same picture or frame corrects the first one.
    const { shown, time } = answer.reading;
    const others = this.#given.filter(({ answer: { reading } }) => reading.shown !== shown || reading.time !== time);
    this.#take([...others, { answer, truth }]);
  }

  /** @param {{ answer: Answer, truth: string }[]} given */
  #take(given) {
    // A hidden button loses the keyboard focus.
    if (!given.length && this.#corrections.contains(document.activeElement)) this.#choices.querySelector('button')?.focus();
    this.#given = given;
    this.#write();
  }

  #write() {
    for (const choice of this.#choices.querySelectorAll('button')) {
      choice.disabled = !this.#answer;
      const word = wordOf(choice.value);
      if (choice.textContent !== word) choice.textContent = word;
      choice.setAttribute('aria-pressed', String(this.#judged() === choice.value));
    }
    this.#corrections.hidden = !this.#given.length;
    const { ours, rival } = scoresOf(this.#given, this.#faceapi);
    const told = ours.all ? [text().score('pyojeong', ours.right, ours.all, ours.unsure)] : [];
    if (rival.all) told.push(text().score('face-api.js', rival.right, rival.all, 0));
    const words = told.join(' · ');
    const place = element('score');
    // The same text, set again, would be spoken again.
    if (place.textContent !== words) place.textContent = words;
  }

  /** Returns what the visitor said of the picture or frame that is shown. */
  #judged() {
    const reading = this.#answer?.reading;
    const same = this.#given.find(({ answer }) => answer.reading.shown === reading?.shown && answer.reading.time === reading?.time);
    return same?.truth;
  }
}

/** Counts on how many frames face-api.js gives the same word. */
export class Agreement {
  #counts = { same: 0, both: 0, missed: 0 };
  /** @type {{ answer: Answer, step: { same: number, both: number, missed: number } } | null} */
  #last = null;

  /**
   * @param {Answer} answer
   * @param {Readonly<Record<string, string>>} faceapi face-api.js's word by class
   */
  count(answer, faceapi) {
    const word = faceapi[answer.label];
    if (answer.rival === undefined || word === undefined) return;
    const found = answer.rival !== null;
    const step = { same: Number(answer.rival === word), both: Number(found), missed: Number(!found) };
    const before = this.#last?.answer.reading;
    // A further reading of the same picture or frame replaces the one before.
    if (before?.shown === answer.reading.shown && before.time === answer.reading.time && this.#last) this.#add(this.#last.step, -1);
    this.#add(step, 1);
    this.#last = { answer, step };
  }

  /** Returns the text for the page; empty if nothing was compared. */
  words() {
    const { same, both, missed } = this.#counts;
    return both + missed ? text().agreement(same, both, missed) : '';
  }

  /**
   * @param {{ same: number, both: number, missed: number }} step
   * @param {1 | -1} sign
   */
  #add(step, sign) {
    for (const key of /** @type {const} */ (['same', 'both', 'missed'])) this.#counts[key] += sign * step[key];
  }
}
