/** What the page says, in Korean and English. */

const COUNTS = ['', '한', '두', '세', '네', '다섯', '여섯', '일곱', '여덟', '아홉', '열'];
const NUMBERS = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(0)}%`;
const listed = (/** @type {readonly [string, number][]} */ shares) =>
  shares.map(([word, share]) => `${word} ${percent(share)}`).join(', ');

const KO = {
  title: '표정 · pyojeong',
  /** @param {number} classes 0 while no model is loaded */
  lead: (classes) =>
    `얼굴을 찾아 ${classes ? `${COUNTS[classes] ?? classes} 가지 ` : ''}감정의 확률을 보여 줍니다.`,
  private: '사진과 영상은 이 컴퓨터를 떠나지 않습니다.',
  languages: '언어',
  synthetic: '합성 얼굴로 학습한 모델입니다. 작동을 확인하는 용도이며, 실제 얼굴에 대한 답은 믿을 수 없습니다.',
  sourceTitle: '사진과 카메라',
  choose: '사진·영상 고르기',
  cameraOn: '카메라 켜기',
  cameraOff: '카메라 끄기',
  clearBox: '박스 지우기',
  dropHere: '얼굴 사진이나 영상을 여기에 놓으십시오',
  dropHow: '눌러서 고르거나 붙여 넣어도 됩니다 (Ctrl+V)',
  samples: '사진이 없다면:',
  samplePicture: '그린 얼굴 사진',
  sampleFilm: '그린 얼굴 영상',
  drawnFaces: '그린 얼굴입니다. 모델은 실제 사진으로 학습했으므로, 이 답으로 정확도를 판단할 수 없습니다.',
  stage: '얼굴 박스',
  picture: '고른 사진',
  keyboard: '키보드:',
  keyEnter: '가운데에 박스',
  keyArrows: '화살표',
  keyMove: '옮기기',
  keySize: '크기',
  keyEscape: '박스 지우기',
  /** @param {number} width @param {number} height */
  boxDrawn: (width, height) => `박스 ${width} × ${height} 픽셀. 박스를 지우면 얼굴을 찾습니다.`,
  /** @param {number} faces */
  facesFound: (faces) => `얼굴 ${faces}개를 찾았습니다. 끌어서 박스를 그리면 그 박스만 봅니다.`,
  wholePicture: '얼굴을 찾지 못해 전체를 얼굴로 봅니다. 얼굴 위를 끌어 박스를 그리십시오.',
  timeline: '최근 30초',
  /** @param {number} seconds */
  ago: (seconds) => (seconds ? `${seconds}초 전` : '지금'),
  /** @param {number} id */
  faceNumber: (id) => `얼굴 ${id}`,
  /** @param {readonly [string, number][]} shares */
  shares: listed,
  emotions: '감정',
  loading: '모델을 불러오는 중…',
  waiting: '사진이나 카메라를 기다립니다',
  noFace: '얼굴을 찾지 못했습니다',
  unsure: '잘 모르겠어요',
  /** @param {string} word */
  perhaps: (word) => `아마 ${word}`,
  model: '모델',
  compare: 'face-api.js와 비교',
  packageModel: '기본 모델',
  ownModel: '내 모델',
  ownSmallModel: '내 8비트 모델',
  realPhotos: '실제 사진',
  syntheticFaces: '합성 얼굴',
  /** @param {import('./pace.js').Timings} times */
  stages: ({ read, detect, classify }) =>
    `읽기 ${read.toFixed(0)} · 얼굴 ${detect.toFixed(0)} · 감정 ${classify.toFixed(0)} ms`,
  /** @param {number} rate */
  rate: (rate) => `초당 ${rate.toFixed(0)}회`,
  /** @param {string} name @param {string} facts */
  modelFacts: (name, facts) => `모델 ${name} (${facts})`,
  /** @param {string} name */
  engine: (name) => `엔진 ${name}`,
  /** @param {number} ms */
  rivalTime: (ms) => `얼굴과 감정 ${ms.toFixed(0)} ms · 이 페이지의 스레드에서`,
  /** @param {number} same @param {number} both @param {number} missed */
  agreement: (same, both, missed) =>
    `pyojeong과 같은 답 ${same} / ${both}${missed ? ` · face-api.js가 얼굴을 놓친 화면 ${missed}` : ''}`,
  session: '이번 기록',
  /** @param {number} rows @param {boolean} full */
  rows: (rows, full) => `읽은 결과 ${rows.toLocaleString('ko')}줄${full ? ' (가득 차서 더 적지 않습니다)' : ''}`,
  save: 'CSV로 저장',
  saveHint: '열 이름은 pyojeong analyze의 표와 같습니다. 파일은 이 컴퓨터에만 저장됩니다.',
  truth: '막대가 보여 주는 얼굴의 맞는 답을 누르면 누가 맞았는지 셉니다.',
  /** @param {string} name @param {number} right @param {number} all @param {number} unsure */
  score: (name, right, all, unsure) => `${name} ${right} / ${all} 맞음${unsure ? ` (잘 모르겠어요 ${unsure})` : ''}`,
  undo: '하나 취소',
  reset: '처음부터',
  noCamera: '카메라는 http://localhost나 https 주소에서만 쓸 수 있습니다.',
  cameraEnded: '카메라 연결이 끊겼습니다. 다시 켜십시오.',
  /** @param {string} name */
  notPicture: (name) => `"${name}"은(는) 사진으로 열 수 없습니다. JPEG, PNG, WebP 사진을 고르십시오.`,
  /** @param {string} name */
  notFilm: (name) => `"${name}"은(는) 영상으로 열 수 없습니다. MP4, WebM 영상을 고르십시오.`,
  /** @type {Readonly<Record<string, string>>} by code, or by the name of a camera's error */
  remedies: {
    model_not_found: '모델이 없습니다. 저장소 루트에서 make run을 먼저 실행하십시오.',
    model_is_html: '모델이 없습니다. 저장소 루트에서 make run을 먼저 실행하십시오.',
    classes_not_found: 'classes.json이 없습니다. 저장소 루트에서 make run을 먼저 실행하십시오.',
    class_mismatch: '모델과 classes.json이 맞지 않습니다. pyojeong export를 다시 실행하십시오.',
    runtime_not_found: 'onnxruntime-web이 없습니다. npm i onnxruntime-web을 실행하십시오.',
    wasm_not_found: 'onnxruntime-web의 wasm 파일이 없습니다. npm i onnxruntime-web을 다시 실행하십시오.',
    empty_source: '읽을 수 있는 화면이 없습니다. 그림이 있는 사진이나 영상을 고르십시오.',
    source_not_ready: '사진이나 영상이 아직 열리지 않았습니다. 잠시 뒤 다시 고르십시오.',
    model_truncated: '모델 파일이 끝까지 받아지지 않았습니다. 페이지를 새로 고치십시오.',
    model_invalid: '모델 파일을 읽을 수 없습니다. pyojeong export를 다시 실행하십시오.',
    classes_invalid: 'classes.json을 읽을 수 없습니다. pyojeong export를 다시 실행하십시오.',
    worker_not_found: '페이지의 worker.js를 찾지 못했습니다. 저장소 루트에서 pyojeong demo로 여십시오.',
    bad_source: '사진을 읽을 수 없습니다. 너무 크면 줄인 뒤 다시 고르십시오.',
    runtime_failed: '이 브라우저나 페이지의 보안 정책이 WebAssembly를 막습니다. 다른 브라우저에서 열어 보십시오.',
    worker_lost: '백그라운드 계산이 중단되었습니다. 페이지를 새로 고치십시오.',
    NotAllowedError: '카메라 사용이 거부되었습니다. 주소 표시줄의 카메라 단추에서 허용한 뒤 다시 켜십시오.',
    NotFoundError: '카메라를 찾지 못했습니다. 연결을 확인하거나 사진을 쓰십시오.',
    NotReadableError: '다른 프로그램이 카메라를 쓰고 있습니다. 그 프로그램을 닫고 다시 켜십시오.',
  },
};

/** @typedef {typeof KO} Text */

/** @type {Text} */
const EN = {
  title: 'pyojeong · facial expressions',
  lead: (classes) =>
    `Finds faces and shows the probabilities of ${classes ? `${NUMBERS[classes] ?? classes} emotions` : 'emotions'}.`,
  private: 'Photographs and videos do not leave this computer.',
  languages: 'Language',
  synthetic: 'This model was trained on synthetic faces. It shows that everything works; do not trust its answers for real faces.',
  sourceTitle: 'Photographs and camera',
  choose: 'Choose photo or video',
  cameraOn: 'Start camera',
  cameraOff: 'Stop camera',
  clearBox: 'Clear box',
  dropHere: 'Drop a photograph or video of a face here',
  dropHow: 'or click to choose one, or paste it (Ctrl+V)',
  samples: 'No photograph at hand?',
  samplePicture: 'Picture of drawn faces',
  sampleFilm: 'Video of drawn faces',
  drawnFaces: 'These faces are drawn. The model learned from real photographs, so its answers here say nothing about its accuracy.',
  stage: 'Face box',
  picture: 'The chosen picture',
  keyboard: 'Keyboard:',
  keyEnter: 'box in the middle',
  keyArrows: 'Arrows',
  keyMove: 'move',
  keySize: 'resize',
  keyEscape: 'clear box',
  boxDrawn: (width, height) => `Box of ${width} × ${height} pixels. Clear it to look for faces again.`,
  facesFound: (faces) => `${faces} face${faces === 1 ? '' : 's'} found. Drag to draw a box and read only that.`,
  wholePicture: 'No face was found, so the whole picture is read as one. Drag to draw a box over the face.',
  timeline: 'Last 30 seconds',
  ago: (seconds) => (seconds ? `${seconds} s ago` : 'now'),
  faceNumber: (id) => `Face ${id}`,
  shares: listed,
  emotions: 'Emotions',
  loading: 'Loading the model…',
  waiting: 'Waiting for a picture or the camera',
  noFace: 'No face was found',
  unsure: 'unsure',
  perhaps: (word) => `perhaps ${word}`,
  model: 'Model',
  compare: 'Compare with face-api.js',
  packageModel: 'Package model',
  ownModel: 'Your model',
  ownSmallModel: 'Your 8-bit model',
  realPhotos: 'real photographs',
  syntheticFaces: 'synthetic faces',
  stages: ({ read, detect, classify }) =>
    `read ${read.toFixed(0)} · faces ${detect.toFixed(0)} · emotions ${classify.toFixed(0)} ms`,
  rate: (rate) => `${rate.toFixed(0)} a second`,
  modelFacts: (name, facts) => `model ${name} (${facts})`,
  engine: (name) => `engine ${name}`,
  rivalTime: (ms) => `faces and emotions ${ms.toFixed(0)} ms · on this page's thread`,
  agreement: (same, both, missed) =>
    `Same answer as pyojeong: ${same} of ${both}${missed ? ` · face-api.js found no face: ${missed}` : ''}`,
  session: 'This session',
  rows: (rows, full) =>
    `${rows.toLocaleString('en')} row${rows === 1 ? '' : 's'} of readings${full ? ' (full; no more are kept)' : ''}`,
  save: 'Save as CSV',
  saveHint: 'The columns are those of the table of pyojeong analyze. The file is saved on this computer only.',
  truth: 'Press the right word for the face that the bars show, to count who was right.',
  score: (name, right, all, unsure) => `${name} right on ${right} of ${all}${unsure ? ` (unsure ${unsure})` : ''}`,
  undo: 'Undo one',
  reset: 'Start over',
  noCamera: 'The camera works only at http://localhost or https addresses.',
  cameraEnded: 'The camera was disconnected. Start it again.',
  notPicture: (name) => `"${name}" cannot be opened as a picture. Choose a JPEG, PNG or WebP picture.`,
  notFilm: (name) => `"${name}" cannot be opened as a video. Choose an MP4 or WebM video.`,
  remedies: {
    model_not_found: 'The model is missing. Run make run in the root of the repository first.',
    model_is_html: 'The model is missing. Run make run in the root of the repository first.',
    classes_not_found: 'classes.json is missing. Run make run in the root of the repository first.',
    class_mismatch: 'The model and classes.json do not match. Run pyojeong export again.',
    runtime_not_found: 'onnxruntime-web is missing. Run npm i onnxruntime-web.',
    wasm_not_found: 'The wasm files of onnxruntime-web are missing. Run npm i onnxruntime-web again.',
    empty_source: 'There is no picture to read. Choose a photograph or a video with a picture.',
    source_not_ready: 'The picture or video has not opened yet. Choose it again in a moment.',
    model_truncated: 'The model file broke off during the download. Reload the page.',
    model_invalid: 'The model file cannot be read. Run pyojeong export again.',
    classes_invalid: 'classes.json cannot be read. Run pyojeong export again.',
    worker_not_found: "The page's worker.js was not found. Open the page with pyojeong demo in the root of the repository.",
    bad_source: 'The picture cannot be read. If it is very large, make it smaller and choose it again.',
    runtime_failed: 'This browser or the security policy of the page blocks WebAssembly. Try another browser.',
    worker_lost: 'The computation in the background broke off. Reload the page.',
    NotAllowedError: 'The camera was refused. Allow it with the camera button in the address bar and start it again.',
    NotFoundError: 'No camera was found. Check that it is connected, or use a photograph.',
    NotReadableError: 'Another program uses the camera. Close it and start the camera again.',
  },
};

export const TEXTS = { ko: KO, en: EN };
