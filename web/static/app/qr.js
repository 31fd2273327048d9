// @ts-check
import { h } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */

/** A code that a phone reads to go on with the call there. The server draws it, and is asked only when somebody wants to see it. */
export class QRCode {
  #room;
  #image = h('img', { width: 216, height: 216 });
  #address = h('code');
  #link;
  #i18n;
  #outside = (/** @type {Event} */ { target }) => {
    if (!this.element.contains(/** @type {Node} */ (target))) this.element.open = false;
  };
  element;

  /**
   * @param {I18n} i18n
   * @param {() => string} room the room of now; '' for none
   * @param {(room: string) => string} link
   */
  constructor(i18n, room, link) {
    this.#i18n = i18n;
    this.#room = room;
    this.#link = link;
    const summary = h('summary', { class: 'button' }, icon('qr'));
    i18n.put(summary, text('lobby.qr'), 'title');
    i18n.put(summary, text('lobby.qr'), 'aria-label');
    this.element = h('details', { id: 'qr', class: 'qr' }, summary,
      h('div', { class: 'qr-card' }, this.#image, i18n.put(h('p'), text('lobby.qrHint')), this.#address));
    this.element.addEventListener('toggle', () => this.#toggled());
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.element.open) return;
      event.stopPropagation();
      this.element.open = false;
      summary.focus();
    });
  }

  /** The room has another name now. */
  refresh() {
    if (this.element.open) this.#show();
  }

  close() {
    removeEventListener('pointerdown', this.#outside);
  }

  #toggled() {
    if (this.element.open) addEventListener('pointerdown', this.#outside);
    else this.close();
    this.refresh();
  }

  #show() {
    const room = this.#room();
    if (room === '') {
      this.element.open = false;
      return;
    }
    const source = `/r/${room}/qr.svg`;
    if (this.#image.getAttribute('src') !== source) this.#image.src = source;
    this.#i18n.put(this.#image, text('lobby.qrAlt', { room }), 'alt');
    this.#address.textContent = this.#link(room);
  }
}
