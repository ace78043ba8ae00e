/** Computes a network with the kernels of `engine/kernels.c`; memory and calls are planned once, when it is loaded. */

import { instantiate } from './kernels.js';
import { LANES, Layout } from './layout.js';

/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./layers.js').Layer} Layer */
/** @typedef {import('./layers.js').Plan} Plan */
/** @typedef {import('./kernels.js').Kernels} Kernels */

/**
 * Layers that are computed together, some rows at a time, so that what lies between them stays in the cache: a filter,
 * a pointwise convolution and a pooling, as far as they follow each other.
 *
 * @typedef {Layer[]} Chain
 */

/**
 * Equal rows of a map: those from `from` to before `to` are alike.
 *
 * @typedef {{ from: number, to: number }} Alike
 */

// Bytes between the layers of a chain: a part of any second-level cache.
const CHAIN_BYTES = 131072;

/** A network in memory, ready to run. */
export class Engine {
  #layout;
  /** @type {{ chain: Chain, rows: number, calls: ((from: number, to: number) => void)[] }[]} */
  #steps;
  /** @type {Map<FeatureMap, Alike>} */
  #alike = new Map();

  /**
   * @param {Plan} plan
   * @param {Chain[]} chains
   * @param {Layout} layout
   * @param {WebAssembly.Memory} memory
   * @param {Kernels} kernels
   */
  constructor(plan, chains, layout, memory, kernels) {
    layout.fill(memory.buffer, kernels);
    this.plan = plan;
    this.kernels = kernels;
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Int32Array(memory.buffer);
    this.floats = new Float32Array(memory.buffer);
    this.#layout = layout;
    this.#steps = chains.map((chain) => ({
      chain,
      rows: rowsOf(chain),
      calls: chain.map((layer) => this.#callOf(layer)),
    }));
  }

  /**
   * @param {WebAssembly.Module} module of the kernels
   * @param {Plan} plan
   * @param {(layout: Layout) => void} reserve takes the memory that the caller needs
   * @returns {Promise<Engine>}
   * @throws {import('./errors.js').EmotionError} `out_of_memory`
   */
  static async start(module, plan, reserve) {
    const layout = new Layout();
    const chains = chainsOf(plan);
    const lastReader = lastReadersOf(plan, chains);
    layout.addMap(plan.input, plan.input.height);
    for (const [at, chain] of chains.entries()) {
      for (const [index, layer] of chain.entries()) {
        const { output } = layer;
        const rows = index < chain.length - 1 ? rowsOf(chain) * strideAfter(chain, index) : output.height;
        layout.addMap(output, Math.min(output.height, rows));
        layout.addLayer(layer);
      }
      for (const [map, last] of lastReader) if (last === at && map !== plan.input) layout.freeMap(map);
    }
    reserve(layout);
    const { kernels, memory } = await instantiate(module, layout.pages);
    return new Engine(plan, chains, layout, memory, kernels);
  }

  /**
   * Computes all layers; `plan.input` lies at {@link inputAt}.
   *
   * @param {number} [distinct] rows of the input below which all rows are alike; such rows are computed once
   */
  run(distinct = this.plan.input.height) {
    this.#alike.set(this.plan.input, { from: distinct, to: this.plan.input.height });
    for (const { chain, rows, calls } of this.#steps) {
      const [{ input }, { output }] = /** @type {[Layer, Layer]} */ ([chain[0], chain.at(-1)]);
      const alike = alikeAfter(chain, this.#alike.get(input) ?? { from: 0, to: 0 });
      this.#alike.set(output, alike);
      if (alike.to - alike.from < 2) {
        this.#compute(chain, rows, calls, 0, output.height);
        continue;
      }
      this.#compute(chain, rows, calls, 0, alike.from + 1);
      this.kernels.repeat(this.#layout.mapAt(output).at, alike.from, alike.to);
      this.#compute(chain, rows, calls, alike.to, output.height);
    }
  }

  /**
   * Times the steps, each on whole maps, for benchmarks.
   *
   * @param {number} rounds
   * @returns {{ label: string, ms: number, products: number }[]} mean milliseconds and multiply-adds
   */
  profile(rounds) {
    return this.#steps.map(({ chain, rows, calls }) => {
      const { input } = /** @type {Layer} */ (chain[0]);
      const { output } = /** @type {Layer} */ (chain.at(-1));
      const begin = performance.now();
      for (let round = 0; round < rounds; round++) this.#compute(chain, rows, calls, 0, output.height);
      const ms = (performance.now() - begin) / rounds;
      const products = chain.reduce((sum, { weights, output: { height, width } }) => sum + (weights?.count ?? 0) * height * width, 0);
      const sides = [input, output].map(({ channels, height, width }) => `${channels} x ${height} x ${width}`);
      return { label: `${chain.map(({ kind }) => kind).join(', ')} ${sides.join(' -> ')}`, ms, products };
    });
  }

  /** Address of the input's `Map` in kernels.c. */
  get inputAt() {
    return this.#layout.mapAt(this.plan.input).at;
  }

  /**
   * Returns a row of the input.
   *
   * @param {number} y
   * @returns {number} address of its first pixel
   */
  inputRow(y) {
    const { input } = this.plan;
    return this.#layout.mapAt(input).data + y * (input.width + 2 * input.border) * LANES * 4;
  }

  /**
   * Copies a map out of the memory.
   *
   * @param {FeatureMap} map without a border
   * @returns {Float32Array} [height, width, channels]
   */
  read(map) {
    const { channels, height, width } = map;
    const area = height * width;
    const values = new Float32Array(area * channels);
    let from = this.#layout.mapAt(map).data / 4;
    for (let first = 0; first < channels; first += LANES) {
      const lanes = Math.min(LANES, channels - first);
      for (let to = first; to < values.length; to += channels, from += LANES) {
        for (let lane = 0; lane < lanes; lane++) values[to + lane] = /** @type {number} */ (this.floats[from + lane]);
      }
    }
    return values;
  }

  /**
   * @param {Chain} chain
   * @param {number} rows of the chain's output that are computed at a time
   * @param {((from: number, to: number) => void)[]} calls
   * @param {number} begin
   * @param {number} end
   */
  #compute(chain, rows, calls, begin, end) {
    for (let from = begin; from < end; from += rows) {
      const to = Math.min(from + rows, end);
      for (let index = 0; index < chain.length; index++) {
        const { output } = /** @type {Layer} */ (chain[index]);
        const scale = strideAfter(chain, index);
        // Between layers only the current rows are kept; the second word of a `Map` is their first.
        if (index < chain.length - 1) this.words[this.#layout.mapAt(output).at / 4 + 1] = from * scale;
        calls[index]?.(from * scale, Math.min(to * scale, output.height));
      }
    }
  }

  /**
   * @param {Layer} layer
   * @returns {(from: number, to: number) => void}
   */
  #callOf(layer) {
    const { kernels } = this;
    const { kind, kernel, stride, pad } = layer;
    const input = this.#layout.mapAt(layer.input).at;
    const output = this.#layout.mapAt(layer.output).at;
    const other = layer.residual ? this.#layout.mapAt(layer.residual).at : 0;
    const weights = this.#layout.layerAt(layer);
    switch (kind) {
      case 'first':
      case 'depthwise':
        return (from, to) => kernels[kind](input, output, weights, kernel, stride, pad, from, to);
      case 'pointwise':
        return (from, to) => kernels.pointwise(input, output, other, weights, from, to);
      case 'max_pool':
        return (from, to) => kernels.max_pool(input, output, stride, from, to);
      case 'dense':
        return () => kernels.dense(input, output, weights);
      case 'average':
        return () => kernels.average(input, output);
      case 'scale':
        return () => kernels.scale(input, other);
    }
  }
}

/**
 * @param {Plan} plan
 * @returns {Chain[]}
 */
function chainsOf({ layers }) {
  /** @type {Chain[]} */
  const chains = [];
  const readers = (/** @type {FeatureMap} */ map) => layers.filter(({ input, residual }) => input === map || residual === map).length;
  for (const layer of layers) {
    const chain = chains.at(-1);
    const last = chain?.at(-1);
    const follows = last?.output === layer.input && ['first', 'depthwise'].includes(chain?.[0]?.kind ?? '');
    const byRows = layer.kind === 'pointwise' || (layer.kind === 'max_pool' && layer.stride === 2);
    if (follows && byRows && readers(layer.input) === 1) chain?.push(layer);
    else chains.push([layer]);
  }
  return chains;
}

/**
 * Returns for each map the number of the last chain that reads it; outputs of the network are read after all.
 *
 * @param {Plan} plan
 * @param {Chain[]} chains
 * @returns {Map<FeatureMap, number>}
 */
function lastReadersOf({ outputs }, chains) {
  /** @type {Map<FeatureMap, number>} */
  const last = new Map();
  for (const [at, chain] of chains.entries()) {
    for (const { input, residual, output } of chain) for (const map of [input, residual, output]) if (map) last.set(map, at);
  }
  for (const map of [...outputs.values()].flat()) last.set(map, Infinity);
  return last;
}

/**
 * Returns how many rows of a layer's output make one row of the chain's.
 *
 * @param {Chain} chain
 * @param {number} index of the layer
 */
function strideAfter(chain, index) {
  let stride = 1;
  for (let after = index + 1; after < chain.length; after++) stride *= /** @type {Layer} */ (chain[after]).stride;
  return stride;
}

/**
 * Returns how many rows of its output a chain computes at a time.
 *
 * @param {Chain} chain
 */
function rowsOf(chain) {
  const height = /** @type {Layer} */ (chain.at(-1)).output.height;
  const bytes = chain.slice(0, -1).reduce((sum, { output }, index) => {
    return sum + strideAfter(chain, index) * output.width * output.channels * 4;
  }, 0);
  return bytes ? Math.max(1, Math.min(height, Math.floor(CHAIN_BYTES / bytes))) : height;
}

/**
 * Returns the rows of a chain's output that are alike, given those of its input.
 *
 * @param {Chain} chain
 * @param {Alike} input
 * @returns {Alike}
 */
function alikeAfter(chain, input) {
  let first = 0;
  let last = 0;
  for (const { kernel, stride, pad, kind, residual } of [...chain].reverse()) {
    if (residual || kind === 'average' || kind === 'dense') return { from: 0, to: 0 };
    first = first * stride - pad;
    last = last * stride - pad + kernel - 1;
  }
  const stride = strideAfter(chain, -1);
  return { from: Math.ceil((input.from - first) / stride), to: Math.floor((input.to - 1 - last) / stride) + 1 };
}
