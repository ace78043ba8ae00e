import { EmotionError, messageOf } from './errors.js';
import { WASM } from './engine-wasm.js';

/**
 * The functions of `engine/kernels.c`; arguments are addresses and whole numbers unless said otherwise there.
 *
 * @typedef {Record<'first' | 'depthwise' | 'pointwise' | 'dense' | 'max_pool' | 'average' | 'scale' | 'resize'
 *   | 'normalize' | 'sample' | 'repeat' | 'pack', (...numbers: number[]) => void>} Kernels
 */

/** @type {Promise<WebAssembly.Module> | null} */
let compiling = null;

/**
 * Compiles the kernels, once for all networks of a page.
 *
 * @returns {Promise<WebAssembly.Module>}
 * @throws {EmotionError} `engine_unsupported`, `runtime_failed`
 */
export async function kernelsModule() {
  compiling ??= compile();
  try {
    return await compiling;
  } catch (error) {
    compiling = null;
    throw error;
  }
}

async function compile() {
  const bytes = Uint8Array.from(atob(WASM), (character) => character.charCodeAt(0));
  if (!globalThis.WebAssembly?.validate(bytes)) {
    throw new EmotionError(
      'engine_unsupported',
      'this browser has no WebAssembly with SIMD, which Chrome and Firefox have since 2021 and Safari since 16.4; update it',
    );
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new EmotionError(
      'runtime_failed',
      `the browser forbids WebAssembly (${messageOf(error)}); a Content-Security-Policy must allow 'wasm-unsafe-eval' in ` +
        'script-src',
      error,
    );
  }
}

/**
 * @param {WebAssembly.Module} module
 * @param {number} pages of 64 KiB
 * @returns {Promise<{ kernels: Kernels, memory: WebAssembly.Memory }>}
 * @throws {EmotionError} `out_of_memory`
 */
export async function instantiate(module, pages) {
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    return { kernels: /** @type {Kernels} */ (/** @type {unknown} */ (exports)), memory };
  } catch (error) {
    throw new EmotionError(
      'out_of_memory',
      `the browser refuses ${Math.ceil(pages / 16)} MB for a network (${messageOf(error)}); dispose of objects that are ` +
        'no longer needed, or close other pages',
      error,
    );
  }
}
