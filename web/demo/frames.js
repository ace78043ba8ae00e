/** @typedef {HTMLImageElement | HTMLVideoElement} Shown */

/** @param {Shown} shown */
export function sizeOf(shown) {
  return shown instanceof HTMLVideoElement
    ? { width: shown.videoWidth, height: shown.videoHeight }
    : { width: shown.naturalWidth, height: shown.naturalHeight };
}

/**
 * Calls a function once, when a video shows its next frame.
 *
 * @param {HTMLVideoElement} video
 * @param {() => void} call
 * @returns {() => void} cancels the call
 */
export function onNextFrame(video, call) {
  // Firefox has it since version 132.
  if (!('requestVideoFrameCallback' in video)) return onNextTime(video, call);
  const watch = video.requestVideoFrameCallback(call);
  return () => video.cancelVideoFrameCallback(watch);
}

/**
 * @param {HTMLVideoElement} video
 * @param {() => void} call
 */
function onNextTime(video, call) {
  const before = video.currentTime;
  const check = () => {
    // The time of a paused or ended video does not change.
    if (video.currentTime !== before) call();
    else watch = requestAnimationFrame(check);
  };
  let watch = requestAnimationFrame(check);
  return () => cancelAnimationFrame(watch);
}
