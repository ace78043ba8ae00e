import { TEXTS } from './texts.js';
import { wordIn } from './words.js';

/** @typedef {import('./words.js').Language} Language */
/** @typedef {import('./texts.js').Text} Text */
/** @typedef {(text: Text) => string} Telling chooses one of the page's texts */

/** @type {Language} */
let current = initial();
/** @type {(() => void)[]} */
const followers = [];

/** Returns the language of the address (`?lang=en`), otherwise the browser's; English for visitors with neither. */
function initial() {
  const asked = new URLSearchParams(location.search).get('lang') ?? navigator.language;
  return asked.toLowerCase().startsWith('ko') ? 'ko' : 'en';
}

/** Returns the page's texts in the current language. */
export function text() {
  return TEXTS[current];
}

/**
 * Returns the word for a class in the current language.
 *
 * @param {string} name
 */
export function wordOf(name) {
  return wordIn(current, name);
}

/** @param {() => void} call after each change of the language */
export function onLanguage(call) {
  followers.push(call);
}

/** Writes the texts of the page itself: `data-text` names an element's text, `data-label` its label. */
function write() {
  const texts = text();
  document.documentElement.lang = current;
  document.title = texts.title;
  const told = (/** @type {string | undefined} */ key) => String(/** @type {Record<string, unknown>} */ (texts)[key ?? '']);
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-text], [data-label]'))) {
    if (place.dataset.text) place.textContent = told(place.dataset.text);
    if (place.dataset.label) place.setAttribute(place.matches('img') ? 'alt' : 'aria-label', told(place.dataset.label));
  }
  for (const button of buttons()) button.setAttribute('aria-pressed', String(button.value === current));
}

/** @returns {NodeListOf<HTMLButtonElement>} */
function buttons() {
  return document.querySelectorAll('#languages button');
}

for (const button of buttons()) {
  button.addEventListener('click', () => {
    current = /** @type {Language} */ (button.value);
    // The address then opens the page in this language.
    const address = new URL(location.href);
    address.searchParams.set('lang', current);
    history.replaceState(null, '', address);
    write();
    for (const call of followers) call();
  });
}
write();
