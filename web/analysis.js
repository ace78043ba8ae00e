import { cutTurned, turnedRegion } from './alignment.js';
import { FaceNet, checkSearch } from './detector.js';
import { EmotionError } from './errors.js';
import { Follower } from './following.js';
import { Head } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { fetchModel } from './model.js';
import { checkNames, checkRuntime, fetchOf } from './options.js';
import { checkKind, cut, listOf, overlapOf, regionOf } from './patch.js';
import { Smoother } from './smoothing.js';
import { PixelReader, isLoading, loaded } from './source.js';

/** @typedef {import('./alignment.js').Landmarks} Landmarks */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./source.js').Source} Source */

/**
 * @typedef {object} FrameOptions
 * @property {BoxKind} [boxKind] of `boxes`, as for `EmotionAPI`
 * @property {number} [time] of the frame in its film in ms, for films that are not shown as they are analyzed; without
 *   `halfLife` it has no effect. Default: the time of the call
 */

/**
 * A face and the probabilities of its expressions.
 *
 * @typedef {object} FaceEmotions
 * @property {number | null} id number of the face, which it keeps from frame to frame, from 1 on; null without `halfLife`
 * @property {Box | null} box in pixels of the source, not clipped to it; null if the whole source was classified
 * @property {number | null} score of the detector (0..1); null for a box passed by the caller
 * @property {Landmarks | null} landmarks in pixels of the source; null for a box passed by the caller whose face the
 *   detector did not find, or whose model does not need landmarks
 * @property {Record<string, number>} emotions probability by class name, in class order, sum 1
 * @property {string} label the most probable class
 * @property {boolean} unsure whether the model's threshold calls that answer unsure; never where the model has none
 */

/**
 * @typedef {object} AnalysisOptions
 * @property {string | URL} [modelUrl] the exported ONNX file; default: the package's own expression model
 * @property {string | URL} [classesUrl] its classes.json; default: the names inside the model
 * @property {string | URL} [detectorUrl] the face detector, a file written by `python -m pyojeong.detection.graph`;
 *   default: the package's own copy
 * @property {number} [halfLife] for a film or a camera: half-life in ms of the weights that average probabilities over
 *   time. Known faces are then followed, and the whole frame is searched for others every 200 ms. Default: each call
 *   stands alone
 */

/** @typedef {AnalysisOptions & import('./detector.js').SearchOptions & import('./options.js').RuntimeOptions} AnalyzerOptions */

/** @typedef {import('./head.js').EmotionInfo & { detectorBytes: number, minFace: number, scoreThreshold: number }} AnalyzerInfo */

/**
 * Milliseconds that each stage of the last frame took.
 *
 * @typedef {{ read: number, detect: number, classify: number }} Timings
 */

/** Detects the faces of a frame and classifies each, on the calling thread. */
export class Analysis {
  /** @type {Timings} */
  timings = { read: 0, detect: 0, classify: 0 };

  #reader = new PixelReader();
  #smoother;
  #follower = new Follower();
  /** @type {Lifecycle<{ head: Head, net: FaceNet }>} */
  #nets;

  /**
   * @param {AnalyzerOptions} options
   * @param {() => Promise<import('./packaged.js').Packaged>} packaged loads the networks whose address is left out
   * @throws {EmotionError} `bad_option`
   */
  constructor(options, packaged) {
    checkAnalyzer(options);
    this.#smoother = options.halfLife ? new Smoother(options.halfLife) : null;
    this.#nets = new Lifecycle('EmotionAnalyzer', async () => load(options, await packaged()), release);
  }

  /**
   * Loads runtime and models and runs both networks once. Further calls do nothing, except that a call after a
   * failure tries again.
   *
   * @returns {Promise<void>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  async init() {
    await this.#nets.start();
  }

  /**
   * Class names in output order; empty before `init()`.
   *
   * @returns {readonly string[]}
   */
  get outputKeys() {
    return this.#nets.loaded?.head.facts.classes ?? [];
  }

  /**
   * Facts about models and runtime.
   *
   * @returns {AnalyzerInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    const { head, net } = this.#nets.ready();
    const { modelBytes: detectorBytes, minFace, scoreThreshold, provider, providerWhy } = net.info();
    // Each network falls back to wasm on its own; the slower provider is reported.
    const slower = provider === 'wasm' ? { provider, providerWhy } : {};
    return { ...head.info(), ...slower, detectorBytes, minFace, scoreThreshold };
  }

  /**
   * @param {Source} source if it is an `<img>`, waits until it has loaded
   * @param {readonly (Box | null)[]} [boxes] faces to classify instead of the detected ones; null means the whole
   *   source as a finished crop
   * @param {FrameOptions} [options]
   * @returns {Promise<FaceEmotions[]>} by descending score, or in the order of `boxes`
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `bad_box`, `bad_option`, `runtime_failed`
   */
  async analyze(source, boxes, options) {
    this.#nets.ready();
    checkFrame(options);
    // Does not wait otherwise, so that the pixels are those at the time of the call.
    if (isLoading(source)) await loaded(source);
    return this.#nets.use(async (nets) => this.#analyze(nets, source, boxes, options ?? {}));
  }

  /** Frees models and canvas once running calls have ended. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#nets.end();
  }

  /**
   * @param {{ head: Head, net: FaceNet }} nets
   * @param {Source} source
   * @param {readonly (Box | null)[] | undefined} boxes
   * @param {FrameOptions} options
   * @returns {Promise<FaceEmotions[]>}
   */
  async #analyze({ head, net }, source, boxes, { boxKind, time = performance.now() }) {
    const ownBoxes = listOf(boxes);
    const start = performance.now();
    const frame = this.#reader.frame(source);
    const read = performance.now();
    const known = await (ownBoxes ? given(ownBoxes, frame, head, net) : this.#find(net, frame, time));
    const detected = performance.now();
    const faces = ownBoxes ? known : known.filter((face) => canShow(frame, face, head));
    /** @type {Float32Array[]} */
    const values = [];
    for (const face of faces) values.push(await head.run(patchOf(frame, face, head, ownBoxes ? boxKind : 'blazeface')));
    this.timings = { read: read - start, detect: detected - read, classify: performance.now() - detected };
    const classified = values.map((value, at) => ({ box: shareOf(frame, faces[at]?.box ?? null), values: value }));
    const tracks = this.#smoother?.next(classified, time) ?? values.map((value) => ({ id: null, values: value }));
    return tracks.map((track, at) => named(/** @type {KnownFace} */ (faces[at]), head, track));
  }

  /**
   * @param {FaceNet} net
   * @param {Frame} frame
   * @param {number} time
   * @returns {Promise<readonly KnownFace[]>}
   */
  #find(net, frame, time) {
    // Only averaging over time says that frames belong to a film.
    return this.#smoother ? this.#follower.find(net, frame, time) : net.find(frame);
  }
}

/** @typedef {{ box: Box | null, score: number | null, landmarks: Landmarks | null }} KnownFace */

/**
 * Returns the faces at the caller's boxes, with landmarks if the model needs them and the detector finds them.
 *
 * @param {readonly (Box | null)[]} boxes
 * @param {Frame} frame
 * @param {Head} head
 * @param {FaceNet} net
 * @returns {Promise<KnownFace[]>}
 */
async function given(boxes, frame, head, net) {
  const faces = [];
  for (const box of boxes) {
    const found = box && head.facts.alignedBy === 'landmarks' ? await net.lookAt(frame, box) : null;
    faces.push({ box, score: null, landmarks: found?.landmarks ?? null });
  }
  return faces;
}

/**
 * @param {Frame} frame
 * @param {KnownFace} face
 * @param {Head} head
 * @param {BoxKind | undefined} boxKind
 * @returns {Frame}
 */
function patchOf(frame, { box, landmarks }, head, boxKind) {
  if (landmarks && head.facts.alignedBy === 'landmarks') return cutTurned(frame, turnedRegion(landmarks));
  return cut(frame, box, head.facts, boxKind);
}

/**
 * Returns whether the crop that a model needs of a face that was found shows any of the frame, as in Python.
 *
 * @param {Frame} frame
 * @param {KnownFace} face
 * @param {Head} head
 */
function canShow(frame, { box, landmarks }, { facts }) {
  if (landmarks && facts.alignedBy === 'landmarks') return true;
  try {
    return Boolean(overlapOf(regionOf(box, facts, 'blazeface', frame), frame));
  } catch (error) {
    if (error instanceof EmotionError && error.code === 'bad_box') return false;
    throw error;
  }
}

/**
 * Returns a box in shares of the frame, in which a face stays where it is when a film changes its size.
 *
 * @param {Frame} frame
 * @param {Box | null} box null is the whole frame
 * @returns {Box}
 */
function shareOf(frame, box) {
  if (!box) return { x: 0, y: 0, width: 1, height: 1 };
  const { x, y, width, height } = box;
  return { x: x / frame.width, y: y / frame.height, width: width / frame.width, height: height / frame.height };
}

/**
 * @param {FrameOptions | null | undefined} options
 * @throws {EmotionError} `bad_option`
 */
function checkFrame(options) {
  checkNames(options);
  checkKind(options?.boxKind);
  const time = options?.time;
  if (time === undefined || Number.isFinite(time)) return;
  throw new EmotionError('bad_option', `time must be a number of milliseconds, not ${JSON.stringify(time)}`);
}

/**
 * @param {AnalyzerOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkAnalyzer(options) {
  checkNames(options);
  checkRuntime(options);
  checkSearch(options);
  for (const name of /** @type {const} */ (['modelUrl', 'classesUrl', 'detectorUrl'])) {
    if (options[name] === undefined || options[name]) continue;
    throw new EmotionError('bad_option', `${name} is empty; pass an address, or leave it out to use the package's own file`);
  }
  const { halfLife } = options;
  if (halfLife !== undefined && !(Number.isFinite(halfLife) && halfLife > 0)) {
    throw new EmotionError('bad_option', `halfLife must be a number of milliseconds above 0, not ${JSON.stringify(halfLife)}`);
  }
}

/**
 * @param {AnalyzerOptions} options
 * @param {import('./packaged.js').Packaged} packaged
 */
async function load(options, { expression, detector }) {
  const found = detector ?? fetchModel(/** @type {string | URL} */ (options.detectorUrl), fetchOf(options), 'detectorUrl');
  const loading = [Head.load(options, expression), FaceNet.load(options, found, 'detectorUrl')];
  const [head, net] = await Promise.allSettled(loading);
  if (head?.status === 'fulfilled' && net?.status === 'fulfilled') {
    return { head: /** @type {Head} */ (head.value), net: /** @type {FaceNet} */ (net.value) };
  }
  // One network is of no use without the other.
  for (const result of [head, net]) if (result?.status === 'fulfilled') await result.value.release();
  throw head?.status === 'rejected' ? head.reason : /** @type {PromiseRejectedResult} */ (net).reason;
}

/** @param {{ head: Head, net: FaceNet }} nets */
async function release({ head, net }) {
  await Promise.all([head.release(), net.release()]);
}

/**
 * @param {KnownFace} face
 * @param {Head} head
 * @param {{ id: number | null, values: Float32Array }} track
 * @returns {FaceEmotions}
 */
function named({ box, score, landmarks }, head, { id, values }) {
  const best = Math.max(...values);
  const label = /** @type {string} */ (head.facts.classes[values.indexOf(best)]);
  return { id, box, score, landmarks, emotions: head.name(values), label, unsure: best < head.facts.unsureBelow };
}
