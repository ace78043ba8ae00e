// node batch.mjs MODULES LIBRARIES.MJS vladmandic|original
// One JSON line in: {"width", "height", "pixels": base64 RGB, "size", "centered"}; one out: base64 float32 of the
// network input that the library makes of it (NetInput.toBatchTensor: padding and resize).
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, libraries, library] = process.argv.slice(2);
const { openLibrary } = await import(pathToFileURL(libraries).href);
const { tf, faceapi } = await openLibrary(library, createRequire(path.join(modules, 'x.js')));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { width, height, pixels, size, centered } = JSON.parse(line);
  const tensor = tf.tensor3d(new Uint8Array(Buffer.from(pixels, 'base64')), [height, width, 3], 'int32');
  const batch = (await faceapi.toNetInput(tensor)).toBatchTensor(size, centered);
  const values = Float32Array.from(batch.dataSync());
  console.log(JSON.stringify(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')));
}
