/**
 * Turns the graph of a network into layers, one per call of a kernel of the engine. Activations, residuals, biases and
 * padding become part of the layer that they belong to.
 */

import { windowOf } from './graph.js';

/** @typedef {import('./graph.js').Graph} Graph */
/** @typedef {import('./graph.js').Node} Node */
/** @typedef {import('./tensor.js').Tensor} Tensor */

/** @typedef {import('./layers.js').Activation} Activation */
/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./layers.js').Layer} Layer */
/** @typedef {import('./layers.js').Plan} Plan */

/**
 * `maps` are several maps that the graph has joined to one list of numbers.
 *
 * @typedef {{ constant: Tensor } | { map: FeatureMap } | { maps: FeatureMap[] }
 *   | { size: true, tail?: Float32Array | undefined } | { picture: true }} Value
 */

/**
 * @param {Graph} graph
 * @param {{ height: number, width: number }} size of the network's input in pixels
 * @returns {Plan}
 * @throws {UnknownGraphError} the engine has no kernel for a node
 */
export function planOf(graph, size) {
  const planner = new Planner(graph, { channels: 3, border: 0, ...size });
  for (const node of graph.nodes) planner.add(node);
  const { input, gain, offset, layers, softmax } = planner;
  return { input, gain, offset, layers, outputs: new Map(graph.outputs.map((name) => [name, planner.mapsOf(name)])), softmax };
}

/** A graph is none of those that the engine computes. */
export class UnknownGraphError extends Error {}

/** Reads nodes in order. */
class Planner {
  /** @type {Layer[]} */
  layers = [];
  softmax = false;
  gain = new Float32Array(3).fill(1);
  offset = new Float32Array(3);

  /** @type {Map<string, Value>} */
  #values = new Map();
  /** @type {Map<string, number>} how often each value is read */
  #uses = new Map();
  /** @type {Map<FeatureMap, FeatureMap>} maps with channels of zeros at the end, to the maps without */
  #narrow = new Map();
  /** @type {Map<FeatureMap, Layer>} the last layer that wrote a map */
  #producers = new Map();

  /**
   * @param {Graph} graph
   * @param {FeatureMap} input
   */
  constructor(graph, input) {
    this.input = input;
    for (const [name, constant] of graph.constants) this.#values.set(name, { constant });
    for (const name of graph.inputs) this.#values.set(name, { picture: true });
    for (const { inputs } of graph.nodes) for (const name of inputs) this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
  }

  /** @param {Node} node */
  add(node) {
    const inputs = node.inputs.map((name) => this.#values.get(name));
    const value = this.#valueOf(node, inputs);
    if (!value) throw new UnknownGraphError(`it has no kernel for this ${node.operator} (${node.output})`);
    this.#values.set(node.output, value);
  }

  /** @param {string} name */
  mapsOf(name) {
    const value = this.#values.get(name);
    if (value && 'map' in value) return [value.map];
    if (value && 'maps' in value) return value.maps;
    throw new UnknownGraphError(`its output ${name} is not computed from the picture`);
  }

  /**
   * @param {Node} node
   * @param {(Value | undefined)[]} inputs
   * @returns {Value | null}
   */
  #valueOf(node, inputs) {
    const has = (/** @type {string} */ kind) => inputs.some((value) => value && kind in value);
    const [first, second] = inputs;
    if (has('map')) {
      const [map, other] = first && 'map' in first ? [first, second] : [second, first];
      // TinyFaceDetector's graph omits rows and repeats them; the engine does so on its own.
      if (['Pad', 'Gather'].includes(node.operator) && other && 'size' in other) return /** @type {Value} */ (map);
      if (node.operator === 'Concat') return joined(inputs);
      return node.operator === 'Shape' ? { size: true } : this.#layerOf(node, /** @type {{ map: FeatureMap }} */ (map).map, other);
    }
    if (has('maps')) return node.operator === 'Identity' ? /** @type {Value} */ (first) : null;
    if (has('picture')) return this.#pictureOf(node, second);
    // The shape that a picture is resized to ends with a constant.
    const tail = node.operator === 'Concat' && second && 'constant' in second ? second.constant.values : undefined;
    return has('size') ? { size: true, tail } : null;
  }

  /**
   * Returns whether a picture is resized to the network's input by the filter that the engine has.
   *
   * @param {Node} node
   */
  #isOurResize({ inputs, attributes }) {
    const sizes = this.#values.get(inputs[3] ?? '');
    const { height, width } = this.input;
    const isOurSize = sizes && 'size' in sizes && sizes.tail?.join() === `3,${height},${width}`;
    return isOurSize && attributes.mode === 'linear' && attributes.antialias?.[0] === 1 && attributes.exclude_outside?.[0] === 1;
  }

  /**
   * Takes the nodes before the first layer: layout, size and scale of the picture.
   *
   * @param {Node} node
   * @param {Value | undefined} operand
   * @returns {Value | null}
   */
  #pictureOf(node, operand) {
    const { operator } = node;
    if (operator === 'Shape') return { size: true };
    if (operator === 'Resize' && !this.#isOurResize(node)) return null;
    if (['Transpose', 'Slice', 'Resize', 'Cast'].includes(operator)) return { picture: true };
    if (operator === 'Conv') return this.#convolutionOf(node, this.input);
    if (!operand || !('constant' in operand)) return null;
    const { values } = operand.constant;
    for (let color = 0; color < 3; color++) {
      const value = /** @type {number} */ (values[values.length === 3 ? color : 0]);
      const gain = operator === 'Mul' ? value : operator === 'Div' ? 1 / value : 1;
      const shift = operator === 'Add' ? value : operator === 'Sub' ? -value : 0;
      if (gain === 1 && !shift && operator !== 'Add') return null;
      this.gain[color] = /** @type {number} */ (this.gain[color]) * gain;
      this.offset[color] = /** @type {number} */ (this.offset[color]) * gain + shift;
    }
    return { picture: true };
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @param {Value | undefined} other the second input
   * @returns {Value | null}
   */
  #layerOf(node, map, other) {
    switch (node.operator) {
      case 'Conv':
        return this.#convolutionOf(node, map);
      case 'Gemm':
        return this.#denseOf(node, map);
      case 'Relu':
        return this.#activate(node, map, 'relu');
      case 'LeakyRelu':
        return this.#activate(node, map, 'slope', Float32Array.of(number(node, 'alpha', 0.01)));
      case 'PRelu':
        return other && 'constant' in other ? this.#activate(node, map, 'slope', other.constant.values) : null;
      case 'HardSwish':
        return this.#activate(node, map, 'hard_swish');
      case 'HardSigmoid':
        if (Math.abs(number(node, 'alpha', 0.2) - 1 / 6) > 1e-6 || number(node, 'beta', 0.5) !== 0.5) return null;
        return this.#activate(node, map, 'hard_sigmoid');
      case 'MaxPool':
        return this.#pooled(node, map);
      case 'ReduceMean':
      case 'GlobalAveragePool':
        return this.#push('average', map, { ...map, height: 1, width: 1, border: 0 }, {});
      case 'Mul':
        return this.#gated(node, map, other);
      case 'Add':
        return this.#summed(node, map, other);
      case 'Div':
        return this.#divided(map, other);
      case 'Pad':
        return this.#widened(map, other);
      case 'Softmax':
        this.softmax = true;
        return { map };
      case 'Transpose':
        return String(node.attributes.perm) === '0,2,3,1' ? { map } : null;
      case 'Reshape':
      case 'Unsqueeze':
      case 'Flatten':
      case 'Identity':
        return { map };
      default:
        return null;
    }
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #convolutionOf(node, map) {
    const [weights, bias] = this.#constants(node.inputs.slice(1));
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
    return this.#push(isDense ? 'dense' : kind, map, output, { weights, bias: bias?.values ?? null, kernel, stride, pad: before });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #denseOf(node, map) {
    const [weights, bias] = this.#constants(node.inputs.slice(1));
    if (!weights || number(node, 'transB', 0) !== 1 || weights.shape[1] !== map.channels) return null;
    const output = { channels: /** @type {number} */ (weights.shape[0]), height: 1, width: 1, border: 0 };
    return this.#push('dense', map, output, { weights, bias: bias?.values ?? null });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @param {Activation} activation
   * @param {Float32Array | null} [slope]
   * @returns {Value | null}
   */
  #activate({ inputs }, map, activation, slope = null) {
    const layer = this.#producerOf(map);
    if (!layer?.weights || layer.activation !== 'none' || this.#uses.get(inputs[0] ?? '') !== 1) return null;
    Object.assign(layer, { activation, slope });
    return { map };
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @returns {Value | null}
   */
  #pooled({ attributes }, map) {
    const [stride = 1] = /** @type {number[]} */ (attributes.strides ?? []);
    const kernel = /** @type {number[]} */ (attributes.kernel_shape ?? []);
    // Of an even map without padding, all windows are whole.
    const same = attributes.auto_pad === 'SAME_UPPER' || (stride === 2 && (map.height | map.width) % 2 === 0);
    if (!same || kernel.join() !== '2,2') return null;
    const side = (/** @type {number} */ length) => Math.ceil(length / stride);
    const output = { channels: map.channels, height: side(map.height), width: side(map.width), border: 0 };
    return this.#push('max_pool', map, output, { kernel: 2, stride });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #gated({ inputs }, map, other) {
    if (!other || !('map' in other)) return null;
    const [large, gates] = map.height * map.width > 1 ? [map, other.map] : [other.map, map];
    if (gates.height * gates.width !== 1 || gates.channels !== large.channels || inputs.length !== 2) return null;
    return this.#push('scale', large, large, { residual: gates });
  }

  /**
   * @param {Node} node
   * @param {FeatureMap} map
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #summed({ inputs }, map, other) {
    if (!other || !('map' in other)) return null;
    for (const [index, sum, residual] of /** @type {const} */ ([[0, map, other.map], [1, other.map, map]])) {
      const layer = this.#producerOf(sum);
      const free = layer?.kind === 'pointwise' && layer.activation === 'none' && !layer.residual;
      if (!free || this.#uses.get(inputs[index] ?? '') !== 1) continue;
      if (sum.channels !== residual.channels || sum.height !== residual.height || sum.width !== residual.width) continue;
      layer.residual = this.#narrow.get(residual) ?? residual;
      // What is added must have been computed before.
      this.layers.splice(this.layers.indexOf(layer), 1);
      this.layers.push(layer);
      return { map: sum };
    }
    return null;
  }

  /**
   * Adds channels of zeros at the end, which is possible for what is added to a convolution.
   *
   * @param {FeatureMap} map
   * @param {Value | undefined} other pads as in ONNX: before and after each of four dimensions
   * @returns {Value | null}
   */
  #widened(map, other) {
    if (!other || !('constant' in other)) return null;
    const { values } = other.constant;
    const channels = values[5] ?? 0;
    if (values.some((value, at) => value && at !== 5)) return null;
    const wide = { ...map, channels: map.channels + channels };
    this.#narrow.set(wide, map);
    return { map: wide };
  }

  /**
   * Divides the outputs of the last layer, which are calibrated by a temperature.
   *
   * @param {FeatureMap} map
   * @param {Value | undefined} other
   * @returns {Value | null}
   */
  #divided(map, other) {
    const layer = this.#producerOf(map);
    if (!layer?.weights || layer.activation !== 'none' || !other || !('constant' in other)) return null;
    const divisor = /** @type {number} */ (other.constant.values[0]);
    layer.weights = layer.weights.times(1 / divisor);
    layer.bias = layer.bias?.map((value) => value / divisor) ?? null;
    return { map };
  }

  /** @param {FeatureMap} map */
  #producerOf(map) {
    return this.#producers.get(map);
  }

  /** @param {string[]} names */
  #constants(names) {
    return names.map((name) => {
      const value = this.#values.get(name);
      return value && 'constant' in value ? value.constant : null;
    });
  }

  /**
   * @param {Layer['kind']} kind
   * @param {FeatureMap} input
   * @param {FeatureMap} output
   * @param {Partial<Layer>} more
   * @returns {Value}
   */
  #push(kind, input, output, more) {
    const plain = { residual: null, weights: null, bias: null, kernel: 1, stride: 1, pad: 0, slope: null };
    /** @type {Layer} */
    const layer = { kind, input, output, activation: 'none', ...plain, ...more };
    this.layers.push(layer);
    this.#producers.set(output, layer);
    return { map: output };
  }
}

/**
 * @param {(Value | undefined)[]} values
 * @returns {Value | null}
 */
function joined(values) {
  const maps = values.map((value) => (value && 'map' in value ? value.map : null));
  return maps.includes(null) ? null : { maps: /** @type {FeatureMap[]} */ (maps) };
}

// Side of the kernel and stride, as the engine has them.
const KERNELS = { first: ['3/1', '3/2', '5/2'], depthwise: ['3/1', '3/2', '5/1', '5/2'], pointwise: ['1/1'] };

/**
 * @param {Node} node
 * @param {string} name
 * @param {number} usual
 */
function number({ attributes }, name, usual) {
  return Number(attributes[name]?.[0] ?? usual);
}
