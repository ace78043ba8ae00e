// Copies the Python package's own model, if it exists, into the npm package; runs before `npm pack`.

import { copyFile, mkdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';

const from = new URL('../src/pyojeong/pretrained/', import.meta.url);
const to = new URL('models/', import.meta.url);

await rm(to, { recursive: true, force: true });
for (const name of ['basic7_mnv3s_160_8bit.onnx', 'classes.json']) {
  if (!existsSync(new URL(name, from))) continue;
  await mkdir(to, { recursive: true });
  await copyFile(new URL(name, from), new URL(name, to));
}
