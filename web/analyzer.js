/** Faces and their expressions in one call, on this thread or in a worker. */

import { Analysis } from './analysis.js';
import { EmotionError } from './errors.js';

export { EmotionError };

/** @typedef {import('./analysis.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analysis.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analysis.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./patch.js').Box} Box */
/** @typedef {import('./patch.js').Source} Source */

/** Finds faces and classifies their expressions. */
export class EmotionAnalyzer extends Analysis {}
