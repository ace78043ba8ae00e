/**
 * Pads a frame with black on the right or below to a square and resizes it as face-api.js does on the wasm backend:
 * bilinear, source position = target position * side / size, no smoothing, float32 throughout
 * (`pyojeong.faceapi.sampling.sample`, number for number).
 *
 * @param {import('./patch.js').Frame} frame
 * @param {number} size of the result
 * @returns {Float32Array} size * size * 3 levels 0..255, rows from the top
 */
export function sample({ data, width, height }, size) {
  const { low, high, share } = taps(Math.max(width, height), size);
  const round = Math.fround;
  const result = new Float32Array(size * size * 3);
  const pixels = width * height * 4;
  for (let row = 0; row < size; row++) {
    const upper = /** @type {number} */ (low[row]) * width;
    // All that follows is padding.
    if (upper * 4 >= pixels) break;
    const lower = /** @type {number} */ (high[row]) * width;
    const below = lower * 4 < pixels;
    const down = /** @type {number} */ (share[row]);
    for (let column = 0; column < size; column++) {
      const left = /** @type {number} */ (low[column]);
      if (left >= width) break;
      const right = /** @type {number} */ (high[column]);
      const beside = right < width;
      const across = /** @type {number} */ (share[column]);
      let at = (row * size + column) * 3;
      for (let channel = 0; channel < 3; channel++, at++) {
        const a = /** @type {number} */ (data[(upper + left) * 4 + channel]);
        const b = beside ? /** @type {number} */ (data[(upper + right) * 4 + channel]) : 0;
        const c = below ? /** @type {number} */ (data[(lower + left) * 4 + channel]) : 0;
        const d = below && beside ? /** @type {number} */ (data[(lower + right) * 4 + channel]) : 0;
        const top = round(a + round((b - a) * across));
        const bottom = round(c + round((d - c) * across));
        result[at] = top + round(round(bottom - top) * down);
      }
    }
  }
  return result;
}

/**
 * For each target position the two source positions between which it lies, and the share of the second.
 *
 * @param {number} side of the source
 * @param {number} size of the result
 */
function taps(side, size) {
  const step = Math.fround(side / size);
  const low = new Int32Array(size);
  const high = new Int32Array(size);
  const share = new Float32Array(size);
  for (let index = 0; index < size; index++) {
    const position = Math.fround(index * step);
    const before = Math.trunc(position);
    low[index] = before;
    high[index] = Math.min(before + 1, side - 1);
    share[index] = position - before;
  }
  return { low, high, share };
}
