// @ts-check

const SVG = 'http://www.w3.org/2000/svg';

/** Paths on a 24 by 24 grid, drawn with a line of width 1.8. */
const PATHS = {
  bell: ['M12 4.2v2', 'M10 4h4', 'M3.8 16.6a8.2 8.2 0 0 1 16.4 0z', 'M2.8 19.8h18.4'],
  mic: ['M12 3.2a2.8 2.8 0 0 1 2.8 2.8v5a2.8 2.8 0 0 1-5.6 0V6A2.8 2.8 0 0 1 12 3.2z', 'M5.8 11a6.2 6.2 0 0 0 12.4 0', 'M12 17.2v3.6'],
  micOff: ['M14.8 10.6V6a2.8 2.8 0 0 0-5.4-1', 'M9.2 9.4V11a2.8 2.8 0 0 0 4.2 2.4', 'M5.8 11a6.2 6.2 0 0 0 9.8 5', 'M18.2 11a6 6 0 0 1-.6 2.7', 'M12 17.2v3.6', 'M3.6 3.6l16.8 16.8'],
  camera: ['M3.4 7.6a2 2 0 0 1 2-2h7.4a2 2 0 0 1 2 2v8.8a2 2 0 0 1-2 2H5.4a2 2 0 0 1-2-2z', 'M14.8 10.8l5.8-3.4v9.2l-5.8-3.4'],
  cameraOff: ['M9.4 5.6h3.4a2 2 0 0 1 2 2V11l5.8-3.6v9.2l-3-1.8', 'M14.6 17.4a2 2 0 0 1-1.8 1H5.4a2 2 0 0 1-2-2V7.6a2 2 0 0 1 1.4-1.9', 'M3.6 3.6l16.8 16.8'],
  screen: ['M3.2 6.2a1.8 1.8 0 0 1 1.8-1.8h14a1.8 1.8 0 0 1 1.8 1.8v8.6a1.8 1.8 0 0 1-1.8 1.8H5a1.8 1.8 0 0 1-1.8-1.8z', 'M8.4 20h7.2', 'M12 13.4V7.8', 'M9.4 10.2L12 7.6l2.6 2.6'],
  chat: ['M20.4 11.4c0 4-3.8 7.2-8.4 7.2a9.7 9.7 0 0 1-3-.5l-4.6 1.7 1.2-3.7a6.7 6.7 0 0 1-2-4.7c0-4 3.8-7.2 8.4-7.2s8.4 3.2 8.4 7.2z'],
  hangup: ['M3.6 14.8c-.9-1-1-2.6 0-3.6 4.7-4.3 12.1-4.3 16.8 0 1 1 .9 2.6 0 3.6l-.6.6c-.6.6-1.5.7-2.2.2l-2-1.4a1.7 1.7 0 0 1-.7-1.7l.2-1a10.3 10.3 0 0 0-6.2 0l.2 1a1.7 1.7 0 0 1-.7 1.7l-2 1.4c-.7.5-1.6.4-2.2-.2z'],
  link: ['M10 14a4.2 4.2 0 0 0 6 0l3.4-3.4a4.2 4.2 0 0 0-6-6L12 6', 'M14 10a4.2 4.2 0 0 0-6 0l-3.4 3.4a4.2 4.2 0 0 0 6 6L12 18'],
  shield: ['M12 3.2l7.2 2.6v5.4c0 4.4-2.9 7.6-7.2 9.6-4.3-2-7.2-5.2-7.2-9.6V5.8z', 'M9 12l2.2 2.2L15.2 10'],
  refresh: ['M19.6 12a7.6 7.6 0 1 1-2.4-5.5', 'M19.8 3.8v4h-4'],
  close: ['M6 6l12 12', 'M18 6L6 18'],
  send: ['M4.2 12L20 4.4 15.6 20l-4-6.4z', 'M11.6 13.6L20 4.4'],
  expand: ['M9 4H4v5', 'M15 4h5v5', 'M9 20H4v-5', 'M15 20h5v-5'],
  people: ['M9 11.4a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z', 'M3.2 19c0-3 2.6-5 5.8-5s5.8 2 5.8 5', 'M15.6 5.4a3 3 0 0 1 0 5.8', 'M17.4 14.4c2 .6 3.4 2.3 3.4 4.6'],
  warning: ['M12 4.2l8.8 15.4H3.2z', 'M12 10v4.4', 'M12 17v.1'],
  sound: ['M4 9.6h3.4L12 5.6v12.8l-4.6-4H4z', 'M15.4 9a4.2 4.2 0 0 1 0 6', 'M17.8 6.6a7.6 7.6 0 0 1 0 10.8'],
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * A decoration: what it means is said by the text or the label beside it.
 * @param {IconName} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}
