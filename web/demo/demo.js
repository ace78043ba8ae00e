import { EmotionAnalyzer } from '../analyzer.js';
import { Bars } from './bars.js';
import { Boxes, boxWords } from './boxes.js';
import { BoxEditor } from './box-editor.js';
import { colorsOf } from './colors.js';
import { sizeOf } from './frames.js';
import { onLanguage, text } from './language.js';
import { describeModel } from './models.js';
import { Pace } from './pace.js';
import { element } from './page.js';
import { report } from './problem.js';
import { Follower, largest } from './readings.js';
import { WORDS, loadRival } from './rival.js';
import { offerSamples } from './samples.js';
import { Speech } from './speech.js';
import { Stage, hold, timeOf } from './stage.js';
import { Table, save } from './table.js';
import { Timeline } from './timeline.js';
import { Agreement, Verdicts } from './verdicts.js';

/** @typedef {import('../analyzer.js').Analyzer} Analyzer */
/** @typedef {import('../source.js').Source} Source */
/** @typedef {import('./models.js').Model} Model */
/** @typedef {import('./readings.js').Reading} Reading */
/** @typedef {import('./stage.js').Shown} Shown */
/** @typedef {{ models: Model[], rival: boolean, rivalWasm: boolean }} Available */

const file = /** @type {HTMLInputElement} */ (element('file'));
const clear = /** @type {HTMLButtonElement} */ (element('clear'));
const models = /** @type {HTMLSelectElement} */ (element('model'));
const compare = /** @type {HTMLInputElement} */ (element('rival'));

const boxes = new Boxes(element('faces'));
const boxSpeech = new Speech(element('box-spoken'));
const timeline = new Timeline(/** @type {HTMLCanvasElement} */ (element('timeline')), element('shares'));
const verdicts = new Verdicts();
const editor = new BoxEditor(element('stage'), element('box'), () => {
  describeBox();
  classify();
});
const stage = new Stage({
  put(shown) {
    follower = new Follower();
    pace = new Pace();
    element('drawn').hidden = !shown.drawn;
    element('course').hidden = shown.kind === 'picture';
    forget();
    editor.reset(sizeOf(shown.element), null);
    describeBox();
    classify();
  },
  turned() {
    editor.reset(sizeOf(/** @type {Shown} */ (stage.shown).element), null);
    boxes.clear();
    classify();
  },
  frame: classify,
  emptied() {
    element('course').hidden = element('drawn').hidden = true;
    forget();
    tellBox('');
    clear.disabled = true;
    bars?.clear();
    rival?.bars.clear();
  },
});

/** @type {Analyzer | null} */
let analyzer = null;
/** @type {Bars | undefined} */
let bars;
/** @type {Available} */
let available = { models: [], rival: false, rivalWasm: false };
/** @type {Model | undefined} */
let model; // the one that answers
/** @type {Reading | null} */
let reading = null; // what the page shows
/** @type {Map<string, Table>} by the address of the model */
const tables = new Map();
let follower = new Follower();
let pace = new Pace();
let busy = false;
let waiting = false;
let failing = false; // whether the error on the page is about the last classification

async function start() {
  available = await (await fetch('available.json')).json();
  listModels();
  element('model-choice').hidden = available.models.length < 2;
  element('rival-choice').hidden = !available.rival;
  await useModel(models.value);
}

function listModels() {
  const { value } = models;
  models.replaceChildren(...available.models.map((each) => new Option(describeModel(each), each.url)));
  if (value) models.value = value;
}

/** @param {string} url one of the addresses in the list */
async function useModel(url) {
  const chosen = /** @type {Model} */ (available.models.find((each) => each.url === url));
  const next = await EmotionAnalyzer.create({
    worker: true,
    modelUrl: chosen.url,
    classesUrl: chosen.classesUrl,
    detectorUrl: '../../detection/blazeface.onnx',
  });
  if (url !== models.value) {
    // Another model was chosen while this one was loading.
    next.dispose();
    return;
  }
  analyzer?.dispose();
  model = chosen;
  analyzer = next;
  const { colors: own, faceapi, synthetic } = next.info();
  const colors = colorsOf(next.outputKeys, own);
  delete element('answer').dataset.text;
  bars = new Bars(element('bars'), element('answer'), element('spoken'), next.outputKeys, colors);
  timeline.colors = colors;
  follower = new Follower();
  forget();
  rival = rival && { ...rival, ...newRival(next) };
  verdicts.start(next.outputKeys, faceapi);
  if (!tables.has(url)) tables.set(url, new Table(next.outputKeys));
  element('notice').hidden = !synthetic;
  write();
  // For the console: api.outputKeys, api.info().
  Object.assign(window, { api: next });
  classify();
}

/** Removes what was read of the source or by the model before. */
function forget() {
  reading = null;
  verdicts.answer = null;
  timeline.clear();
  boxes.clear();
}

/** Classifies what is on the stage. A call during a running classification starts one more after it. */
async function classify() {
  const { shown } = stage;
  if (!shown || !analyzer) return;
  if (busy) {
    waiting = true;
    return;
  }
  busy = true;
  const used = analyzer;
  const current = () => shown === stage.shown && used === analyzer;
  try {
    // face-api.js must see the same frame, which a video does not keep.
    const seen = compare.checked ? hold(shown) : shown.element;
    const time = timeOf(shown);
    const read = await readingOf(used, shown, seen, time);
    if (read && current()) {
      show(read);
      pace.count(used.timings, shown.kind !== 'picture');
      describePace();
      // Keeps other errors, which the next frame of a video must not remove.
      if (failing) report(null);
      failing = false;
      const word = compare.checked ? await askRival(seen, read, current) : undefined;
      if (current()) offerVerdict(read, word);
    }
  } catch (error) {
    // Ignores errors of an analyzer that was replaced, and of a film that begins again and has no frame for a moment.
    const between = shown.kind !== 'picture' && /** @type {{ code?: string }} */ (error).code === 'source_not_ready';
    if (used === analyzer && !between) {
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
 * Reads the drawn box, otherwise the detected faces; a picture without any is read as a whole.
 *
 * @param {Analyzer} used
 * @param {Shown} shown
 * @param {Source} seen what it shows now
 * @param {number | null} time
 * @returns {Promise<Reading | null>}
 */
async function readingOf(used, shown, seen, time) {
  const size = sizeOf(shown.element);
  const marked = editor.box;
  const now = shown.kind === 'picture' ? null : performance.now();
  let found = await (marked ? used.analyze(seen, [marked], { boxKind: 'annotator' }) : used.analyze(seen));
  if (found?.length === 0 && shown.kind === 'picture') found = await used.analyze(seen, [null]);
  if (!found) return null;
  const faces = follower.next(found, size, now, used.info().unsureBelow);
  return { shown, time, size, faces, chosen: largest(faces), marked: Boolean(marked) };
}

/** @param {Reading} read */
function show(read) {
  reading = read;
  if (read.shown.kind !== 'picture') timeline.add(read, performance.now());
  tables.get(model?.url ?? '')?.add(read);
  writeReading();
  writeTable();
}

function writeReading() {
  if (!reading) return;
  const { faces, chosen, marked, size } = reading;
  const found = marked ? [] : faces.filter(({ box }) => box);
  boxes.show(found, size, chosen);
  const face = faces[chosen];
  if (face) bars?.show(face);
  else bars?.clear((texts) => texts.noFace);
  describeBox(found.length);
}

function writeTable() {
  const table = tables.get(model?.url ?? '');
  element('session').hidden = !table?.length;
  if (table) element('rows').textContent = text().rows(table.length, table.full);
}

function describePace() {
  if (!analyzer || !model) return;
  const { engine, modelBytes, scheme } = analyzer.info();
  element('figures').textContent = [
    ...pace.words(stage.shown !== null && stage.shown.kind !== 'picture'),
    text().modelFacts(model.name, `${scheme}, ${(modelBytes / 1e6).toFixed(1)} MB`),
    text().engine(engine),
  ].filter(Boolean).join(' · ');
}

/** @type {{ ask: Awaited<ReturnType<typeof loadRival>>, bars: Bars, agreement: Agreement, ms: number } | null} */
let rival = null;

/** @param {Analyzer} used whose colors face-api.js's words get */
function newRival(used) {
  const { faceapi, colors: own } = used.info();
  const ours = Object.entries(colorsOf(used.outputKeys, own));
  const colors = Object.fromEntries(ours.map(([name, color]) => [faceapi[name] ?? '', color]).reverse());
  return {
    bars: new Bars(element('rival-bars'), element('rival-answer'), element('rival-spoken'), WORDS, colors),
    agreement: new Agreement(),
  };
}

/**
 * Returns face-api.js's word for the face that the bars describe; null if it found none.
 *
 * @param {Source} seen
 * @param {Reading} read
 * @param {() => boolean} current whether the reading is still of what the page shows
 */
async function askRival(seen, { faces, chosen }, current) {
  rival ??= { ask: await loadRival(available.rivalWasm), ms: 0, ...newRival(/** @type {Analyzer} */ (analyzer)) };
  const { emotions, ms } = await rival.ask(/** @type {HTMLCanvasElement} */ (seen), faces[chosen]?.box ?? null);
  if (!current()) return null;
  rival.ms = ms;
  if (emotions) rival.bars.show({ emotions, unsure: false });
  else rival.bars.clear((texts) => texts.noFace);
  return emotions && Object.entries(emotions).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}

/**
 * @param {Reading} read
 * @param {string | null | undefined} word face-api.js's
 */
function offerVerdict(read, word) {
  const face = read.faces[read.chosen];
  const answer = face ? { reading: read, label: face.label, unsure: face.unsure, rival: word } : null;
  verdicts.answer = answer;
  if (answer && rival && analyzer) rival.agreement.count(answer, analyzer.info().faceapi);
  writeRival();
}

function writeRival() {
  if (!rival) return;
  element('rival-figures').textContent = [text().rivalTime(rival.ms), rival.agreement.words()].filter(Boolean).join(' · ');
}

/** @param {number} [found] faces */
function describeBox(found) {
  clear.disabled = !editor.box;
  tellBox(boxWords(editor.box, found, stage.shown?.kind === 'picture'));
}

/** @param {string} words */
function tellBox(words) {
  element('box-text').textContent = words;
  boxSpeech.say(words);
}

/** Writes everything again, in the current language. */
function write() {
  element('lead').textContent = text().lead(analyzer?.outputKeys.length ?? 0);
  if (!analyzer) return;
  bars?.write();
  rival?.bars.write();
  writeReading();
  writeTable();
  writeRival();
  describePace();
  timeline.draw();
}

onLanguage(() => {
  listModels();
  write();
});
write();
offerSamples(stage);

file.addEventListener('change', () => {
  stage.open(file.files?.[0]);
  // Allows choosing the same file again.
  file.value = '';
});
models.addEventListener('change', () => {
  const chosen = models.value;
  useModel(chosen).then(
    () => report(null),
    (error) => {
      // Another model was chosen while this one was loading.
      if (models.value !== chosen) return;
      // The list shows the model that answers.
      models.value = model?.url ?? '';
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
  element('stage').focus();
});
element('save').addEventListener('click', () => {
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  save(/** @type {Table} */ (tables.get(model?.url ?? '')).toCsv(), `pyojeong-${time}.csv`);
});
document.addEventListener('paste', (event) => stage.open(event.clipboardData?.files[0]));
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
  stage.open(event.dataTransfer?.files[0]);
});

start().catch((error) => {
  delete element('answer').dataset.text;
  element('answer').textContent = '';
  report(error);
});
