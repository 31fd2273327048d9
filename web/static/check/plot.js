// @ts-check
import { h } from '../app/dom.js';
import { SEND_TIME } from './loop.js';
import { rounded, words } from './words.js';

/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./loop.js').Loop} Loop */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {{title: string, points: Point[], span: number, colour: string, filled: boolean}} Panel `span` of x in ms */
/** @typedef {{left: number, top: number, width: number, height: number}} Box */

/** Panels stand side by side from this width on, in CSS pixels. */
const SIDE_BY_SIDE = 460;
const PANEL_HEIGHT = 150;
const MARGIN = { left: 40, right: 12, top: 26, bottom: 22 };
const LINES = 3;

/**
 * A round number that values up to `largest` fit under.
 * @param {number} largest
 */
export function niceTop(largest) {
  if (!(largest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(largest));
  return [1, 1.5, 2, 3, 5, 7.5, 10].map((step) => step * power).find((top) => top >= largest) ?? 10 * power;
}

/** Round trips and throughput as they are measured. Colours are the page's, so they follow the system's light and dark. */
export class Plot {
  #i18n;
  /** @type {Loop | null} */
  #loop = null;
  #canvas = h('canvas', { class: 'plot', role: 'img' });
  #observer = new ResizeObserver(() => this.#draw());
  #dark = matchMedia('(prefers-color-scheme: dark)');
  #redraw = () => this.#draw();
  #forget;

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
    this.#observer.observe(this.#canvas);
    this.#dark.addEventListener('change', this.#redraw);
    this.#forget = i18n.on('change', this.#redraw);
    i18n.put(this.#canvas, words('check.plotEmpty'), 'aria-label');
  }

  get element() {
    return this.#canvas;
  }

  /** @param {Loop} loop */
  show(loop) {
    this.#loop = loop;
    this.#i18n.put(this.#canvas, altText(loop), 'aria-label');
    this.#draw();
  }

  close() {
    this.#observer.disconnect();
    this.#dark.removeEventListener('change', this.#redraw);
    this.#forget();
  }

  #draw() {
    const canvas = this.#canvas;
    const width = canvas.clientWidth;
    const context = canvas.getContext('2d');
    if (width === 0 || !context || !this.#loop) return;
    const beside = width >= SIDE_BY_SIDE;
    const height = beside ? PANEL_HEIGHT : PANEL_HEIGHT * 2;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    const style = getComputedStyle(canvas);
    context.font = `11px ${style.fontFamily}`;
    this.#panels(style, this.#loop).forEach((panel, index) => {
      const box = beside ? { left: (index * width) / 2, top: 0, width: width / 2, height } : { left: 0, top: index * PANEL_HEIGHT, width, height: PANEL_HEIGHT };
      drawPanel(context, style, panel, box);
    });
  }

  /**
   * @param {CSSStyleDeclaration} style
   * @param {Loop} loop
   * @returns {Panel[]}
   */
  #panels(style, { state, pings, rates }) {
    // While it runs the axis is as long as it will take at most; then as long as it took.
    const live = ['connecting', 'pinging', 'sending'].includes(state);
    /** @param {import('./words.js').CheckKey} key */
    const title = (key) => this.#i18n.t(words(key).key);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    return [
      { title: title('check.plotRoundTrip'), points: pings.map(({ at, ms }) => ({ x: at, y: ms })), span: live ? 2_500 : 0, colour: colour('--accent-ink'), filled: false },
      { title: title('check.plotRate'), points: rates.map(({ at, mbps }) => ({ x: at, y: mbps })), span: live ? SEND_TIME : 0, colour: colour('--ok-ink'), filled: true },
    ];
  }
}

/** @param {Loop} loop */
function altText({ pings, p50, mbps }) {
  if (pings.length === 0) return words('check.plotEmpty');
  return words('check.plotAlt', { p50: rounded(p50), max: rounded(Math.max(...pings.map(({ ms }) => ms))), mbps: rounded(mbps) });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CSSStyleDeclaration} style
 * @param {Panel} panel
 * @param {Box} box
 */
function drawPanel(context, style, { title, points, span, colour, filled }, box) {
  const left = box.left + MARGIN.left;
  const right = box.left + box.width - MARGIN.right;
  const top = box.top + MARGIN.top;
  const bottom = box.top + box.height - MARGIN.bottom;
  const high = niceTop(Math.max(0, ...points.map(({ y }) => y)));
  const end = Math.max(span, 1, ...points.map(({ x }) => x));
  const ink = style.getPropertyValue('--ink-soft').trim();
  context.fillStyle = ink;
  context.textAlign = 'left';
  context.textBaseline = 'top';
  context.fillText(title, left, box.top + 4);
  context.strokeStyle = style.getPropertyValue('--line').trim();
  context.lineWidth = 1;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (let line = 0; line <= LINES; line++) {
    const y = Math.round(bottom - ((bottom - top) * line) / LINES) + 0.5;
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(right, y);
    context.stroke();
    context.fillText(String(Number(((high * line) / LINES).toPrecision(2))), left - 6, y);
  }
  context.textBaseline = 'bottom';
  context.fillText(`${rounded(end / 1000)} s`, right, box.top + box.height - 2);
  context.textAlign = 'left';
  context.fillText('0', left, box.top + box.height - 2);
  const line = points.map(({ x, y }) => ({ x: left + ((right - left) * x) / end, y: bottom - ((bottom - top) * y) / high }));
  drawLine(context, line, { colour, bottom, filled });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Point[]} points
 * @param {{colour: string, bottom: number, filled: boolean}} how
 */
function drawLine(context, points, { colour, bottom, filled }) {
  if (points.length === 0) return;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = filled ? 2 : 1.25;
  context.lineJoin = 'round';
  context.beginPath();
  for (const { x, y } of points) context.lineTo(x, y);
  context.stroke();
  if (!filled) return;
  context.lineTo(points[points.length - 1].x, bottom);
  context.lineTo(points[0].x, bottom);
  context.globalAlpha = 0.16;
  context.fill();
  context.globalAlpha = 1;
}
