import { element } from './page.js';
import { report } from './problem.js';

/** @type {readonly { name: string, type: string, button: string }[]} */
const SAMPLES = [
  { name: 'sample.jpg', type: 'image/jpeg', button: 'sample-picture' },
  { name: 'sample.webm', type: 'video/webm', button: 'sample-film' },
];

/**
 * Offers the page's own picture and film. They are loaded at once, so that the page then needs no network.
 *
 * @param {import('./stage.js').Stage} stage
 */
export function offerSamples(stage) {
  for (const { name, type, button } of SAMPLES) {
    const loading = load(name, type);
    loading.catch(() => {});
    element(button).addEventListener('click', () => loading.then((file) => stage.open(file, true)).catch(report));
  }
}

/**
 * @param {string} name
 * @param {string} type
 */
async function load(name, type) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new File([await response.blob()], name, { type });
}
