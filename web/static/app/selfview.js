// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {import('./layout.js').Box} Box */
/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./tiles.js').Tile} Tile */
/** @typedef {'in' | 'over' | 'hidden'} Where in the grid, floating over it, not to be seen */
/** @typedef {'top-left' | 'top-right' | 'bottom-left' | 'bottom-right'} Corner */

const MARGIN = 12;
/** A phone or a window as small, in pixels of the shorter side. */
const SMALL = 560;
/** How far a press goes before it is a drag. */
const SLOP = 5;
/** @type {Corner[]} */
const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right'];

/**
 * Where one's own picture goes. With two people on a phone it floats, unless it was put elsewhere.
 * @param {string} wish 'float', 'grid', 'hidden', or '' for what is usual
 * @param {{others: number, width: number, height: number}} call others: tiles beside one's own
 * @returns {Where}
 */
export function placeSelf(wish, { others, width, height }) {
  if (wish === 'hidden') return 'hidden';
  if (others === 0 || wish === 'grid') return 'in';
  if (wish === 'float') return 'over';
  return others === 1 && Math.min(width, height) < SMALL ? 'over' : 'in';
}

/**
 * @param {Corner} corner
 * @param {number} width of the area
 * @param {number} height
 * @returns {Box} of a floating picture
 */
export function floatBox(corner, width, height) {
  const upright = height > width;
  const across = Math.round(upright ? clamp(width * 0.27, 96, 180) : clamp(width * 0.19, 132, 240));
  const down = Math.round(upright ? across * 4 / 3 : across * 2 / 3);
  return {
    left: corner.endsWith('left') ? MARGIN : width - across - MARGIN,
    top: corner.startsWith('top') ? MARGIN : height - down - MARGIN,
    width: across, height: down,
  };
}

/**
 * @param {{left: number, top: number, width: number, height: number}} box
 * @param {number} width of the area
 * @param {number} height
 * @returns {Corner}
 */
export function nearestCorner(box, width, height) {
  const across = box.left + box.width / 2 < width / 2 ? 'left' : 'right';
  return `${box.top + box.height / 2 < height / 2 ? 'top' : 'bottom'}-${across}`;
}

/**
 * @param {Corner} corner
 * @param {string} key an arrow
 * @returns {Corner | null} null for another key
 */
export function moveCorner(corner, key) {
  const [down, across] = /** @type {['top' | 'bottom', 'left' | 'right']} */ (corner.split('-'));
  switch (key) {
    case 'ArrowLeft': return `${down}-left`;
    case 'ArrowRight': return `${down}-right`;
    case 'ArrowUp': return `top-${across}`;
    case 'ArrowDown': return `bottom-${across}`;
    default: return null;
  }
}

/**
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
function clamp(value, least, most) {
  return Math.min(most, Math.max(least, value));
}

/**
 * One's own picture: in the grid, floating in a corner that it can be dragged or sent to, or hidden.
 * @extends {Emitter<{change: {}}>}
 */
export class SelfView extends Emitter {
  #grid;
  #tile;
  #memory;
  /** @type {Where} */
  #where = 'in';
  #undo;
  #ended = new AbortController();

  /**
   * @param {Grid} grid
   * @param {Tile} tile
   * @param {Pick<Memory, 'setting' | 'setSetting'>} memory
   */
  constructor(grid, tile, memory) {
    super();
    this.#grid = grid;
    this.#tile = tile;
    this.#memory = memory;
    const { signal } = this.#ended;
    tile.element.addEventListener('pointerdown', (event) => this.#press(event), { signal });
    tile.element.addEventListener('keydown', (event) => this.#key(event), { signal });
    this.#undo = [
      tile.on('dock', () => this.#wish(this.#where === 'over' ? 'grid' : 'float')),
      tile.on('hide', () => this.setHidden(true)),
      grid.on('layout', () => this.#update()),
    ];
    this.#update();
  }

  get where() {
    return this.#where;
  }

  close() {
    this.#ended.abort();
    for (const undo of this.#undo) undo();
  }

  /** @param {boolean} hidden */
  setHidden(hidden) {
    this.#wish(hidden ? 'hidden' : '');
  }

  /** @returns {Corner} */
  get #corner() {
    return CORNERS.find((corner) => corner === this.#memory.setting('self-corner')) ?? 'bottom-right';
  }

  /** @param {'float' | 'grid' | 'hidden' | ''} wish */
  #wish(wish) {
    const focused = this.#tile.element.contains(document.activeElement);
    this.#memory.setSetting('self-view', wish);
    this.#update();
    // It has been moved in the document, and its button with it.
    if (focused && wish !== 'hidden') /** @type {HTMLElement | null} */ (this.#tile.element.querySelector('.tile-dock'))?.focus();
  }

  /** Which corner it is in is a matter of the moment's size. */
  #update() {
    const { clientWidth: width, clientHeight: height } = this.#grid.element;
    const others = this.#grid.frames.size - 1;
    const where = placeSelf(this.#memory.setting('self-view'), { others, width, height });
    if (where === 'over') this.#tile.place(floatBox(this.#corner, width, height));
    if (where === this.#where) return;
    this.#where = where;
    this.#tile.setFloating(where === 'over');
    this.#grid.setPlace(this.#tile, where);
    this.emit('change', {});
  }

  /** @param {Corner} corner */
  #moveTo(corner) {
    this.#memory.setSetting('self-corner', corner);
    this.#update();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const corner = this.#where === 'over' && event.target === this.#tile.element ? moveCorner(this.#corner, event.key) : null;
    if (!corner) return;
    event.preventDefault();
    this.#moveTo(corner);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const { element } = this.#tile;
    if (this.#where !== 'over' || event.button !== 0 || (event.target instanceof Element && event.target.closest('button'))) return;
    const start = floatBox(this.#corner, this.#grid.element.clientWidth, this.#grid.element.clientHeight);
    const released = new AbortController();
    let box = start;
    element.setPointerCapture(event.pointerId);
    element.addEventListener('pointermove', ({ clientX, clientY }) => {
      const across = clientX - event.clientX;
      const down = clientY - event.clientY;
      if (box === start && Math.hypot(across, down) < SLOP) return;
      box = { ...start, left: start.left + across, top: start.top + down };
      element.classList.add('dragged');
      this.#tile.place(box);
    }, { signal: released.signal });
    for (const end of /** @type {const} */ (['pointerup', 'pointercancel'])) {
      element.addEventListener(end, () => {
        released.abort();
        element.classList.remove('dragged');
        if (box !== start) this.#moveTo(nearestCorner(box, this.#grid.element.clientWidth, this.#grid.element.clientHeight));
      }, { signal: released.signal });
    }
  }
}
