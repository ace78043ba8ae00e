/** The package's networks on its own engine, from pixels to numbers. */

import { Engine } from './engine.js';
import { FramePixels, ResizedPixels } from './engine-pixels.js';
import { EmotionError, messageOf } from './errors.js';
import { readGraph } from './graph.js';
import { kernelsModule } from './kernels.js';
import { pattern } from './options.js';
import { UnknownGraphError, planOf } from './plan.js';
import { SIDE } from './view.js';

/** @typedef {import('./patch.js').Frame} Frame */

const MOST_SIZES = 3;

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
    openExpression: guarded(async (bytes, size, option) => {
      const graph = graphWith(bytes, ['probabilities'], option, 'export it with "pyojeong export"');
      const plan = planned(graph, { height: size, width: size }, option, 'probabilities');
      const output = outputOf(plan, 'probabilities');
      const { engine, pixels } = await start(module, plan, (layout) => new ResizedPixels(layout, plan, Math.fround));
      return network(output, (patch) => {
        const region = { x: 0, y: 0, width: patch.width, height: patch.height };
        const whole = { step: 1, firstX: 0, firstY: 0, wide: patch.width, high: patch.height, left: 0, top: 0 };
        pixels.write(engine, patch, { region, ...whole, columns: size, rows: size });
        engine.run();
        return softmax(engine.read(output));
      });
    }),
    openCells: guarded(async (bytes, size, option) => {
      const graph = graphWith(bytes, ['cells'], option, 'write it with "python -m pyojeong.faceapi.nets --out DIR"');
      const plan = planned(graph, { height: size, width: size }, option);
      const output = outputOf(plan, 'cells');
      const { engine, pixels } = await start(module, plan, (layout) => new FramePixels(layout, plan));
      return network(output, (frame) => {
        engine.run(pixels.write(engine, frame));
        return engine.read(output);
      });
    }),
    openFaces: guarded(async (bytes, option) => {
      const remedy = 'write it with "python -m pyojeong.detection.graph --out DIR"';
      const graph = graphWith(bytes, ['scores', 'boxes'], option, remedy);
      const finder = new FaceFinder(module, graph, option);
      await finder.engineOf(SIDE, SIDE);
      return finder;
    }),
  };
}

/**
 * Names the error of a file that is damaged in such a way that reading or computing it fails.
 *
 * @template {[bytes: Uint8Array, ...more: any[]]} A
 * @template T
 * @param {(...given: A) => Promise<T>} open whose last argument is the name of the option
 * @returns {(...given: A) => Promise<T>}
 */
function guarded(open) {
  return async (...given) => {
    try {
      return await open(...given);
    } catch (error) {
      if (error instanceof EmotionError) throw error;
      const message = `the network at ${given.at(-1)} cannot be computed (${messageOf(error)}); copy or export the file again`;
      throw new EmotionError('model_invalid', message, error);
    }
  };
}

/** BlazeFace on inputs of several sizes: memory is planned once for each size. */
class FaceFinder {
  #module;
  #graph;
  #option;
  /** @type {Map<string, ReturnType<typeof start<ResizedPixels>>>} by the input's size, the last used one last */
  #engines = new Map();

  /**
   * @param {WebAssembly.Module} module
   * @param {import('./graph.js').Graph} graph
   * @param {string} option
   */
  constructor(module, graph, option) {
    this.#module = module;
    this.#graph = graph;
    this.#option = option;
  }

  /**
   * @param {Frame} frame
   * @param {import('./view.js').View} view
   */
  async run(frame, view) {
    const { engine, pixels } = await this.engineOf(view.width, view.height);
    pixels.write(engine, frame, view);
    engine.run();
    const [scores, boxes] = ['scores', 'boxes'].map((name) => joined(engine, engine.plan.outputs.get(name) ?? []));
    return { scores: /** @type {Float32Array} */ (scores), boxes: /** @type {Float32Array} */ (boxes) };
  }

  info() {
    return INFO;
  }

  async release() {
    this.#engines.clear();
  }

  /**
   * @param {number} width of the input in pixels, a multiple of 16
   * @param {number} height
   */
  async engineOf(width, height) {
    const size = `${width} x ${height}`;
    const known = this.#engines.get(size);
    const opening = known ?? this.#start({ width, height });
    this.#engines.delete(size);
    this.#engines.set(size, opening);
    // Memory may be there at the next call.
    opening.catch(() => this.#engines.get(size) === opening && this.#engines.delete(size));
    // A video has the same sizes in every frame: the square, and at most two finer ones.
    for (const [other] of this.#engines) if (this.#engines.size > MOST_SIZES) this.#engines.delete(other);
    return opening;
  }

  /** @param {{ width: number, height: number }} size */
  async #start(size) {
    const plan = planned(this.#graph, size, this.#option);
    // As Pillow, which computes the weights in doubles.
    return start(this.#module, plan, (layout) => new ResizedPixels(layout, plan, Number));
  }
}

/**
 * @param {Engine} engine
 * @param {import('./layers.js').FeatureMap[]} maps
 */
function joined(engine, maps) {
  const parts = maps.map((map) => engine.read(map));
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}

/**
 * Reads a graph after checking what it computes.
 *
 * @param {Uint8Array} bytes
 * @param {readonly string[]} outputs that it must have
 * @param {string} option
 * @param {string} remedy
 * @throws {EmotionError} `model_truncated`, `model_invalid`
 */
function graphWith(bytes, outputs, option, remedy) {
  const graph = readGraph(bytes, option);
  const missing = outputs.find((name) => !graph.outputs.includes(name));
  if (!missing) return graph;
  throw new EmotionError('model_invalid', `the model at ${option} does not compute "${missing}"; ${remedy}`);
}

/**
 * Returns the only map of an output.
 *
 * @param {import('./layers.js').Plan} plan
 * @param {string} name
 */
function outputOf({ outputs }, name) {
  return /** @type {import('./layers.js').FeatureMap} */ (outputs.get(name)?.[0]);
}

/**
 * @param {import('./layers.js').FeatureMap} output
 * @param {(frame: Frame) => Float32Array} compute
 * @returns {import('./network.js').Network}
 */
function network(output, compute) {
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
 * @param {import('./graph.js').Graph} graph
 * @param {{ height: number, width: number }} size of the input in pixels
 * @param {string} option
 * @param {string} [classes] name of its output if it classifies pictures of any size
 */
function planned(graph, size, option, classes = '') {
  try {
    const plan = planOf(graph, size);
    if (plan.softmax.join() !== classes) throw new UnknownGraphError(classes ? 'its output is not a softmax' : 'an output is a softmax');
    if (plan.resized !== Boolean(classes)) throw new UnknownGraphError('it takes pictures of another size');
    return plan;
  } catch (error) {
    if (error instanceof UnknownGraphError) throw unsupported(error.message, option);
    throw error;
  }
}

/**
 * @template T
 * @param {WebAssembly.Module} module
 * @param {import('./layers.js').Plan} plan
 * @param {(layout: import('./layout.js').Layout) => T} newPixels
 * @returns {Promise<{ engine: Engine, pixels: T }>}
 */
async function start(module, plan, newPixels) {
  /** @type {T | undefined} */
  let pixels;
  const engine = await Engine.start(module, plan, (layout) => {
    pixels = newPixels(layout);
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
