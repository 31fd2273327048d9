// @ts-check

/** @typedef {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} PhoneVideo iPhones show nothing but videos in full screen */

/** @param {PhoneVideo} [video] */
export function canFullScreen(video) {
  return document.fullscreenEnabled || typeof video?.webkitEnterFullscreen === 'function';
}

/**
 * @param {HTMLElement} element
 * @param {PhoneVideo} [video] where the browser shows no other element so
 */
export async function toggleFullScreen(element, video) {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (document.fullscreenEnabled) await element.requestFullscreen();
    else video?.webkitEnterFullscreen?.();
  } catch {
    // Refused by the browser, as for a video without a picture: nothing to do.
  }
}
