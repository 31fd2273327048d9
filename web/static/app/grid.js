// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { placeTiles } from './layout.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./layout.js').Box} Box */
/** @typedef {import('./tiles.js').Frame} Frame */
/** @typedef {import('./tiles.js').ScreenTile} ScreenTile */
/** @typedef {import('./tiles.js').Tile} Tile */

/** Width of the smallest tile, in pixels: what does not fit is scrolled to. */
const SMALLEST = 110;
/** Of a screen whose picture has not come yet. */
const USUAL_RATIO = 16 / 9;

/**
 * Lays tiles out and lays them out again when the room for them changes.
 * @extends {Emitter<{add: {key: string, frame: Frame}, remove: {key: string, frame: Frame}, layout: {}}>}
 */
export class Grid extends Emitter {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {Map<string, ScreenTile>} */
  #screens = new Map();
  /** @type {string | null} */
  #stage = null;
  /** Not in the grid. @type {Set<Frame>} */
  #out = new Set();
  /** How often somebody has come or gone in the last two frames. */
  #changes = 0;
  /** What has changed is laid out at the end of the task, once. */
  #due = false;
  #observer = new ResizeObserver(() => this.#layOut());
  #inner = h('div', { class: 'grid-inner' });
  #scroller = h('div', { class: 'grid-scroller' }, this.#inner);
  element = h('section', { class: 'grid' }, this.#scroller);

  /** @param {I18n} i18n */
  constructor(i18n) {
    super();
    i18n.put(this.element, text('call.grid'), 'aria-label');
    this.#observer.observe(this.element);
  }

  /** People, by member id; 'self' is one's own. */
  get tiles() {
    return this.#tiles;
  }

  /** Shared screens, each beside the tile of its person, by key. */
  get screens() {
    return this.#screens;
  }

  /** Everything, by key. @returns {Map<string, Frame>} */
  get frames() {
    /** @type {[string, Frame][]} */
    const all = [...this.#screens, ...this.#tiles];
    return new Map(all);
  }

  /**
   * @param {string} key
   * @param {Tile} tile
   */
  add(key, tile) {
    this.#tiles.set(key, tile);
    this.#append(key, tile);
  }

  /**
   * @param {string} key
   * @param {ScreenTile} tile
   */
  addScreen(key, tile) {
    this.#screens.set(key, tile);
    this.#append(key, tile);
  }

  /** @param {string} key */
  remove(key) {
    const frame = this.frames.get(key);
    if (!frame) return;
    frame.close();
    this.#out.delete(frame);
    this.#tiles.delete(key);
    this.#screens.delete(key);
    this.emit('remove', { key, frame });
    this.#changed();
    this.layout();
  }

  /** @param {string | null} key of what is large; null for none */
  setStage(key) {
    this.#stage = key;
    this.layout();
  }

  /**
   * Takes a tile out of the grid, to float over it or not to be seen, or puts it back.
   * @param {Frame} frame
   * @param {'in' | 'over' | 'hidden'} where
   */
  setPlace(frame, where) {
    if (where === 'in') this.#out.delete(frame);
    else this.#out.add(frame);
    show(frame.element, where !== 'hidden');
    const parent = where === 'over' ? this.element : this.#inner;
    if (frame.element.parentElement !== parent) {
      parent.append(frame.element);
      // Moving it has stopped it.
      if (frame.tracks.length > 0) frame.play();
    }
    this.layout();
  }

  layout() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => this.#due && this.#layOut());
  }

  close() {
    this.#due = false;
    this.#observer.disconnect();
    for (const frame of this.frames.values()) frame.close();
  }

  #layOut() {
    this.#due = false;
    const frames = [...this.frames].filter(([, frame]) => !this.#out.has(frame));
    const stage = frames.findIndex(([key]) => key === this.#stage);
    const { clientWidth, clientHeight } = this.element;
    let boxes = this.#place(frames, stage, clientWidth, clientHeight);
    const classes = this.#scroller.classList;
    const right = Math.max(0, ...boxes.map(({ left, width }) => left + width));
    const bottom = Math.max(0, ...boxes.map(({ top, height }) => top + height));
    classes.toggle('scroll-x', right > clientWidth + 1);
    classes.toggle('scroll-y', bottom > clientHeight + 1);
    const scrolls = classes.contains('scroll-x') || classes.contains('scroll-y');
    // The bar takes some of the room.
    if (scrolls) boxes = this.#place(frames, stage, this.#scroller.clientWidth, this.#scroller.clientHeight);
    Object.assign(this.#inner.style, scrolls ? { width: `${right}px`, height: `${bottom}px` } : { width: '100%', height: '100%' });
    boxes.forEach((box, index) => frames[index][1].place(box, scrolls && index === stage));
    this.#scroller.dataset.layout = stage < 0 ? 'grid' : 'stage';
    this.emit('layout', {});
  }

  /**
   * @param {string} key
   * @param {Frame} frame
   */
  #append(key, frame) {
    this.#inner.append(frame.element);
    frame.on('resize', () => this.layout());
    this.emit('add', { key, frame });
    this.#changed();
    this.layout();
  }

  /** Tiles glide when a person moves them. When people come, a new picture is on its way, and to draw everybody's at every step would delay it. */
  #changed() {
    const { classList } = this.element;
    classList.add('sudden');
    this.#changes += 1;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.#changes -= 1;
      classList.toggle('sudden', this.#changes > 0);
    }));
  }

  /**
   * @param {[string, Frame][]} frames
   * @param {number} stage
   * @param {number} width
   * @param {number} height
   * @returns {Box[]}
   */
  #place(frames, stage, width, height) {
    const large = frames[Math.max(0, stage)]?.[1];
    const shape = large?.ratio ?? 0;
    const ratio = large?.element.classList.contains('sharing') ? shape || USUAL_RATIO : 0;
    return placeTiles(frames.length, width, height, stage, { ratio, upright: shape > 0 && shape < 1, smallest: SMALLEST });
  }
}
