import { EmotionError } from './errors.js';
import { FaceNet, checkSearch } from './detector.js';
import { Head, checkModelUrl } from './head.js';
import { Lifecycle } from './lifecycle.js';
import { cut, hasPatch, listOf } from './patch.js';
import { checkProvider } from './runtime.js';
import { Smoother } from './smoothing.js';
import { PixelReader, loaded } from './source.js';

/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').BoxKind} BoxKind */
/** @typedef {import('./source.js').Source} Source */
/** @typedef {import('./onnx_emotion_api.js').PredictOptions} PredictOptions */

/**
 * A face and what it expresses.
 *
 * @typedef {object} FaceEmotions
 * @property {Box | null} box in pixels of the source, not clipped to it; null where the whole source was given as face
 * @property {number | null} score of the detector; null for a box that was given
 * @property {Record<string, number>} emotions probability by class name, in class order, sum 1
 * @property {string} label the most probable class
 */

/**
 * @typedef {object} AnalysisOptions
 * @property {string | URL} detectorUrl the face detector, as `python -m pyojeong.faceapi.nets` writes it
 * @property {number} [halfLife] of the weights when probabilities are averaged over time, in ms; no averaging when
 *   omitted
 */

/** @typedef {AnalysisOptions & import('./head.js').HeadOptions & import('./detector.js').SearchOptions & import('./runtime.js').RuntimeOptions} AnalyzerOptions */

/** @typedef {import('./head.js').EmotionInfo & { detectorBytes: number, inputSize: number, scoreThreshold: number }} AnalyzerInfo */

/**
 * Milliseconds of the last frame by stage.
 *
 * @typedef {{ read: number, detect: number, classify: number }} Timings
 */

/** Finds the faces of a frame and classifies each: the whole way, on the thread that calls. */
export class Analysis {
  /** @type {Timings} */
  timings = { read: 0, detect: 0, classify: 0 };

  #reader = new PixelReader();
  #smoother;
  /** @type {Lifecycle<{ head: Head, net: FaceNet }>} */
  #nets;

  /**
   * @param {AnalyzerOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    checkAnalyzer(options);
    this.#smoother = options.halfLife ? new Smoother(options.halfLife) : null;
    this.#nets = new Lifecycle('EmotionAnalyzer', () => load(options), release);
  }

  /**
   * Loads runtime and models and runs both networks once. Calling it again does nothing; after a failure it tries
   * again.
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
   * What runs, and how.
   *
   * @returns {AnalyzerInfo}
   * @throws {EmotionError} `not_initialized`, `disposed`
   */
  info() {
    const { head, net } = this.#nets.ready();
    const { modelBytes: detectorBytes, inputSize, scoreThreshold, provider, providerWhy } = net.info();
    // Each network falls back to wasm by itself; what is told is the slower of the two.
    const slower = provider === 'wasm' ? { provider, providerWhy } : {};
    return { ...head.info(), ...slower, detectorBytes, inputSize, scoreThreshold };
  }

  /**
   * @param {Source} source an `<img>` is waited for
   * @param {readonly (Box | null)[]} [boxes] faces to classify instead of those that the detector finds; null is the
   *   whole source as a finished crop
   * @param {PredictOptions} [options] of the given boxes
   * @returns {Promise<FaceEmotions[]>} best score first, or in the order of `boxes`
   * @throws {EmotionError} `not_initialized`, `disposed`, `bad_source`, `source_not_ready`, `empty_source`,
   *   `tainted_source`, `bad_box`, `bad_option`, `runtime_failed`
   */
  async analyze(source, boxes, options) {
    this.#nets.ready();
    await loaded(source);
    return this.analyzeAt(performance.now(), source, boxes, options);
  }

  /**
   * @param {number} time of the frame in ms, for the averages
   * @param {Source} source
   * @param {readonly (Box | null)[]} [boxes]
   * @param {PredictOptions} [options]
   * @returns {Promise<FaceEmotions[]>}
   */
  async analyzeAt(time, source, boxes, options) {
    return this.#nets.use(async (nets) => this.#analyze(nets, time, source, boxes, options));
  }

  /** Frees models and canvas when all frames are done. The object cannot be used afterwards. */
  async dispose() {
    this.#reader.dispose();
    await this.#nets.end();
  }

  /**
   * @param {{ head: Head, net: FaceNet }} nets
   * @param {number} time
   * @param {Source} source
   * @param {readonly (Box | null)[]} [boxes]
   * @param {PredictOptions} [options]
   * @returns {Promise<FaceEmotions[]>}
   */
  async #analyze({ head, net }, time, source, boxes, options) {
    const given = listOf(boxes);
    const start = performance.now();
    const frame = this.#reader.frame(source);
    const read = performance.now();
    const boxKind = given ? options?.boxKind : 'detector';
    const faces = given
      ? given.map((box) => ({ box, score: null }))
      : (await net.find(frame)).filter(({ box }) => hasPatch(frame, box, head.facts, 'detector'));
    const detected = performance.now();
    /** @type {Float32Array[]} */
    const values = [];
    for (const { box } of faces) {
      values.push(await head.run(cut(frame, box, head.facts, boxKind)));
    }
    this.timings = { read: read - start, detect: detected - read, classify: performance.now() - detected };
    const whole = { x: 0, y: 0, width: frame.width, height: frame.height };
    const answers = values.map((value, at) => ({ box: faces[at]?.box ?? whole, values: value }));
    const smooth = this.#smoother?.next(answers, time) ?? values;
    return faces.map((face, at) => named(face, head, /** @type {Float32Array} */ (smooth[at])));
  }
}

/**
 * @param {AnalyzerOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkAnalyzer(options) {
  checkModelUrl(options);
  checkProvider(options);
  checkSearch(options);
  if (!options.detectorUrl) {
    throw new EmotionError(
      'bad_option',
      'give detectorUrl, the address of the detector that "python -m pyojeong.faceapi.nets --out DIR" writes',
    );
  }
  const { halfLife } = options;
  if (halfLife !== undefined && !(Number.isFinite(halfLife) && halfLife > 0)) {
    throw new EmotionError('bad_option', `halfLife must be a number of milliseconds above 0, not ${halfLife}`);
  }
}

/** @param {AnalyzerOptions} options */
async function load(options) {
  const search = { ...options, modelUrl: options.detectorUrl, retry: options.retry ?? true };
  const loading = [Head.load(options), FaceNet.load(search, 'detectorUrl')];
  const [head, net] = await Promise.allSettled(loading);
  if (head?.status === 'fulfilled' && net?.status === 'fulfilled') {
    return { head: /** @type {Head} */ (head.value), net: /** @type {FaceNet} */ (net.value) };
  }
  // What one of them loaded is of no use without the other.
  for (const result of [head, net]) if (result?.status === 'fulfilled') await result.value.release();
  throw head?.status === 'rejected' ? head.reason : /** @type {PromiseRejectedResult} */ (net).reason;
}

/** @param {{ head: Head, net: FaceNet }} nets */
async function release({ head, net }) {
  await Promise.all([head.release(), net.release()]);
}

/**
 * @param {{ box: Box | null, score: number | null }} face
 * @param {Head} head
 * @param {Float32Array} values
 * @returns {FaceEmotions}
 */
function named({ box, score }, head, values) {
  const best = values.indexOf(Math.max(...values));
  return { box, score, emotions: head.name(values), label: /** @type {string} */ (head.facts.classes[best]) };
}
