/** What `pack.mjs` writes as `weights.js`: the package's own networks, ONNX files in base64. */

/** The expression model with 8-bit weights; empty where the package was packed without one. */
export const expression: string;

/** The face detector. */
export const detector: string;
