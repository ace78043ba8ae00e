/** Detects faces and classifies their expressions in one call, on this thread or in a worker. */

import { Analysis } from './analysis.js';
import { EmotionError } from './errors.js';
import { packagedFor } from './packaged.js';
import { WorkerAnalyzer } from './worker-client.js';

export { EmotionError, WorkerAnalyzer };

/** @typedef {import('./analysis.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analysis.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analysis.js').FrameOptions} FrameOptions */
/** @typedef {import('./analysis.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./analysis.js').Timings} Timings */
/** @typedef {import('./worker-client.js').WorkerOptions} WorkerOptions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./source.js').Source} Source */

/**
 * An analyzer that is ready for use, on this thread or in a worker.
 *
 * @typedef {object} Analyzer
 * @property {(source: Source, boxes?: readonly (Box | null)[], options?: FrameOptions) => Promise<FaceEmotions[] | null>}
 *   analyze see `EmotionAnalyzer.analyze`; null only from a worker, if a newer call came before this one was begun
 * @property {Timings & Partial<import('./worker-client.js').WorkerTimings>} timings of the last frame, in milliseconds
 * @property {readonly string[]} outputKeys class names in output order
 * @property {() => AnalyzerInfo} info facts about models and runtime
 * @property {() => Promise<void>} dispose frees everything; the object cannot be used afterwards
 */

/**
 * @typedef {object} ThreadOptions
 * @property {boolean} [worker] whether to compute in a worker, so that this thread stays free; `ort` and `fetch` cannot be
 *   sent to one. Default: only if `workerUrl` is given
 */

/** Detects faces and classifies their expressions. */
export class EmotionAnalyzer extends Analysis {
  /**
   * @param {AnalyzerOptions} [options]
   * @throws {EmotionError} `bad_option`
   */
  constructor(options = {}) {
    super(options, () => packagedFor(options));
  }

  /**
   * Returns an analyzer that is ready for use. Without options it uses the package's own networks, which are loaded as a
   * module of 2.3 MB.
   *
   * @param {AnalyzerOptions & WorkerOptions & ThreadOptions} [options]
   * @returns {Promise<Analyzer>}
   * @throws {EmotionError} `bad_option`, with `worker` also `worker_not_found` and `worker_lost`, and the errors of `init`
   */
  static async create({ worker, workerUrl, ...options } = {}) {
    if (worker ?? workerUrl !== undefined) return WorkerAnalyzer.start(workerUrl, options);
    const analyzer = new EmotionAnalyzer(options);
    await analyzer.init();
    return analyzer;
  }
}
