// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */

/**
 * A modal dialog. The browser keeps the focus in it, closes it with Escape, and gives the focus back.
 * @extends {Emitter<{close: {}}>}
 */
export class Dialog extends Emitter {
  element;

  /**
   * @param {I18n} i18n
   * @param {{id: string, title: Key, content: (Node | string | null | false)[]}} options
   */
  constructor(i18n, { id, title, content }) {
    super();
    const close = h('button', { class: 'quiet', type: 'button', onclick: () => this.close() }, icon('close'));
    i18n.put(close, text('dialog.close'), 'aria-label');
    i18n.put(close, text('dialog.close'), 'title');
    const heading = i18n.put(h('h2', { id: `${id}-title` }), text(title));
    this.element = h('dialog', { id, class: 'dialog', 'aria-labelledby': heading.id },
      h('header', {}, heading, close), h('div', { class: 'dialog-body' }, ...content));
    this.element.addEventListener('close', () => {
      this.element.remove();
      this.emit('close', {});
    });
    // A click beside it: the dialog itself is the target, what is in it is not.
    this.element.addEventListener('click', ({ target }) => target === this.element && this.close());
  }

  get open() {
    return this.element.open;
  }

  show() {
    if (this.element.open) return;
    document.body.append(this.element);
    this.element.showModal();
  }

  close() {
    if (this.element.open) this.element.close();
  }
}
