import { wordIn } from './words.js';

/** @typedef {import('./readings.js').Reading} Reading */
/** @typedef {import('./stage.js').Shown} Shown */

const PICTURE = ['source', 'frame', 'time_s', 'width', 'height'];
const FACE = ['id', 'minX', 'minY', 'maxX', 'maxY', 'score', 'label', 'label_en', 'label_ko'];
const END = ['unsure', 'reason'];
// Almost two hours of one face at 30 frames a second; about 70 MB.
const MOST_ROWS = 200_000;

/** The readings of one model, in the columns of `pyojeong analyze`'s table. */
export class Table {
  #classes;
  /** @type {string[]} */
  #rows = [];
  /** @type {Map<string, number>} how many sources had a name */
  #names = new Map();
  /** @type {{ shown: Shown, source: string, frame: number, time: number | null, from: number } | null} */
  #last = null;
  /** @type {WeakSet<Shown>} */
  #finished = new WeakSet();

  /** @param {readonly string[]} classes in output order */
  constructor(classes) {
    this.#classes = classes;
  }

  /** Number of rows. */
  get length() {
    return this.#rows.length;
  }

  get full() {
    return this.#rows.length >= MOST_ROWS;
  }

  /**
   * Adds a row for each face, or one without a face. A further reading of the same picture or of the same time replaces the
   * one before; a film that begins again adds nothing.
   *
   * @param {Reading} reading
   */
  add(reading) {
    const { shown, time } = reading;
    if (this.#finished.has(shown)) return;
    const last = this.#last?.shown === shown ? this.#last : null;
    if (last && last.time !== null && time !== null && time < last.time) {
      this.#finished.add(shown);
      return;
    }
    const again = last && last.time === time;
    if (again) this.#rows.length = last.from;
    if (this.full) return;
    const source = last?.source ?? this.#nameOf(shown);
    const frame = again ? last.frame : last ? last.frame + 1 : 0;
    this.#last = { shown, source, frame, time, from: this.#rows.length };
    const picture = [source, time === null ? null : frame, time, reading.size.width, reading.size.height];
    const faces = this.#facesOf(reading);
    for (const face of faces) this.#rows.push(lineOf([...picture, ...face, null]));
  }

  /** Returns the table as CSV. */
  toCsv() {
    const chances = this.#classes.map((name) => `p_${name}`);
    return [lineOf([...PICTURE, ...FACE, ...chances, ...END]), ...this.#rows, ''].join('\n');
  }

  /**
   * @param {Reading} reading
   * @returns {(string | number | boolean | null)[][]}
   */
  #facesOf({ faces, size }) {
    if (!faces.length) return [new Array(FACE.length + this.#classes.length + 1).fill(null)];
    return faces.map(({ id, box, score, label, emotions, unsure }) => {
      const { x, y, width, height } = box ?? { x: 0, y: 0, ...size };
      const corners = [x, y, x + width, y + height];
      const words = [label, wordIn('en', label), wordIn('ko', label)];
      return [id, ...corners, short(score), ...words, ...this.#classes.map((name) => short(emotions[name] ?? null)), unsure];
    });
  }

  /**
   * Returns the name of a source in the table: sources of the same name are numbered.
   *
   * @param {Shown} shown
   */
  #nameOf({ name }) {
    const count = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  }
}

/**
 * Returns a number with the digits that 32 bits hold.
 *
 * @param {number | null} value
 */
function short(value) {
  return value === null ? null : Number(value.toPrecision(7));
}

/** @param {readonly (string | number | boolean | null)[]} cells */
function lineOf(cells) {
  return cells.map((cell) => quoted(String(cell ?? ''))).join(',');
}

/** @param {string} cell */
function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/**
 * Has the browser save a text as a file.
 *
 * @param {string} text
 * @param {string} name
 */
export function save(text, name) {
  // Excel reads a file as UTF-8 only if it begins with this mark.
  const address = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }));
  const link = Object.assign(document.createElement('a'), { href: address, download: name });
  link.click();
  // Some browsers read the address only after the click was handled.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
