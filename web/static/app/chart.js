// @ts-check
import { h } from './dom.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {{at: number, values: (number | null)[]}} Sample `at` in milliseconds; a value for each line, null where there is none */
/** @typedef {{colour: string, filled: boolean}} Line `colour` is the name of a custom property */
/** @typedef {{x: number, y: number}} Point */
/**
 * @typedef {object} ChartOptions
 * @property {Key} title
 * @property {Key} alt text in place of the picture, with {now} and {most}
 * @property {Line[]} lines
 * @property {(value: number | null) => string} format of a value
 * @property {(values: string[]) => string} [join] values of all lines in one text
 * @property {number} least what the top of the chart stands for at least
 */

/** How far back a chart looks, in milliseconds. */
const SPAN = 60_000;
/** A longer silence breaks the line. */
const GAP = 3_000;
/** Samples come once a second; this bounds what is kept if they come faster. */
const MOST_SAMPLES = 90;

/**
 * A round number that all values fit under.
 * @param {number} largest
 * @param {number} least
 */
export function topOf(largest, least) {
  if (!(largest > least)) return least;
  const power = 10 ** Math.floor(Math.log10(largest));
  return ([1, 1.5, 2, 3, 5, 7.5].find((step) => step * power >= largest) ?? 10) * power;
}

/**
 * What is still to be seen, with the new sample.
 * @param {readonly Sample[]} samples
 * @param {Sample} sample
 * @returns {Sample[]}
 */
export function addSample(samples, sample) {
  return [...samples, sample].filter(({ at }) => at > sample.at - SPAN && at <= sample.at).slice(-MOST_SAMPLES);
}

/**
 * The pieces of one line, from the left edge, a minute ago, to the right, the last sample.
 * @param {readonly Sample[]} samples
 * @param {number} line
 * @param {{width: number, height: number, top: number}} size `top` is the value at the upper edge
 * @returns {Point[][]}
 */
export function linePieces(samples, line, { width, height, top }) {
  const end = samples.at(-1)?.at ?? 0;
  /** @type {Point[][]} */
  const pieces = [];
  let last = -Infinity;
  for (const { at, values } of samples) {
    const value = values[line];
    if (value === null || value === undefined) continue;
    if (at - last > GAP) pieces.push([]);
    pieces[pieces.length - 1].push({ x: width * (1 - (end - at) / SPAN), y: height * (1 - Math.min(1, value / top)) });
    last = at;
  }
  return pieces;
}

/** The last minute of some numbers. Colours are the page's, so that they follow the system's light and dark. */
export class Chart {
  #i18n;
  #options;
  /** @type {Sample[]} */
  #samples = [];
  #canvas = h('canvas', { role: 'img' });
  #now = h('span', { class: 'chart-now', 'aria-hidden': 'true' });
  #observer = new ResizeObserver(() => this.#draw());
  #dark = matchMedia('(prefers-color-scheme: dark)');
  #redraw = () => this.#draw();
  element;

  /**
   * @param {I18n} i18n
   * @param {ChartOptions} options
   */
  constructor(i18n, options) {
    this.#i18n = i18n;
    this.#options = options;
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, i18n.label(options.title), this.#now), this.#canvas);
    this.#observer.observe(this.#canvas);
    this.#dark.addEventListener('change', this.#redraw);
    this.#tell();
  }

  /** @param {Sample} sample */
  push(sample) {
    this.#samples = addSample(this.#samples, sample);
    this.#tell();
    this.#draw();
  }

  close() {
    this.#observer.disconnect();
    this.#dark.removeEventListener('change', this.#redraw);
  }

  #tell() {
    const { lines, alt, format, join = (values) => values.join(' · ') } = this.#options;
    const each = lines.map((_, line) => this.#samples.map(({ values }) => values[line]));
    const now = join(each.map((values) => format(values.at(-1) ?? null)));
    const most = join(each.map((values) => format(largest(values))));
    this.#now.textContent = now;
    this.#i18n.put(this.#canvas, { key: alt, params: { now, most } }, 'aria-label');
  }

  #draw() {
    const canvas = this.#canvas;
    const { clientWidth: width, clientHeight: height } = canvas;
    const context = canvas.getContext('2d');
    if (width === 0 || !context) return;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const { lines, format, least } = this.#options;
    const top = topOf(largest(this.#samples.flatMap(({ values }) => values)) ?? 0, least);
    drawGround(context, style, { width, height, label: format(top) });
    lines.forEach(({ colour, filled }, line) => {
      for (const piece of linePieces(this.#samples, line, { width, height: height - 1, top })) {
        drawPiece(context, piece, { colour: style.getPropertyValue(colour).trim(), filled, bottom: height });
      }
    });
  }
}

/** @param {(number | null)[]} values */
function largest(values) {
  const known = values.filter((it) => it !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CSSStyleDeclaration} style
 * @param {{width: number, height: number, label: string}} size
 */
function drawGround(context, style, { width, height, label }) {
  context.strokeStyle = style.getPropertyValue('--line').trim();
  context.lineWidth = 1;
  for (const y of [0.5, Math.round(height / 2) + 0.5, height - 0.5]) {
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(width, y);
    context.stroke();
  }
  context.font = `10px ${style.fontFamily}`;
  context.fillStyle = style.getPropertyValue('--ink-soft').trim();
  context.textBaseline = 'top';
  context.fillText(label, 2, 4);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Point[]} piece
 * @param {{colour: string, filled: boolean, bottom: number}} how
 */
function drawPiece(context, piece, { colour, filled, bottom }) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.75;
  context.lineJoin = context.lineCap = 'round';
  // Lines are told apart without their colours, too.
  context.setLineDash(filled ? [] : [4, 3]);
  context.beginPath();
  for (const { x, y } of piece) context.lineTo(x, y);
  // A single sample is a dot.
  if (piece.length === 1) context.arc(piece[0].x - 2, piece[0].y, 1, 0, 2 * Math.PI);
  context.stroke();
  context.setLineDash([]);
  if (!filled) return;
  context.lineTo(piece[piece.length - 1].x, bottom);
  context.lineTo(piece[0].x, bottom);
  context.globalAlpha = 0.16;
  context.fill();
  context.globalAlpha = 1;
}
