/**
 * The codes of an {@link EmotionError}.
 *
 * @typedef {'bad_option' | 'engine_unsupported' | 'out_of_memory' | 'runtime_not_found' | 'wasm_not_found'
 *   | 'runtime_failed' | 'model_not_found' | 'model_is_html' | 'model_truncated' | 'model_invalid' | 'model_unsupported'
 *   | 'classes_not_found' | 'classes_invalid' | 'class_mismatch' | 'not_initialized' | 'disposed'
 *   | 'faceapi_unsupported' | 'bad_source' | 'source_not_ready' | 'empty_source' | 'tainted_source' | 'bad_box'
 *   | 'bad_landmarks' | 'worker_not_found' | 'worker_lost'} ErrorCode
 */

/** An error with a machine-readable `code`; `message` says which option or call to change. */
export class EmotionError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {unknown} [cause] the underlying error, if there is one
   */
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'EmotionError';
    /** @type {ErrorCode} */
    this.code = code;
  }
}

/**
 * Returns the message of a thrown value.
 *
 * @param {unknown} error
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
