/** Reads the graph of an ONNX file; field numbers are those of onnx.proto3. */

import { fieldsOf, integersOf, invalid } from './protobuf.js';
import { Tensor } from './tensor.js';

/**
 * @typedef {object} Node
 * @property {string} operator
 * @property {string[]} inputs names of values; empty for a missing optional one
 * @property {string} output name of its first output
 * @property {Record<string, number[] | string>} attributes numbers as lists, also single ones
 */

/**
 * @typedef {object} Graph
 * @property {Node[]} nodes in the order of their computation
 * @property {Map<string, Tensor>} constants
 * @property {{ name: string, type: number }[]} inputs without those of constants; ONNX's number of the type
 * @property {string[]} outputs names
 */

const decoder = new TextDecoder();

/**
 * @param {Uint8Array} bytes an ONNX file
 * @param {string} option name of the option with its address, for errors
 * @returns {Graph}
 * @throws {import('./errors.js').EmotionError} `model_truncated`, `model_invalid`
 */
export function readGraph(bytes, option) {
  /** @type {Graph} */
  const graph = { nodes: [], constants: new Map(), inputs: [], outputs: [] };
  for (const [field, content] of fieldsOf(bytes, option)) {
    if (field !== 7) continue;
    for (const [part, message] of fieldsOf(bytesOf(content), option)) {
      if (part === 1) graph.nodes.push(nodeOf(bytesOf(message), option));
      if (part === 5) addTensor(graph.constants, bytesOf(message), option);
      if (part === 11) graph.inputs.push(inputOf(bytesOf(message), option));
      if (part === 12) graph.outputs.push(inputOf(bytesOf(message), option).name);
    }
  }
  graph.inputs = graph.inputs.filter(({ name }) => !graph.constants.has(name));
  graph.nodes = graph.nodes.filter((node) => {
    const constant = expanded(node, graph.constants);
    if (constant) graph.constants.set(node.output, constant);
    return !constant;
  });
  return graph;
}

/**
 * Returns the window of a convolution that is the same across and down.
 *
 * @param {Node} node
 * @param {readonly number[]} shape of its weights
 * @returns {{ kernel: number, stride: number, before: number, after: number, groups: number } | null} sides in pixels;
 *   zeros `before` are above and on the left
 */
export function windowOf({ attributes }, [, , kernel = 0, across = 0]) {
  const numbers = (/** @type {string} */ name) => /** @type {number[]} */ (attributes[name] ?? []);
  const [stride = 1, strideX = 1] = numbers('strides');
  const [top = 0, left = 0, bottom = 0, right = 0] = numbers('pads');
  const [sideY = kernel, sideX = across] = numbers('kernel_shape');
  const [groups = 1] = numbers('group');
  const isEven = [across, sideY, sideX].every((side) => side === kernel) && stride === strideX && top === left && bottom === right;
  return isEven && top >= 0 && bottom >= 0 ? { kernel, stride, before: top, after: bottom, groups } : null;
}

/**
 * Expands a tensor of few bits.
 *
 * @param {Node} node
 * @param {Map<string, Tensor>} constants
 * @returns {Tensor | null} null for a node that computes something else
 */
function expanded({ operator, inputs, attributes }, constants) {
  const [tensor, scale] = inputs.map((name) => constants.get(name));
  if (!tensor) return null;
  if (operator === 'Cast') return String(attributes.to) === '1' ? tensor : null;
  if (operator !== 'DequantizeLinear' || !scale || inputs.length !== 2) return null;
  // Each scale serves a block of a row, or a whole row.
  const { axis, block_size: blocks, ...others } = attributes;
  const [rows = 1, columns = 1] = tensor.shape;
  const [block = tensor.count / rows] = /** @type {number[]} */ (blocks ?? []);
  const isOurs = blocks ? `${axis} ${scale.shape}` === `1 ${rows},${columns / block}` : `${axis} ${scale.shape}` === `0 ${rows}`;
  return isOurs && !Object.keys(others).length ? tensor.dequantized(scale.values, block) : null;
}

/**
 * @param {Uint8Array} message ValueInfoProto
 * @param {string} option
 */
function inputOf(message, option) {
  const field = (/** @type {Uint8Array | number} */ within, /** @type {number} */ wanted) => {
    for (const [number, content] of fieldsOf(bytesOf(within), option)) if (number === wanted) return content;
    return 0;
  };
  // TypeProto, its tensor_type, and the type of that.
  return { name: textOf(field(message, 1)), type: Number(field(field(field(message, 2), 1), 1)) };
}

/**
 * @param {Uint8Array} message NodeProto
 * @param {string} option
 * @returns {Node}
 */
function nodeOf(message, option) {
  /** @type {Node} */
  const node = { operator: '', inputs: [], output: '', attributes: {} };
  for (const [field, content] of fieldsOf(message, option)) {
    if (field === 1) node.inputs.push(textOf(content));
    if (field === 2) node.output ||= textOf(content);
    if (field === 4) node.operator += textOf(content);
    // An operator that ONNX does not define.
    if (field === 7 && bytesOf(content).length) node.operator = `${textOf(content)}.${node.operator}`;
    if (field === 5) addAttribute(node.attributes, bytesOf(content), option);
  }
  return node;
}

/**
 * @param {Record<string, number[] | string>} attributes
 * @param {Uint8Array} message AttributeProto
 * @param {string} option
 */
function addAttribute(attributes, message, option) {
  let name = '';
  /** @type {number[]} */
  const numbers = [];
  /** @type {string | undefined} */
  let text;
  for (const [field, content] of fieldsOf(message, option)) {
    if (field === 1) name = textOf(content);
    if (field === 2 || field === 7) numbers.push(...floatsOf(bytesOf(content)));
    if (field === 3 || field === 8) numbers.push(...integersOf(content, option));
    if (field === 4) text = textOf(content);
  }
  attributes[name] = text ?? numbers;
}

/**
 * @param {Map<string, Tensor>} constants
 * @param {Uint8Array} message TensorProto
 * @param {string} option
 */
function addTensor(constants, message, option) {
  /** @type {number[]} */
  const shape = [];
  let type = 0;
  let name = '';
  /** @type {Uint8Array | undefined} */
  let raw;
  for (const [field, content] of fieldsOf(message, option)) {
    if (field === 1) shape.push(...integersOf(content, option));
    if (field === 2) type = Number(content);
    if (field === 8) name = textOf(content);
    if (field === 9) raw = bytesOf(content);
  }
  const tensor = raw && Tensor.read(shape, type, raw);
  if (!tensor) throw invalid(`its tensor ${name} has element type ${type} and shape [${shape.join(', ')}], but other data`, option);
  constants.set(name, tensor);
}

/** @param {Uint8Array} bytes */
function floatsOf(bytes) {
  return new Float32Array(bytes.slice().buffer, 0, bytes.length >> 2);
}

/** @param {Uint8Array | number} content */
function textOf(content) {
  return decoder.decode(bytesOf(content));
}

/** @param {Uint8Array | number} content */
function bytesOf(content) {
  return typeof content === 'number' ? new Uint8Array() : content;
}
