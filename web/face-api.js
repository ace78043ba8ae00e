/** Gives a page that uses face-api.js our expressions, with one call and no other change. */

import { EmotionError } from './errors.js';
import { Lifecycle } from './lifecycle.js';
import { EmotionAPI } from './onnx_emotion_api.js';
import { loaded, sizeOf } from './source.js';

export { EmotionError };

/** @typedef {import('./onnx_emotion_api.js').EmotionOptions} EmotionOptions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {Record<string, number> & { asSortedArray(): { expression: string, probability: number }[] }} Expressions */
/** @typedef {{ shape: number[], data(): Promise<ArrayLike<number>> }} TensorLike */
/** @typedef {{ parentTask: PromiseLike<any>, input: unknown, run(): Promise<any> }} Task */

/**
 * The parts of face-api.js that are used here; both `@vladmandic/face-api` and `face-api.js` have them.
 *
 * @typedef {object} FaceApiModule
 * @property {(input: any) => { withFaceExpressions(): any }} detectAllFaces
 * @property {(input: any) => { withFaceExpressions(): any }} detectSingleFace
 * @property {(result: any, expressions: any) => any} extendWithFaceExpressions
 * @property {any} FaceExpressions
 * @property {any} nets
 */

/**
 * @typedef {object} InstallOptions
 * @property {'face-api' | 'own'} [keys] names of the probabilities: face-api.js's seven, or the model's own (Korean)
 * @property {Record<string, string>} [mapping] class of the model -> face-api.js's word; `MAPPING` when omitted
 */

/** face-api.js's own words, in its order. */
const WORDS = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

/**
 * Where the seven Korean emotions go among face-api.js's seven words. The two sets do not coincide: hurt (상처) is
 * counted as sad, embarrassed (당황) as surprised, and nothing leads to `disgusted`, which is always 0, because the
 * model knows no disgust.
 *
 * @type {Readonly<Record<string, string>>}
 */
export const MAPPING = Object.freeze({
  기쁨: 'happy',
  당황: 'surprised',
  분노: 'angry',
  불안: 'fearful',
  상처: 'sad',
  슬픔: 'sad',
  중립: 'neutral',
});

/** @type {WeakMap<object, () => Promise<void>>} */
const installed = new WeakMap();

/**
 * Makes `withFaceExpressions()`, `recognizeFaceExpressions` and the drawing helpers of a face-api.js answer with
 * our network. Installing again replaces what was installed before. A call is answered by what is installed when its
 * faces are found.
 *
 * @param {FaceApiModule} faceapi the module `@vladmandic/face-api`, or `face-api.js` 0.22.2
 * @param {EmotionOptions & InstallOptions} options
 * @returns {Promise<EmotionAPI>} what answers
 * @throws {EmotionError} `bad_option`, and those of `EmotionAPI.init`
 */
export async function install(faceapi, options) {
  checkModule(faceapi);
  const api = new EmotionAPI(options);
  await api.init();
  const answering = new Lifecycle('adapter', async () => api, async () => api.dispose());
  try {
    const words = wordsOf(api.outputKeys, options);
    await answering.start();
    // Without a pause between the two, or another call might come between.
    const ending = uninstall(faceapi);
    replace(faceapi, answering, options.keys === 'own' ? words : WORDS, words);
    await ending;
  } catch (error) {
    await api.dispose();
    throw error;
  }
  return api;
}

/**
 * Gives face-api.js its own expressions back, also to calls whose faces are not found yet, and frees ours when the others
 * are answered. Does nothing where nothing is installed.
 *
 * @param {FaceApiModule} faceapi
 */
export async function uninstall(faceapi) {
  const undo = installed.get(faceapi.nets);
  installed.delete(faceapi.nets);
  await undo?.();
}

/** @param {FaceApiModule} faceapi */
function checkModule(faceapi) {
  const parts = /** @type {const} */ (['detectAllFaces', 'detectSingleFace', 'extendWithFaceExpressions', 'FaceExpressions']);
  if (faceapi?.nets?.faceExpressionNet && parts.every((part) => typeof faceapi[part] === 'function')) return;
  throw new EmotionError('bad_option', 'the first argument must be the module face-api.js or @vladmandic/face-api');
}

/**
 * The word for each class of the model.
 *
 * @param {readonly string[]} classes
 * @param {InstallOptions} options
 * @returns {string[]}
 */
function wordsOf(classes, { keys = 'face-api', mapping = MAPPING }) {
  if (keys === 'own') return [...classes];
  if (keys !== 'face-api') {
    throw new EmotionError('bad_option', `keys must be "face-api" or "own", not ${JSON.stringify(keys)}`);
  }
  return classes.map((name) => {
    // A model whose classes are face-api.js's own needs no mapping.
    const word = mapping[name] ?? name;
    if (WORDS.includes(word)) return word;
    throw new EmotionError(
      'bad_option',
      `mapping must lead from ${JSON.stringify(name)} to one of ${WORDS.join(', ')}, not to ${JSON.stringify(word)}`,
    );
  });
}

/**
 * @param {FaceApiModule} faceapi
 * @param {Lifecycle<EmotionAPI>} answering
 * @param {readonly string[]} names of the probabilities
 * @param {readonly string[]} words the name that each class of the model counts for
 */
function replace(faceapi, answering, names, words) {
  const { faceExpressionNet } = faceapi.nets;
  const all = taskAfter(faceapi.detectAllFaces);
  const single = taskAfter(faceapi.detectSingleFace);
  const every = ownerOf(all, 'then');
  const own = { all: all.run, single: single.run, then: every.then };
  const seen = makeAnswer(faceapi, names, words);
  const seenAll = async (/** @type {EmotionAPI} */ api, /** @type {any[]} */ faces, /** @type {any} */ source) => {
    const answers = [];
    for (const face of faces) {
      const box = boxOf(face, sizeOf(source));
      answers.push(faceapi.extendWithFaceExpressions(face, await seen(api, source, box)));
    }
    return answers;
  };

  // Faces and pixels are waited for outside of the adapter's use: they may never come, and it could never end.
  /** @this {Task} */
  all.run = async function () {
    const faces = await this.parentTask;
    const source = faces.length ? await sourceOf(this.input) : null;
    if (!answering.loaded) return handedOver(this, faces);
    return answering.use((api) => seenAll(api, faces, source));
  };
  /** @this {Task} */
  single.run = async function () {
    const face = await this.parentTask;
    const source = face ? await sourceOf(this.input) : null;
    if (!answering.loaded) return handedOver(this, face);
    const [answer] = await answering.use((api) => seenAll(api, face ? [face] : [], source));
    return answer;
  };
  // face-api.js's own does without the second argument, and a page that awaits a failure would wait for ever.
  every.then = function (/** @type {any} */ fulfilled, /** @type {any} */ rejected) {
    return this.run().then(fulfilled, rejected);
  };
  faceExpressionNet.predictExpressions = async (/** @type {unknown} */ input) => {
    const batch = batchOf(input);
    const sources = await Promise.all((batch ?? [input]).map(sourceOf));
    if (!answering.loaded) return faceExpressionNet.predictExpressions(input);
    const answers = await answering.use((api) => Promise.all(sources.map((source) => seen(api, source))));
    return batch ? answers : answers[0];
  };
  installed.set(faceapi.nets, async () => {
    all.run = own.all;
    single.run = own.single;
    every.then = own.then;
    // What was set hides the method of the class.
    delete faceExpressionNet.predictExpressions;
    await answering.end();
  });
}

/**
 * The class, exported by neither package, of the task that `withFaceExpressions` makes; with landmarks it is a
 * subclass, which inherits `run`.
 *
 * @param {(input: any) => any} detect
 */
function taskAfter(detect) {
  // A detection starts when its expressions are asked for, so they are asked of one that has nothing to run.
  const idle = { input: null, runAndExtendWithFaceDetections: async () => [], runAndExtendWithFaceDetection: async () => {} };
  const { withFaceExpressions } = Object.getPrototypeOf(detect(null));
  return Object.getPrototypeOf(withFaceExpressions.call(idle));
}

/**
 * The class in whose prototype a method is found.
 *
 * @param {any} prototype
 * @param {string} method
 * @returns {any}
 */
function ownerOf(prototype, method) {
  return Object.hasOwn(prototype, method) ? prototype : ownerOf(Object.getPrototypeOf(prototype), method);
}

/**
 * The answer of what is installed now, or of face-api.js itself, to a call whose faces are found.
 *
 * @param {Task} task
 * @param {unknown} found
 */
function handedOver(task, found) {
  return Object.create(task, { parentTask: { value: found } }).run();
}

/**
 * @param {any} face a result of face-api.js
 * @param {{ width: number, height: number }} size of the source now: a phone may have been turned since
 * @returns {Box}
 */
function boxOf(face, size) {
  const found = face.detection ?? face;
  const { width: wide, height: high } = found.imageDims;
  // Only then, because it rounds.
  const moved = wide !== size.width || high !== size.height;
  const { x, y, width, height } = (moved ? found.forSize(size.width, size.height) : found).box;
  return { x, y, width, height };
}

/**
 * @param {FaceApiModule} faceapi
 * @param {readonly string[]} names
 * @param {readonly string[]} words
 * @returns {(api: EmotionAPI, source: Source, box?: Box) => Promise<Expressions>}
 */
function makeAnswer({ FaceExpressions }, names, words) {
  return async (api, source, box) => {
    const given = Object.values(await api.predictFromImage(source, box, { boxKind: 'detector' }));
    const sums = names.map((name) => given.reduce((sum, value, at) => sum + (words[at] === name ? value : 0), 0));
    // face-api.js knows its results by their class, and draws what asSortedArray gives.
    const answer = Object.create(FaceExpressions.prototype);
    names.forEach((name, at) => (answer[name] = sums[at]));
    // What a page has made of the values counts, as there.
    Object.defineProperty(answer, 'asSortedArray', { value: () => sorted(names, answer) });
    return answer;
  };
}

/**
 * @param {readonly string[]} names
 * @param {Record<string, number>} values
 */
function sorted(names, values) {
  return names
    .map((expression) => ({ expression, probability: /** @type {number} */ (values[expression]) }))
    .sort((a, b) => b.probability - a.probability);
}

/**
 * What face-api.js answers with a list: a list, and a NetInput of several or one that is meant as a batch.
 *
 * @param {any} input
 * @returns {unknown[] | null}
 */
function batchOf(input) {
  if (Array.isArray(input)) return input;
  return input?.isBatchInput ? Array.from({ length: input.batchSize }, (_, at) => input.getInput(at)) : null;
}

/**
 * The pixels of whatever face-api.js takes as input, when they are there: an element, its id, a tensor, or one of these
 * in a NetInput.
 *
 * @param {any} input
 * @returns {Promise<Source>}
 */
async function sourceOf(input) {
  if (typeof input === 'string') return sourceOf(document.getElementById(input));
  if (Array.isArray(input) && input.length === 1) return sourceOf(input[0]);
  if (typeof input?.getInput === 'function') return sourceOf(input.getInput(0));
  if (Array.isArray(input?.shape)) return imageOf(input);
  await loaded(input);
  return input;
}

/**
 * @param {TensorLike} tensor RGB levels 0..255, [height, width, 3] or [1, height, width, 3]
 * @returns {Promise<ImageData>}
 */
async function imageOf(tensor) {
  const [height, width, channels] = tensor.shape.slice(-3);
  if (!height || !width || channels !== 3 || tensor.shape.length > 3 + Number(tensor.shape[0] === 1)) {
    throw new EmotionError('bad_source', `a tensor must be [height, width, 3], not [${tensor.shape.join(', ')}]`);
  }
  const levels = await tensor.data();
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[at * 4 + channel] = /** @type {number} */ (levels[at * 3 + channel]);
    image.data[at * 4 + 3] = 255;
  }
  return image;
}
