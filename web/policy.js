/** The page's security policy, where it forbids the workers that onnxruntime-web needs. */

/** @typedef {import('./runtime.js').Ort} Ort */

/** @type {WeakMap<Ort, Error>} onnxruntime-web does not recover from it, so it holds until the page is loaded again */
const forbidden = new WeakMap();

/**
 * onnxruntime-web uses one thread where it may not use more, whatever the page has set.
 *
 * @param {Ort} ort
 */
export function threadsOf(ort) {
  return globalThis.crossOriginIsolated ? (ort.env.wasm.numThreads ?? 1) : 1;
}

/**
 * Notices when the policy forbids a worker: onnxruntime-web would wait for its threads forever. Where it needs none, what
 * is forbidden is another's.
 *
 * @param {Ort} ort
 * @param {string} message how the error begins
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
  const hear = (/** @type {Event} */ event) => {
    const { effectiveDirective, blockedURI, disposition } = /** @type {SecurityPolicyViolationEvent} */ (event);
    // A policy that only reports blocks nothing.
    if (effectiveDirective !== 'worker-src' || disposition === 'report') return;
    const error = new Error(`${message}: worker-src forbids ${blockedURI}`);
    forbidden.set(ort, error);
    refuse(error);
  };
  const watched = threadsOf(ort) > 1 || ort.env.wasm.proxy;
  if (watched) globalThis.addEventListener?.('securitypolicyviolation', hear);
  return { forbids, unwatch: () => globalThis.removeEventListener?.('securitypolicyviolation', hear) };
}
