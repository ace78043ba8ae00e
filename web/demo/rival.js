/** Runs face-api.js on the same picture for comparison, on the page's own thread. */

import { overlap } from '../patch.js';

const PACKAGE = new URL('../../node_modules/@vladmandic/face-api/', import.meta.url).href;
const WASM = new URL('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url).href;

/** @typedef {import('../patch.js').Box} Box */

/**
 * Returns the emotions of the face that overlaps a box most, null if none does; without a box, of the largest face.
 *
 * @typedef {(source: HTMLImageElement | HTMLVideoElement | HTMLCanvasElement, box: Box | null) =>
 *   Promise<{ emotions: Record<string, number> | null, ms: number }>} Ask
 */

/** face-api.js's words, in its order. */
export const WORDS = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

/**
 * Loads @vladmandic/face-api with its detector and expression net.
 *
 * @param {boolean} wasm whether tfjs's wasm backend is installed; otherwise plain JavaScript is used
 * @returns {Promise<Ask>}
 */
export async function loadRival(wasm) {
  const faceapi = await import(/* @vite-ignore */ `${PACKAGE}dist/face-api.esm.js`);
  // The page's Content-Security-Policy blocks the scripts of tfjs's threads.
  faceapi.tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (wasm) faceapi.tf.setWasmPaths(WASM);
  await faceapi.tf.setBackend(wasm ? 'wasm' : 'cpu');
  await faceapi.tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromUri(`${PACKAGE}model`);
  await faceapi.nets.faceExpressionNet.loadFromUri(`${PACKAGE}model`);
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
  return async (source, box) => {
    const began = performance.now();
    const faces = await faceapi.detectAllFaces(source, options).withFaceExpressions();
    const face = best(faces, box);
    return { emotions: face ? { ...face.expressions } : null, ms: performance.now() - began };
  };
}

/**
 * @param {readonly { detection: { box: Box }, expressions: Record<string, number> }[]} faces
 * @param {Box | null} box
 */
function best(faces, box) {
  const rank = (/** @type {Box} */ face) => (box ? overlap(face, box) : face.width * face.height);
  const [first] = [...faces].sort((a, b) => rank(b.detection.box) - rank(a.detection.box));
  return first && rank(first.detection.box) > 0 ? first : null;
}
