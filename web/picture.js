/** The nodes of a graph before its first layer: layout, size and scale of the picture. */

/** @typedef {import('./graph.js').Node} Node */
/** @typedef {import('./tensor.js').Tensor} Tensor */

/**
 * What has been done to the bytes or levels of the graph's input.
 *
 * @typedef {object} Picture
 * @property {boolean} planes whether colors come before rows
 * @property {boolean} resized
 * @property {boolean} levels whether it is float32
 * @property {Float32Array} gain by which each color is multiplied, and
 * @property {Float32Array} offset what is added after that
 */

/** @type {Picture} */
const BYTES = { planes: false, resized: false, levels: false, gain: new Float32Array(3).fill(1), offset: new Float32Array(3) };

/** By ONNX's number of the input's type. */
export const INPUTS = new Map([
  [1, { ...BYTES, levels: true }],
  [2, BYTES],
]);

/**
 * @param {Node} node
 * @param {Picture | undefined} picture its first input
 * @param {number[][]} operands the others' numbers; empty for one that is missing or unknown
 * @param {Tensor | null} constant the second input, where it is one
 * @param {{ height: number, width: number }} size of the network's input in pixels
 * @returns {Picture | null} null for a node that the engine does not compute
 */
export function pictureAfter({ operator, inputs, attributes }, picture, operands, constant, { height, width }) {
  if (operator === 'Transpose') return picture && !picture.planes && String(attributes.perm) === '0,3,1,2' ? { ...picture, planes: true } : null;
  if (!picture?.planes) return null;
  if (operator === 'Slice') return ['0;3;1', '0;3;1;1'].includes(operands.join(';')) ? picture : null;
  if (operator === 'Cast') return { ...picture, levels: true };
  if (operator === 'Resize') {
    // The filter works on bytes.
    const isOurs = !picture.resized && !picture.levels && inputs.length === 4 && operands.join(';') === `;;1,3,${height},${width}`;
    return isOurs ? { ...picture, resized: true } : null;
  }
  return constant && picture.levels ? scaled(operator, picture, constant) : null;
}

/**
 * @param {string} operator
 * @param {Picture} picture
 * @param {Tensor} constant
 * @returns {Picture | null}
 */
function scaled(operator, picture, { shape, values }) {
  const isOurs = shape.length <= 4 && (values.length === 1 || (values.length === 3 && shape.at(-3) === 3));
  const change = {
    Mul: (/** @type {number} */ value) => [value, 0],
    Div: (/** @type {number} */ value) => [1 / value, 0],
    Add: (/** @type {number} */ value) => [1, value],
    Sub: (/** @type {number} */ value) => [1, -value],
  }[operator];
  if (!isOurs || !change) return null;
  const changes = [0, 1, 2].map((color) => change(/** @type {number} */ (values[values.length === 3 ? color : 0])));
  const by = (/** @type {number} */ color) => /** @type {[number, number]} */ (changes[color]);
  return {
    ...picture,
    gain: picture.gain.map((value, color) => value * by(color)[0]),
    offset: picture.offset.map((value, color) => value * by(color)[0] + by(color)[1]),
  };
}
