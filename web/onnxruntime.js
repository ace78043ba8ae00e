/** The package's networks on onnxruntime-web. */

import { EmotionError, messageOf } from './errors.js';
import { fetchOf, pattern } from './options.js';
import { compute, describe, loadRuntime, openNetwork } from './runtime.js';
import { sample } from './sampling.js';
import { pixelsOf } from './view.js';

/** @typedef {import('./network.js').Network} Network */
/** @typedef {import('./patch.js').Frame} Frame */
/** @typedef {import('./runtime.js').Runtime} Runtime */
/** @typedef {import('./runtime.js').InferenceSession} InferenceSession */

const TRIAL_SIDE = 120; // pixels; differs from the network's input, so that the first run includes resizing

/**
 * @param {import('./options.js').RuntimeOptions} options
 * @returns {Promise<import('./network.js').Backend>}
 * @throws {EmotionError} `runtime_not_found`
 */
export async function loadBackend(options) {
  const fetch = fetchOf(options);
  const runtime = await loadRuntime(options);
  return {
    openExpression: (bytes, _, option) => open(runtime, bytes, option, fetch, runPatch, {
      frame: { data: pattern(TRIAL_SIDE ** 2 * 4), width: TRIAL_SIDE, height: TRIAL_SIDE },
      wrong: `the model at ${option} does not turn "image" (uint8 [N, H, W, 4]) into "probabilities"; export it with ` +
        '"pyojeong export"',
    }),
    openFaces: (bytes, option) => openFaces(runtime, bytes, option, fetch),
    openCells: (bytes, size, option) => open(runtime, bytes, option, fetch, runFrame(size), {
      // Not square, because detectors of the old format accept only squares.
      frame: { data: pattern(32 * 16 * 4), width: 32, height: 16 },
      wrong: `the model at ${option} is not the face detector written by "python -m pyojeong.faceapi.nets --out DIR"`,
    }),
  };
}

/** @typedef {(runtime: Runtime, session: InferenceSession, frame: Frame) => Promise<Float32Array>} Run */

/**
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {string} option
 * @param {typeof globalThis.fetch} fetch
 * @param {Run} run
 * @param {{ frame: Frame, wrong: string }} trial for the first run, and the message if it fails
 * @returns {Promise<Network>}
 */
function open(runtime, bytes, option, fetch, run, { frame, wrong }) {
  return openNetwork(runtime, bytes, option, fetch, async (session) => {
    const output = await run(runtime, session, frame).catch((error) => {
      throw new EmotionError('model_invalid', wrong, error);
    });
    const network = {
      run: (/** @type {Frame} */ given) => run(runtime, session, given),
      outputs: output.length,
      info: () => describe(runtime),
      release: () => session.release(),
    };
    return { network, output };
  });
}

/**
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {string} option
 * @param {typeof globalThis.fetch} fetch
 * @returns {Promise<import('./network.js').FaceFinder>}
 */
function openFaces(runtime, bytes, option, fetch) {
  return openNetwork(runtime, bytes, option, fetch, async (session) => {
    // Not square, because networks of a fixed size accept only squares.
    const trial = { data: pattern(32 * 16 * 4), width: 32, height: 16 };
    const { boxes } = await runView(runtime, session, trial).catch((error) => {
      throw new EmotionError(
        'model_invalid',
        `the model at ${option} is not the face detector written by "python -m pyojeong.detection.graph --out DIR"`,
        error,
      );
    });
    const network = {
      run: (/** @type {Frame} */ frame, /** @type {import('./view.js').View} */ view) => runView(runtime, session, pixelsOf(frame, view)),
      info: () => describe(runtime),
      release: () => session.release(),
    };
    return { network, output: boxes };
  });
}

/**
 * @param {Runtime} runtime
 * @param {InferenceSession} session
 * @param {Frame} pixels
 */
async function runView(runtime, session, { data, width, height }) {
  const image = new runtime.ort.Tensor('uint8', data, [1, height, width, 4]);
  const outputs = await compute(runtime, session, { image });
  const scores = /** @type {Float32Array} */ (outputs.scores?.data);
  const boxes = /** @type {Float32Array} */ (outputs.boxes?.data);
  if (boxes.length !== scores.length * 16) throw new Error('the outputs do not belong together');
  return { scores, boxes };
}

/** @type {Run} */
async function runPatch(runtime, session, { data, width, height }) {
  const image = new runtime.ort.Tensor('uint8', data, [1, height, width, 4]);
  try {
    const { probabilities } = await compute(runtime, session, { image });
    return /** @type {Float32Array} */ (probabilities?.data);
  } catch (error) {
    // The network worked on its first run, so if wasm fails now, the patch is too large for its memory.
    if (runtime.provider === 'webgpu') throw error;
    throw new EmotionError(
      'bad_source',
      `a patch of ${width} x ${height} pixels is too large (${messageOf(error)}); make the picture smaller first`,
      error,
    );
  }
}

/**
 * @param {number} size
 * @returns {Run}
 */
function runFrame(size) {
  return async (runtime, session, frame) => {
    const { pixels, rows, columns } = sample(frame, size);
    const tensor = new runtime.ort.Tensor('float32', pixels, [1, rows, columns, 3]);
    const { cells } = await compute(runtime, session, { pixels: tensor });
    return /** @type {Float32Array} */ (cells?.data);
  };
}
