/** Answers the questions of test_engine.py from raw pixels, in Node.js and in any browser. */

import { loadBackend } from '../../web/engine-networks.js';
import { viewOf } from '../../web/view.js';

/**
 * @param {{ pixels: string, width: number, height: number, model?: string, inputSize?: number, side?: number, region?: object }[]} questions
 * @param {(name: string) => Promise<ArrayBuffer>} read reads a file of the test
 * @param {typeof import('../../web/index.js')} modules
 * @returns {Promise<number[][]>} probabilities; or x, y, width and height of each face; or BlazeFace's scores and boxes
 */
export async function answersTo(questions, read, { EmotionAPI, TinyFaceDetector }) {
  const fetch = async (name) => new Response(await read(name));
  const made = new Map();
  const get = async (key, make) => {
    if (!made.has(key)) {
      made.set(key, make());
      await made.get(key).init();
    }
    return made.get(key);
  };
  const answers = [];
  const finder = await (await loadBackend()).openFaces(new Uint8Array(await read('blazeface.onnx')), 'detectorUrl');
  for (const { pixels, width, height, model, inputSize, side, region } of questions) {
    const image = { data: new Uint8Array(await read(pixels)), width, height };
    if (model) {
      const api = await get(model, () => new EmotionAPI({ modelUrl: model, fetch }));
      answers.push(Object.values(await api.predictFromImage(image)));
    } else if (side) {
      const { scores, boxes } = await finder.run(image, viewOf(image, side, region ?? undefined));
      answers.push([...scores, ...boxes]);
    } else {
      const options = { modelUrl: 'detector.onnx', inputSize, scoreThreshold: 0.1, fetch };
      const detector = await get(inputSize, () => new TinyFaceDetector(options));
      const faces = await detector.detect(image);
      answers.push(faces.flatMap(({ box: { x, y, width: wide, height: high } }) => [x, y, wide, high]));
    }
  }
  for (const object of made.values()) await object.dispose();
  await finder.release();
  return answers;
}

if (globalThis.process?.versions?.node) {
  const { readFile, writeFile } = await import('node:fs/promises');
  const folder = process.argv[2];
  const read = (name) => readFile(`${folder}/${name}`);
  const questions = JSON.parse(await read('questions.json'));
  const answers = await answersTo(questions, read, await import('../../web/index.js'));
  await writeFile(`${folder}/answers.json`, JSON.stringify({ runtime: `Node.js ${process.version}`, answers }));
}
