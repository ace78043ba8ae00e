// In ms: the text changes many times a second, but a screen reader must be able to finish a sentence.
const SPEAK_EVERY = 2000;

/** Passes the newest of many texts to a screen reader at intervals. */
export class Speech {
  #region;
  #text = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} region a live region */
  constructor(region) {
    this.#region = region;
  }

  /** @param {string} text an empty one clears both the waiting and the spoken text */
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
    // The same text, set again, would be spoken again.
    if (this.#region.textContent !== this.#text) this.#region.textContent = this.#text;
  }
}
