import { EmotionError } from './errors.js';

/**
 * Yields the fields of a protobuf message: number and content. A field of bytes, text or a nested message is a view of
 * `bytes`; one of 32 or 64 bits is a view of its 4 or 8 bytes; an integer is a number (exact up to 2^53).
 *
 * @param {Uint8Array} bytes
 * @param {string} option name of the option with the address of the file, for errors
 * @returns {Generator<[number, Uint8Array | number]>}
 * @throws {EmotionError} `model_truncated`, `model_invalid`
 */
export function* fieldsOf(bytes, option) {
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = varint(bytes, cursor, option);
    const kind = tag % 8;
    const number = Math.floor(tag / 8);
    if (kind === 0) {
      yield [number, varint(bytes, cursor, option)];
      continue;
    }
    const length = kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? varint(bytes, cursor, option) : -1;
    if (length < 0) throw invalid(`it is not a protobuf message (wire type ${kind})`, option);
    const content = bytes.subarray(cursor.at, cursor.at + length);
    cursor.at += length;
    if (cursor.at > bytes.length) throw truncated(bytes.length, option);
    yield [number, content];
  }
}

/**
 * Returns the integers of a repeated field, which writers may pack into one run of bytes.
 *
 * @param {Uint8Array | number} content
 * @param {string} option
 * @returns {number[]}
 */
export function integersOf(content, option) {
  if (typeof content === 'number') return [content];
  const cursor = { at: 0 };
  const values = [];
  while (cursor.at < content.length) values.push(varint(content, cursor, option));
  return values;
}

/**
 * @param {Uint8Array} bytes
 * @param {{ at: number }} cursor
 * @param {string} option
 */
function varint(bytes, cursor, option) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw truncated(bytes.length, option);
    value += (byte & 127) * scale;
    if (byte < 128) return scale < 2 ** 63 ? value : negative(bytes.subarray(cursor.at - 10, cursor.at));
    if (scale >= 2 ** 63) throw invalid('a number in it has more than ten bytes', option);
  }
}

/**
 * Returns a negative number, whose ten bytes hold 64 bits in two's complement.
 *
 * @param {Uint8Array} bytes
 */
function negative(bytes) {
  return Number(BigInt.asIntN(64, bytes.reduce((sum, byte, at) => sum + (BigInt(byte & 127) << BigInt(7 * at)), 0n)));
}

/**
 * @param {string} why
 * @param {string} option
 */
export function invalid(why, option) {
  return new EmotionError('model_invalid', `the file at ${option} is not an ONNX model: ${why}`);
}

/**
 * @param {number} length
 * @param {string} option
 */
function truncated(length, option) {
  return new EmotionError(
    'model_truncated',
    `the model at ${option} ends too early (${length} bytes received); copy or export the file again`,
  );
}
