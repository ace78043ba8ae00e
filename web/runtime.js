import { EmotionError, messageOf } from './errors.js';
import { absolute } from './options.js';
import { threadsOf, watchPolicy } from './policy.js';

/** @typedef {import('./options.js').Ort} Ort */
/** @typedef {import('./options.js').Provider} Provider */
/** @typedef {import('./options.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('onnxruntime-web/wasm').InferenceSession} InferenceSession */

/**
 * @typedef {object} Runtime
 * @property {Ort} ort
 * @property {string | null} wasmUrl null if `ort` finds it on its own
 * @property {Provider} provider
 * @property {string} providerWhy
 */

const FILES = {
  wasm: { module: 'ort.wasm.bundle.min.mjs', wasm: 'ort-wasm-simd-threaded.wasm' },
  webgpu: { module: 'ort.webgpu.bundle.min.mjs', wasm: 'ort-wasm-simd-threaded.asyncify.wasm' },
};
const MAX_THREADS = 4; // an estimate, not measured
const TOLERANCE = 0.01; // of WebGPU's values, absolute up to 1, relative above: it sums in a different order
// Start of onnxruntime-web's message if WebAssembly does not start.
const NO_BACKEND = 'no available backend found';

/**
 * Finds onnxruntime-web and sets its paths and threads.
 *
 * Tries, in this order: the injected module; `wasmBasePath`; `onnxruntime-web/wasm` as resolved by a bundler or an
 * import map; `node_modules` next to this file. WebGPU needs a larger build, which is not imported by name, so that
 * bundlers leave it out; the third way is skipped for it.
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
  const resolved = bundled ? await installed() : null;
  if (resolved) return { ort: withThreads(resolved), wasmUrl: null, ...chosen };
  const folder = base ?? neighborFolder();
  const imported = await importFrom(folder + FILES[chosen.provider].module);
  imported.env.wasm.wasmPaths = { wasm: folder + wasm };
  return { ort: withThreads(imported), wasmUrl: folder + wasm, ...chosen };
}

/**
 * @param {Provider} requested
 * @returns {Promise<{ provider: Provider, providerWhy: string }>}
 */
async function choose(requested) {
  if (requested === 'wasm') return { provider: 'wasm', providerWhy: 'the option provider is "wasm"' };
  const { gpu } = /** @type {{ gpu?: { requestAdapter: () => Promise<unknown> } }} */ (globalThis.navigator ?? {});
  if (!gpu) return { provider: 'wasm', providerWhy: 'this browser or page offers no WebGPU' };
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return { provider: 'wasm', providerWhy: 'WebGPU finds no graphics adapter' };
  return { provider: 'webgpu', providerWhy: 'WebGPU is offered' };
}

/** Returns onnxruntime-web as bundlers and import maps find it; null if it is not installed. */
async function installed() {
  try {
    // Only inside of `try` does webpack build a page without this package.
    return await import('onnxruntime-web/wasm');
  } catch {
    return null;
  }
}

/**
 * A network and the output of its first run.
 *
 * @template {{ release(): Promise<void> }} T
 * @typedef {{ network: T, output: Float32Array }} Started `output` is the result for {@link pattern}
 */

/**
 * Opens a network and runs it once. WebGPU is used only if its output agrees with that of wasm: on some devices
 * operators fail or compute wrong values.
 *
 * @template {{ release(): Promise<void> }} T
 * @param {Runtime} runtime its `provider` is changed to wasm if WebGPU cannot be used
 * @param {Uint8Array} bytes
 * @param {string} option name of the option with the model, for errors
 * @param {typeof globalThis.fetch} fetch
 * @param {(session: InferenceSession) => Promise<Started<T>>} start
 * @returns {Promise<T>}
 * @throws {EmotionError} `wasm_not_found`, `runtime_failed`, `model_invalid`, and the errors of `start`
 */
export async function openNetwork(runtime, bytes, option, fetch, start) {
  const gpu = runtime.provider === 'webgpu' ? await openOnWebGpu(runtime, bytes, start) : null;
  const wasm = openOnWasm(runtime, bytes, option, fetch).then((session) => startOrRelease(session, start));
  const { network, output } = await wasm.catch((error) => {
    gpu?.network.release().catch(() => {});
    throw error;
  });
  if (!gpu) return network;
  if (agree(gpu.output, output)) {
    await network.release();
    return gpu.network;
  }
  Object.assign(runtime, { provider: 'wasm', providerWhy: 'WebGPU computes other values than wasm on this device' });
  await gpu.network.release();
  return network;
}

/**
 * @template {{ release(): Promise<void> }} T
 * @param {Runtime} runtime
 * @param {Uint8Array} bytes
 * @param {(session: InferenceSession) => Promise<Started<T>>} start
 * @returns {Promise<Started<T> | null>} null if WebGPU fails
 */
async function openOnWebGpu(runtime, bytes, start) {
  try {
    return await startOrRelease(await create(runtime, bytes, 'webgpu'), start);
  } catch (error) {
    Object.assign(runtime, { provider: 'wasm', providerWhy: `WebGPU failed: ${messageOf(rootOf(error))}` });
    return null;
  }
}

/**
 * @template T
 * @param {InferenceSession} session
 * @param {(session: InferenceSession) => Promise<T>} start
 */
async function startOrRelease(session, start) {
  try {
    return await start(session);
  } catch (error) {
    // Not awaited: on a lost device this may fail or never end, and the original error matters.
    session.release().catch(() => {});
    throw error;
  }
}

/**
 * @param {Float32Array} gpu
 * @param {Float32Array} wasm
 */
function agree(gpu, wasm) {
  return gpu.length === wasm.length && wasm.every((value, at) => {
    return Math.abs(/** @type {number} */ (gpu[at]) - value) <= TOLERANCE * Math.max(1, Math.abs(value));
  });
}

/** @type {WeakMap<Ort, Promise<unknown>>} the last task of each module */
const lastTasks = new WeakMap();

/**
 * Runs a task once all earlier tasks of the same module have ended: on WebGPU overlapping calls disturb each other, even
 * those of different networks.
 *
 * @template T
 * @param {Ort} ort
 * @param {() => Promise<T>} task
 * @returns {Promise<T>}
 */
function enqueue(ort, task) {
  const result = (lastTasks.get(ort) ?? Promise.resolve()).then(task);
  lastTasks.set(ort, result.catch(() => {}));
  return result;
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
    return await enqueue(ort, () => session.run(feeds));
  } catch (error) {
    const remedy = provider === 'webgpu' ? 'the graphics device may be lost: make a new object' : 'reload the page';
    throw new EmotionError('runtime_failed', `onnxruntime-web failed to compute (${messageOf(error)}); ${remedy}`, error);
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
    // Errors only: onnxruntime also warns about harmless things, such as an input with a default.
    logSeverityLevel: /** @type {const} */ (3),
    // Expands 8-bit weights once, at loading, and not at every run.
    extra: { session: { disable_quant_qdq: '1' } },
  };
  return enqueue(ort, () => ort.InferenceSession.create(bytes, options));
}

/**
 * @param {Runtime} runtime
 * @returns {import('./network.js').RuntimeInfo}
 */
export function describe({ ort, provider, providerWhy }) {
  const isolated = globalThis.crossOriginIsolated;
  const threads = threadsOf(ort);
  const isDefault = threads === defaultThreads();
  return {
    engine: 'onnxruntime',
    provider,
    providerWhy,
    threads,
    threadsWhy: !isolated
      ? 'the page is not cross-origin isolated (COOP and COEP headers), so there is one thread'
      : isDefault
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

function neighborFolder() {
  const here = import.meta.url;
  const installed = here.includes('/node_modules/pyojeong/');
  return new URL(installed ? '../onnxruntime-web/dist/' : '../node_modules/onnxruntime-web/dist/', here).href;
}

/**
 * Uses several threads if the page may, unless the page has set a number.
 *
 * @param {Ort} ort
 * @returns {Ort}
 */
function withThreads(ort) {
  ort.env.wasm.numThreads ||= defaultThreads();
  return ort;
}

function defaultThreads() {
  return globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

/**
 * Returns the error for a session that was not created; requests the wasm file once more to find the cause.
 *
 * @param {unknown} error thrown by the creation
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
      `${wasmUrl} returned ${got}; set wasmBasePath to the address of onnxruntime-web's dist folder and reload the page`,
      error,
    );
  }
  const message = messageOf(error);
  if (/fetching of the wasm failed|magic word/.test(message)) {
    return new EmotionError(
      'wasm_not_found',
      `onnxruntime-web cannot find its wasm file (${message}); set wasmBasePath to the address of its dist folder, or ` +
        'ort.env.wasm.wasmPaths if you pass ort, and reload the page',
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
  return new EmotionError('model_invalid', `onnxruntime-web cannot run the model at ${option}: ${message}`, error);
}
