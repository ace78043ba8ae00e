import { EmotionError, messageOf } from './errors.js';

/** @typedef {typeof import('onnxruntime-web/wasm')} Ort */

const MODULE = 'ort.wasm.bundle.min.mjs';
const WASM = 'ort-wasm-simd-threaded.wasm';
const MAX_THREADS = 4;

/**
 * Finds onnxruntime-web and sets its paths and threads.
 *
 * The first of these that is there: the module that was injected; the one in `wasmBasePath`; the one that a
 * bundler or an import map knows as `onnxruntime-web/wasm`; the one in `node_modules` beside this file.
 *
 * @param {{ ort?: Ort | undefined, wasmBasePath?: string | URL | undefined }} options
 * @returns {Promise<{ ort: Ort, wasmUrl: string | null }>} `wasmUrl` is null where `ort` knows it by itself
 * @throws {EmotionError} `runtime_not_found`
 */
export async function loadRuntime({ ort, wasmBasePath }) {
  const base = wasmBasePath === undefined ? null : folderUrl(wasmBasePath);
  if (ort) {
    if (base) ort.env.wasm.wasmPaths = base;
    return { ort: withThreads(ort), wasmUrl: base && base + WASM };
  }
  const known = base ? null : await import('onnxruntime-web/wasm').catch(() => null);
  if (known) return { ort: withThreads(known), wasmUrl: null };
  const folder = base ?? neighbourFolder();
  const found = await importFrom(folder);
  found.env.wasm.wasmPaths = { wasm: folder + WASM };
  return { ort: withThreads(found), wasmUrl: folder + WASM };
}

/**
 * @param {string} folder
 * @returns {Promise<Ort>}
 */
async function importFrom(folder) {
  const url = folder + MODULE;
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
  const url = new URL(path, globalThis.document?.baseURI ?? globalThis.location.href).href;
  return url.endsWith('/') ? url : `${url}/`;
}

function neighbourFolder() {
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
  ort.env.wasm.numThreads ||= globalThis.crossOriginIsolated
    ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1)
    : 1;
  return ort;
}

/**
 * Why onnxruntime-web did not start, told apart by asking for its wasm file once more.
 *
 * @param {unknown} error what creating the session threw
 * @param {string | null} wasmUrl
 * @param {typeof globalThis.fetch} fetch
 * @returns {Promise<EmotionError>}
 */
export async function explainFailure(error, wasmUrl, fetch) {
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
  return new EmotionError('model_invalid', `onnxruntime-web cannot run the model: ${messageOf(error)}`, error);
}
