/** Plans the memory of a network and packs its weights in the order in which the kernels read them. */

/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./layers.js').Layer} Layer */
/** @typedef {import('./kernels.js').Kernels} Kernels */
/** @typedef {import('./tensor.js').Tensor} Tensor */

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
  /** @type {Packing[]} */
  #packings = [];
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
    const { weights, activation, slope, output } = layer;
    if (!weights) return;
    const padded = Math.ceil(output.channels / LANES) * LANES;
    const slopes = slope && Float32Array.from({ length: padded }, (_, channel) => slope[slope.length > 1 ? channel : 0] ?? 0);
    const packing = new Packing(layer, weights.packed);
    packing.address = this.reserve(packing.size);
    this.#packings.push(packing);
    const kind = ACTIVATIONS.indexOf(activation);
    this.#layers.set(layer, this.put(Int32Array.of(packing.address, slopes ? this.put(slopes) : 0, kind)));
  }

  /** @param {FeatureMap} map */
  mapAt(map) {
    return /** @type {Place} */ (this.#maps.get(map));
  }

  /** @param {Layer} layer */
  layerAt(layer) {
    return this.#layers.get(layer) ?? 0;
  }

  /** Pages of 64 KiB that the network takes, with room for the weights that are being packed. */
  get pages() {
    const room = this.#packings.reduce((most, packing) => Math.max(most, packing.room), 0);
    return Math.ceil((this.#end + room) / PAGE);
  }

  /**
   * Writes weights and places, and lets go of them.
   *
   * @param {ArrayBuffer} memory
   * @param {Kernels} kernels in this memory
   */
  fill(memory, kernels) {
    for (const [address, numbers] of this.#contents) {
      const target = numbers instanceof Float32Array ? Float32Array : Int32Array;
      new target(memory, address, numbers.length).set(numbers);
    }
    for (const packing of this.#packings) packing.write(memory, kernels, this.#end);
    this.#contents = [];
    this.#packings = [];
  }
}

/**
 * Weights of a layer on the way into the memory: for each group of output channels the biases, then for each product, in
 * the kernel's order, one weight per channel. Channels that fill up the last group have zeros.
 */
class Packing {
  address = 0;

  #bias;
  #weights;
  #depth; // weights of an output channel, apart from rows and columns
  #inputs; // the same, filled up for the kernel
  #area;
  #group; // output channels that lie together
  #padded;

  /**
   * @param {Layer} layer
   * @param {Tensor} weights
   */
  constructor({ kind, bias }, weights) {
    const [count = 0, depth = 0, kernel = 1] = weights.shape;
    this.#bias = bias ?? new Float32Array();
    this.#weights = weights;
    this.#depth = depth;
    this.#inputs = kind === 'first' || kind === 'depthwise' ? depth : Math.ceil(depth / LANES) * LANES;
    this.#area = kernel * kernel;
    this.#group = kind === 'depthwise' ? LANES : GROUP;
    this.#padded = Math.ceil(count / LANES) * LANES;
  }

  /** Numbers of the packed weights. */
  get size() {
    return this.#padded * (1 + this.#inputs * this.#area);
  }

  /** Bytes that {@link write} needs for weights and scales of one group. */
  get room() {
    const { scales } = this.#weights;
    return BYTES * (this.#group * this.#depth * this.#area + LANES + scales.length);
  }

  /**
   * @param {ArrayBuffer} memory
   * @param {Kernels} kernels
   * @param {number} room address of memory for {@link room} bytes
   */
  write(memory, kernels, room) {
    const { type, scales, block, shape } = this.#weights;
    const [count = 0] = shape;
    const row = this.#depth * this.#area;
    const raw = room + Math.ceil(scales.length / LANES) * LANES * BYTES;
    const [floats, bytes] = [new Float32Array(memory), new Uint8Array(memory)];
    floats.set(scales, room / BYTES);
    for (let begin = 0; begin < count; begin += this.#group) {
      const channels = Math.min(this.#group, count - begin);
      const lanes = Math.min(this.#group, this.#padded - begin);
      const to = this.address + begin * (1 + this.#inputs * this.#area) * BYTES;
      floats.set(this.#bias.subarray(begin, begin + channels), to / BYTES);
      bytes.set(this.#weights.bytesOf(begin * row, (begin + channels) * row), raw);
      const scale = room + Math.floor((begin * row) / block) * BYTES;
      const sizes = /** @type {const} */ ([channels, lanes, this.#depth, this.#inputs, this.#area]);
      kernels.pack(raw, type, scale, block, (begin * row) % block, ...sizes, to + lanes * BYTES);
    }
  }
}
