/** Numbers of an ONNX file. Most are weights, which stay as they are in the file until a kernel packs them. */

const FLOAT = 1;
const INT8 = 3;
const INT32 = 6;
const INT64 = 7;
const FLOAT16 = 10;
const INT4 = 22;

/** Bytes of a number, by ONNX's number of its type. */
const BYTES = new Map([
  [FLOAT, 4],
  [INT8, 1],
  [INT32, 4],
  [INT64, 8],
  [FLOAT16, 2],
  [INT4, 0.5],
]);

/** Types that the kernels read. */
const PACKED = [FLOAT, INT8, FLOAT16, INT4];

/** A tensor whose numbers are decoded when they are needed. */
export class Tensor {
  /**
   * @param {number[]} shape
   * @param {number} type ONNX's number of the type
   * @param {Uint8Array} raw little-endian; of two numbers of 4 bits in a byte the first is the low half
   * @param {Float32Array} [scales] each multiplies `block` numbers
   * @param {number} [block]
   */
  constructor(shape, type, raw, scales = Float32Array.of(1), block = Math.max(1, countOf(shape))) {
    this.shape = shape;
    this.count = countOf(shape);
    this.type = type;
    this.raw = raw;
    this.scales = scales;
    this.block = block;
  }

  /**
   * @param {number[]} shape
   * @param {number} type
   * @param {Uint8Array} raw
   * @returns {Tensor | null} null for other types, or where there are not as many numbers
   */
  static read(shape, type, raw) {
    const bytes = BYTES.get(type);
    return bytes && raw.length === Math.ceil(countOf(shape) * bytes) ? new Tensor(shape, type, raw) : null;
  }

  /**
   * @param {number[]} shape
   * @param {Float32Array} values
   */
  static of(shape, values) {
    return new Tensor(shape, FLOAT, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /**
   * Returns integers multiplied by their scales.
   *
   * @param {Float32Array} scales
   * @param {number} block
   */
  dequantized(scales, block) {
    return new Tensor(this.shape, this.type, this.raw, scales, block);
  }

  /** @param {number} factor */
  times(factor) {
    return new Tensor(this.shape, this.type, this.raw, this.scales.map((scale) => scale * factor), this.block);
  }

  /** @returns {Tensor} the same numbers as the kernels can read them */
  get packed() {
    const { block, count, shape, type } = this;
    const row = count / (shape[0] ?? 1);
    const even = block % row === 0 || (row % block === 0 && block % 4 === 0);
    return PACKED.includes(type) && even && (type !== INT4 || row % 2 === 0) ? this : Tensor.of(shape, this.values);
  }

  /**
   * Returns where the numbers from `first` to before `end` lie in `raw`.
   *
   * @param {number} first even
   * @param {number} end
   */
  bytesOf(first, end) {
    const bytes = /** @type {number} */ (BYTES.get(this.type));
    return this.raw.subarray(first * bytes, Math.ceil(end * bytes));
  }

  /** @returns {Float32Array} */
  get values() {
    const { block, scales } = this;
    const values = decoded(this.type, this.raw).subarray(0, this.count);
    if (scales.length === 1 && scales[0] === 1) return values;
    return values.map((value, at) => value * /** @type {number} */ (scales[Math.floor(at / block)]));
  }
}

/** @param {readonly number[]} shape */
function countOf(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

/**
 * @param {number} type
 * @param {Uint8Array} raw
 * @returns {Float32Array}
 */
function decoded(type, raw) {
  // Numbers of several bytes may lie at any place in the file, but not in memory.
  const { buffer } = raw.slice();
  if (type === FLOAT) return new Float32Array(buffer);
  if (type === INT8) return new Float32Array(new Int8Array(buffer));
  if (type === INT32) return new Float32Array(new Int32Array(buffer));
  if (type === INT64) return Float32Array.from(new BigInt64Array(buffer), Number);
  if (type === FLOAT16) return fromHalves(new Uint16Array(buffer));
  // Shifts of 32-bit integers extend the sign.
  return Float32Array.from({ length: 2 * raw.length }, (_, at) => (/** @type {number} */ (raw[at >> 1]) << (at % 2 ? 24 : 28)) >> 28);
}

/**
 * Converts numbers of 16 bits (IEEE 754 binary16), infinities excepted.
 *
 * @param {Uint16Array} halves
 * @returns {Float32Array}
 */
function fromHalves(halves) {
  // The same digits with float32's exponent, which is 112 higher, make numbers too small by 2^112, tiny ones included.
  const bits = Uint32Array.from(halves, (half) => ((half & 0x8000) << 16) | ((half & 0x7fff) << 13));
  return new Float32Array(bits.buffer).map((value) => value * 2 ** 112);
}
