// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {{emoji: string, name?: Key}} Choice */
/**
 * @typedef {object} EmojiOptions
 * @property {string} id of the element
 * @property {Key} label
 * @property {readonly Choice[]} choices
 * @property {number} columns
 * @property {HTMLElement} toggle the button that opens it
 * @property {HTMLElement} [fallback] gets the focus back when the button is not to be seen
 */

/**
 * A few emoji behind a button: arrows, Home and End move, Enter chooses, Escape closes.
 * @extends {Emitter<{choose: {emoji: string}}>}
 */
export class EmojiChoice extends Emitter {
  #columns;
  #toggle;
  #fallback;
  #buttons;
  /** @param {Event} event */
  #outside = ({ target }) => {
    const inside = target instanceof Node && (this.element.contains(target) || this.#toggle.contains(target));
    if (!inside) this.hide();
  };
  element;

  /**
   * @param {I18n} i18n
   * @param {EmojiOptions} options
   */
  constructor(i18n, { id, label, choices, columns, toggle, fallback = toggle }) {
    super();
    this.#columns = columns;
    this.#toggle = toggle;
    this.#fallback = fallback;
    this.#buttons = choices.map(({ emoji, name }, index) => {
      const button = h('button', {
        class: 'emoji', type: 'button', tabindex: index === 0 ? 0 : -1, onclick: () => this.emit('choose', { emoji }),
      }, emoji);
      return name ? i18n.put(button, text(name), 'title') : button;
    });
    this.element = i18n.put(h('div', { id, class: 'emoji-choice', role: 'toolbar' }, ...this.#buttons), text(label), 'aria-label');
    this.element.addEventListener('keydown', (event) => this.#key(event));
    toggle.setAttribute('aria-expanded', 'false');
    toggle.setAttribute('aria-controls', id);
    show(this.element, false);
  }

  get open() {
    return !this.element.hidden;
  }

  toggle() {
    if (this.open) this.hide();
    else this.show();
  }

  show() {
    show(this.element, true);
    this.#toggle.setAttribute('aria-expanded', 'true');
    document.addEventListener('pointerdown', this.#outside);
    this.#buttons.find(({ tabIndex }) => tabIndex === 0)?.focus();
  }

  hide() {
    if (!this.open) return;
    const focusWasInside = this.element.contains(document.activeElement);
    show(this.element, false);
    this.#toggle.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', this.#outside);
    if (focusWasInside) (this.#toggle.offsetParent ? this.#toggle : this.#fallback).focus();
  }

  close() {
    document.removeEventListener('pointerdown', this.#outside);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const buttons = this.#buttons;
    const at = buttons.findIndex((it) => it === document.activeElement);
    const last = buttons.length - 1;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, ArrowDown: at + this.#columns, ArrowUp: at - this.#columns, Home: 0, End: last,
    };
    if (event.key === 'Escape') this.hide();
    else if (Object.hasOwn(targets, event.key)) this.#focus(targets[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} index beyond the ends nothing happens */
  #focus(index) {
    if (!this.#buttons[index]) return;
    this.#buttons.forEach((button, i) => {
      button.tabIndex = i === index ? 0 : -1;
    });
    this.#buttons[index].focus();
  }
}
