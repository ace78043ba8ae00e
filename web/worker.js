/** The worker behind `EmotionAnalyzer.inWorker()`: one analyzer, one question at a time. */

import { Analysis } from './analysis.js';
import { messageOf } from './errors.js';

/** @type {Analysis | undefined} */
let analysis;

/** @type {Record<string, (question: any) => Promise<unknown>>} */
const answers = {
  async init({ options, lock }) {
    holdWhileAlive(lock);
    analysis = new Analysis(options);
    await analysis.init();
    return { info: analysis.info(), outputKeys: analysis.outputKeys };
  },
  async analyze({ frame, time, boxes, boxKind }) {
    if (!analysis) throw new Error('analyze came before init');
    try {
      return { faces: await analysis.analyzeAt(time, frame, boxes, { boxKind }), timings: analysis.timings };
    } finally {
      // Only bitmaps and video frames hold memory outside of the garbage collector's sight.
      frame.close?.();
    }
  },
};

self.addEventListener('message', async ({ data }) => {
  try {
    self.postMessage({ id: data.id, answer: await answers[data.kind]?.(data) });
  } catch (error) {
    const { code } = /** @type {{ code?: string }} */ (error);
    self.postMessage({ id: data.id, error: { code, message: messageOf(error) } });
  }
});

/**
 * A worker that dies says nothing, but its locks become free.
 *
 * @param {string} lock
 */
function holdWhileAlive(lock) {
  navigator.locks?.request(lock, () => new Promise(() => {})).catch(() => {});
}
