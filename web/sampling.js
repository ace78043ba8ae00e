/**
 * Resizes a frame as face-api.js does on the wasm backend, padded with black on the right or below to a square:
 * bilinear, source position = target position * side / size, no antialiasing, float32 throughout. The values equal
 * those of `pyojeong.faceapi.sampling.sample`. Only the padding that the detector needs is created
 * (`pyojeong.faceapi.detector.without_padding`).
 *
 * @param {import('./patch.js').Frame} frame
 * @param {number} size of the square
 * @returns {{ pixels: Float32Array, rows: number, columns: number }} rows * columns * 3 levels 0..255, rows from the top
 */
export function sample({ data, width, height }, size) {
  const side = Math.max(width, height);
  const { low, high, share } = taps(side, size);
  const rows = evenWithPadding((height * size) / side, size);
  const columns = evenWithPadding((width * size) / side, size);
  const pixels = new Float32Array(rows * columns * 3);
  // Reads four bytes at once; red is the lowest.
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  for (let row = 0; row < rows; row++) {
    const upper = /** @type {number} */ (low[row]) * width;
    const lower = /** @type {number} */ (high[row]) * width;
    // All further rows are padding.
    if (upper >= from.length) break;
    const hasLower = lower < from.length;
    const down = /** @type {number} */ (share[row]);
    for (let column = 0, at = row * columns * 3; column < columns; column++, at += 3) {
      const left = /** @type {number} */ (low[column]);
      const right = /** @type {number} */ (high[column]);
      if (left >= width) break;
      const hasRight = right < width;
      const across = /** @type {number} */ (share[column]);
      const a = /** @type {number} */ (from[upper + left]);
      const b = hasRight ? /** @type {number} */ (from[upper + right]) : 0;
      const c = hasLower ? /** @type {number} */ (from[lower + left]) : 0;
      const d = hasLower && hasRight ? /** @type {number} */ (from[lower + right]) : 0;
      pixels[at] = mix(a & 255, b & 255, c & 255, d & 255, across, down);
      pixels[at + 1] = mix((a >> 8) & 255, (b >> 8) & 255, (c >> 8) & 255, (d >> 8) & 255, across, down);
      pixels[at + 2] = mix((a >> 16) & 255, (b >> 16) & 255, (c >> 16) & 255, (d >> 16) & 255, across, down);
    }
  }
  return { pixels, rows, columns };
}

/**
 * Interpolates between four levels.
 *
 * @param {number} a upper left
 * @param {number} b upper right
 * @param {number} c lower left
 * @param {number} d lower right
 * @param {number} across weight of the right pair
 * @param {number} down weight of the lower pair
 */
function mix(a, b, c, d, across, down) {
  const top = Math.fround(a + Math.fround((b - a) * across));
  const bottom = Math.fround(c + Math.fround((d - c) * across));
  return top + Math.fround(Math.fround(bottom - top) * down);
}

/**
 * @param {number} length of the frame in the square
 * @param {number} size of the square
 */
function evenWithPadding(length, size) {
  return Math.min(size, 2 * Math.ceil((length + 1) / 2) + 4);
}

/**
 * Returns, for each target position, the two neighboring source positions and the weight of the second.
 *
 * @param {number} side of the source
 * @param {number} size of the result
 */
export function taps(side, size) {
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
