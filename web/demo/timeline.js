import { text, wordOf } from './language.js';

/** @typedef {import('./readings.js').Reading} Reading */
/** @typedef {{ time: number, label: string, value: number, unsure: boolean }} Moment time in ms */

const SPAN = 30_000; // ms
const GAP = 1000; // ms; a face that was not seen for longer leaves an empty place
const FACES = 4; // at most
const WORDS = 20; // height of the line of words above each face's curve, in CSS pixels
const CURVE = 36;
const SPACE = 10;
const TICKS = [30, 20, 10, 0]; // seconds ago
const TELL_EVERY = 1000; // ms

/** Draws the most probable emotion of each face over the last 30 seconds. */
export class Timeline {
  #canvas;
  #told;
  /** @type {Map<number, Moment[]>} by the number of the face */
  #faces = new Map();
  /** @type {Record<string, string>} */
  #colors = {};
  #lastTold = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} told for the shares of the emotions, in words
   */
  constructor(canvas, told) {
    this.#canvas = canvas;
    this.#told = told;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** @param {Record<string, string>} colors by class */
  set colors(colors) {
    this.#colors = colors;
  }

  clear() {
    this.#faces.clear();
    this.#lastTold = 0;
    this.draw();
  }

  /**
   * @param {Reading} reading
   * @param {number} now in ms of `performance.now()`
   */
  add({ faces }, now) {
    for (const { id, label, emotions, unsure } of faces) {
      const moments = this.#faces.get(id ?? 0) ?? [];
      moments.push({ time: now, label, value: emotions[label] ?? 0, unsure });
      this.#faces.set(id ?? 0, moments);
    }
    for (const [id, moments] of this.#faces) {
      while (moments[0] && moments[0].time < now - SPAN) moments.shift();
      if (!moments.length) this.#faces.delete(id);
    }
    this.draw(now);
  }

  /**
   * Draws the picture, and writes the shares, which change only every `TELL_EVERY` ms so that they can be read.
   *
   * @param {number} [now] in ms of `performance.now()`; without it as of the newest moment, and the shares at once
   */
  draw(now) {
    const faces = this.#longest();
    const at = now ?? Math.max(0, ...faces.map(([, moments]) => moments.at(-1)?.time ?? 0));
    this.#paint(faces, at);
    if (now !== undefined && now - this.#lastTold < TELL_EVERY) return;
    this.#lastTold = now ?? 0;
    this.#told.replaceChildren(...faces.map(([id, moments]) => {
      const line = document.createElement('li');
      const who = faces.length > 1 ? `${text().faceNumber(id)}: ` : '';
      line.textContent = `${who}${text().shares(sharesOf(moments))}`;
      return line;
    }));
  }

  /** Returns the faces that were seen most, in the order of their numbers. */
  #longest() {
    const seen = [...this.#faces].sort(([, a], [, b]) => b.length - a.length).slice(0, FACES);
    return seen.sort(([a], [b]) => a - b);
  }

  /**
   * @param {[number, Moment[]][]} faces
   * @param {number} now
   */
  #paint(faces, now) {
    const canvas = this.#canvas;
    const lane = WORDS + CURVE + SPACE;
    const height = Math.max(1, faces.length) * lane + WORDS;
    canvas.style.height = `${height}px`;
    const width = canvas.clientWidth;
    const paper = canvas.getContext('2d');
    if (!width || !paper) return;
    Object.assign(canvas, { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) });
    paper.scale(devicePixelRatio, devicePixelRatio);
    const style = getComputedStyle(canvas);
    paper.font = `13px ${style.fontFamily}`;
    paper.textBaseline = 'middle';
    const place = (/** @type {number} */ time) => width - ((now - time) * width) / SPAN;
    this.#paintTicks(paper, style, width, height);
    faces.forEach(([id, moments], row) => {
      const top = row * lane;
      const runs = runsOf(moments);
      for (const run of runs) this.#paintRun(paper, run, place, top + WORDS);
      paper.fillStyle = style.color;
      let free = 0;
      if (faces.length > 1) {
        paper.fillText(text().faceNumber(id), 0, top + WORDS / 2);
        free = paper.measureText(text().faceNumber(id)).width + 12;
      }
      for (const run of runs) free = paintWord(paper, run, place, top + WORDS / 2, free);
    });
  }

  /**
   * @param {CanvasRenderingContext2D} paper
   * @param {CSSStyleDeclaration} style
   * @param {number} width
   * @param {number} height
   */
  #paintTicks(paper, style, width, height) {
    for (const ago of TICKS) {
      const x = Math.min(width - 0.5, Math.max(0.5, width - (ago * 1000 * width) / SPAN));
      paper.strokeStyle = style.borderTopColor;
      paper.beginPath();
      paper.moveTo(x, 0);
      paper.lineTo(x, height - WORDS);
      paper.stroke();
      paper.fillStyle = style.outlineColor;
      paper.textAlign = ago === 0 ? 'right' : ago * 1000 === SPAN ? 'left' : 'center';
      paper.fillText(text().ago(ago), x, height - WORDS / 2);
    }
    paper.textAlign = 'left';
  }

  /**
   * Paints a stretch of one answer, as high as its probability; an unsure one is hatched in gray.
   *
   * @param {CanvasRenderingContext2D} paper
   * @param {Moment[]} run
   * @param {(time: number) => number} place
   * @param {number} top
   */
  #paintRun(paper, run, place, top) {
    const first = /** @type {Moment} */ (run[0]);
    const bottom = top + CURVE;
    paper.beginPath();
    paper.moveTo(place(first.time), bottom);
    for (const { time, value } of run) paper.lineTo(place(time), bottom - value * CURVE);
    // A single moment is seen, too.
    const end = Math.max(place(/** @type {Moment} */ (run.at(-1)).time), place(first.time) + 2);
    paper.lineTo(end, bottom - /** @type {Moment} */ (run.at(-1)).value * CURVE);
    paper.lineTo(end, bottom);
    paper.closePath();
    paper.fillStyle = first.unsure ? hatching(paper) : (this.#colors[first.label] ?? UNSURE);
    paper.fill();
  }
}

const UNSURE = '#6b7785'; // as in pyojeong.analysis.colors

/** @param {CanvasRenderingContext2D} paper */
function hatching(paper) {
  const tile = new OffscreenCanvas(6, 6);
  const brush = /** @type {OffscreenCanvasRenderingContext2D} */ (tile.getContext('2d'));
  brush.strokeStyle = UNSURE;
  brush.lineWidth = 1.5;
  for (const shift of [-6, 0, 6]) {
    brush.moveTo(shift, 6);
    brush.lineTo(shift + 6, 0);
  }
  brush.stroke();
  return /** @type {CanvasPattern} */ (paper.createPattern(tile, 'repeat'));
}

/** @param {Moment} moment */
function wordAt({ label, unsure }) {
  return unsure ? text().unsure : wordOf(label);
}

/**
 * Writes the word above a stretch if there is room for it.
 *
 * @param {CanvasRenderingContext2D} paper
 * @param {Moment[]} run
 * @param {(time: number) => number} place
 * @param {number} y
 * @param {number} free from where there is room, in pixels
 * @returns {number} from where there is room then
 */
function paintWord(paper, run, place, y, free) {
  const word = wordAt(/** @type {Moment} */ (run[0]));
  const start = Math.max(free, place(/** @type {Moment} */ (run[0]).time));
  const end = place(/** @type {Moment} */ (run.at(-1)).time);
  const { width } = paper.measureText(word);
  if (end - start < width) return free;
  paper.fillText(word, start, y);
  return start + width + 8;
}

/**
 * Returns the stretches of one answer. Each but the last reaches to the first moment of the next one, unless the face was
 * not seen between them.
 *
 * @param {readonly Moment[]} moments
 * @returns {Moment[][]}
 */
export function runsOf(moments) {
  /** @type {Moment[][]} */
  const runs = [];
  for (const moment of moments) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    if (!run || !before || moment.time - before.time > GAP) {
      runs.push([moment]);
      continue;
    }
    const same = before.unsure === moment.unsure && (moment.unsure || before.label === moment.label);
    if (same) run.push(moment);
    else {
      run.push({ ...before, time: moment.time });
      runs.push([moment]);
    }
  }
  return runs;
}

/**
 * Returns the share of the time of each answer, the longest first.
 *
 * @param {readonly Moment[]} moments
 * @returns {[string, number][]}
 */
export function sharesOf(moments) {
  /** @type {Map<string, number>} */
  const times = new Map();
  for (const run of runsOf(moments)) {
    const [first, last] = [/** @type {Moment} */ (run[0]), /** @type {Moment} */ (run.at(-1))];
    // A single moment counts for a millisecond, so that a face just seen has an answer.
    times.set(wordAt(first), (times.get(wordAt(first)) ?? 0) + Math.max(1, last.time - first.time));
  }
  const all = [...times.values()].reduce((sum, time) => sum + time, 0);
  const shares = [...times].map(([word, time]) => /** @type {[string, number]} */ ([word, time / all]));
  return shares.sort(([, a], [, b]) => b - a).filter(([, share], at) => at === 0 || share >= 0.005);
}
