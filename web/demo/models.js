import { text } from './language.js';

/**
 * A model that the page can show.
 *
 * @typedef {object} Model
 * @property {string} name of the file
 * @property {string} url
 * @property {string} classesUrl
 * @property {'package' | 'workspace' | 'folder'} origin the package, the workspace's K7 run, or `--model-dir`
 * @property {boolean} synthetic whether it was trained on synthetic faces
 */

/** @type {Record<string, 'ownModel' | 'ownSmallModel'>} text by file in the workspace */
const OWN = { 'k7_mnv3s_160.onnx': 'ownModel', 'k7_mnv3s_160_8bit.onnx': 'ownSmallModel' };

/**
 * Returns the text of a model in the list.
 *
 * @param {Model} model
 */
export function describeModel({ name, origin, synthetic }) {
  const texts = text();
  const own = origin === 'workspace' ? OWN[name] : undefined;
  if (origin !== 'package' && !own) return synthetic ? `${name} (${texts.syntheticFaces})` : name;
  return `${texts[own ?? 'packageModel']} (${synthetic ? texts.syntheticFaces : texts.realPhotos})`;
}
