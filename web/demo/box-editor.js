/** @typedef {import('../onnx_emotion_api.js').Box} Box */
/** @typedef {{ width: number, height: number }} Size */

const SMALLEST = 8; // screen pixels; a smaller drag is a click
const STEP = 0.02; // of the frame's longer side, for one key press

/**
 * Returns a centered square of 60 % of the shorter side, about where a face in front of a camera is.
 *
 * @param {Size} size
 * @returns {Box}
 */
function centered({ width, height }) {
  const side = 0.6 * Math.min(width, height);
  return { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side };
}

/** Lets the user draw a box on a picture or video, by pointer or keyboard. */
export class BoxEditor {
  /** @type {Box | null} in source pixels; null if there is none */
  box = null;
  /** @type {Size} of the source in pixels */
  #size = { width: 1, height: 1 };
  #stage;
  #outline;
  #changed;

  /**
   * @param {HTMLElement} stage as large as the picture in it
   * @param {HTMLElement} outline drawn where the box is
   * @param {() => void} changed called after each change by the user
   */
  constructor(stage, outline, changed) {
    this.#stage = stage;
    this.#outline = outline;
    this.#changed = changed;
    stage.addEventListener('pointerdown', (event) => this.#drag(event));
    stage.addEventListener('keydown', (event) => this.#press(event));
  }

  /**
   * Resets the editor for a new source.
   *
   * @param {Size} size
   * @param {Box | null} box
   */
  reset(size, box) {
    this.#size = size;
    this.#set(box);
  }

  clear() {
    this.#set(null);
    this.#changed();
  }

  /** @param {Box | null} box */
  #set(box) {
    this.box = box;
    this.#outline.hidden = !box;
    if (!box) return;
    const { width, height } = this.#size;
    Object.assign(this.#outline.style, {
      left: `${(100 * box.x) / width}%`,
      top: `${(100 * box.y) / height}%`,
      width: `${(100 * box.width) / width}%`,
      height: `${(100 * box.height) / height}%`,
    });
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    // Ignores a second finger, which would draw another box.
    if (event.button !== 0 || !event.isPrimary) return;
    this.#stage.setPointerCapture(event.pointerId);
    const start = this.#pointOf(event);
    const smallest = (SMALLEST * this.#size.width) / this.#stage.clientWidth;
    /** @param {PointerEvent} next */
    const move = (next) => {
      if (next.pointerId !== event.pointerId) return;
      const end = this.#pointOf(next);
      const width = Math.abs(end.x - start.x);
      const height = Math.abs(end.y - start.y);
      if (width < smallest || height < smallest) return;
      this.#set({ x: Math.min(start.x, end.x), y: Math.min(start.y, end.y), width, height });
      this.#changed();
    };
    const stop = (/** @type {PointerEvent} */ next) => {
      if (next.pointerId !== event.pointerId) return;
      this.#stage.removeEventListener('pointermove', move);
      this.#stage.removeEventListener('pointerup', stop);
      this.#stage.removeEventListener('pointercancel', stop);
    };
    this.#stage.addEventListener('pointermove', move);
    this.#stage.addEventListener('pointerup', stop);
    this.#stage.addEventListener('pointercancel', stop);
  }

  /**
   * Returns the position of a pointer in source pixels, clamped to the source.
   *
   * @param {PointerEvent} event
   */
  #pointOf(event) {
    const rect = this.#stage.getBoundingClientRect();
    const across = clamp((event.clientX - rect.left) / rect.width, 0, 1);
    const down = clamp((event.clientY - rect.top) / rect.height, 0, 1);
    return { x: (this.#mirrored() ? 1 - across : across) * this.#size.width, y: down * this.#size.height };
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const [across, down] = ARROWS[event.key] ?? [0, 0];
    if (event.key === 'Escape') this.#set(null);
    else if (event.key === 'Enter') this.#set(centered(this.#size));
    else if (across || down) this.#nudge(across * (this.#mirrored() && !event.shiftKey ? -1 : 1), down, event.shiftKey);
    else return;
    event.preventDefault();
    this.#changed();
  }

  /**
   * @param {number} across -1, 0, 1
   * @param {number} down -1, 0, 1
   * @param {boolean} resize around the center instead of moving
   */
  #nudge(across, down, resize) {
    const { width, height } = this.#size;
    const step = STEP * Math.max(width, height);
    const box = { ...(this.box ?? centered(this.#size)) };
    if (resize) {
      const grown = { width: clamp(box.width + across * step, step, width), height: clamp(box.height - down * step, step, height) };
      box.x += (box.width - grown.width) / 2;
      box.y += (box.height - grown.height) / 2;
      Object.assign(box, grown);
    } else {
      box.x += across * step;
      box.y += down * step;
    }
    box.x = clamp(box.x, 0, width - box.width);
    box.y = clamp(box.y, 0, height - box.height);
    this.#set(box);
  }

  #mirrored() {
    return this.#stage.classList.contains('mirrored');
  }
}

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(low, high));
}
