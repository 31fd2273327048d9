// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { brand, button, checkLink, languageButton } from './widgets.js';

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

/** The moment between "join" and the call, which is long where somebody must be let in. */
export class JoiningPage {
  #i18n;
  #room;
  #title = h('h1');
  #words = h('p', { class: 'lead', role: 'status' });
  #check;
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
    this.#room = room;
    this.#check = checkLink(i18n, 'hint-link');
    this.element = plainPage(i18n, h('span', { class: 'spinner large' }),
      i18n.put(this.#title, text('join.working', { room })), this.#words, this.#check,
      button(i18n, { icon: 'close', label: 'join.cancel', onclick: cancel }));
    this.say(null);
  }

  /** @param {Text | null} words */
  say(words) {
    this.#i18n.put(this.#words, words);
    show(this.#words, words !== null);
    show(this.#check, words?.key === 'join.blocked');
  }

  /** @param {boolean} waiting until a moderator lets one in */
  setWaiting(waiting) {
    this.#i18n.put(this.#title, text(waiting ? 'join.waiting' : 'join.working', { room: this.#room }));
    if (waiting) this.say(text('join.waitingLead', { room: this.#room }));
  }

  close() {
    this.onclose();
  }
}

/**
 * Asks for the room's password.
 * @extends {Emitter<{password: {password: string}, cancel: {}}>}
 */
export class PasswordPage extends Emitter {
  #i18n;
  #input = h('input', { id: 'password', type: 'password', autocomplete: 'off', maxlength: 1024, 'aria-describedby': 'password-error' });
  #error = h('p', { id: 'password-error', class: 'field-error', role: 'alert' });
  element;

  /**
   * @param {I18n} i18n
   * @param {{room: string, wrong: boolean}} content wrong: one was given already
   */
  constructor(i18n, { room, wrong }) {
    super();
    this.#i18n = i18n;
    const join = h('button', { id: 'join', class: 'button primary', type: 'submit' }, i18n.label('password.join'));
    this.element = plainPage(i18n, h('div', { class: 'emblem' }, icon('lock')),
      i18n.put(h('h1', { tabindex: -1 }), text('password.title', { room })), i18n.put(h('p', { class: 'lead' }), text('password.lead')),
      h('form', { class: 'password-form', novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        i18n.put(h('label', { for: 'password' }), text('password.label')), this.#input, this.#error,
        h('div', { class: 'end-buttons' }, join,
          button(i18n, { icon: 'close', label: 'join.cancel', onclick: () => this.emit('cancel', {}) }))));
    this.#say(wrong ? text('password.wrong') : null);
  }

  focus() {
    this.#input.focus();
  }

  close() {}

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const password = this.#input.value;
    if (password) this.emit('password', { password });
    else this.#say(text('password.empty'));
    if (!password) this.focus();
  }

  /** @param {Text | null} words */
  #say(words) {
    this.#i18n.put(this.#error, words);
    show(this.#error, words !== null);
    this.#input.setAttribute('aria-invalid', String(words !== null));
  }
}

/** After the call, or instead of it. */
export class EndPage {
  element;

  /**
   * @param {I18n} i18n
   * @param {{title: Key, lead: Text, again: Key | null, code?: string, failed: boolean, network?: boolean}} content network: which may be the cause
   * @param {() => void} retry
   */
  constructor(i18n, { title, lead, again, code, failed, network = false }, retry) {
    const home = h('a', { class: 'button', href: '/' }, i18n.label('end.home'));
    this.element = plainPage(i18n,
      h('div', { class: failed ? 'emblem failed' : 'emblem' }, icon(failed ? 'warning' : 'bell')),
      i18n.put(h('h1', { tabindex: -1 }), text(title)), i18n.put(h('p', { class: 'lead', role: failed ? 'alert' : null }), lead),
      h('div', { class: 'end-buttons' },
        again && button(i18n, { icon: 'refresh', label: again, className: 'primary', onclick: retry }), home, network && checkLink(i18n, 'button')),
      !!code && i18n.put(h('p', { class: 'hint' }), text('end.code', { code })));
  }

  close() {}
}
