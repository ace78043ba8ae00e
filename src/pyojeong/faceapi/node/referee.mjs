// Runs the original library on photographs: reads and writes one JSON object per line, in the same order.
//
//   node referee.mjs --modules DIR --library vladmandic|original [--input-size 416] [--score-threshold 0.5]
//
// In:  {"path": "a.jpg"} or {"data": "<base64>"}, and optionally "boxes": [[minX, minY, maxX, maxY], ...] in pixels
//      of the upright image.
// Out: {"width", "height", "faces": [{"box", "score", "probabilities"}, ...], "given": [probabilities | null, ...]}
//      or {"error": "..."}. The probabilities of a box outside the image are null.
// The first output line is {"ready": {...versions}}.

import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { parseArgs } from 'node:util';
import { openLibrary } from './libraries.mjs';

const { values: options } = parseArgs({
  options: {
    modules: { type: 'string' },
    library: { type: 'string', default: 'vladmandic' },
    'input-size': { type: 'string', default: '416' },
    'score-threshold': { type: 'string', default: '0.5' },
  },
});

const require = createRequire(path.join(path.resolve(options.modules), 'from-here.js'));
const sharp = require('sharp');
const { tf, faceapi, versions } = await openLibrary(options.library, require);
const detectorOptions = new faceapi.TinyFaceDetectorOptions({
  inputSize: Number(options['input-size']),
  scoreThreshold: Number(options['score-threshold']),
});
const labels = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

/** Upright RGB bytes. Embedded color profiles are ignored, as Pillow and the browser's canvas in sRGB do. */
async function decode(source) {
  const { data, info } = await sharp(source, { ignoreIcc: true, limitInputPixels: false })
    .autoOrient()
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** The seven probabilities of the face in `region` (a FaceDetection or Rect), or null if it lies outside the image. */
async function express(tensor, region) {
  const [height, width] = tensor.shape;
  const clipped = (region.forSize ? region.forSize(width, height).box : region).clipAtImageBorders(width, height);
  if (clipped.width <= 0 || clipped.height <= 0) return null;
  const [face] = await faceapi.extractFaceTensors(tensor, [region]);
  const expressions = await faceapi.nets.faceExpressionNet.predictExpressions(face);
  face.dispose();
  return labels.map((label) => expressions[label]);
}

async function analyze({ path: file, data, boxes = [] }) {
  const image = await decode(data === undefined ? file : Buffer.from(data, 'base64'));
  const tensor = tf.tensor3d(image.data, [image.height, image.width, 3], 'int32');
  try {
    const faces = [];
    for (const face of await faceapi.detectAllFaces(tensor, detectorOptions)) {
      const { left, top, right, bottom } = face.box;
      faces.push({ box: [left, top, right, bottom], score: face.score, probabilities: await express(tensor, face) });
    }
    const given = [];
    for (const [minX, minY, maxX, maxY] of boxes) {
      given.push(await express(tensor, new faceapi.Rect(minX, minY, maxX - minX, maxY - minY, true)));
    }
    return { width: image.width, height: image.height, faces, given };
  } finally {
    tensor.dispose();
  }
}

const write = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

write({ ready: { ...versions, node: process.version, sharp: sharp.versions.sharp } });
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (line.trim()) write(await analyze(JSON.parse(line)).catch((error) => ({ error: error.message })));
}
