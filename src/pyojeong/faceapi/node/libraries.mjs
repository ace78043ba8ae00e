// Loads one of the two published libraries with its weights. Two versions of tfjs cannot share a process: one each.

import path from 'node:path';

const folderOf = (require, name) => path.dirname(require.resolve(`${name}/package.json`));

async function vladmandic(require) {
  const tf = require('@tensorflow/tfjs');
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${path.join(folderOf(require, '@tensorflow/tfjs-backend-wasm'), 'dist')}${path.sep}`);
  await tf.setBackend('wasm');
  await tf.ready();
  const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
  return { tf, faceapi, versions: { '@vladmandic/face-api': faceapi.version, tfjs: tf.version_core, backend: tf.getBackend() } };
}

async function original(require) {
  const faceapi = require('face-api.js');
  const tf = faceapi.tf;
  tf.setBackend('cpu');
  await tf.ready();
  const { version } = require('face-api.js/package.json');
  return { tf, faceapi, versions: { 'face-api.js': version, tfjs: tf.version_core, backend: tf.getBackend() } };
}

/** Returns { tf, faceapi, versions } of `library`, with TinyFaceDetector and FaceExpressionNet loaded. */
export async function openLibrary(library, require) {
  const opened = await (library === 'original' ? original : vladmandic)(require);
  // face-api.js ships no weights; those of @vladmandic/face-api are identical, byte for byte.
  const weights = path.join(folderOf(require, '@vladmandic/face-api'), 'model');
  await opened.faceapi.nets.tinyFaceDetector.loadFromDisk(weights);
  await opened.faceapi.nets.faceExpressionNet.loadFromDisk(weights);
  return opened;
}
