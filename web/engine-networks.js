/** The package's networks on its own engine, from pixels to numbers. */

import { Engine } from './engine.js';
import { FacePixels, FramePixels } from './engine-pixels.js';
import { EmotionError } from './errors.js';
import { readGraph } from './graph.js';
import { UnknownGraphError, planOf } from './plan.js';

/** @typedef {import('./patch.js').Frame} Frame */

/**
 * @param {Uint8Array} bytes the file of an expression network
 * @param {number} size side of its input in pixels
 * @param {string} option name of the option with its address, for errors
 * @returns {Promise<(patch: Frame) => Float32Array>} returns probabilities in class order
 * @throws {EmotionError} `model_truncated`, `model_invalid`, `model_unsupported`, `engine_unsupported`,
 *   `runtime_failed`, `out_of_memory`
 */
export async function openExpressionNetwork(bytes, size, option) {
  const plan = planned(bytes, size, option);
  if (!plan.softmax) throw unsupported('its output is not a softmax', option);
  const { engine, pixels } = await start(plan, FacePixels);
  return (patch) => {
    pixels.write(engine, patch);
    engine.run();
    return softmax(engine.read(plan.output));
  };
}

/**
 * @param {Uint8Array} bytes the file of a face detector
 * @param {number} size side of its input in pixels
 * @param {string} option name of the option with its address, for errors
 * @returns {Promise<(frame: Frame) => Float32Array>} returns cells [rows, columns, values]
 * @throws {EmotionError} as `openExpressionNetwork`
 */
export async function openDetectorNetwork(bytes, size, option) {
  const plan = planned(bytes, size, option);
  const { engine, pixels } = await start(plan, FramePixels);
  return (frame) => {
    engine.run(pixels.write(engine, frame));
    return engine.read(plan.output);
  };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} size
 * @param {string} option
 */
function planned(bytes, size, option) {
  const graph = readGraph(bytes, option);
  try {
    return planOf(graph, { height: size, width: size });
  } catch (error) {
    if (error instanceof UnknownGraphError) throw unsupported(error.message, option);
    throw error;
  }
}

/**
 * @template {object} T
 * @param {import('./plan.js').Plan} plan
 * @param {new (layout: import('./layout.js').Layout, plan: import('./plan.js').Plan) => T} Pixels
 * @returns {Promise<{ engine: Engine, pixels: T }>}
 */
async function start(plan, Pixels) {
  /** @type {T | undefined} */
  let pixels;
  const engine = await Engine.start(plan, (layout) => {
    pixels = new Pixels(layout, plan);
  });
  return { engine, pixels: /** @type {T} */ (pixels) };
}

/**
 * @param {string} why
 * @param {string} option
 */
function unsupported(why, option) {
  return new EmotionError(
    'model_unsupported',
    `the package's engine does not compute the network at ${option} (${why}); export it with this version, or pass ` +
      "engine: 'onnxruntime' and install onnxruntime-web",
  );
}

/** @param {Float32Array} logits */
function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
