/** face-api.js on the same picture, for a comparison; it runs on this page's own thread, on one. */

const PACKAGE = '/node_modules/@vladmandic/face-api/';
const WASM = '/node_modules/@tensorflow/tfjs-backend-wasm/dist/';

/** face-api.js's own words, in its order. */
export const WORDS = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

/**
 * Loads @vladmandic/face-api with its detector and expression net.
 *
 * @param {boolean} wasm whether tfjs's wasm backend is installed; else plain JavaScript computes
 * @returns {Promise<(source: HTMLImageElement | HTMLVideoElement) => Promise<{ emotions: Record<string, number> | null, ms: number }>>}
 */
export async function loadRival(wasm) {
  const faceapi = await import(/* @vite-ignore */ `${PACKAGE}dist/face-api.esm.js`);
  // Its threads would start from scripts that the page's own security policy forbids.
  faceapi.tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (wasm) faceapi.tf.setWasmPaths(WASM);
  await faceapi.tf.setBackend(wasm ? 'wasm' : 'cpu');
  await faceapi.tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromUri(`${PACKAGE}model`);
  await faceapi.nets.faceExpressionNet.loadFromUri(`${PACKAGE}model`);
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
  return async (source) => {
    const began = performance.now();
    const face = await faceapi.detectSingleFace(source, options).withFaceExpressions();
    return { emotions: face ? { ...face.expressions } : null, ms: performance.now() - began };
  };
}
