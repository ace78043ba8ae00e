import { engineOf } from './options.js';

/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./options.js').RuntimeOptions} RuntimeOptions */

/**
 * @typedef {object} RuntimeInfo
 * @property {import('./options.js').EngineName} engine
 * @property {import('./options.js').Provider} provider in use
 * @property {string} providerWhy reason for this provider
 * @property {number} threads
 * @property {string} threadsWhy reason for this number of threads
 * @property {string | null} runtimeVersion of onnxruntime-web; null for the package's engine
 */

/**
 * A network that is ready to run.
 *
 * @typedef {object} Network
 * @property {(frame: Frame) => Promise<Float32Array>} run from pixels to probabilities or cells
 * @property {number} outputs numbers that the network returned on its first run
 * @property {() => RuntimeInfo} info
 * @property {() => Promise<void>} release frees its memory
 */

/**
 * The network of `FaceDetector`, ready to run. `scores` are logits, one for each anchor, `boxes` 16 numbers for each.
 *
 * @typedef {object} FaceFinder
 * @property {(frame: Frame, view: import('./view.js').View) => Promise<{ scores: Float32Array, boxes: Float32Array }>} run
 * @property {() => RuntimeInfo} info
 * @property {() => Promise<void>} release frees its memory
 */

/**
 * What opens networks. `size` is the side of a network's input in pixels, `option` the name of the option with the
 * address of its file, for errors.
 *
 * @typedef {object} Backend
 * @property {(bytes: Uint8Array, size: number, option: string) => Promise<Network>} openExpression
 * @property {(bytes: Uint8Array, size: number, option: string) => Promise<Network>} openCells of TinyFaceDetector
 * @property {(bytes: Uint8Array, option: string) => Promise<FaceFinder>} openFaces
 */

/**
 * Loads what computes: the package's engine, or onnxruntime-web, whose modules are loaded only if they are needed.
 *
 * @param {RuntimeOptions} options
 * @returns {Promise<Backend>}
 * @throws {import('./errors.js').EmotionError} `runtime_not_found`, `runtime_failed`, `engine_unsupported`
 */
export async function loadBackend(options) {
  if (engineOf(options) === 'onnxruntime') return (await import('./onnxruntime.js')).loadBackend(options);
  return (await import('./engine-networks.js')).loadBackend();
}
