import { onNextFrame, sizeOf } from './frames.js';
import { onLanguage, text } from './language.js';
import { element } from './page.js';
import { Problem, report } from './problem.js';

/**
 * What is on the stage.
 *
 * @typedef {object} Shown
 * @property {HTMLImageElement | HTMLVideoElement} element
 * @property {'picture' | 'film' | 'camera'} kind
 * @property {string} name of the file; `camera:0` for the camera
 * @property {boolean} drawn whether it is one of the page's own samples
 * @property {number} since time at which it came, in ms of `performance.now()`
 */

const CAMERA = 'camera:0'; // as in the tables of `pyojeong analyze`

const stage = element('stage');
const picture = /** @type {HTMLImageElement} */ (element('picture'));
const video = /** @type {HTMLVideoElement} */ (element('video'));
const camera = /** @type {HTMLButtonElement} */ (element('camera'));

/** Brings pictures, films and the camera on the page. */
export class Stage {
  /** @type {Shown | null} */
  shown = null;
  #calls;
  #unwatch = () => {}; // cancels the wait for a frame
  // Pictures, videos and cameras are numbered in the order of the user's requests, because they may open in another one.
  #requests = 0;
  #staged = 0; // number of the source on the stage; older ones are ignored when they open
  #filmed = 0; // number of the latest source of the video element

  /** @param {{ put: (shown: Shown) => void, turned: () => void, frame: () => void, emptied: () => void }} calls */
  constructor(calls) {
    this.#calls = calls;
    video.addEventListener('resize', () => {
      // A rotated phone changes the shape of its picture.
      if (this.shown?.element === video) calls.turned();
    });
    camera.addEventListener('click', () => (video.srcObject ? this.#stopVideo() : this.#startCamera()));
    onLanguage(() => this.#showCameraState());
    this.#showCameraState();
  }

  /**
   * @param {File | undefined} chosen
   * @param {boolean} [drawn] whether it is one of the page's own samples
   */
  async open(chosen, drawn = false) {
    if (!chosen) return;
    const number = ++this.#requests;
    if (chosen.type.startsWith('video/')) await this.#openFilm(chosen, number, drawn);
    else await this.#openPicture(chosen, number, drawn);
  }

  /**
   * @param {File} chosen
   * @param {number} number
   * @param {boolean} drawn
   */
  async #openPicture(chosen, number, drawn) {
    const next = new Image();
    next.src = URL.createObjectURL(chosen);
    try {
      await next.decode();
    } catch {
      URL.revokeObjectURL(next.src);
      report(new Problem((texts) => texts.notPicture(chosen.name)));
      return;
    }
    if (number < this.#staged) {
      URL.revokeObjectURL(next.src);
      return;
    }
    // Keeps a video that was requested later and is still opening.
    if (this.#filmed < number) this.#stopVideo();
    URL.revokeObjectURL(picture.src);
    picture.src = next.src;
    // Fails if the next picture replaces this one.
    await picture.decode().catch(() => {});
    if (picture.src !== next.src || number < this.#staged) return;
    this.#put({ element: picture, kind: 'picture', name: chosen.name, drawn }, number);
  }

  /**
   * @param {File} chosen
   * @param {number} number
   * @param {boolean} drawn
   */
  async #openFilm(chosen, number, drawn) {
    this.#filmed = number;
    this.#stopVideo();
    const address = URL.createObjectURL(chosen);
    video.src = address;
    try {
      await video.play();
    } catch {
      if (video.src !== address) return;
      URL.revokeObjectURL(address);
      video.removeAttribute('src');
      report(new Problem((texts) => texts.notFilm(chosen.name)));
      return;
    }
    if (video.src !== address) return;
    this.#put({ element: video, kind: 'film', name: chosen.name, drawn }, number);
    this.#awaitFrame();
  }

  async #startCamera() {
    const number = ++this.#requests;
    const focused = document.activeElement === camera;
    camera.disabled = true;
    try {
      if (!navigator.mediaDevices) throw new Problem((texts) => texts.noCamera);
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'user' } });
      if (number < this.#staged || number < this.#filmed) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.#filmed = number;
      stream.getVideoTracks()[0]?.addEventListener('ended', () => {
        this.#stopVideo();
        report(new Problem((texts) => texts.cameraEnded));
      });
      this.#stopVideo();
      video.srcObject = stream;
      await video.play();
      if (video.srcObject !== stream) return;
      this.#put({ element: video, kind: 'camera', name: CAMERA, drawn: false }, number);
      this.#awaitFrame();
    } catch (error) {
      if (number >= this.#staged) report(error);
    } finally {
      camera.disabled = false;
      // A disabled button loses the keyboard focus.
      if (focused && document.activeElement === document.body) camera.focus();
      this.#showCameraState();
    }
  }

  /**
   * @param {Omit<Shown, 'since'>} next
   * @param {number} number of the request
   */
  #put(next, number) {
    report(null);
    this.shown = { ...next, since: performance.now() };
    this.#staged = number;
    element('empty').hidden = true;
    element('help').hidden = stage.hidden = false;
    picture.hidden = next.kind !== 'picture';
    video.hidden = next.kind === 'picture';
    stage.classList.toggle('mirrored', next.kind === 'camera');
    this.#calls.put(this.shown);
  }

  #awaitFrame() {
    // A wait left over from an earlier video would double the work.
    this.#unwatch();
    this.#unwatch = onNextFrame(video, () => {
      if (this.shown?.element !== video) return;
      this.#calls.frame();
      this.#awaitFrame();
    });
  }

  #stopVideo() {
    const stream = /** @type {MediaStream | null} */ (video.srcObject);
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    this.#unwatch();
    if (video.src) URL.revokeObjectURL(video.src);
    video.removeAttribute('src');
    if (this.shown?.element === video) {
      this.shown = null;
      stage.hidden = element('help').hidden = true;
      element('empty').hidden = false;
      this.#calls.emptied();
    }
    this.#showCameraState();
  }

  #showCameraState() {
    const on = this.shown?.kind === 'camera';
    camera.textContent = on ? text().cameraOff : text().cameraOn;
    camera.classList.toggle('on', on);
  }
}

/**
 * Returns the time of what a source shows now: the seconds since its start, null for a picture.
 *
 * @param {Shown} shown
 */
export function timeOf({ element: shown, kind, since }) {
  if (kind === 'picture') return null;
  return kind === 'film' ? video.currentTime : (performance.now() - since) / 1000;
}

const held = document.createElement('canvas');

/**
 * Returns what a source shows now, as it stays for several readers.
 *
 * @param {Shown} shown
 */
export function hold({ element: shown }) {
  if (!(shown instanceof HTMLVideoElement) || shown.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return shown;
  Object.assign(held, sizeOf(shown));
  held.getContext('2d', { willReadFrequently: true })?.drawImage(shown, 0, 0);
  return held;
}
