// @ts-check
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./icons.js').IconName} IconName */
/** @typedef {{id?: string, icon: IconName, label: Key, shortcut?: string, order?: number, onclick: () => void}} MenuOptions order: from the top, 50 by default */

/** @typedef {{element: HTMLElement, order: number}} Entry */

/** Of a button with the gap beside it, in pixels: with a label, and without one. */
const LABELLED = 92;
const BARE = 58;
/** Narrower than this, no more buttons than a thumb can tell apart. */
const NARROW = 640;
const MOST_NARROW = 6;
/** What the bar keeps of its width for its edges and the space before "leave". */
const EDGES = 40;
/** By their order in the bar, those that go first when there is no room: reactions, screen, people, hand, chat. The others stay. */
const LEAVING = [70, 30, 50, 60, 40];

/**
 * Which buttons go into the menu because there is no room for them.
 * @param {number[]} orders of the buttons that there are
 * @param {number} width of the bar, in pixels
 * @returns {Set<number>} orders
 */
export function overflowing(orders, width) {
  const room = width < NARROW ? Math.min(MOST_NARROW, Math.floor((width - EDGES / 2) / BARE)) : Math.floor((width - EDGES) / LABELLED);
  const leaving = LEAVING.filter((order) => orders.includes(order));
  return new Set(leaving.slice(0, Math.max(0, orders.length - room)));
}

/** The buttons at the bottom of a call, with a menu for what is wanted less often, or for which there is no room. */
export class ControlBar {
  #i18n;
  #buttons = h('div', { class: 'controls', role: 'group' });
  /** @type {Entry[]} */
  #entries = [];
  #observer = new ResizeObserver(() => this.#fit());
  menu;
  element;

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
    this.menu = new Menu(i18n);
    this.menu.onshow = () => this.menu.setGuests(this.#entries.map(({ element }) => element).filter((it) => it.classList.contains('in-menu') && !it.hidden));
    i18n.put(this.#buttons, text('control.bar'), 'aria-label');
    this.element = h('footer', {}, this.#buttons, this.menu.element);
    this.add(this.menu.button, 80);
    this.#observer.observe(this.#buttons);
  }

  /**
   * @param {HTMLElement} element
   * @param {number} order from left to right: microphone 10, camera 20, screen 30, chat 40, people 50, hand 60, reactions 70, menu 80, leave 90
   */
  add(element, order) {
    this.#entries.push({ element, order });
    this.#entries.sort((a, b) => a.order - b.order);
    this.#buttons.replaceChildren(...this.#entries.map((entry) => entry.element));
    this.#fit();
  }

  /**
   * A button for the bar.
   * @param {{id: string, icon: IconName, label: Key, title: Key, shortcut?: string, onclick: () => void}} options the title begins with the label
   */
  button({ id, icon: name, label, title, shortcut, onclick }) {
    const element = h('button', { id, class: 'control', type: 'button', 'aria-keyshortcuts': shortcut, onclick },
      icon(name), this.#i18n.label(label, 'control-label'));
    this.#i18n.put(element, text(title), 'title');
    return this.#i18n.put(element, text(title), 'aria-label');
  }

  close() {
    this.#observer.disconnect();
    this.menu.close();
  }

  #fit() {
    const width = this.#buttons.clientWidth;
    if (width === 0) return;
    const there = this.#entries.filter(({ element }) => !element.hidden);
    const gone = overflowing(there.map(({ order }) => order), width);
    for (const { element, order } of this.#entries) element.classList.toggle('in-menu', gone.has(order));
  }
}

/** A menu button with its menu (as in the ARIA practices): arrows, Home and End move, Escape closes. */
export class Menu {
  #i18n;
  #list = h('div', { id: 'more-menu', class: 'menu', role: 'menu' });
  /** @param {Event} event */
  #outside = (event) => {
    const inside = event.target instanceof Node && (this.element.contains(event.target) || this.button.contains(event.target));
    if (!inside) this.hide();
  };
  /** Buttons of the bar, in the form of entries. @type {HTMLElement[]} */
  #guests = [];
  button;
  element;
  /** Called before it is shown. */
  onshow = () => {};

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
    this.button = h('button', {
      id: 'more', class: 'control', type: 'button', 'aria-haspopup': 'menu', 'aria-expanded': 'false', 'aria-controls': 'more-menu',
      onclick: () => (this.open ? this.hide() : this.show()),
    }, icon('more'), i18n.label('control.more', 'control-label'));
    i18n.put(this.button, text('control.moreTitle'), 'title');
    i18n.put(this.button, text('control.moreTitle'), 'aria-label');
    i18n.put(this.#list, text('control.moreTitle'), 'aria-label');
    this.#list.addEventListener('keydown', (event) => this.#key(event));
    this.element = this.#list;
    show(this.#list, false);
  }

  get open() {
    return !this.#list.hidden;
  }

  /** @param {MenuOptions} options */
  add({ id, icon: name, label, shortcut, order = 50, onclick }) {
    const item = h('button', {
      id, class: 'menu-item', type: 'button', role: 'menuitem', tabindex: -1, 'aria-keyshortcuts': shortcut, 'data-order': order,
      onclick: () => {
        this.hide();
        onclick();
      },
    }, icon(name), this.#i18n.label(label));
    this.#list.insertBefore(item, this.#items(true).find((other) => Number(other.dataset.order) > order) ?? null);
    return new MenuItem(item);
  }

  /** @param {HTMLElement[]} buttons that one can press here, too */
  setGuests(buttons) {
    for (const guest of this.#guests) guest.remove();
    this.#guests = buttons.map((it) => this.#makeGuest(it));
    this.#list.prepend(...this.#guests);
  }

  show() {
    this.onshow();
    show(this.#list, true);
    this.button.setAttribute('aria-expanded', 'true');
    document.addEventListener('pointerdown', this.#outside);
    this.#items()[0]?.focus();
  }

  hide() {
    if (!this.open) return;
    const focusWasInside = this.#list.contains(document.activeElement);
    show(this.#list, false);
    this.button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', this.#outside);
    if (focusWasInside) this.button.focus();
  }

  close() {
    document.removeEventListener('pointerdown', this.#outside);
  }

  /** @param {HTMLElement} original */
  #makeGuest(original) {
    const item = h('button', {
      class: 'menu-item', type: 'button', role: 'menuitem', tabindex: -1, 'data-for': original.id, 'aria-keyshortcuts': original.getAttribute('aria-keyshortcuts'),
      onclick: () => {
        this.hide();
        original.click();
      },
    }, ...[...original.querySelectorAll('.icon, .control-label, .unread')].map((it) => it.cloneNode(true)));
    const pressed = original.getAttribute('aria-pressed');
    if (pressed !== null) new MenuItem(item).setPressed(pressed === 'true');
    return item;
  }

  #items(all = false) {
    return /** @type {HTMLElement[]} */ ([...this.#list.children]).filter((item) => all || !item.hidden);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = this.#items();
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    /** @type {Record<string, number>} */
    const targets = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0, End: items.length - 1 };
    if (event.key in targets) items[targets[event.key]]?.focus();
    else if (event.key === 'Escape' || event.key === 'Tab') this.hide();
    else return;
    if (event.key !== 'Tab') event.preventDefault();
    event.stopPropagation();
  }
}

/** An entry of a menu. */
export class MenuItem {
  element;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {boolean | null} pressed for an entry that switches something; null for one that does not */
  setPressed(pressed) {
    if (pressed === null) {
      this.element.setAttribute('role', 'menuitem');
      this.element.removeAttribute('aria-checked');
    } else {
      this.element.setAttribute('role', 'menuitemcheckbox');
      this.element.setAttribute('aria-checked', String(pressed));
    }
  }

  /** @param {boolean} shown */
  setShown(shown) {
    show(this.element, shown);
  }
}
