/** Replaces face-api.js's expressions with those of our network, without changes to the page's other code. */

import { EmotionError, messageOf } from './errors.js';
import { Lifecycle } from './lifecycle.js';
import { EmotionAPI } from './onnx_emotion_api.js';
import { loaded, sizeOf } from './source.js';

export { EmotionError };

/** @typedef {import('./onnx_emotion_api.js').EmotionOptions} EmotionOptions */
/** @typedef {import('./alignment.js').AlignmentPoints} AlignmentPoints */
/** @typedef {import('./alignment.js').Point} Point */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {Record<string, number> & { asSortedArray(): { expression: string, probability: number }[] }} Expressions */
/** @typedef {{ shape: number[], data(): Promise<ArrayLike<number>> }} TensorLike */
/** @typedef {{ parentTask: PromiseLike<any>, input: unknown, run(): Promise<any> }} Task */
/** @typedef {{ all: any, single: any, base: any }} Prototypes of the tasks of `withFaceExpressions` and of all tasks */

/**
 * The parts of face-api.js that this module uses; `@vladmandic/face-api` and `face-api.js` both have them.
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
 * @property {'face-api' | 'own'} [keys] names of the probabilities: face-api.js's seven words, or the model's classes
 * @property {Record<string, string>} [mapping] from the model's classes to face-api.js's words; default: that of the
 *   model's label scheme, otherwise `MAPPING`
 * @property {boolean} [rejectTasks] whether a page that awaits a failing task of face-api.js gets the error. face-api.js
 *   alone never settles such a task, because its `then` ignores the second argument; true replaces `then` of all tasks
 *   while the adapter is installed. Default false
 */

/** The versions that the tests run with. */
const TESTED = '@vladmandic/face-api 1.7.15 and face-api.js 0.22.2';

/** face-api.js's words, in its order. */
const WORDS = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

/**
 * Maps the seven Korean emotions to face-api.js's seven words. The sets differ: hurt (상처) counts as sad, embarrassed
 * (당황) as surprised, and `disgusted` is always 0, because the Korean classes have no disgust.
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

// Of the 68 landmarks of iBUG 300-W: the person's right eye, left eye, and mouth.
const LANDMARK_COUNT = 68;
const PARTS = /** @type {const} */ ([
  [36, 42],
  [42, 48],
  [48, 68],
]);

/** @type {WeakMap<object, () => Promise<void>>} */
const installed = new WeakMap();

/**
 * Makes `withFaceExpressions()`, `recognizeFaceExpressions` and the drawing helpers of face-api.js use our network.
 * Installing again replaces the previous adapter. A call uses the adapter that is installed when its faces have been
 * detected.
 *
 * @param {FaceApiModule} faceapi the module `@vladmandic/face-api`, or `face-api.js` 0.22.2
 * @param {EmotionOptions & InstallOptions} options
 * @returns {Promise<EmotionAPI>} the classifier in use
 * @throws {EmotionError} `bad_option`, `faceapi_unsupported`, and the errors of `EmotionAPI.init`
 */
export async function install(faceapi, options) {
  checkModule(faceapi);
  const prototypes = prototypesOf(faceapi);
  const api = new EmotionAPI(options);
  await api.init();
  const adapter = new Lifecycle('adapter', async () => api, async () => api.dispose());
  try {
    const words = wordsOf(api.outputKeys, { ...options, mapping: options.mapping ?? { ...MAPPING, ...api.info().faceapi } });
    await adapter.start();
    // Both without an await in between, or another call could get there first.
    const ending = uninstall(faceapi);
    const names = options.keys === 'own' ? words : WORDS;
    replace(faceapi, prototypes, adapter, { names, words, rejects: options.rejectTasks ?? false });
    await ending;
  } catch (error) {
    await api.dispose();
    throw error;
  }
  return api;
}

/**
 * Restores face-api.js's own expressions, also for calls whose faces have not been detected yet. Frees our network once
 * running classifications have ended. Does nothing if nothing is installed.
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
 * Returns the word for each class of the model.
 *
 * @param {readonly string[]} classes
 * @param {InstallOptions} options
 * @returns {string[]}
 */
function wordsOf(classes, { keys = 'face-api', mapping = {} }) {
  if (keys === 'own') return [...classes];
  if (keys !== 'face-api') {
    throw new EmotionError('bad_option', `keys must be "face-api" or "own", not ${JSON.stringify(keys)}`);
  }
  return classes.map((name) => {
    // A model with face-api.js's own classes needs no mapping.
    const word = mapping[name] ?? name;
    if (WORDS.includes(word)) return word;
    throw new EmotionError(
      'bad_option',
      `mapping must map ${JSON.stringify(name)} to one of ${WORDS.join(', ')}, not to ${JSON.stringify(word)}`,
    );
  });
}

/**
 * @param {FaceApiModule} faceapi
 * @param {Prototypes} prototypes
 * @param {Lifecycle<EmotionAPI>} adapter
 * @param {{ names: readonly string[], words: readonly string[], rejects: boolean }} choices `names` are those of the
 *   probabilities, `words` the name that each class of the model counts towards
 */
function replace(faceapi, { all, single, base }, adapter, { names, words, rejects }) {
  const { faceExpressionNet } = faceapi.nets;
  const originals = { all: all.run, single: single.run, then: base.then };
  const classify = makeClassify(faceapi, names, words);
  const classifyAll = async (/** @type {EmotionAPI} */ api, /** @type {any[]} */ faces, /** @type {any} */ source) => {
    const results = [];
    for (const face of faces) {
      const size = sizeOf(source);
      const known = { box: boxOf(face, size), landmarks: landmarksOf(face, size) };
      results.push(faceapi.extendWithFaceExpressions(face, await classify(api, source, known)));
    }
    return results;
  };

  // Waits for faces and pixels outside of `adapter.use`: they may never come, and `end` would wait forever.
  /** @this {Task} */
  all.run = async function () {
    const faces = await this.parentTask;
    const source = faces.length ? await sourceOf(this.input) : null;
    if (!adapter.loaded) return rerun(this, faces);
    return adapter.use((api) => classifyAll(api, faces, source));
  };
  /** @this {Task} */
  single.run = async function () {
    const face = await this.parentTask;
    const source = face ? await sourceOf(this.input) : null;
    if (!adapter.loaded) return rerun(this, face);
    const [result] = await adapter.use((api) => classifyAll(api, face ? [face] : [], source));
    return result;
  };
  if (rejects) {
    base.then = function (/** @type {any} */ fulfilled, /** @type {any} */ rejected) {
      return this.run().then(fulfilled, rejected);
    };
  }
  faceExpressionNet.predictExpressions = async (/** @type {unknown} */ input) => {
    const batch = batchOf(input);
    const sources = await Promise.all((batch ?? [input]).map(sourceOf));
    if (!adapter.loaded) return faceExpressionNet.predictExpressions(input);
    const results = await adapter.use((api) => Promise.all(sources.map((source) => classify(api, source))));
    return batch ? results : results[0];
  };
  installed.set(faceapi.nets, async () => {
    all.run = originals.all;
    single.run = originals.single;
    base.then = originals.then;
    // The property set above hides the method of the class.
    delete faceExpressionNet.predictExpressions;
    await adapter.end();
  });
}

/**
 * Returns the classes that are changed, which neither package exports, after checking that they are as in the versions
 * that were tested.
 *
 * @param {FaceApiModule} faceapi
 * @returns {Prototypes}
 * @throws {EmotionError} `faceapi_unsupported`
 */
function prototypesOf(faceapi) {
  try {
    const [all, single] = [faceapi.detectAllFaces, faceapi.detectSingleFace].map(prototypeAfter);
    const base = ownerOf(all, 'then');
    if (!base || base !== ownerOf(single, 'then')) throw new Error('its tasks have no common "then"');
    return { all, single, base };
  } catch (error) {
    throw new EmotionError(
      'faceapi_unsupported',
      `this version of face-api.js is built differently (${messageOf(error)}); the adapter was tested with ${TESTED}`,
      error,
    );
  }
}

/**
 * Returns the prototype of the task that `withFaceExpressions` creates; with landmarks the task is of a subclass, which
 * inherits `run`.
 *
 * @param {(input: any) => any} detect
 */
function prototypeAfter(detect) {
  // `withFaceExpressions` starts the detection, so it is called on an object without one.
  const idle = { input: null, runAndExtendWithFaceDetections: async () => [], runAndExtendWithFaceDetection: async () => {} };
  const { withFaceExpressions } = Object.getPrototypeOf(detect(null));
  const task = withFaceExpressions.call(idle);
  const missing = ['parentTask', 'input'].find((field) => !(field in task));
  if (missing) throw new Error(`its tasks have no "${missing}"`);
  const prototype = Object.getPrototypeOf(task);
  if (!Object.hasOwn(prototype, 'run')) throw new Error('its tasks have no "run" of their own');
  return prototype;
}

/**
 * Returns the prototype in the chain that has a method of its own; null if none has it.
 *
 * @param {any} prototype
 * @param {string} method
 * @returns {any}
 */
function ownerOf(prototype, method) {
  if (!prototype || Object.hasOwn(prototype, method)) return prototype;
  return ownerOf(Object.getPrototypeOf(prototype), method);
}

/**
 * Runs a task again after its faces were detected, with the adapter that is installed now or with face-api.js itself.
 *
 * @param {Task} task
 * @param {unknown} faces
 */
function rerun(task, faces) {
  return Object.create(task, { parentTask: { value: faces } }).run();
}

/**
 * @param {any} face a result of face-api.js
 * @param {{ width: number, height: number }} size of the source now: a phone may have been rotated meanwhile
 * @returns {Box}
 */
function boxOf(face, size) {
  const detection = face.detection ?? face;
  const { imageDims } = detection;
  const resized = imageDims.width !== size.width || imageDims.height !== size.height;
  // forSize rounds, so it is called only if needed.
  const { x, y, width, height } = (resized ? detection.forSize(size.width, size.height) : detection).box;
  return { x, y, width, height };
}

/**
 * Returns eyes and mouth of a result of `withFaceLandmarks()`; undefined where the page asked for none.
 *
 * @param {any} face
 * @param {{ width: number, height: number }} size
 * @returns {AlignmentPoints | undefined}
 */
function landmarksOf({ landmarks, detection }, size) {
  if (landmarks?.positions?.length !== LANDMARK_COUNT) return undefined;
  // Positions refer to the picture that was searched; the landmarks' own size is that of the face's box.
  const { width, height } = detection.imageDims;
  const [rightEye, leftEye, mouth] = /** @type {[Point, Point, Point]} */ (
    PARTS.map(([from, to]) => {
      const { x, y } = middle(landmarks.positions.slice(from, to));
      return { x: (x * size.width) / width, y: (y * size.height) / height };
    })
  );
  return { rightEye, leftEye, mouth };
}

/**
 * @param {Point[]} points
 * @returns {Point}
 */
function middle(points) {
  const sum = points.reduce((total, { x, y }) => ({ x: total.x + x, y: total.y + y }), { x: 0, y: 0 });
  return { x: sum.x / points.length, y: sum.y / points.length };
}

/**
 * @param {FaceApiModule} faceapi
 * @param {readonly string[]} names
 * @param {readonly string[]} words
 * @returns {(api: EmotionAPI, source: Source, known?: { box: Box, landmarks: AlignmentPoints | undefined }) => Promise<Expressions>}
 */
function makeClassify({ FaceExpressions }, names, words) {
  return async (api, source, known) => {
    const options = /** @type {const} */ ({ boxKind: 'detector', ...(known?.landmarks && { landmarks: known.landmarks }) });
    const probabilities = Object.values(await api.predictFromImage(source, known?.box, options));
    const sums = names.map((name) => probabilities.reduce((sum, value, at) => sum + (words[at] === name ? value : 0), 0));
    // face-api.js recognizes its results by their class and draws the values of asSortedArray.
    const expressions = Object.create(FaceExpressions.prototype);
    names.forEach((name, at) => (expressions[name] = sums[at]));
    // Sorts the current values, as face-api.js does, because the page may have changed them.
    Object.defineProperty(expressions, 'asSortedArray', { value: () => sorted(names, expressions) });
    return expressions;
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
 * Returns the inputs for which face-api.js returns a list: those of a list or of a batch NetInput; otherwise null.
 *
 * @param {any} input
 * @returns {unknown[] | null}
 */
function batchOf(input) {
  if (Array.isArray(input)) return input;
  return input?.isBatchInput ? Array.from({ length: input.batchSize }, (_, at) => input.getInput(at)) : null;
}

/**
 * Waits for the pixels of an input of face-api.js: an element, its id, a tensor, or one of these in a NetInput.
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
