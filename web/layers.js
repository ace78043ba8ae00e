/** Types of a planned network; a module without code. */

/** @typedef {import('./tensor.js').Tensor} Tensor */

/**
 * A map of features between two layers; a vector of features is a map of one pixel.
 *
 * @typedef {object} FeatureMap
 * @property {number} channels
 * @property {number} height
 * @property {number} width
 * @property {number} border pixels of zeros that a layer reads around it
 */

/** @typedef {'none' | 'relu' | 'slope' | 'hard_swish' | 'hard_sigmoid'} Activation */

/**
 * @typedef {object} Layer
 * @property {'first' | 'depthwise' | 'pointwise' | 'dense' | 'max_pool' | 'average' | 'scale'} kind
 * @property {FeatureMap} input
 * @property {FeatureMap} output
 * @property {FeatureMap | null} residual added before the activation; for `scale` the gates
 * @property {Tensor | null} weights [output channels, input channels, rows, columns]
 * @property {Float32Array | null} bias
 * @property {number} kernel side in pixels
 * @property {number} stride
 * @property {number} pad zeros above and on the left
 * @property {Activation} activation
 * @property {Float32Array | null} slope of negative values, one for all channels or one each; for `slope`
 */

/**
 * @typedef {object} Plan
 * @property {FeatureMap} input red, green and blue
 * @property {boolean} resized whether the graph resizes its picture to the input
 * @property {Float32Array} gain by which each color is multiplied, and
 * @property {Float32Array} offset what is added after that, if `input` is made from bytes
 * @property {Layer[]} layers
 * @property {Map<string, FeatureMap[]>} outputs maps of each output of the graph, in order, to be joined by the caller
 * @property {string[]} softmax outputs that are still to be normalized
 */

export {};
