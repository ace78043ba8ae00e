/** The operators that the engine computes, as far as their attributes tell. */

const NO_MORE = [{}, {}];

/**
 * Attributes that must be there, and those that may, with the values that the engine computes; null stands for any, or
 * for one that the planner checks.
 *
 * @type {Map<string, Record<string, string | null>[]>}
 */
const FORMS = new Map(
  Object.entries({
    Add: NO_MORE,
    Cast: [{ to: '1' }, {}],
    Concat: [{ axis: null }, {}],
    Conv: [{}, { auto_pad: 'NOTSET', dilations: '1,1', group: null, kernel_shape: null, pads: null, strides: null }],
    Div: NO_MORE,
    Gather: [{}, { axis: null }],
    Gemm: [{ transB: '1' }, { alpha: '1', beta: '1', transA: '0' }],
    HardSigmoid: [{ alpha: String(Math.fround(1 / 6)) }, { beta: '0.5' }],
    HardSwish: NO_MORE,
    Identity: NO_MORE,
    LeakyRelu: [{}, { alpha: null }],
    Max: NO_MORE,
    MaxPool: [
      { kernel_shape: '2,2' },
      { auto_pad: null, ceil_mode: '0', dilations: '1,1', pads: '0,0,0,0', storage_order: '0', strides: '1,1|2,2' },
    ],
    Min: NO_MORE,
    Mul: NO_MORE,
    Pad: [{}, { mode: null }],
    Range: NO_MORE,
    ReduceMax: [{}, { keepdims: null }],
    ReduceMean: [{}, { keepdims: null, noop_with_empty_axes: null }],
    Relu: NO_MORE,
    Reshape: [{}, { allowzero: '0' }],
    Resize: [{ antialias: '1', exclude_outside: '1', mode: 'linear' }, { coordinate_transformation_mode: 'half_pixel' }],
    Shape: [{}, { end: null, start: null }],
    Slice: NO_MORE,
    Softmax: [{}, { axis: '1|-1' }],
    Sub: NO_MORE,
    Transpose: [{ perm: null }, {}],
  }),
);

/**
 * Returns whether the engine computes nodes with this operator and these attributes.
 *
 * @param {import('./graph.js').Node} node
 */
export function isKnown({ operator, attributes }) {
  const [must = {}, may = {}] = FORMS.get(operator) ?? [];
  const allowed = new Map([...Object.entries(must), ...Object.entries(may)]);
  return (
    FORMS.has(operator) &&
    Object.keys(must).every((name) => name in attributes) &&
    Object.entries(attributes).every(([name, value]) => {
      const values = allowed.get(name);
      return values === null || values?.split('|').includes(String(value));
    })
  );
}
