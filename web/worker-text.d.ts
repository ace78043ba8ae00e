/** What `pack.mjs` writes as `worker-text.js`: `worker.js` and its imports as one module. */
export const worker: string;
