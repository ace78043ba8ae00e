/** Plans the memory of a network and packs its weights in the order in which the kernels read them. */

/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./layers.js').Layer} Layer */
/** @typedef {import('./layers.js').Tensor} Tensor */

/**
 * Where a map lies. `at` is the address of its `Map` in kernels.c, `data` that of its first pixel; `shape` and `blocks`
 * tell which other maps fit there.
 *
 * @typedef {{ at: number, data: number, shape: string, blocks: number }} Place
 */

export const LANES = 4; // channels per block
const GROUP = 8; // output channels that a kernel computes together
const BYTES = 4; // per number
const PAGE = 65536; // bytes
const ACTIVATIONS = ['none', 'relu', 'slope', 'hard_swish', 'hard_sigmoid']; // as in kernels.c

/** Addresses in a memory that does not exist yet, and what to write there. */
export class Layout {
  // The first page holds the stack of the kernels.
  #end = PAGE;
  /** @type {[number, Float32Array | Int32Array][]} */
  #contents = [];
  /** @type {Map<FeatureMap, Place>} */
  #maps = new Map();
  /** @type {Map<Layer, number>} */
  #layers = new Map();
  /** @type {Place[]} */
  #free = [];

  /**
   * Returns the address of `count` numbers of 32 bits, zero at first.
   *
   * @param {number} count
   */
  reserve(count) {
    const address = this.#end;
    this.#end += Math.ceil(count / LANES) * LANES * BYTES;
    return address;
  }

  /**
   * Returns the address of numbers, which {@link fill} writes.
   *
   * @param {Float32Array | Int32Array} numbers
   */
  put(numbers) {
    const address = this.reserve(numbers.length);
    this.#contents.push([address, numbers]);
    return address;
  }

  /**
   * Finds a place for a map: memory of a map of the same size that is no longer read, whose border is zero already, or
   * new memory.
   *
   * @param {FeatureMap} map
   * @param {number} rows that are kept at a time
   */
  addMap(map, rows) {
    if (this.#maps.has(map)) return;
    const { channels, height, width, border } = map;
    const blocks = Math.ceil(channels / LANES);
    const row = (width + 2 * border) * LANES;
    const plane = (rows + 2 * border) * row;
    const shape = `${rows} x ${width}, ${border}`;
    const free = this.#free.findIndex((place) => place.shape === shape && place.blocks >= blocks);
    const [reused] = free < 0 ? [] : this.#free.splice(free, 1);
    const data = reused?.data ?? this.reserve(blocks * plane) + border * (row + LANES) * BYTES;
    const at = this.put(Int32Array.of(data, 0, row, plane, width, height, blocks));
    this.#maps.set(map, { at, data, shape, blocks: reused?.blocks ?? blocks });
  }

  /**
   * Lets later maps use the memory of a map that is no longer read.
   *
   * @param {FeatureMap} map
   */
  freeMap(map) {
    this.#free.push(this.mapAt(map));
  }

  /** @param {Layer} layer */
  addLayer(layer) {
    const { weights, bias, activation, slope, output } = layer;
    if (!weights) return;
    const padded = Math.ceil(output.channels / LANES) * LANES;
    const slopes = slope && Float32Array.from({ length: padded }, (_, channel) => slope[slope.length > 1 ? channel : 0] ?? 0);
    const packed = this.put(packedWeights(layer.kind, weights, bias ?? new Float32Array()));
    const kind = ACTIVATIONS.indexOf(activation);
    this.#layers.set(layer, this.put(Int32Array.of(packed, slopes ? this.put(slopes) : 0, kind)));
  }

  /** @param {FeatureMap} map */
  mapAt(map) {
    return /** @type {Place} */ (this.#maps.get(map));
  }

  /** @param {Layer} layer */
  layerAt(layer) {
    return this.#layers.get(layer) ?? 0;
  }

  /** Pages of 64 KiB that the network takes. */
  get pages() {
    return Math.ceil(this.#end / PAGE);
  }

  /**
   * Writes weights and places, and lets go of them.
   *
   * @param {ArrayBuffer} memory
   */
  fill(memory) {
    for (const [address, numbers] of this.#contents) {
      const target = numbers instanceof Float32Array ? Float32Array : Int32Array;
      new target(memory, address, numbers.length).set(numbers);
    }
    this.#contents = [];
  }
}

/**
 * Returns for each group of output channels the biases, then for each product, in the kernel's order, one weight per
 * channel. Channels that fill up the last group have zeros.
 *
 * @param {Layer['kind']} kind
 * @param {Tensor} weights
 * @param {Float32Array} bias
 */
function packedWeights(kind, { shape, values }, bias) {
  const [count = 0, depth = 0, kernel = 1] = shape;
  const area = kernel * kernel;
  const padded = Math.ceil(count / LANES) * LANES;
  const inputs = kind === 'first' || kind === 'depthwise' ? depth : Math.ceil(depth / LANES) * LANES;
  const products = inputs * area;
  const packed = new Float32Array(padded * (1 + products));
  const size = kind === 'depthwise' ? LANES : GROUP;
  for (let begin = 0; begin < count; begin += size) {
    const lanes = Math.min(size, padded - begin);
    const group = begin * (1 + products);
    for (let lane = 0; lane < lanes && begin + lane < count; lane++) {
      const channel = begin + lane;
      packed[group + lane] = bias[channel] ?? 0;
      const from = channel * depth * area;
      let at = group + lanes + lane;
      for (let tap = 0; tap < area; tap++) {
        for (let input = 0; input < inputs; input++, at += lanes) {
          if (input < depth) packed[at] = /** @type {number} */ (values[from + input * area + tap]);
        }
      }
    }
  }
  return packed;
}
