import { EmotionAPI } from '../onnx_emotion_api.js';
import { Bars } from './bars.js';
import { BoxEditor, centred } from './box-editor.js';

const RUN = '../../models/mobilenetv3_classifier/runs/finetune_K7_160/';
const SMOOTHING = 0.1; // weight of the newest frame in the figures shown

/** @type {Record<string, string>} what to do about an error, by its code or by the camera's error name */
const REMEDIES = {
  model_not_found: '모델이 없습니다. 저장소 루트에서 make run 을 먼저 실행하십시오.',
  model_is_html: '모델이 없습니다. 저장소 루트에서 make run 을 먼저 실행하십시오.',
  classes_not_found: 'classes.json 이 없습니다. 저장소 루트에서 make run 을 먼저 실행하십시오.',
  class_mismatch: '모델과 classes.json 이 맞지 않습니다. pyojeong export 를 다시 실행하십시오.',
  runtime_not_found: 'onnxruntime-web 이 없습니다. npm i onnxruntime-web 을 실행하십시오.',
  wasm_not_found: 'onnxruntime-web 의 wasm 파일이 없습니다. npm i onnxruntime-web 을 다시 실행하십시오.',
  NotAllowedError: '카메라 사용이 거부되었습니다. 주소 표시줄의 카메라 단추에서 허용한 뒤 다시 켜십시오.',
  NotFoundError: '카메라를 찾지 못했습니다. 연결을 확인하거나 사진을 쓰십시오.',
  NotReadableError: '다른 프로그램이 카메라를 쓰고 있습니다. 그 프로그램을 닫고 다시 켜십시오.',
};

/** @type {<T extends HTMLElement = HTMLElement>(id: string) => T} */
const element = (id) => /** @type {any} */ (document.getElementById(id));

const stage = element('stage');
const picture = /** @type {HTMLImageElement} */ (element('picture'));
const video = /** @type {HTMLVideoElement} */ (element('video'));
const file = /** @type {HTMLInputElement} */ (element('file'));
const camera = /** @type {HTMLButtonElement} */ (element('camera'));
const clear = /** @type {HTMLButtonElement} */ (element('clear'));

const api = new EmotionAPI({ modelUrl: `${RUN}k7_mnv3s_160.onnx`, classesUrl: `${RUN}classes.json` });
const ready = api.init();
const editor = new BoxEditor(stage, element('box'), () => {
  describeBox();
  classify();
});

/** @type {HTMLImageElement | HTMLVideoElement | null} */
let source = null;
/** @type {Bars | undefined} */
let bars;
let busy = false;
let waiting = false;
let pace = { ms: 0, interval: 0, last: 0 };

async function start() {
  await ready;
  const { drawnSample } = api.info();
  bars = new Bars(element('bars'), element('answer'), element('spoken'), api.outputKeys);
  element('notice').hidden = !drawnSample;
  describePace();
  // For the curious: api.outputKeys, api.info() in the console.
  Object.assign(window, { api });
  classify();
}

/** Classifies what is on the stage now; while one answer is under way, only the newest wish is kept. */
async function classify() {
  if (!source || !bars) return;
  if (busy) {
    waiting = true;
    return;
  }
  busy = true;
  const asked = source;
  const began = performance.now();
  try {
    const predict = asked === video ? api.predictFromVideo : api.predictFromImage;
    const probabilities = await predict.call(api, asked, editor.box ?? undefined);
    if (asked === source) {
      bars.show(probabilities);
      count(began);
      report(null);
    }
  } catch (error) {
    report(error);
  } finally {
    busy = false;
  }
  if (waiting) {
    waiting = false;
    classify();
  }
}

/** @param {number} began */
function count(began) {
  const now = performance.now();
  const ease = (/** @type {number} */ old, /** @type {number} */ value) =>
    old ? old + SMOOTHING * (value - old) : value;
  pace = {
    ms: source === video ? ease(pace.ms, now - began) : now - began,
    interval: pace.last ? ease(pace.interval, now - pace.last) : 0,
    last: now,
  };
  describePace();
}

function describePace() {
  const { threads, modelBytes, runtimeVersion } = api.info();
  const live = source === video && pace.interval;
  element('figures').textContent = [
    pace.ms ? `한 번에 ${pace.ms.toFixed(0)} ms` : '',
    live ? `초당 ${(1000 / pace.interval).toFixed(0)}회` : '',
    `모델 ${(modelBytes / 1e6).toFixed(1)} MB`,
    `스레드 ${threads}`,
    `onnxruntime-web ${runtimeVersion}`,
  ].filter(Boolean).join(' · ');
}

function describeBox() {
  const { box } = editor;
  clear.disabled = !box;
  element('box-text').textContent = box
    ? `상자 ${Math.round(box.width)} × ${Math.round(box.height)} 픽셀. 얼굴 둘레에 맞추십시오.`
    : '상자 없음: 전체를 얼굴로 봅니다. 얼굴 위를 끌어 상자를 그리면 더 정확합니다.';
}

/**
 * @param {HTMLImageElement | HTMLVideoElement} next
 * @param {{ width: number, height: number }} size
 */
function put(next, size) {
  source = next;
  pace = { ms: 0, interval: 0, last: 0 };
  element('empty').hidden = true;
  element('help').hidden = stage.hidden = false;
  picture.hidden = next !== picture;
  video.hidden = next !== video;
  stage.classList.toggle('mirrored', next === video);
  editor.reset(size, next === video ? centred(size) : null);
  describeBox();
  classify();
}

/** @param {File | undefined} chosen */
async function open(chosen) {
  if (!chosen) return;
  const next = new Image();
  next.src = URL.createObjectURL(chosen);
  try {
    await next.decode();
  } catch {
    URL.revokeObjectURL(next.src);
    report(new Error(`"${chosen.name}" 은(는) 사진으로 열리지 않습니다. JPEG, PNG, WebP 사진을 고르십시오.`));
    return;
  }
  stopCamera();
  URL.revokeObjectURL(picture.src);
  picture.src = next.src;
  await picture.decode();
  report(null);
  put(picture, { width: picture.naturalWidth, height: picture.naturalHeight });
}

async function startCamera() {
  camera.disabled = true;
  try {
    if (!navigator.mediaDevices) throw new Error('카메라는 http://localhost 나 https 주소에서만 쓸 수 있습니다.');
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'user' } });
    stream.getVideoTracks()[0]?.addEventListener('ended', () => {
      stopCamera();
      report(new Error('카메라 연결이 끊겼습니다. 다시 켜십시오.'));
    });
    video.srcObject = stream;
    await video.play();
    report(null);
    put(video, { width: video.videoWidth, height: video.videoHeight });
    video.requestVideoFrameCallback(onFrame);
  } catch (error) {
    report(error);
  }
  camera.disabled = false;
  showCameraState();
}

function onFrame() {
  if (source !== video) return;
  classify();
  video.requestVideoFrameCallback(onFrame);
}

function stopCamera() {
  const stream = /** @type {MediaStream | null} */ (video.srcObject);
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  if (source === video) {
    source = null;
    stage.hidden = element('help').hidden = true;
    element('empty').hidden = false;
    element('box-text').textContent = '';
    clear.disabled = true;
    bars?.clear();
  }
  showCameraState();
}

function showCameraState() {
  const on = source === video;
  camera.textContent = on ? '카메라 끄기' : '카메라 켜기';
  camera.setAttribute('aria-pressed', String(on));
}

/** @param {unknown} error null when all is well */
function report(error) {
  const { code, name, message } = /** @type {{ code?: string, name?: string, message?: string }} */ (error ?? {});
  const remedy = REMEDIES[code ?? ''] ?? REMEDIES[name ?? ''];
  element('problem').hidden = !error;
  element('problem').textContent = error ? (remedy ?? message ?? String(error)) : '';
  if (error) console.error(error);
}

file.addEventListener('change', () => {
  open(file.files?.[0]);
  // The same file may be chosen again.
  file.value = '';
});
video.addEventListener('resize', () => {
  // A phone that is turned changes the shape of its picture.
  if (source === video) put(video, { width: video.videoWidth, height: video.videoHeight });
});
camera.addEventListener('click', () => (source === video ? stopCamera() : startCamera()));
clear.addEventListener('click', () => editor.clear());
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
