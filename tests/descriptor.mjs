// node descriptor.mjs MODULES LIBRARIES.MJS
// In: {"size", "pixels": base64 RGB of a square image}; out: base64 float32 of face-api's own description of that face.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, libraries] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'x.js'));
const { openLibrary } = await import(pathToFileURL(libraries).href);
const { tf, faceapi } = await openLibrary('vladmandic', require);
await faceapi.nets.faceRecognitionNet.loadFromDisk(path.join(modules, 'node_modules/@vladmandic/face-api/model'));
const { size, pixels } = JSON.parse(readFileSync(0, 'utf8'));
const tensor = tf.tensor3d(new Uint8Array(Buffer.from(pixels, 'base64')), [size, size, 3], 'int32');
const values = await faceapi.nets.faceRecognitionNet.computeFaceDescriptor(tensor);
console.log(JSON.stringify(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')));
