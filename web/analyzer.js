/** Detects faces and classifies their expressions in one call, on this thread or in a worker. */

import { Analysis } from './analysis.js';
import { EmotionError } from './errors.js';
import { WorkerAnalyzer } from './worker-client.js';

export { EmotionError, WorkerAnalyzer };

/** @typedef {import('./analysis.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analysis.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analysis.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./worker-client.js').WorkerOptions} WorkerOptions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */

/** Detects faces and classifies their expressions. */
export class EmotionAnalyzer extends Analysis {
  /**
   * Starts an analyzer that computes in a worker, so that this thread stays free.
   *
   * @param {AnalyzerOptions & WorkerOptions} options without `ort` and `fetch`, which cannot be sent to a worker
   * @returns {Promise<WorkerAnalyzer>} ready for use
   * @throws {EmotionError} `bad_option`, `worker_not_found`, `worker_lost`, and the errors of `init`
   */
  static async inWorker(options) {
    return WorkerAnalyzer.start(options);
  }
}
