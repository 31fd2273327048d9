// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/**
 * @typedef {object} PanelOptions
 * @property {string} id of the element
 * @property {Key} title
 * @property {Key} close label of the button that closes it
 * @property {(Node | string | null | false)[]} content
 * @property {() => void} [focus] where the focus goes when it opens; the close button by default
 */

/**
 * A column beside the call, a sheet over it on a phone.
 * @extends {Emitter<{change: {open: boolean}, 'close-wanted': {}}>}
 */
export class Panel extends Emitter {
  #options;
  #close;
  element;

  /**
   * @param {I18n} i18n
   * @param {PanelOptions} options
   */
  constructor(i18n, options) {
    super();
    this.#options = options;
    const { id, title, close } = options;
    this.#close = h('button', {
      id: `${id}-close`, class: 'quiet', type: 'button', onclick: () => this.emit('close-wanted', {}),
    }, icon('close'));
    i18n.put(this.#close, text(close), 'aria-label');
    i18n.put(this.#close, text(close), 'title');
    this.element = h('aside', { id, class: `panel ${id}` },
      h('header', {}, i18n.put(h('h2'), text(title)), this.#close), ...options.content);
    i18n.put(this.element, text(title), 'aria-label');
    show(this.element, false);
  }

  get open() {
    return !this.element.hidden;
  }

  /** Panels does this. @param {boolean} open */
  setOpen(open) {
    if (open === this.open) return;
    show(this.element, open);
    this.emit('change', { open });
    if (open) (this.#options.focus ?? (() => this.#close.focus()))();
  }
}

/** At most one panel is open. The button that opened it says so, and gets the focus back. */
export class Panels {
  /** @type {Map<Panel, HTMLElement | null>} */
  #toggles = new Map();
  #fallback;
  element = h('div');

  /** @param {HTMLElement} fallback gets the focus back where the panel's button is not to be seen */
  constructor(fallback) {
    this.#fallback = fallback;
    show(this.element, false);
  }

  /** @returns {Panel | null} */
  get current() {
    return [...this.#toggles.keys()].find((panel) => panel.open) ?? null;
  }

  /**
   * @param {Panel} panel
   * @param {HTMLElement | null} [toggle] the button that stands for it
   */
  add(panel, toggle = null) {
    this.#toggles.set(panel, toggle);
    this.element.append(panel.element);
    panel.on('close-wanted', () => this.hide());
    toggle?.setAttribute('aria-controls', panel.element.id);
    toggle?.setAttribute('aria-expanded', 'false');
  }

  /** @param {Panel} panel */
  toggle(panel) {
    if (panel.open) this.hide();
    else this.show(panel);
  }

  /** @param {Panel} panel */
  show(panel) {
    for (const other of this.#toggles.keys()) if (other !== panel) this.#set(other, false);
    show(this.element, true);
    this.#set(panel, true);
  }

  hide() {
    const open = this.current;
    if (!open) return;
    const focusWasInside = open.element.contains(document.activeElement);
    this.#set(open, false);
    show(this.element, false);
    if (focusWasInside) this.#focus(this.#toggles.get(open) ?? null);
  }

  /** @param {HTMLElement | null} toggle */
  #focus(toggle) {
    toggle?.focus();
    if (document.activeElement !== toggle) this.#fallback.focus();
  }

  /**
   * @param {Panel} panel
   * @param {boolean} open
   */
  #set(panel, open) {
    panel.setOpen(open);
    const toggle = this.#toggles.get(panel);
    toggle?.setAttribute('aria-expanded', String(open));
    toggle?.classList.toggle('active', open);
  }
}
