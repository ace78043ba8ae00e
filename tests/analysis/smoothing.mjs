/** Follows the faces of the frames on stdin with web/smoothing.js and prints their numbers and averages. */

import { readFileSync } from 'node:fs';

import { Smoother } from '../../web/smoothing.js';

const { halfLife, frames } = JSON.parse(readFileSync(0, 'utf8'));
const smoother = new Smoother(halfLife);
const answers = frames.map(({ time, faces }) => {
  const known = faces.map(({ box: [x, y, right, bottom], values }) => {
    return { box: { x, y, width: right - x, height: bottom - y }, values: Float32Array.from(values) };
  });
  return smoother.next(known, time).map(({ id, values }) => ({ id, values: [...values] }));
});
console.log(JSON.stringify(answers));
