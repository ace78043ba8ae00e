/**
 * Turns the graph of a network into layers, one per call of a kernel of the engine. Activations, residuals, biases and
 * padding become part of the layer that they belong to.
 */

import { isKnown } from './forms.js';
import { windowOf } from './graph.js';
import { INPUTS, pictureAfter } from './picture.js';
import { isPixel, joined, listed, number, numbersOf, shaped, sizesOf } from './values.js';

/** @typedef {import('./graph.js').Graph} Graph */
/** @typedef {import('./graph.js').Node} Node */
/** @typedef {import('./tensor.js').Tensor} Tensor */

/** @typedef {import('./layers.js').Activation} Activation */
/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./layers.js').Layer} Layer */
/** @typedef {import('./layers.js').Plan} Plan */

/** @typedef {import('./values.js').Arrangement} Arrangement */
/** @typedef {import('./values.js').MapValue} MapValue */
/** @typedef {import('./values.js').Value} Value */

/**
 * @param {Graph} graph
 * @param {{ height: number, width: number }} size of the network's input in pixels
 * @returns {Plan}
 * @throws {UnknownGraphError} the engine does not compute a node as ONNX defines it
 */
export function planOf(graph, size) {
  const planner = new Planner(graph, { channels: 3, border: 0, ...size });
  for (const node of graph.nodes) planner.add(node);
  const { input, layers, softmax, picture } = planner;
  if (!picture) throw new UnknownGraphError('it has no layers');
  const outputs = new Map(graph.outputs.map((name) => [name, planner.mapsOf(name)]));
  const { resized, gain, offset } = picture;
  return { input, resized, gain, offset, layers, outputs, softmax };
}

/** A graph is none of those that the engine computes. */
export class UnknownGraphError extends Error {}

/** Reads nodes in order. */
class Planner {
  /** @type {Layer[]} */
  layers = [];
  /** @type {string[]} */
  softmax = [];
  /** @type {import('./picture.js').Picture | null} what the first layer reads */
  picture = null;

  /** @type {Map<string, Value>} */
  #values = new Map();
  /** @type {Map<string, number>} how often each value is read */
  #uses = new Map();
  /** @type {Map<FeatureMap, Layer>} the last layer that wrote a map */
  #producers = new Map();

  /**
   * @param {Graph} graph
   * @param {FeatureMap} input
   */
  constructor(graph, input) {
    this.input = input;
    for (const [name, constant] of graph.constants) this.#values.set(name, { constant });
    const [image = { name: '', type: 0 }, ...others] = graph.inputs;
    const picture = INPUTS.get(image.type);
    if (others.length || !picture) throw new UnknownGraphError('it has another input than a picture');
    this.#values.set(image.name, { picture });
    for (const name of [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs]) {
      this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    }
  }

  /** @param {Node} node */
  add(node) {
    const inputs = node.inputs.map((name) => this.#values.get(name));
    const value = isKnown(node) ? this.#valueOf(node, inputs) : null;
    if (!value) throw new UnknownGraphError(`it has no kernel for this ${node.operator} (${node.output})`);
    this.#values.set(node.output, value);
  }

  /** @param {string} name of an output */
  mapsOf(name) {
    const value = this.#values.get(name);
    const single = value && 'map' in value && value.as !== 'wide' && (value.as !== 'planes' || isPixel(value.map)) ? [value.map] : [];
    const maps = value && 'maps' in value ? value.maps : single;
    // Of a map that layers read, borders and a part of the rows may be in memory.
    const isRead = this.layers.some(({ input, residual }) => maps.some((map) => map === input || map === residual));
    if (!maps.length || isRead) throw new UnknownGraphError(`it does not compute its output ${name} as the last of its layers`);
    if (value && 'as' in value && value.as === 'softmax') this.softmax.push(name);
    return maps;
  }

  /**
   * @param {Node} node
   * @param {(Value | undefined)[]} inputs
   * @returns {Value | null}
   */
  #valueOf(node, inputs) {
    const has = (/** @type {string} */ kind) => inputs.some((value) => value && kind in value);
    const [first, second] = inputs;
    if (has('picture')) return this.#pictureOf(node, inputs);
    if (has('maps')) return node.operator === 'Identity' ? /** @type {Value} */ (first) : null;
    if (has('map') && node.operator === 'Concat') return joined(node, inputs);
    if (first && 'map' in first) return this.#layerOf(node, first, second);
    const sizes = has('sizes') && !has('map') && sizesOf(node, inputs.map(numbersOf));
    return sizes ? { sizes } : null;
  }

  /**
   * @param {Node} node
   * @param {(Value | undefined)[]} inputs
   * @returns {Value | null}
   */
  #pictureOf(node, inputs) {
    // The operands of a sum or a product may come in any order.
    const swaps = ['Add', 'Mul'].includes(node.operator) && !(inputs[0] && 'picture' in inputs[0]);
    const [first, second, ...more] = swaps ? [...inputs].reverse() : inputs;
    const picture = first && 'picture' in first ? first.picture : undefined;
    if (picture?.planes && node.operator === 'Shape') return shaped(node, [1, NaN, NaN, NaN]);
    if (picture?.planes && picture.levels && node.operator === 'Conv') {
      this.picture ??= picture;
      if (this.picture !== picture) return null;
      return this.#convolutionOf(node, this.input);
    }
    const constant = second && 'constant' in second ? second.constant : null;
    const after = pictureAfter(node, picture, [second, ...more].map(numbersOf), constant, this.input);
    return after && { picture: after };
  }

  /**
   * @param {Node} node
   * @param {MapValue} value
   * @param {Value | undefined} other the second input
   * @returns {Value | null}
   */
  #layerOf(node, value, other) {
    const { map } = value;
    // What has two names may not change under one of them.
    const same = (/** @type {Partial<MapValue>} */ more) => ({ ...value, ...more, shared: !this.#isFree(node.inputs[0]) });
    switch (`${node.operator} ${value.as}`) {
      case 'Conv planes':
        return this.#convolutionOf(node, map);
      case 'Gemm vector':
        return this.#denseOf(node, map);
      case 'Relu planes':
      case 'Relu vector':
        return this.#activate(node, value, 'relu');
      case 'LeakyRelu planes':
        return this.#activate(node, value, 'slope', Float32Array.of(number(node, 'alpha', 0.01)));
      case 'HardSwish planes':
      case 'HardSwish vector':
        return this.#activate(node, value, 'hard_swish');
      case 'HardSigmoid planes':
        return this.#activate(node, value, 'hard_sigmoid');
      case 'MaxPool planes':
        return this.#pooled(node, map);
      case 'ReduceMean planes':
        return this.#averaged(node, map, other);
      case 'Mul planes':
        return this.#gated(map, other);
      case 'Add planes':
      case 'Add wide':
        return this.#summed(node, value, other);
      case 'Div vector':
        return this.#divided(node, value, other);
      case 'Pad planes':
        return this.#widened(node, same({}), other);
      case 'Gather planes':
        // TinyFaceDetector's graph repeats rows that it has omitted; of a square it omits none.
        return number(node, 'axis', 0) === 2 && `${numbersOf(other)}` === `${[...Array(map.height).keys()]}` ? same({}) : null;
      case 'Shape planes':
        return shaped(node, [1, map.channels, map.height, map.width]);
      case 'Softmax vector':
        return same({ as: 'softmax' });
      case 'Transpose planes':
        return String(node.attributes.perm) === '0,2,3,1' ? same({ as: 'pixels' }) : null;
      case 'Reshape pixels':
        return listed(same({ as: 'list' }), numbersOf(other));
      default:
        return node.operator === 'Identity' ? same({}) : null;
    }
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #convolutionOf(node, map) {
    const { weights, bias } = this.#weightsOf(node);
    const window = weights && windowOf(node, weights.shape);
    if (!window) return null;
    const { kernel, stride, before, after } = window;
    const [count = 0, depth = 0] = weights.shape;
    const kind = map === this.input ? 'first' : count === map.channels && depth === 1 ? 'depthwise' : 'pointwise';
    const isOurs = { first: depth === 3 && count % 8 === 0, depthwise: window.groups === count, pointwise: depth === map.channels };
    if (!isOurs[kind] || !KERNELS[kind].includes(`${kernel}/${stride}`)) return null;
    if (kind === 'pointwise' && before + after) return null;
    map.border = Math.max(map.border, before, after);
    const side = (/** @type {number} */ length) => Math.floor((length + before + after - kernel) / stride) + 1;
    const output = { channels: count, height: side(map.height), width: side(map.width), border: 0 };
    const isDense = kind === 'pointwise' && map.height * map.width === 1;
    return this.#push(isDense ? 'dense' : kind, map, output, { weights, bias, kernel, stride, pad: before });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #denseOf(node, map) {
    const { weights, bias } = this.#weightsOf(node);
    if (!weights || weights.shape[1] !== map.channels) return null;
    const output = { channels: /** @type {number} */ (weights.shape[0]), height: 1, width: 1, border: 0 };
    return this.#push('dense', map, output, { weights, bias }, 'vector');
  }

  /**
   * @param {Node} node
   * @param {MapValue} value
   * @param {Activation} activation
   * @param {Float32Array | null} [slope]
   * @returns {Value | null}
   */
  #activate({ inputs }, value, activation, slope = null) {
    const layer = this.#producers.get(value.map);
    if (!layer?.weights || layer.activation !== 'none' || !this.#isFree(inputs[0])) return null;
    Object.assign(layer, { activation, slope });
    return value;
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #pooled({ attributes }, map) {
    const [stride = 1] = /** @type {number[]} */ (attributes.strides ?? []);
    // Of an even map without padding, all windows are whole.
    const isWhole = (attributes.auto_pad ?? 'NOTSET') === 'NOTSET' && stride === 2 && (map.height | map.width) % 2 === 0;
    if (attributes.auto_pad !== 'SAME_UPPER' && !isWhole) return null;
    const side = (/** @type {number} */ length) => Math.ceil(length / stride);
    const output = { channels: map.channels, height: side(map.height), width: side(map.width), border: 0 };
    return this.#push('max_pool', map, output, { kernel: 2, stride });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @param {Value | undefined} axes
   * @returns {Value | null}
   */
  #averaged(node, map, axes) {
    const places = numbersOf(axes).map((axis) => (axis < 0 ? axis + 4 : axis));
    if (places.sort().join() !== '2,3') return null;
    const output = { ...map, height: 1, width: 1, border: 0 };
    return this.#push('average', map, output, {}, number(node, 'keepdims', 1) ? 'planes' : 'vector');
  }

  /**
   * Multiplies a map by gates, in its own memory.
   *
   * @param {FeatureMap} map
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #gated(map, other) {
    if (!other || !('map' in other) || other.as !== 'planes') return null;
    const [large, gates] = isPixel(map) ? [other.map, map] : [map, other.map];
    if (!isPixel(gates) || gates.channels !== large.channels || large === gates) return null;
    // From here on nothing may read the map as it was.
    for (const [name, value] of this.#values) {
      if ('map' in value ? value.map === large : 'maps' in value && value.maps.includes(large)) this.#values.delete(name);
    }
    return this.#push('scale', large, large, { residual: gates });
  }

  /**
   * @param {Node} node
   * @param {MapValue} value
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #summed({ inputs }, value, other) {
    if (!other || !('map' in other) || !['planes', 'wide'].includes(other.as)) return null;
    for (const [name, sum, residual] of /** @type {const} */ ([[inputs[0], value, other], [inputs[1], other, value]])) {
      const { map } = sum;
      const layer = this.#producers.get(map);
      const free = layer?.kind === 'pointwise' && layer.activation === 'none' && !layer.residual && sum.as === 'planes';
      if (!free || !this.#isFree(name)) continue;
      const { channels, height, width } = residual.map;
      if (map.channels !== (residual.size ?? channels) || map.height !== height || map.width !== width) continue;
      // What is added must have been computed before; what the layer reads must not have changed since.
      const [, ...later] = this.layers.splice(this.layers.indexOf(layer));
      if (later.some(({ kind, input }) => kind === 'scale' && input === layer.input)) return null;
      layer.residual = residual.map;
      this.layers.push(...later, layer);
      return sum;
    }
    return null;
  }

  /**
   * Adds channels of zeros at the end, which is possible for what is added to a convolution, or nothing.
   *
   * @param {Node} node
   * @param {MapValue} value
   * @param {Value | undefined} other pads as in ONNX: before and after each of four dimensions
   * @returns {Value | null}
   */
  #widened({ inputs, attributes }, value, other) {
    const pads = numbersOf(other);
    if (pads.length !== 8 || inputs.length !== 2 || pads.some((pad, at) => pad !== 0 && at !== 5)) return null;
    const { channels } = value.map;
    const size = channels + (pads[5] ?? 0);
    if (size === channels) return value;
    // The gate of 0, which may fill up a block of channels, is not 0.
    const hasGates = this.layers.some(({ activation }) => activation === 'hard_sigmoid');
    return size > channels && !hasGates && (attributes.mode ?? 'constant') === 'constant' ? { ...value, as: 'wide', size } : null;
  }

  /**
   * Divides the outputs of the last layer, which are calibrated by a temperature.
   *
   * @param {Node} node
   * @param {MapValue} value
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #divided({ inputs }, value, other) {
    const layer = this.#producers.get(value.map);
    const { values: [divisor, ...more], shape } = other && 'constant' in other ? other.constant : { values: [], shape: [] };
    if (!layer?.weights || layer.activation !== 'none' || !this.#isFree(inputs[0])) return null;
    if (!divisor || more.length || shape.length > 2) return null;
    layer.weights = layer.weights.times(1 / divisor);
    layer.bias = layer.bias?.map((bias) => bias / divisor) ?? null;
    return value;
  }

  /**
   * Returns whether a value is read once, so that it need not stay as it is.
   *
   * @param {string | undefined} name
   */
  #isFree(name = '') {
    const value = this.#values.get(name);
    return this.#uses.get(name) === 1 && !(value && 'shared' in value && value.shared);
  }

  /**
   * Returns weights and biases, without weights if the engine cannot use them.
   *
   * @param {Node} node
   */
  #weightsOf({ inputs }) {
    const [weights, bias] = inputs.slice(1).map((name) => this.#values.get(name));
    const numbers = bias && 'constant' in bias ? bias.constant.values : null;
    const isOurs = weights && 'constant' in weights && (inputs[2] ? numbers?.length === weights.constant.shape[0] : true);
    return { weights: isOurs ? weights.constant : null, bias: numbers };
  }

  /**
   * @param {Layer['kind']} kind
   * @param {FeatureMap} input
   * @param {FeatureMap} output
   * @param {Partial<Layer>} more
   * @param {Arrangement} [as]
   * @returns {Value}
   */
  #push(kind, input, output, more, as = 'planes') {
    const plain = { residual: null, weights: null, bias: null, kernel: 1, stride: 1, pad: 0, slope: null };
    /** @type {Layer} */
    const layer = { kind, input, output, activation: 'none', ...plain, ...more };
    this.layers.push(layer);
    this.#producers.set(output, layer);
    return { map: output, as };
  }
}

// Side of the kernel and stride, as the engine has them.
const KERNELS = { first: ['3/1', '3/2', '5/2'], depthwise: ['3/1', '3/2', '5/1', '5/2'], pointwise: ['1/1'] };
