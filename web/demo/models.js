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

/** @type {Record<string, [string, string]>} Korean and English name by origin, or by file in the workspace */
const NAMES = {
  package: ['기본 모델', 'package'],
  'k7_mnv3s_160.onnx': ['내 모델', 'yours'],
  'k7_mnv3s_160_8bit.onnx': ['내 8비트 모델', 'yours, 8-bit'],
};

/**
 * The text of a model in the list, in Korean and English. The Korean part comes first because small screens cut off
 * the rest.
 *
 * @param {Model} model
 */
export function describeModel({ name, origin, synthetic }) {
  const names = origin === 'folder' ? undefined : (NAMES[origin] ?? NAMES[name]);
  if (!names) return synthetic ? `${name} (합성 얼굴 · synthetic faces)` : name;
  const [korean, english] = names;
  return synthetic
    ? `${korean} (합성 얼굴) · ${english}, synthetic faces`
    : `${korean} (실제 사진) · ${english}, real photos`;
}
