// Puts the Python package's own model, if it exists, and the face detector into the npm package; runs before `npm pack`.

import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const from = new URL('../src/pyojeong/pretrained/', import.meta.url);
const to = new URL('models/', import.meta.url);
const scripts = process.platform === 'win32' ? '../.venv/Scripts/python.exe' : '../.venv/bin/python';

await rm(to, { recursive: true, force: true });
await mkdir(to);
for (const name of ['basic7_mnv3s_160_8bit.onnx', 'classes.json']) {
  if (existsSync(new URL(name, from))) await copyFile(new URL(name, from), new URL(name, to));
}
// The environment of `make run`, or another that has the package.
const python = process.env.PYTHON ?? fileURLToPath(new URL(scripts, import.meta.url));
execFileSync(python, ['-m', 'pyojeong.detection.graph', '--out', fileURLToPath(to)]);
