import { EmotionAnalyzer } from '../analyzer.js';
import { Bars } from './bars.js';
import { Boxes, boxWords } from './boxes.js';
import { BoxEditor } from './box-editor.js';
import { onNextFrame, sizeOf } from './frames.js';
import { describeModel } from './models.js';
import { Pace } from './pace.js';
import { report } from './problem.js';
import { WORDS, loadRival } from './rival.js';
import { Speech } from './speech.js';

/** @typedef {import('../analyzer.js').FaceEmotions} FaceEmotions */
/** @typedef {import('../patch.js').Box} Box */
/** @typedef {import('../analyzer.js').Analyzer} Analyzer */
/** @typedef {import('./models.js').Model} Model */
/** @typedef {{ models: Model[], rival: boolean, rivalWasm: boolean }} Available */

/** @type {<T extends HTMLElement = HTMLElement>(id: string) => T} */
const element = (id) => /** @type {any} */ (document.getElementById(id));

const stage = element('stage');
const picture = /** @type {HTMLImageElement} */ (element('picture'));
const video = /** @type {HTMLVideoElement} */ (element('video'));
const file = /** @type {HTMLInputElement} */ (element('file'));
const camera = /** @type {HTMLButtonElement} */ (element('camera'));
const clear = /** @type {HTMLButtonElement} */ (element('clear'));

const models = /** @type {HTMLSelectElement} */ (element('model'));
const compare = /** @type {HTMLInputElement} */ (element('rival'));

const boxes = new Boxes(element('faces'));
const boxSpeech = new Speech(element('box-spoken'));
const editor = new BoxEditor(stage, element('box'), () => {
  describeBox();
  classify();
});

/** @type {Analyzer | null} */
let analyzer = null;
/** @type {HTMLImageElement | HTMLVideoElement | null} */
let source = null;
/** @type {Bars | undefined} */
let bars;
/** @type {Available} */
let available = { models: [], rival: false, rivalWasm: false };
/** @type {Model | undefined} */
let shown; // the model that answers
let unwatch = () => {}; // cancels the wait for a frame
let busy = false;
let failing = false; // whether the error on the page is about the last classification
let waiting = false;
/** @type {Box | null} */
let described = null; // the face that the bars describe
// Pictures, videos and cameras are numbered in the order of the user's requests, because they may open in another one.
let requests = 0;
let staged = 0; // number of the source on the stage; older ones are ignored when they open
let filmed = 0; // number of the latest source of the video element
let pace = new Pace();

async function start() {
  available = await (await fetch('available.json')).json();
  models.replaceChildren(...available.models.map((model) => new Option(describeModel(model), model.url)));
  element('model-choice').hidden = available.models.length < 2;
  element('rival-choice').hidden = !available.rival;
  await useModel(models.value);
}

/** @param {string} url one of the addresses in the list */
async function useModel(url) {
  const model = /** @type {Model} */ (available.models.find((each) => each.url === url));
  const next = await EmotionAnalyzer.create({
    worker: true,
    modelUrl: model.url,
    classesUrl: model.classesUrl,
    detectorUrl: '../../detection/blazeface.onnx',
  });
  if (url !== models.value) {
    // Another model was chosen while this one was loading.
    next.dispose();
    return;
  }
  analyzer?.dispose();
  shown = model;
  analyzer = next;
  bars = new Bars(element('bars'), element('answer'), element('spoken'), next.outputKeys, next.info().colors);
  element('notice').hidden = !next.info().synthetic;
  describePace();
  // For the console: api.outputKeys, api.info().
  Object.assign(window, { api: next });
  classify();
}

/** Classifies the source on the stage. A call during a running classification starts one more after it. */
async function classify() {
  if (!source || !analyzer) return;
  if (busy) {
    waiting = true;
    return;
  }
  busy = true;
  const shownSource = source;
  const usedAnalyzer = analyzer;
  try {
    const faces = await facesOf(usedAnalyzer, shownSource);
    if (shownSource === source && faces && usedAnalyzer === analyzer) {
      described = show(faces, shownSource);
      pace.count(usedAnalyzer.timings, source === video);
      describePace();
      // Keeps other errors, which the next frame of a video must not remove.
      if (failing) report(null);
      failing = false;
    }
    await compareTo(shownSource, described);
  } catch (error) {
    // Ignores errors of an analyzer that was replaced.
    if (usedAnalyzer === analyzer) {
      failing = true;
      report(error);
    }
  } finally {
    busy = false;
  }
  if (waiting) {
    waiting = false;
    classify();
  }
}

/**
 * Classifies the drawn box, otherwise the detected faces; a picture without any is classified as a whole.
 *
 * @param {Analyzer} usedAnalyzer
 * @param {HTMLImageElement | HTMLVideoElement} shownSource
 */
async function facesOf(usedAnalyzer, shownSource) {
  if (editor.box) return usedAnalyzer.analyze(shownSource, [editor.box], { boxKind: 'annotator' });
  const faces = await usedAnalyzer.analyze(shownSource);
  return faces?.length === 0 && shownSource === picture ? usedAnalyzer.analyze(shownSource, [null]) : faces;
}

/**
 * @param {FaceEmotions[]} faces
 * @param {HTMLImageElement | HTMLVideoElement} shownSource
 * @returns {Box | null} of the face that the bars describe
 */
function show(faces, shownSource) {
  const found = editor.box ? [] : faces.filter(({ box }) => box);
  const areas = faces.map(({ box }) => (box ? box.width * box.height : 0));
  const largest = areas.indexOf(Math.max(...areas));
  boxes.show(found, sizeOf(shownSource), largest);
  const face = faces[largest];
  if (face) bars?.show(face.emotions);
  else bars?.clear('얼굴을 찾지 못했습니다');
  describeBox(found.length);
  return face?.box ?? null;
}

function describePace() {
  if (!analyzer) return;
  const { engine, modelBytes, scheme } = analyzer.info();
  element('figures').textContent = [
    ...pace.words(source === video),
    `모델 ${shown?.name} (${scheme}, ${(modelBytes / 1e6).toFixed(1)} MB)`,
    `엔진 ${engine}`,
  ].filter(Boolean).join(' · ');
}

/** @type {{ ask: Awaited<ReturnType<typeof loadRival>>, bars: Bars } | null} */
let rival = null;

/**
 * @param {HTMLImageElement | HTMLVideoElement} shownSource
 * @param {Box | null} box of the face to compare
 */
async function compareTo(shownSource, box) {
  if (!compare.checked) return;
  rival ??= {
    ask: await loadRival(available.rivalWasm),
    bars: new Bars(element('rival-bars'), element('rival-answer'), element('rival-spoken'), WORDS),
  };
  const { emotions, ms } = await rival.ask(shownSource, box);
  if (shownSource !== source) return;
  if (emotions) rival.bars.show(emotions);
  else rival.bars.clear('얼굴을 찾지 못했습니다');
  element('rival-figures').textContent = `얼굴과 감정 ${ms.toFixed(0)} ms · 이 페이지의 스레드에서`;
}

/** @param {number} [found] faces */
function describeBox(found) {
  clear.disabled = !editor.box;
  tellBox(boxWords(editor.box, found, source === picture));
}

/** @param {string} text */
function tellBox(text) {
  element('box-text').textContent = text;
  boxSpeech.say(text);
}

/**
 * @param {HTMLImageElement | HTMLVideoElement} next
 * @param {{ width: number, height: number }} size
 * @param {number} [number] of the request
 */
function put(next, size, number = staged) {
  source = next;
  staged = number;
  pace = new Pace();
  element('empty').hidden = true;
  element('help').hidden = stage.hidden = false;
  picture.hidden = next !== picture;
  video.hidden = next !== video;
  stage.classList.toggle('mirrored', next === video && Boolean(video.srcObject));
  editor.reset(size, null);
  boxes.clear();
  describeBox();
  classify();
}

/** @param {File | undefined} chosen */
async function open(chosen) {
  if (!chosen) return;
  const number = ++requests;
  if (chosen.type.startsWith('video/')) {
    await openVideo(chosen, number);
    return;
  }
  const next = new Image();
  next.src = URL.createObjectURL(chosen);
  try {
    await next.decode();
  } catch {
    URL.revokeObjectURL(next.src);
    report(new Error(`"${chosen.name}"은(는) 사진으로 열 수 없습니다. JPEG, PNG, WebP 사진을 고르십시오.`));
    return;
  }
  if (number < staged) {
    URL.revokeObjectURL(next.src);
    return;
  }
  // Keeps a video that was requested later and is still opening.
  if (filmed < number) stopCamera();
  URL.revokeObjectURL(picture.src);
  picture.src = next.src;
  // Fails if the next picture replaces this one.
  await picture.decode().catch(() => {});
  if (picture.src !== next.src || number < staged) return;
  report(null);
  put(picture, { width: picture.naturalWidth, height: picture.naturalHeight }, number);
}

/**
 * @param {File} chosen
 * @param {number} number
 */
async function openVideo(chosen, number) {
  filmed = number;
  stopCamera();
  const address = URL.createObjectURL(chosen);
  video.src = address;
  try {
    await video.play();
  } catch {
    if (video.src !== address) return;
    URL.revokeObjectURL(address);
    video.removeAttribute('src');
    report(new Error(`"${chosen.name}"은(는) 영상으로 열 수 없습니다. MP4, WebM 영상을 고르십시오.`));
    return;
  }
  if (video.src !== address) return;
  report(null);
  put(video, sizeOf(video), number);
  awaitFrame();
}

async function startCamera() {
  const number = ++requests;
  const focused = document.activeElement === camera;
  camera.disabled = true;
  try {
    if (!navigator.mediaDevices) throw new Error('카메라는 http://localhost나 https 주소에서만 쓸 수 있습니다.');
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'user' } });
    if (number < staged || number < filmed) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    filmed = number;
    stream.getVideoTracks()[0]?.addEventListener('ended', () => {
      stopCamera();
      report(new Error('카메라 연결이 끊겼습니다. 다시 켜십시오.'));
    });
    stopCamera();
    video.srcObject = stream;
    await video.play();
    if (video.srcObject !== stream) return;
    report(null);
    put(video, sizeOf(video), number);
    awaitFrame();
  } catch (error) {
    if (number >= staged) report(error);
  } finally {
    camera.disabled = false;
    // A disabled button loses the keyboard focus.
    if (focused && document.activeElement === document.body) camera.focus();
    showCameraState();
  }
}

function onFrame() {
  if (source !== video) return;
  classify();
  awaitFrame();
}

function awaitFrame() {
  // A wait left over from an earlier video would double the work.
  unwatch();
  unwatch = onNextFrame(video, onFrame);
}

function stopCamera() {
  const stream = /** @type {MediaStream | null} */ (video.srcObject);
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  unwatch();
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute('src');
  if (source === video) {
    source = null;
    stage.hidden = element('help').hidden = true;
    element('empty').hidden = false;
    tellBox('');
    clear.disabled = true;
    boxes.clear();
    bars?.clear();
  }
  showCameraState();
}

function showCameraState() {
  const on = source === video && Boolean(video.srcObject);
  camera.textContent = on ? '카메라 끄기' : '카메라 켜기';
  camera.classList.toggle('on', on);
}

file.addEventListener('change', () => {
  open(file.files?.[0]);
  // Allows choosing the same file again.
  file.value = '';
});
video.addEventListener('resize', () => {
  // A rotated phone changes the shape of its picture.
  if (source === video) put(video, sizeOf(video));
});
camera.addEventListener('click', () => (video.srcObject ? stopCamera() : startCamera()));
models.addEventListener('change', () => {
  const chosen = models.value;
  useModel(chosen).then(
    () => report(null),
    (error) => {
      // Another model was chosen while this one was loading.
      if (models.value !== chosen) return;
      // The list shows the model that answers.
      models.value = shown?.url ?? '';
      report(error);
    },
  );
});
compare.addEventListener('change', () => {
  element('rival-result').hidden = !compare.checked;
  classify();
});
clear.addEventListener('click', () => {
  editor.clear();
  // The button is disabled now, so the focus must move.
  stage.focus();
});
document.addEventListener('paste', (event) => open(event.clipboardData?.files[0]));
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('over');
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('over');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('over');
  open(event.dataTransfer?.files[0]);
});

start().catch((error) => {
  element('answer').textContent = '';
  report(error);
});
