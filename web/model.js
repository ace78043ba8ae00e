import { EmotionError, messageOf } from './errors.js';
import { fieldsOf, invalid } from './protobuf.js';

// As in pyojeong.core.geometry.ASPECTS.
const LEAST_ASPECT = 0.5;
const GREATEST_ASPECT = 2;

/**
 * Facts from the metadata of an exported model.
 *
 * @typedef {object} ModelFacts
 * @property {readonly string[]} classes class names in output order
 * @property {string | null} scheme label scheme, such as `K7`
 * @property {Readonly<Record<string, string>>} faceapi face-api.js's word for each class that has one
 * @property {Readonly<Record<string, string>>} colors color of each class that has one, as `#rrggbb`
 * @property {number} margin added above and below the face box, as a share of the longer side of that box
 * @property {number} offset how far the patch's center lies below the box's, as a share of the same side; negative: above
 * @property {number} aspect width / height of the patch before it is resized to a square; 1 if the metadata has none
 * @property {import('./patch.js').BoxKind} boxKind the kind of box that margin and offset refer to
 * @property {'box' | 'landmarks'} alignedBy by what a face is framed; with `landmarks`, the box's rule serves faces whose
 *   landmarks are not known
 * @property {number} unsureBelow an answer whose highest probability is lower is unsure; 0 if the metadata has none
 * @property {number | null} size side of the network's input in pixels
 * @property {string | null} version of pyojeong that exported the model
 * @property {boolean} synthetic whether it was trained on synthetic faces, so that its answers say nothing about real ones
 */

/**
 * Loads the model and classes.json, and checks that their class names agree.
 *
 * @param {{ modelUrl?: string | URL, classesUrl?: string | URL | undefined, fetch: typeof globalThis.fetch }} options
 * @param {Uint8Array} [packaged] the model's bytes, in place of those at `modelUrl`
 * @returns {Promise<{ bytes: Uint8Array, facts: ModelFacts }>}
 * @throws {EmotionError} `model_not_found`, `model_is_html`, `model_truncated`, `model_invalid`,
 *   `classes_not_found`, `classes_invalid`, `class_mismatch`
 */
export async function loadModel({ modelUrl, classesUrl, fetch }, packaged) {
  const [bytes, listed] = await Promise.all([
    packaged ?? fetchModel(/** @type {string | URL} */ (modelUrl), fetch, 'modelUrl'),
    classesUrl === undefined ? null : fetchClasses(classesUrl, fetch),
  ]);
  const metadata = readMetadata(bytes, 'modelUrl');
  const embedded = classesOf(metadata.classes);
  const classes = embedded ?? listed;
  if (!classes) {
    throw new EmotionError('classes_not_found', 'the model contains no class names; set classesUrl to its classes.json');
  }
  if (embedded && listed && embedded.join('\n') !== listed.join('\n')) {
    throw new EmotionError(
      'class_mismatch',
      `the model has the classes [${embedded.join(', ')}] and classesUrl has [${listed.join(', ')}]; ` +
        'modelUrl and classesUrl must come from the same export (is one of them an old copy in a cache?)',
    );
  }
  return { bytes, facts: factsOf(classes, metadata) };
}

/**
 * @param {readonly string[]} classes
 * @param {Record<string, string | undefined>} metadata
 * @returns {ModelFacts}
 * @throws {EmotionError} `model_invalid`
 */
function factsOf(classes, metadata) {
  const { margin, offset, aspect = '1', box_kind: boxKind, aligned_by: alignedBy = 'box' } = metadata;
  const known = boxKind === 'annotator' || boxKind === 'detector' || boxKind === 'blazeface';
  if (!known || (alignedBy !== 'box' && alignedBy !== 'landmarks') || !Number.isFinite(Number(margin)) || !Number.isFinite(Number(offset))) {
    throw new EmotionError(
      'model_invalid',
      'the model at modelUrl does not define its crop ("margin", "offset", "box_kind" and "aligned_by" in its metadata); ' +
        'export it with this version of "pyojeong export"',
    );
  }
  if (!(Number(aspect) >= LEAST_ASPECT && Number(aspect) <= GREATEST_ASPECT)) {
    throw new EmotionError(
      'model_invalid',
      `the model at modelUrl has the crop aspect ${JSON.stringify(aspect)}, which must be a number from ` +
        `${LEAST_ASPECT} to ${GREATEST_ASPECT}; export it with "pyojeong export"`,
    );
  }
  const { unsure_below: unsureBelow = '0' } = metadata;
  if (!(Number(unsureBelow) >= 0 && Number(unsureBelow) <= 1)) {
    throw new EmotionError(
      'model_invalid',
      `the model at modelUrl has the unsure_below ${JSON.stringify(unsureBelow)}, which must be a probability; export it again`,
    );
  }
  return {
    classes: Object.freeze([...classes]),
    scheme: metadata.scheme ?? null,
    faceapi: wordsByClass(metadata.faceapi),
    colors: wordsByClass(metadata.colors),
    margin: Number(margin),
    offset: Number(offset),
    aspect: Number(aspect),
    boxKind,
    alignedBy,
    unsureBelow: Number(unsureBelow),
    size: metadata.size === undefined ? null : Number(metadata.size),
    version: metadata.version ?? null,
    synthetic: metadata.synthetic === 'true',
  };
}

/**
 * @param {string | URL} url
 * @param {typeof globalThis.fetch} fetch
 * @param {string} option name of the option with the address, for errors
 * @returns {Promise<Uint8Array>}
 * @throws {EmotionError} `model_not_found`, `model_is_html`, `model_truncated`
 */
export async function fetchModel(url, fetch, option) {
  const response = await request(url, fetch, 'model_not_found', option);
  const bytes = new Uint8Array(await received(response.arrayBuffer(), url, 'model_truncated', option));
  const start = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart();
  if (start.startsWith('<')) {
    throw new EmotionError(
      'model_is_html',
      `${option} (${url}) returned an HTML page instead of a model; the server probably has no file there`,
    );
  }
  return bytes;
}

/**
 * @param {string | URL} url
 * @param {typeof globalThis.fetch} fetch
 */
async function fetchClasses(url, fetch) {
  const response = await request(url, fetch, 'classes_not_found', 'classesUrl');
  const text = await received(response.text(), url, 'classes_not_found', 'classesUrl');
  const classes = classesOf(text);
  if (classes) return classes;
  throw new EmotionError(
    'classes_invalid',
    `classesUrl (${url}) must be JSON like {"classes": ["기쁨", …]}, each name once; it starts with ${JSON.stringify(text.slice(0, 40))}`,
  );
}

/**
 * @param {string | URL} url
 * @param {typeof globalThis.fetch} fetch
 * @param {'model_not_found' | 'classes_not_found'} code
 * @param {string} option
 */
async function request(url, fetch, code, option) {
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new EmotionError(code, `${option} (${url}) could not be fetched (${messageOf(error)}); check the address`, error);
  }
  if (!response.ok) throw new EmotionError(code, `${option} (${url}) returned status ${response.status}; correct the address`);
  return response;
}

/**
 * @template T
 * @param {Promise<T>} body
 * @param {string | URL} url
 * @param {'model_truncated' | 'classes_not_found'} code
 * @param {string} option
 * @returns {Promise<T>}
 */
async function received(body, url, code, option) {
  try {
    return await body;
  } catch (error) {
    throw new EmotionError(code, `${option} (${url}) broke off during the download (${messageOf(error)}); try again`, error);
  }
}

/**
 * Parses an object of words by class name; empty if there is none.
 *
 * @param {string | undefined} text
 * @returns {Readonly<Record<string, string>>}
 */
function wordsByClass(text) {
  try {
    const entries = Object.entries(JSON.parse(text ?? '{}') ?? {});
    return Object.freeze(Object.fromEntries(entries.filter(([, word]) => typeof word === 'string')));
  } catch {
    return Object.freeze({});
  }
}

/**
 * Parses class names from a JSON list, or an object with the key `classes`; null if there are none or one occurs twice.
 *
 * @param {string | undefined} text
 * @returns {string[] | null}
 */
function classesOf(text) {
  if (text === undefined) return null;
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const list = Array.isArray(value) ? value : value?.classes;
  const valid = Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string');
  return valid && new Set(list).size === list.length ? list : null;
}

/**
 * Reads the `metadata_props` of an ONNX file, which onnxruntime-web does not expose.
 *
 * An ONNX file is one protobuf message (ModelProto in onnx.proto3); field 14 repeats StringStringEntryProto,
 * whose field 1 is the key and field 2 the value.
 *
 * @param {Uint8Array} bytes
 * @param {string} option name of the option with the address, for errors
 * @returns {Record<string, string | undefined>}
 * @throws {EmotionError} `model_truncated`, `model_invalid`
 */
export function readMetadata(bytes, option) {
  const decoder = new TextDecoder();
  /** @type {Record<string, string | undefined>} */
  const metadata = {};
  let hasGraph = false;
  for (const [field, content] of fieldsOf(bytes, option)) {
    if (field === 7) hasGraph = true;
    if (field !== 14 || typeof content === 'number') continue;
    const entry = new Map(fieldsOf(content, option));
    const [key, value] = [1, 2].map((part) => decoder.decode(/** @type {Uint8Array | undefined} */ (entry.get(part))));
    metadata[/** @type {string} */ (key)] = value;
  }
  if (!hasGraph) throw invalid('it contains no graph', option);
  return metadata;
}
