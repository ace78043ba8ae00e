/** The package's networks on its own engine, from pixels to numbers. */

import { Engine } from './engine.js';
import { FacePixels, FramePixels } from './engine-pixels.js';
import { EmotionError } from './errors.js';
import { readGraph } from './graph.js';
import { kernelsModule } from './kernels.js';
import { pattern } from './options.js';
import { UnknownGraphError, planOf } from './plan.js';

/** @typedef {import('./patch.js').Frame} Frame */

/** @type {import('./network.js').RuntimeInfo} */
const INFO = {
  engine: 'pyojeong',
  provider: 'wasm',
  providerWhy: "the package's own engine computes in WebAssembly",
  threads: 1,
  threadsWhy: "the package's own engine uses one thread",
  runtimeVersion: null,
};

/**
 * @returns {Promise<import('./network.js').Backend>}
 * @throws {EmotionError} `engine_unsupported`, `runtime_failed`
 */
export async function loadBackend() {
  const module = await kernelsModule();
  return {
    async openExpression(bytes, size, option) {
      const plan = planned(bytes, size, option);
      if (!plan.softmax) throw unsupported('its output is not a softmax', option);
      const { engine, pixels } = await start(module, plan, FacePixels);
      return network(plan, (patch) => {
        pixels.write(engine, patch);
        engine.run();
        return softmax(engine.read(plan.output));
      });
    },
    async openDetector(bytes, size, option) {
      const plan = planned(bytes, size, option);
      const { engine, pixels } = await start(module, plan, FramePixels);
      return network(plan, (frame) => {
        engine.run(pixels.write(engine, frame));
        return engine.read(plan.output);
      });
    },
  };
}

/**
 * @param {import('./plan.js').Plan} plan
 * @param {(frame: Frame) => Float32Array} compute
 * @returns {import('./network.js').Network}
 */
function network({ output }, compute) {
  /** @type {typeof compute | null} */
  let running = compute;
  // So that the first prediction is as fast as the others.
  compute({ data: pattern(4), width: 1, height: 1 });
  return {
    run: async (frame) => /** @type {typeof compute} */ (running)(frame),
    outputs: output.channels * output.height * output.width,
    info: () => INFO,
    // The memory is freed when nothing refers to it any longer.
    release: async () => {
      running = null;
    },
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
 * @param {WebAssembly.Module} module
 * @param {import('./plan.js').Plan} plan
 * @param {new (layout: import('./layout.js').Layout, plan: import('./plan.js').Plan) => T} Pixels
 * @returns {Promise<{ engine: Engine, pixels: T }>}
 */
async function start(module, plan, Pixels) {
  /** @type {T | undefined} */
  let pixels;
  const engine = await Engine.start(module, plan, (layout) => {
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
