import { EmotionError, messageOf } from './errors.js';
import { threadsOf, watchPolicy } from './policy.js';

/** @typedef {typeof import('onnxruntime-web/wasm')} Ort */
/** @typedef {import('onnxruntime-web/wasm').InferenceSession} InferenceSession */
/** @typedef {'wasm' | 'webgpu'} Provider */

/**
 * @typedef {object} RuntimeOptions
 * @property {Provider} [provider] how networks are computed: `'wasm'` (the default), or `'webgpu'` where the browser
 *   offers it and `'wasm'` elsewhere
 * @property {string | URL} [wasmBasePath] the address of onnxruntime-web's dist folder
 * @property {Ort} [ort] the module `onnxruntime-web/wasm` (`onnxruntime-web/webgpu` for WebGPU), where the page has
 *   loaded it already
 * @property {typeof globalThis.fetch} [fetch] used for models and class names
 */

/**
 * @typedef {object} Runtime
 * @property {Ort} ort
 * @property {string | null} wasmUrl null where `ort` knows it by itself
 * @property {Provider} provider
 * @property {string} providerWhy
 */

/**
 * @typedef {object} RuntimeInfo
 * @property {Provider} provider what computes
 * @property {string} providerWhy
 * @property {number} threads
 * @property {string} threadsWhy
 * @property {string} runtimeVersion of onnxruntime-web
 */

const FILES = {
  wasm: { module: 'ort.wasm.bundle.min.mjs', wasm: 'ort-wasm-simd-threaded.wasm' },
  webgpu: { module: 'ort.webgpu.bundle.min.mjs', wasm: 'ort-wasm-simd-threaded.asyncify.wasm' },
};
const MAX_THREADS = 4; // by judgment, not measured
const TOLERANCE = 0.01; // of WebGPU's values, absolute up to 1 and relative above: it sums in another order
// How onnxruntime-web's message begins when WebAssembly does not start.
const NO_BACKEND = 'no available backend found';

/**
 * @param {RuntimeOptions} options
 * @throws {EmotionError} `bad_option`
 */
export function checkProvider({ provider = 'wasm' }) {
  if (provider === 'wasm' || provider === 'webgpu') return;
  throw new EmotionError('bad_option', `provider must be "wasm" or "webgpu", not ${JSON.stringify(provider)}`);
}

/** @param {{ fetch?: typeof globalThis.fetch }} options */
export function fetchOf({ fetch }) {
  return fetch ?? globalThis.fetch.bind(globalThis);
}

/**
 * Finds onnxruntime-web and sets its paths and threads.
 *
 * The first of these that is there: the module that was injected; the one in `wasmBasePath`; the one that a
 * bundler or an import map knows as `onnxruntime-web/wasm`; the one in `node_modules` beside this file. WebGPU needs
 * a larger build, which is never bundled unasked: it comes from the first, second or fourth.
 *
 * @param {RuntimeOptions} options
 * @returns {Promise<Runtime>}
 * @throws {EmotionError} `runtime_not_found`
 */
export async function loadRuntime({ ort, wasmBasePath, provider = 'wasm' }) {
  const chosen = await choose(provider);
  const base = wasmBasePath === undefined ? null : folderUrl(wasmBasePath);
  const { wasm } = FILES[chosen.provider];
  if (ort) {
    if (base) ort.env.wasm.wasmPaths = base;
    return { ort: withThreads(ort), wasmUrl: base && base + wasm, ...chosen };
  }
  const bundled = chosen.provider === 'wasm' && !base;
  const known = bundled ? await import('onnxruntime-web/wasm').catch(() => null) : null;
  if (known) return { ort: withThreads(known), wasmUrl: null, ...chosen };
  const folder = base ?? neighborFolder();
  const found = await importFrom(folder + FILES[chosen.provider].module);
  found.env.wasm.wasmPaths = { wasm: folder + wasm };
  return { ort: withThreads(found), wasmUrl: folder + wasm, ...chosen };
}

/**
 * @param {Provider} wanted
 * @returns {Promise<{ provider: Provider, providerWhy: string }>}
 */
async function choose(wanted) {
  if (wanted === 'wasm') return { provider: 'wasm', providerWhy: 'the option provider is "wasm"' };
  const { gpu } = /** @type {{ gpu?: { requestAdapter: () => Promise<unknown> } }} */ (globalThis.navigator ?? {});
  if (!gpu) return { provider: 'wasm', providerWhy: 'this browser or page offers no WebGPU' };
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return { provider: 'wasm', providerWhy: 'WebGPU finds no graphics adapter' };
  return { provider: 'webgpu', providerWhy: 'WebGPU is offered' };
}

/**
 * A network that was opened and has computed once.
 *
 * @template {{ release(): Promise<void> }} T
 * @typedef {{ network: T, answer: Float32Array }} Tried `answer` is what it made of {@link pattern}
 */

/**
 * Opens a network and tries it out. WebGPU is used where it computes what wasm does: with some devices and operators it
 * fails, and with some it answers something else.
 *
 * @template {{ release(): Promise<void> }} T
 * @param {Runtime} runtime its `provider` is corrected where WebGPU is of no use
 * @param {Uint8Array} bytes
 * @param {string} option that named the model, for errors
 * @param {typeof globalThis.fetch} fetch
 * @param {(session: InferenceSession) => Promise<Tried<T>>} tryOut
 * @returns {Promise<T>}
 * @throws {EmotionError} `wasm_not_found`, `runtime_failed`, `model_invalid`, and what `tryOut` throws
 */
export async function openNetwork(runtime, bytes, option, fetch, tryOut) {
  const fast = runtime.provider === 'webgpu' ? await openOnWebGpu(runtime, bytes, tryOut) : null;
  const plain = openOnWasm(runtime, bytes, option, fetch).then((session) => triedOut(session, tryOut));
  const { network, answer } = await plain.catch((error) => {
    fast?.network.release().catch(() => {});
    throw error;
  });
  if (!fast) return network;
  if (agree(fast.answer, answer)) {
    await network.release();
    return fast.network;
  }
  Object.assign(runtime, { provider: 'wasm', providerWhy: 'WebGPU computes other values here than wasm' });
  await fast.network.release();
  return network;
}

/**
 * @template {{ release(): Promise<void> }} T
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {(session: InferenceSession) => Promise<Tried<T>>} tryOut
 * @returns {Promise<Tried<T> | null>} null where WebGPU fails
 */
async function openOnWebGpu(runtime, bytes, tryOut) {
  try {
    return await triedOut(await create(runtime, bytes, 'webgpu'), tryOut);
  } catch (error) {
    Object.assign(runtime, { provider: 'wasm', providerWhy: `WebGPU failed: ${messageOf(rootOf(error))}` });
    return null;
  }
}

/**
 * @template T
 * @param {InferenceSession} session
 * @param {(session: InferenceSession) => Promise<T>} tryOut
 */
async function triedOut(session, tryOut) {
  try {
    return await tryOut(session);
  } catch (error) {
    // On a device that is lost it may fail or never end, and the error above is the one to tell.
    session.release().catch(() => {});
    throw error;
  }
}

/**
 * Bytes on which networks are tried out: no two rows alike, so that an operator that errs shows it.
 *
 * @param {number} length
 */
export function pattern(length) {
  return Uint8Array.from({ length }, (_, at) => (at * at) % 251);
}

/**
 * @param {Float32Array} fast
 * @param {Float32Array} plain
 */
function agree(fast, plain) {
  return fast.length === plain.length && plain.every((value, at) => {
    return Math.abs(/** @type {number} */ (fast[at]) - value) <= TOLERANCE * Math.max(1, Math.abs(value));
  });
}

/** @type {WeakMap<Ort, Promise<unknown>>} what each module was asked for last */
const turns = new WeakMap();

/**
 * Asks onnxruntime-web when all it was asked before is done: on WebGPU calls that overlap disturb each other, also those
 * of two networks.
 *
 * @template T
 * @param {Ort} ort
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
function inTurn(ort, ask) {
  const turn = (turns.get(ort) ?? Promise.resolve()).then(ask);
  turns.set(ort, turn.catch(() => {}));
  return turn;
}

/**
 * Runs a network.
 *
 * @param {Runtime} runtime
 * @param {InferenceSession} session
 * @param {Record<string, import('onnxruntime-web/wasm').Tensor>} feeds
 * @throws {EmotionError} `runtime_failed`
 */
export async function compute({ ort, provider }, session, feeds) {
  try {
    return await inTurn(ort, () => session.run(feeds));
  } catch (error) {
    const remedy = provider === 'webgpu' ? 'the graphics device may be lost: make a new object' : 'reload the page';
    throw new EmotionError('runtime_failed', `onnxruntime-web fails to compute (${messageOf(error)}); ${remedy}`, error);
  }
}

/**
 * @param {unknown} error
 * @returns {unknown}
 */
function rootOf(error) {
  return error instanceof Error && error.cause ? rootOf(error.cause) : error;
}

/**
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {string} option
 * @param {typeof globalThis.fetch} fetch
 */
async function openOnWasm(runtime, bytes, option, fetch) {
  const policy = watchPolicy(runtime.ort, NO_BACKEND);
  try {
    return await Promise.race([create(runtime, bytes, 'wasm'), policy.forbids]);
  } catch (error) {
    throw await explain(error, runtime.wasmUrl, option, fetch);
  } finally {
    policy.unwatch();
  }
}

/**
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {Provider} provider
 */
function create({ ort }, bytes, provider) {
  const options = {
    executionProviders: [provider],
    // Errors only: onnxruntime warns of harmless things, such as an input that has a default.
    logSeverityLevel: /** @type {const} */ (3),
    // Weights of 8 bits are expanded when the model is loaded, not at every run.
    extra: { session: { disable_quant_qdq: '1' } },
  };
  return inTurn(ort, () => ort.InferenceSession.create(bytes, options));
}

/**
 * @param {Runtime} runtime
 * @returns {RuntimeInfo}
 */
export function describe({ ort, provider, providerWhy }) {
  const isolated = globalThis.crossOriginIsolated;
  const threads = threadsOf(ort);
  const ours = threads === threadsHere();
  return {
    provider,
    providerWhy,
    threads,
    threadsWhy: !isolated
      ? 'the page is not cross-origin isolated (COOP and COEP headers), so there is one thread'
      : ours
        ? `the page is cross-origin isolated; ${navigator.hardwareConcurrency} cores, at most ${MAX_THREADS} threads`
        : 'the page has set ort.env.wasm.numThreads',
    runtimeVersion: ort.env.versions.web ?? ort.env.versions.common,
  };
}

/**
 * @param {string} url
 * @returns {Promise<Ort>}
 */
async function importFrom(url) {
  try {
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ url);
  } catch (error) {
    throw new EmotionError(
      'runtime_not_found',
      `onnxruntime-web is not at ${url}; run "npm i onnxruntime-web" and set wasmBasePath to the address of its ` +
        `dist folder, or pass the module as ort (${messageOf(error)})`,
      error,
    );
  }
}

/** @param {string | URL} path */
function folderUrl(path) {
  const url = absolute(path, 'wasmBasePath');
  return url.endsWith('/') ? url : `${url}/`;
}

/**
 * A relative address starts from the page.
 *
 * @param {string | URL} path
 * @param {string} option that gave it, for errors
 * @throws {EmotionError} `bad_option`
 */
export function absolute(path, option) {
  try {
    return new URL(path, globalThis.document?.baseURI ?? globalThis.location.href).href;
  } catch (error) {
    throw new EmotionError('bad_option', `${option} must be an address, not ${JSON.stringify(path)}`, error);
  }
}

function neighborFolder() {
  const here = import.meta.url;
  const installed = here.includes('/node_modules/pyojeong/');
  return new URL(installed ? '../onnxruntime-web/dist/' : '../node_modules/onnxruntime-web/dist/', here).href;
}

/**
 * Uses several threads where the page may; keeps a number that the page has set.
 *
 * @param {Ort} ort
 * @returns {Ort}
 */
function withThreads(ort) {
  ort.env.wasm.numThreads ||= threadsHere();
  return ort;
}

function threadsHere() {
  return globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

/**
 * Why onnxruntime-web did not start, told apart by asking for its wasm file once more.
 *
 * @param {unknown} error what creating the session threw
 * @param {string | null} wasmUrl
 * @param {string} option
 * @param {typeof globalThis.fetch} fetch
 * @returns {Promise<EmotionError>}
 */
async function explain(error, wasmUrl, option, fetch) {
  const answer = wasmUrl ? await fetch(wasmUrl, { method: 'HEAD' }).catch(() => null) : null;
  const isHtml = answer && (answer.headers.get('content-type') ?? '').includes('html');
  if (wasmUrl && (!answer || !answer.ok || isHtml)) {
    const got = answer?.ok ? 'an HTML page' : answer ? `status ${answer.status}` : 'no answer';
    return new EmotionError(
      'wasm_not_found',
      `${wasmUrl} gives ${got}; set wasmBasePath to the address of onnxruntime-web's dist folder and reload the page`,
      error,
    );
  }
  const message = messageOf(error);
  if (/fetching of the wasm failed|magic word/.test(message)) {
    return new EmotionError(
      'wasm_not_found',
      `onnxruntime-web does not find its wasm file (${message}); set wasmBasePath to the address of its dist folder, or ` +
        'ort.env.wasm.wasmPaths where you pass ort, and reload the page',
      error,
    );
  }
  if (message.includes(NO_BACKEND)) {
    return new EmotionError(
      'runtime_failed',
      `onnxruntime-web does not start (${message}); a Content-Security-Policy must allow 'wasm-unsafe-eval' in ` +
        "script-src and, for threads, 'self' and blob: in worker-src",
      error,
    );
  }
  return new EmotionError('model_invalid', `onnxruntime-web cannot run the model of ${option}: ${message}`, error);
}
