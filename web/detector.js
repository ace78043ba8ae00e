/** Detects faces near, far and in a crowd, and their landmarks, with the steps of `pyojeong.detection.detector`. */

import { EmotionError } from './errors.js';
import { checkModelUrl } from './head.js';
import { fetchModel, readMetadata } from './model.js';
import { loadBackend } from './network.js';
import { checkRuntime, fetchOf } from './options.js';
import { checked, overlap } from './patch.js';
import { Searching } from './searching.js';
import { SIDE, viewOf } from './view.js';

export { EmotionError };

/** @typedef {import('./alignment.js').Landmarks} Landmarks */
/** @typedef {import('./alignment.js').Point} Point */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./view.js').View} View */

/**
 * A face: its box in pixels of the source, about square and not clipped to it, the detector's confidence (0..1), and
 * its landmarks in pixels.
 *
 * @typedef {{ box: Box, score: number, landmarks: Landmarks }} Face
 */

/**
 * @typedef {object} SearchOptions
 * @property {number} [minFace] smallest face to find, as a share of the frame's longer side, above 0 and at most 1; default
 *   0.02. It limits the work: faces from 0.17 on need one look, those from 0.057 a second and smaller ones a third, which
 *   run only where no face, or something faint, was found
 * @property {number} [scoreThreshold] lowest score of a face, from 0.4 to below 1; default 0.75; of a face that only a finer look
 *   finds at least 0.85
 * @property {boolean} [thorough] whether to take every look; otherwise a near face may end the search before faces behind
 *   it of less than about 0.06 of the longer side are found. Default false
 */

/**
 * @typedef {{ modelUrl: string | URL } & SearchOptions & import('./options.js').RuntimeOptions} DetectorOptions
 *   `modelUrl` is the address of `blazeface.onnx`, written by `python -m pyojeong.detection.graph`
 */

/** @typedef {import('./network.js').RuntimeInfo & { modelBytes: number, minFace: number, scoreThreshold: number }} DetectorInfo */

// As in pyojeong.detection.detector, which documents the choices.
const FINER = 3;
const SMALLEST = 22;
const MIN_FACE = 0.02;
const THRESHOLD = 0.75;
const FINER_THRESHOLD = 0.85;
const CANDIDATE = 0.4;
const HINT = 0.1;
const CLOSE = 2;
const LARGEST = 0.5;
const PART = 0.05;
const MAX_FACE = 1.4;

// As in pyojeong.detection.network.
const SAME = 0.3;
const MAPS = /** @type {const} */ ([
  [8, 2],
  [16, 6],
]);
const VALUES = 16; // center, size and six landmarks, x and y each

/**
 * Detects faces in an image, a video or a canvas.
 *
 * @extends {Searching<Face, DetectorInfo>}
 */
export class FaceDetector extends Searching {
  /**
   * @param {DetectorOptions} options
   * @throws {EmotionError} `bad_option`
   */
  constructor(options) {
    checkModelUrl(options);
    checkRuntime(options);
    checkSearch(options);
    const load = () => FaceNet.load(options, fetchModel(options.modelUrl, fetchOf(options), 'modelUrl'), 'modelUrl');
    super('FaceDetector', load);
  }
}

/** The detector network, from frame to faces. */
export class FaceNet {
  #network;
  #minFace;
  #threshold;
  #thorough;
  #modelBytes;

  /**
   * @param {import('./network.js').FaceFinder} network
   * @param {SearchOptions} search
   * @param {number} modelBytes
   */
  constructor(network, { minFace = MIN_FACE, scoreThreshold = THRESHOLD, thorough = false }, modelBytes) {
    this.#network = network;
    this.#minFace = minFace;
    this.#threshold = scoreThreshold;
    this.#thorough = thorough;
    this.#modelBytes = modelBytes;
  }

  /**
   * @param {SearchOptions & import('./options.js').RuntimeOptions} options
   * @param {Uint8Array | Promise<Uint8Array>} file the detector
   * @param {string} option name of the option with its address, for errors
   * @returns {Promise<FaceNet>}
   * @throws {EmotionError} see `docs/js_api.md`
   */
  static async load(options, file, option) {
    const [backend, bytes] = await Promise.all([loadBackend(options), file]);
    readMetadata(bytes, option);
    return new FaceNet(await backend.openFaces(bytes, option), options, bytes.byteLength);
  }

  /**
   * @param {Frame} frame
   * @returns {Promise<Face[]>} by descending score
   */
  async find(frame) {
    const longer = Math.max(frame.width, frame.height);
    /** @type {Face[]} */
    let faces = [];
    for (const side of this.#sides(longer)) {
      const largest = (side === SIDE ? MAX_FACE : LARGEST) * longer;
      const finds = (await this.#finds(frame, viewOf(frame, side), HINT)).filter(({ box }) => sideOf(box) <= largest);
      const threshold = side === SIDE ? this.#threshold : Math.max(this.#threshold, FINER_THRESHOLD);
      const before = faces.length;
      faces = await this.#withFacesOf(finds, threshold, frame, faces);
      // A hint that a finer look does not confirm is none: portraits should not cost the finest look.
      const hopeful = side === SIDE || faces.length > before;
      const faint = hopeful && finds.some((find) => !isAmong(faces, find, PART));
      // A face at the limit of a look suggests others that are too small for it.
      const atLimit = faces.some(({ box }) => sideOf(box) * side < SMALLEST * longer);
      if (faces.length && !faint && !atLimit && !this.#thorough) break;
    }
    return faces.filter(({ box }) => sideOf(box) >= this.#minFace * longer);
  }

  /**
   * Looks closely at a known face, whose box may be anybody's.
   *
   * @param {Frame} frame
   * @param {Box} box
   * @returns {Promise<Face | null>} null if it is not found
   * @throws {EmotionError} `bad_box`
   */
  async lookAt(frame, box) {
    const { x, y, width, height } = checked(box);
    if (sideOf({ x, y, width, height }) > MAX_FACE * Math.max(frame.width, frame.height)) return null;
    return this.#again(frame, { x, y, width, height });
  }

  /**
   * Looks closely at the faces of the frame before; each keeps its best score since the last search.
   *
   * @param {Frame} frame
   * @param {readonly Face[]} faces
   * @returns {Promise<Face[] | null>} by descending score; null if one is not found or two have become the same
   */
  async follow(frame, faces) {
    const smallest = this.#minFace * Math.max(frame.width, frame.height);
    /** @type {Face[]} */
    const followed = [];
    for (const { box, score } of faces) {
      const face = await this.#again(frame, box);
      if (!face || sideOf(face.box) < smallest || isAmong(followed, face, SAME)) return null;
      // As in a search, a face that the close look sees less clearly is a face all the same.
      followed.push({ ...face, score: Math.max(face.score, score) });
    }
    return byScore(followed);
  }

  /** @returns {DetectorInfo} */
  info() {
    return {
      ...this.#network.info(),
      modelBytes: this.#modelBytes,
      minFace: this.#minFace,
      scoreThreshold: this.#threshold,
    };
  }

  async release() {
    await this.#network.release();
  }

  /**
   * Returns the inputs' longer sides of the looks at a whole frame.
   *
   * @param {number} longer side of the frame
   */
  #sides(longer) {
    const sides = [SIDE];
    for (let side = SIDE; SMALLEST / side > this.#minFace && FINER * side <= 2 * longer; ) sides.push((side *= FINER));
    return sides;
  }

  /**
   * Returns the known faces and those among the finds of a look, best score first.
   *
   * @param {readonly Face[]} finds
   * @param {number} threshold
   * @param {Frame} frame
   * @param {readonly Face[]} known
   */
  async #withFacesOf(finds, threshold, frame, known) {
    const looked = [];
    for (const find of merged(finds.filter(({ score }) => score > CANDIDATE))) {
      if (isAmong(known, find, SAME)) continue;
      const again = await this.#again(frame, find.box);
      looked.push(again ? { ...again, score: Math.max(again.score, find.score) } : find);
    }
    const faces = [...known];
    for (const face of byScore(looked)) {
      // Two finds of one face may become the same in the close look.
      if (face.score > threshold && !isAmong(faces, face, SAME)) faces.push(face);
    }
    return byScore(faces);
  }

  /**
   * Returns the face at a box as a close look sees it; null if it is not there.
   *
   * @param {Frame} frame
   * @param {Box} box
   * @returns {Promise<Face | null>}
   */
  async #again(frame, box) {
    const finds = merged(await this.#finds(frame, viewOf(frame, SIDE, squareAround(box)), CANDIDATE));
    const [best] = byScore(finds.filter((find) => overlap(find.box, box) > SAME));
    return best ?? null;
  }

  /**
   * Returns what the network finds in a view, in pixels of the frame.
   *
   * @param {Frame} frame
   * @param {View} view
   * @param {number} least score
   */
  async #finds(frame, view, least) {
    const { scores, boxes } = await this.#network.run(frame, view);
    return decode(scores, boxes, view, least);
  }
}

/**
 * @param {SearchOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkSearch({ minFace = MIN_FACE, scoreThreshold = THRESHOLD }) {
  if (!(typeof minFace === 'number' && minFace > 0 && minFace <= 1)) {
    throw new EmotionError('bad_option', `minFace must be a share of the frame above 0, such as 0.02, not ${minFace}`);
  }
  if (!(typeof scoreThreshold === 'number' && scoreThreshold >= CANDIDATE && scoreThreshold < 1)) {
    throw new EmotionError('bad_option', `scoreThreshold must be from ${CANDIDATE} to below 1, such as 0.75, not ${scoreThreshold}`);
  }
}

/**
 * Converts the network's outputs to finds in pixels of the frame.
 *
 * @param {Float32Array} scores logits
 * @param {Float32Array} boxes 16 values for each score, relative to its anchor
 * @param {View} view
 * @param {number} least score
 * @returns {Face[]}
 */
function decode(scores, boxes, view, least) {
  /** @type {Face[]} */
  const finds = [];
  let at = 0;
  for (const [stride, anchors] of MAPS) {
    const columns = view.width / stride;
    for (const end = at + columns * (view.height / stride) * anchors, start = at; at < end; at++) {
      const score = 1 / (1 + Math.exp(-(/** @type {number} */ (scores[at]))));
      if (!(score > least)) continue;
      const cell = Math.floor((at - start) / anchors);
      const anchorX = ((cell % columns) + 0.5) * stride;
      const anchorY = (Math.floor(cell / columns) + 0.5) * stride;
      finds.push({ ...faceOf(boxes.subarray(at * VALUES, (at + 1) * VALUES), anchorX, anchorY, view), score });
    }
  }
  return finds;
}

/**
 * @param {Float32Array} values center, size and six landmarks
 * @param {number} anchorX
 * @param {number} anchorY
 * @param {View} view
 * @returns {{ box: Box, landmarks: Landmarks }}
 */
function faceOf(values, anchorX, anchorY, { scaleX, scaleY, originX, originY }) {
  const point = (/** @type {number} */ index) => ({
    x: (/** @type {number} */ (values[index * 2]) + anchorX) * scaleX + originX,
    y: (/** @type {number} */ (values[index * 2 + 1]) + anchorY) * scaleY + originY,
  });
  const center = point(0);
  const width = /** @type {number} */ (values[2]) * scaleX;
  const height = /** @type {number} */ (values[3]) * scaleY;
  const [rightEye, leftEye, noseTip, mouth, rightEar, leftEar] = /** @type {[Point, Point, Point, Point, Point, Point]} */ (
    [2, 3, 4, 5, 6, 7].map(point)
  );
  return {
    box: { x: center.x - width / 2, y: center.y - height / 2, width, height },
    landmarks: { rightEye, leftEye, noseTip, mouth, rightEar, leftEar },
  };
}

/**
 * Returns one face for each group of finds that overlap its best, with box and landmarks weighted by the scores.
 *
 * @param {readonly Face[]} finds
 * @returns {Face[]} by descending score
 */
function merged(finds) {
  let rest = byScore(finds);
  const faces = [];
  for (let [best] = rest; best; [best] = rest) {
    const { box } = best;
    const group = rest.filter((find) => find === best || overlap(find.box, box) > SAME);
    faces.push(weighted(group, best));
    rest = rest.filter((find) => !group.includes(find));
  }
  return faces;
}

/**
 * @param {readonly Face[]} group
 * @param {Face} best
 * @returns {Face}
 */
function weighted(group, best) {
  const total = group.reduce((sum, { score }) => sum + score, 0);
  const mean = (/** @type {(face: Face) => number} */ value) =>
    group.reduce((sum, face) => sum + face.score * value(face), 0) / total;
  const [x, y] = [mean(({ box }) => box.x), mean(({ box }) => box.y)];
  const names = /** @type {(keyof Landmarks)[]} */ (Object.keys(best.landmarks));
  const points = names.map((name) => [name, { x: mean(({ landmarks }) => landmarks[name].x), y: mean(({ landmarks }) => landmarks[name].y) }]);
  return {
    box: { x, y, width: mean(({ box }) => box.x + box.width) - x, height: mean(({ box }) => box.y + box.height) - y },
    score: best.score,
    landmarks: Object.fromEntries(points),
  };
}

/**
 * Returns whether a find overlaps one of the faces by more than `share`.
 *
 * @param {readonly Face[]} faces
 * @param {Face} find
 * @param {number} share
 */
function isAmong(faces, find, share) {
  return faces.some(({ box }) => overlap(box, find.box) > share);
}

/** @param {readonly Face[]} faces */
function byScore(faces) {
  return [...faces].sort((a, b) => b.score - a.score);
}

/** @param {Box} box */
function sideOf({ width, height }) {
  return Math.max(width, height);
}

/**
 * Returns the region of a close look.
 *
 * @param {Box} box
 */
function squareAround(box) {
  const side = Math.max(1, Math.floor(CLOSE * sideOf(box) + 0.5));
  const x = Math.floor((box.x + (box.x + box.width) - side) / 2 + 0.5);
  const y = Math.floor((box.y + (box.y + box.height) - side) / 2 + 0.5);
  return { x, y, width: side, height: side };
}
