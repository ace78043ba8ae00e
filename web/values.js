/** What a node of a graph takes and gives, while a network is planned. */

/** @typedef {import('./graph.js').Node} Node */
/** @typedef {import('./layers.js').FeatureMap} FeatureMap */
/** @typedef {import('./tensor.js').Tensor} Tensor */

/**
 * How the numbers of a map are arranged in the graph: [1, channels, rows, columns], the same with more channels of zeros
 * (`size` in all), [1, channels], probabilities [1, channels] whose logits are in the map, [1, rows, columns, channels],
 * and the same numbers as a list of vectors of `size`.
 *
 * @typedef {'planes' | 'wide' | 'vector' | 'softmax' | 'pixels' | 'list'} Arrangement
 */

/** @typedef {{ map: FeatureMap, as: Arrangement, size?: number, shared?: boolean }} MapValue `shared` under another name */

/**
 * `maps` are several maps that the graph has joined to one list; `sizes` numbers that depend on sizes of maps.
 *
 * @typedef {{ constant: Tensor } | MapValue | { maps: FeatureMap[], size: number } | { sizes: number[] }
 *   | { picture: import('./picture.js').Picture }} Value
 */

/** @param {FeatureMap} map */
export function isPixel({ height, width }) {
  return height * width === 1;
}

/**
 * Returns the numbers of a constant or of sizes; none for other values.
 *
 * @param {Value | undefined} value
 * @returns {number[]}
 */
export function numbersOf(value) {
  if (value && 'sizes' in value) return value.sizes;
  return value && 'constant' in value ? [...value.constant.values] : [];
}

/**
 * @param {Node} node
 * @param {number[]} shape
 * @returns {Value}
 */
export function shaped(node, shape) {
  return { sizes: shape.slice(number(node, 'start', 0), number(node, 'end', 4)) };
}

/**
 * @param {MapValue} value
 * @param {number[]} shape
 * @returns {Value | null}
 */
export function listed(value, [first, second, size = 0, ...more]) {
  const { channels, height, width } = value.map;
  const isOurs = (first === 0 || first === 1) && second === -1 && !more.length && (channels * height * width) % size === 0;
  return isOurs ? { ...value, size } : null;
}

/**
 * Joins lists of vectors of one size.
 *
 * @param {Node} node
 * @param {(Value | undefined)[]} values
 * @returns {Value | null}
 */
export function joined(node, values) {
  const lists = values.flatMap((value) => (value && 'map' in value && value.as === 'list' ? [value] : []));
  const [{ size = 0 } = {}] = lists;
  const isOurs = number(node, 'axis', 0) === 1 && lists.length === values.length && lists.every((list) => list.size === size);
  return isOurs ? { maps: lists.map(({ map }) => map), size } : null;
}

/**
 * @param {Node} node
 * @param {string} name
 * @param {number} usual
 */
export function number({ attributes }, name, usual) {
  return Number(attributes[name]?.[0] ?? usual);
}

/**
 * Computes with the sizes of maps, as far as TinyFaceDetector's graph and the package's do.
 *
 * @param {Node} node
 * @param {number[][]} operands
 * @returns {number[] | null}
 */
export function sizesOf({ operator }, operands) {
  const [a = [], b = [], c = []] = operands;
  const each = (/** @type {(a: number, b: number) => number} */ compute) =>
    Array.from({ length: Math.max(a.length, b.length) }, (_, at) =>
      compute(a[a.length > 1 ? at : 0] ?? NaN, b[b.length > 1 ? at : 0] ?? NaN),
    );
  switch (operator) {
    case 'Add':
      return each((x, y) => x + y);
    case 'Sub':
      return each((x, y) => x - y);
    case 'Mul':
      return each((x, y) => x * y);
    case 'Div':
      return each((x, y) => Math.trunc(x / y));
    case 'Max':
      return operands.length === 2 ? each(Math.max) : null;
    case 'Min':
      return operands.length === 2 ? each(Math.min) : null;
    case 'ReduceMax':
      return operands.length === 1 ? [Math.max(...a)] : null;
    case 'Concat':
      return operands.flat();
    case 'Gather':
      return b.map((at) => a.at(at) ?? NaN);
    case 'Range':
      // From 0 on in steps of 1, over the rows of a map.
      return `${a} ${c}` === '0 1' && Number(b[0]) < 2 ** 16 ? Array.from({ length: Number(b[0]) }, (_, at) => at) : null;
    default:
      return null;
  }
}
