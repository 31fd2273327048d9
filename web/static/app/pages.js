// @ts-check
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { brand, button, languageButton } from './widgets.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./i18n.js').Key} Key */

/**
 * @param {I18n} i18n
 * @param {...(Node | false | null)} content
 */
function plainPage(i18n, ...content) {
  return h('div', { class: 'plain' },
    h('header', { class: 'topbar' }, brand(i18n), h('span', { class: 'spacer' }), languageButton(i18n)),
    h('main', { class: 'plain-main' }, h('div', { class: 'card centred' }, ...content.filter((it) => it !== false))));
}

/** The moment between "join" and the call. */
export class JoiningPage {
  #i18n;
  #words;
  /** Ends what speaks here. */
  onclose = () => {};
  element;

  /**
   * @param {I18n} i18n
   * @param {string} room
   * @param {() => void} cancel
   */
  constructor(i18n, room, cancel) {
    this.#i18n = i18n;
    this.#words = h('p', { class: 'lead', role: 'status' });
    this.element = plainPage(i18n, h('span', { class: 'spinner large' }),
      i18n.put(h('h1'), text('join.working', { room })), this.#words,
      button(i18n, { icon: 'close', label: 'join.cancel', onclick: cancel }));
    this.say(null);
  }

  /** @param {Text | null} words */
  say(words) {
    this.#i18n.put(this.#words, words);
    show(this.#words, words !== null);
  }

  close() {
    this.onclose();
  }
}

/** After the call, or instead of it. */
export class EndPage {
  element;

  /**
   * @param {I18n} i18n
   * @param {{title: Key, lead: Text, again: Key | null, code?: string, failed: boolean}} content
   * @param {() => void} retry
   */
  constructor(i18n, { title, lead, again, code, failed }, retry) {
    const home = h('a', { class: 'button', href: '/' }, i18n.label('end.home'));
    this.element = plainPage(i18n,
      h('div', { class: failed ? 'emblem failed' : 'emblem' }, icon(failed ? 'warning' : 'bell')),
      i18n.put(h('h1', { tabindex: -1 }), text(title)), i18n.put(h('p', { class: 'lead', role: failed ? 'alert' : null }), lead),
      h('div', { class: 'end-buttons' },
        again && button(i18n, { icon: 'refresh', label: again, className: 'primary', onclick: retry }), home),
      !!code && i18n.put(h('p', { class: 'hint' }), text('end.code', { code })));
  }

  close() {}
}
