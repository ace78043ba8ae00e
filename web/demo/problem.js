/** @type {Record<string, string>} what to do about an error, by its code or by the name of a camera error */
const REMEDIES = {
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
  bad_source: '사진이 너무 큽니다. 줄인 뒤 다시 고르십시오.',
  runtime_failed: '이 브라우저나 페이지의 보안 정책이 WebAssembly를 막습니다. 다른 브라우저에서 열어 보십시오.',
  worker_lost: '백그라운드 계산이 중단되었습니다. 페이지를 새로 고치십시오.',
  NotAllowedError: '카메라 사용이 거부되었습니다. 주소 표시줄의 카메라 단추에서 허용한 뒤 다시 켜십시오.',
  NotFoundError: '카메라를 찾지 못했습니다. 연결을 확인하거나 사진을 쓰십시오.',
  NotReadableError: '다른 프로그램이 카메라를 쓰고 있습니다. 그 프로그램을 닫고 다시 켜십시오.',
};

/**
 * Shows on the page what to do about an error.
 *
 * @param {unknown} error null removes the message
 */
export function report(error) {
  const { code, name, message } = /** @type {{ code?: string, name?: string, message?: string }} */ (error ?? {});
  const remedy = REMEDIES[code ?? ''] ?? REMEDIES[name ?? ''];
  const place = /** @type {HTMLElement} */ (document.getElementById('problem'));
  place.hidden = !error;
  place.textContent = error ? (remedy ?? message ?? String(error)) : '';
  if (error) console.error(error);
}
