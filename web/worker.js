/** The worker of `EmotionAnalyzer.create({ worker: true })`: runs one analyzer and handles one message at a time. */

import { Analysis } from './analysis.js';
import { messageOf } from './errors.js';

/** @type {Analysis | undefined} */
let analysis;

/** @type {Record<string, (message: any) => Promise<unknown>>} */
const handlers = {
  async init({ options, packaged, lock }) {
    holdWhileAlive(lock);
    analysis = new Analysis(options, async () => packaged);
    await analysis.init();
    return { info: analysis.info(), outputKeys: analysis.outputKeys };
  },
  async analyze({ frame, boxes, options }) {
    if (!analysis) throw new Error('analyze came before init');
    try {
      return { faces: await analysis.analyze(frame, boxes, options), timings: analysis.timings };
    } finally {
      // Bitmaps and video frames hold memory that the garbage collector does not manage.
      frame.close?.();
    }
  },
};

self.addEventListener('message', async ({ data }) => {
  try {
    self.postMessage({ id: data.id, answer: await handlers[data.kind]?.(data) });
  } catch (error) {
    const { code } = /** @type {{ code?: string }} */ (error);
    self.postMessage({ id: data.id, error: { code, message: messageOf(error) } });
  }
});

/**
 * Holds a lock, so that the page notices when this worker dies: it sends no message, but its locks are released.
 *
 * @param {string} lock
 */
function holdWhileAlive(lock) {
  navigator.locks?.request(lock, () => new Promise(() => {})).catch(() => {});
}
