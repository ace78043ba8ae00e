import { onLanguage, text } from './language.js';
import { element } from './page.js';

/** An error of the page itself, which it tells in the visitor's language. */
export class Problem extends Error {
  /** @param {import('./language.js').Telling} tell */
  constructor(tell) {
    super(tell(text()));
    this.tell = tell;
  }
}

/** @type {unknown} */
let shown = null;

/**
 * Shows on the page what to do about an error.
 *
 * @param {unknown} error null removes the message
 */
export function report(error) {
  shown = error;
  write();
  if (error) console.error(error);
}

function write() {
  const place = element('problem');
  place.hidden = !shown;
  place.textContent = shown ? wordsOf(shown) : '';
}

/** @param {unknown} error */
function wordsOf(error) {
  if (error instanceof Problem) return error.tell(text());
  const { code, name, message } = /** @type {{ code?: string, name?: string, message?: string }} */ (error);
  const { remedies } = text();
  return remedies[code ?? ''] ?? remedies[name ?? ''] ?? message ?? String(error);
}

onLanguage(write);
