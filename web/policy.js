/** Detects a Content-Security-Policy that blocks the workers of onnxruntime-web. */

/** @typedef {import('./options.js').Ort} Ort */

/** @type {WeakMap<Ort, Error>} kept until the page is reloaded, because onnxruntime-web does not recover */
const forbidden = new WeakMap();

/**
 * Returns the number of threads that onnxruntime-web uses: one on pages that are not cross-origin isolated, whatever
 * the page has set.
 *
 * @param {Ort} ort
 */
export function threadsOf(ort) {
  return globalThis.crossOriginIsolated ? (ort.env.wasm.numThreads ?? 1) : 1;
}

/**
 * Watches for a worker that the policy blocks, because onnxruntime-web would wait for its threads forever. If it needs
 * no worker, a blocked one belongs to other code.
 *
 * @param {Ort} ort
 * @param {string} message start of the error message
 * @returns {{ forbids: Promise<never>, unwatch: () => void }}
 */
export function watchPolicy(ort, message) {
  /** @type {(error: Error) => void} */
  let refuse = () => {};
  /** @type {Promise<never>} */
  const forbids = new Promise((_, reject) => {
    refuse = reject;
  });
  const known = forbidden.get(ort);
  if (known) refuse(known);
  const onViolation = (/** @type {Event} */ event) => {
    const { effectiveDirective, blockedURI, disposition } = /** @type {SecurityPolicyViolationEvent} */ (event);
    // A report-only policy blocks nothing.
    if (effectiveDirective !== 'worker-src' || disposition === 'report') return;
    const error = new Error(`${message}: worker-src forbids ${blockedURI}`);
    forbidden.set(ort, error);
    refuse(error);
  };
  const watched = threadsOf(ort) > 1 || ort.env.wasm.proxy;
  if (watched) globalThis.addEventListener?.('securitypolicyviolation', onViolation);
  return { forbids, unwatch: () => globalThis.removeEventListener?.('securitypolicyviolation', onViolation) };
}
