// What is seen changes many times a second; a screen reader must be able to finish its sentence.
const SPEAK_EVERY = 2000;

/** Gives a screen reader the newest of many texts now and then. */
export class Speech {
  #region;
  #text = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} region a live region */
  constructor(region) {
    this.#region = region;
  }

  /** @param {string} text an empty one takes back what waits and what was said */
  say(text) {
    this.#text = text;
    if (text) {
      this.#timer ??= setTimeout(() => this.#speak(), SPEAK_EVERY);
      return;
    }
    clearTimeout(this.#timer);
    this.#speak();
  }

  #speak() {
    this.#timer = undefined;
    // Setting the same text again would be spoken again.
    if (this.#region.textContent !== this.#text) this.#region.textContent = this.#text;
  }
}
