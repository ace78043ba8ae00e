/** @typedef {HTMLImageElement | HTMLVideoElement} Shown */

/** @param {Shown} asked */
export function sizeOf(asked) {
  return asked instanceof HTMLVideoElement
    ? { width: asked.videoWidth, height: asked.videoHeight }
    : { width: asked.naturalWidth, height: asked.naturalHeight };
}

/**
 * Calls once when a video shows its next frame.
 *
 * @param {HTMLVideoElement} video
 * @param {() => void} call
 * @returns {() => void} takes it back
 */
export function onNextFrame(video, call) {
  // Firefox has it from 132 on.
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
  const look = () => {
    // A video that has paused or ended shows nothing new.
    if (video.currentTime !== before) call();
    else watch = requestAnimationFrame(look);
  };
  let watch = requestAnimationFrame(look);
  return () => cancelAnimationFrame(watch);
}
