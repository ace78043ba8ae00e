// Makes what only the npm package has, before `npm pack`: the Python package's own model, if it exists, and the face
// detector, as files and as a module; the worker as text; and the package in one file each, with and without weights.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const LICENSE = '/*! pyojeong, MIT license; contains BlazeFace (Apache-2.0), see LICENSE and models/LICENSE-blazeface */';
const MODEL = 'basic7_mnv3s_160_8bit.onnx';
const here = new URL('./', import.meta.url);
const pretrained = new URL('../src/pyojeong/pretrained/', here);
const models = new URL('models/', here);
const dist = new URL('dist/', here);

// Files that are no longer made would be packed too.
for (const folder of [models, dist, new URL('types/', here)]) await rm(folder, { recursive: true, force: true });
await mkdir(models);
for (const name of [MODEL, 'classes.json']) {
  if (existsSync(new URL(name, pretrained))) await copyFile(new URL(name, pretrained), new URL(name, models));
}
if (existsSync(new URL(MODEL, models))) {
  await copyFile(new URL('../LICENSE-MODEL', here), new URL('LICENSE-MODEL', models));
}
// The environment of `make run`, or another that has the package.
const scripts = process.platform === 'win32' ? '../.venv/Scripts/python.exe' : '../.venv/bin/python';
const python = process.env.PYTHON ?? fileURLToPath(new URL(scripts, here));
execFileSync(python, ['-m', 'pyojeong.detection.graph', '--out', fileURLToPath(models)]);

await writeModule('weights.js', { expression: await base64(MODEL), detector: await base64('blazeface.onnx') });
await writeModule('worker-text.js', { worker: await bundle('worker.js', []) });
await mkdir(dist);
// Beside the file without weights lies the module that has them, and is loaded only where no address is given.
await writeFile(new URL('pyojeong.min.js', dist), await bundle('index.js', ['weights.js']));
await writeFile(new URL('pyojeong-with-weights.min.js', dist), await bundle('index.js', []));

/**
 * @param {string} name of a model
 * @returns {Promise<string>} empty if there is none
 */
async function base64(name) {
  const file = new URL(name, models);
  return existsSync(file) ? (await readFile(file)).toString('base64') : '';
}

/**
 * @param {string} name
 * @param {Record<string, string>} values
 */
async function writeModule(name, values) {
  const lines = Object.entries(values).map(([key, value]) => `export const ${key} = ${JSON.stringify(value)};\n`);
  await writeFile(new URL(name, here), lines.join(''));
}

/**
 * Returns a module and its imports as one. onnxruntime-web stays outside: pages that want it install it.
 *
 * @param {string} entry
 * @param {string[]} outside modules of this package that are loaded at run time from the folder above
 */
async function bundle(entry, outside) {
  const external = [/^onnxruntime-web/, ...outside.map((name) => fileURLToPath(new URL(name, here)))];
  const graph = await rolldown({ input: fileURLToPath(new URL(entry, here)), external, platform: 'browser' });
  const { output } = await graph.generate({
    codeSplitting: false,
    minify: true,
    postBanner: LICENSE,
    paths: (id) => id.replace(fileURLToPath(here), '../'),
  });
  return output[0].code;
}
