/**
 * The package's own networks as a module: every bundler knows how to load one, and none has to know about files.
 */

import { EmotionError, messageOf } from './errors.js';

/**
 * Bytes of ONNX files, in place of those that `modelUrl` and `detectorUrl` would lead to.
 *
 * @typedef {{ expression?: Uint8Array, detector?: Uint8Array }} Packaged
 */

/**
 * Returns those of the package's own networks whose address the options leave out.
 *
 * @param {{ modelUrl?: string | URL, detectorUrl?: string | URL }} options
 * @returns {Promise<Packaged>}
 * @throws {EmotionError} `model_not_found` if this copy of the package has none
 */
export async function packagedFor({ modelUrl, detectorUrl }) {
  if (modelUrl !== undefined && detectorUrl !== undefined) return {};
  const weights = await import('./weights.js').catch((error) => {
    throw absent(messageOf(error), error);
  });
  if (modelUrl === undefined && !weights.expression) throw absent('it was packed without one');
  return {
    ...(modelUrl === undefined && { expression: bytesOf(weights.expression) }),
    ...(detectorUrl === undefined && { detector: bytesOf(weights.detector) }),
  };
}

/**
 * @param {string} why
 * @param {unknown} [cause]
 */
function absent(why, cause) {
  return new EmotionError(
    'model_not_found',
    `this copy of the package brings no model (${why}); pass modelUrl and detectorUrl, or "npm pack" it with its weights`,
    cause,
  );
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}
