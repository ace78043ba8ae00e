import { EmotionError } from './errors.js';

/** @typedef {typeof import('onnxruntime-web/wasm')} Ort */
/** @typedef {'wasm' | 'webgpu'} Provider */
/** @typedef {'pyojeong' | 'onnxruntime'} EngineName */

/**
 * @typedef {object} RuntimeOptions
 * @property {EngineName} [engine] what computes: the package's own engine, or onnxruntime-web, which computes other
 *   networks as well and has to be installed. Default: `'onnxruntime'` if `provider`, `wasmBasePath` or `ort` is given,
 *   else `'pyojeong'`
 * @property {Provider} [provider] of onnxruntime-web: `'wasm'` (the default), or `'webgpu'`, which falls back to `'wasm'`
 *   if WebGPU is unavailable or computes wrong values
 * @property {string | URL} [wasmBasePath] the address of onnxruntime-web's dist folder
 * @property {Ort} [ort] the module `onnxruntime-web/wasm` (`onnxruntime-web/webgpu` for WebGPU), if the page has
 *   loaded it already
 * @property {typeof globalThis.fetch} [fetch] loads models and class names; default: the global `fetch`
 */

/**
 * Returns which engine the options ask for.
 *
 * @param {RuntimeOptions} options
 * @returns {EngineName}
 */
export function engineOf({ engine, provider, wasmBasePath, ort }) {
  const foreign = provider !== undefined || wasmBasePath !== undefined || ort !== undefined;
  return engine ?? (foreign ? 'onnxruntime' : 'pyojeong');
}

/**
 * @param {RuntimeOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkRuntime(options) {
  const { provider = 'wasm', engine = 'pyojeong' } = options;
  if (provider !== 'wasm' && provider !== 'webgpu') {
    throw new EmotionError('bad_option', `provider must be "wasm" or "webgpu", not ${JSON.stringify(provider)}`);
  }
  if (engine !== 'pyojeong' && engine !== 'onnxruntime') {
    throw new EmotionError('bad_option', `engine must be "pyojeong" or "onnxruntime", not ${JSON.stringify(engine)}`);
  }
  const unused = /** @type {const} */ (['provider', 'wasmBasePath', 'ort']).find((name) => options[name] !== undefined);
  if (options.engine === 'pyojeong' && unused) {
    throw new EmotionError('bad_option', `${unused} belongs to onnxruntime-web; leave it out, or pass engine: 'onnxruntime'`);
  }
}

const NAMES = [
  'modelUrl', 'classesUrl', 'detectorUrl', 'wasmBasePath', 'workerUrl', 'engine', 'provider', 'ort', 'fetch', 'worker',
  'minFace', 'scoreThreshold', 'thorough', 'inputSize', 'halfLife', 'boxKind', 'landmarks', 'time',
];

/**
 * Refuses a name that differs from an option's only in case, such as `modelURL`. It would otherwise be ignored, and the
 * package's own model used.
 *
 * @param {object | null | undefined} options
 * @throws {EmotionError} `bad_option`
 */
export function checkNames(options) {
  for (const name of Object.keys(options ?? {})) {
    const meant = NAMES.find((known) => known !== name && known.toLowerCase() === name.toLowerCase());
    if (meant) throw new EmotionError('bad_option', `there is no option ${name}; did you mean ${meant}?`);
  }
}

/** @param {{ fetch?: typeof globalThis.fetch }} options */
export function fetchOf({ fetch }) {
  return fetch ?? globalThis.fetch.bind(globalThis);
}

/**
 * Returns an absolute address; a relative one is resolved against the page.
 *
 * @param {string | URL} path
 * @param {string} option its name, for errors
 * @throws {EmotionError} `bad_option`
 */
export function absolute(path, option) {
  const page = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(path, page).href;
  } catch (error) {
    const valid = page ? 'valid address' : 'whole address, because there is no page that it could start from';
    throw new EmotionError('bad_option', `${option} must be a ${valid}, not ${JSON.stringify(path)}`, error);
  }
}

/**
 * Returns bytes for the first run of a network; no two rows are equal, so that faulty operators show.
 *
 * @param {number} length
 */
export function pattern(length) {
  return Uint8Array.from({ length }, (_, at) => (at * at) % 251);
}
