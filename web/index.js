/** The whole package except the adapter for face-api.js, which is `pyojeong/face-api`. */

export { EmotionAnalyzer, WorkerAnalyzer } from './analyzer.js';
export { FaceDetector } from './detector.js';
export { EmotionAPI, EmotionError } from './onnx_emotion_api.js';
export { TinyFaceDetector } from './tiny-face-detector.js';

/** @typedef {import('./analyzer.js').Analyzer} Analyzer */
/** @typedef {import('./analyzer.js').AnalyzerInfo} AnalyzerInfo */
/** @typedef {import('./analyzer.js').AnalyzerOptions} AnalyzerOptions */
/** @typedef {import('./analyzer.js').FaceEmotions} FaceEmotions */
/** @typedef {import('./analyzer.js').ThreadOptions} ThreadOptions */
/** @typedef {import('./analyzer.js').WorkerOptions} WorkerOptions */
/** @typedef {import('./detector.js').DetectorInfo} DetectorInfo */
/** @typedef {import('./detector.js').DetectorOptions} DetectorOptions */
/** @typedef {import('./detector.js').Face} Face */
/** @typedef {import('./onnx_emotion_api.js').Box} Box */
/** @typedef {import('./onnx_emotion_api.js').BoxKind} BoxKind */
/** @typedef {import('./onnx_emotion_api.js').EmotionInfo} EmotionInfo */
/** @typedef {import('./onnx_emotion_api.js').EmotionOptions} EmotionOptions */
/** @typedef {import('./onnx_emotion_api.js').ErrorCode} ErrorCode */
/** @typedef {import('./onnx_emotion_api.js').PredictOptions} PredictOptions */
/** @typedef {import('./alignment.js').Landmarks} Landmarks */
/** @typedef {import('./onnx_emotion_api.js').Source} Source */
