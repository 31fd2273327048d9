// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('../../sdk/maitred.js').Sent} Sent */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {{from: string, name: string, text: string, at: number, own: boolean}} ChatMessage */

const MAX_MESSAGES = 500;
/** Longest text in one message, in UTF-16 units. */
const MAX_TEXT = 4_000;

/**
 * The messages of a call and how many of them are unread.
 * @extends {Emitter<{message: ChatMessage, notice: Text, unread: {count: number}}>}
 */
export class Chat extends Emitter {
  #room;
  #now;
  #unread = 0;
  #reading = false;

  /**
   * @param {Pick<Room, 'self' | 'members' | 'send'>} room
   * @param {() => number} [now]
   */
  constructor(room, now = Date.now) {
    super();
    this.#room = room;
    this.#now = now;
  }

  get unread() {
    return this.#unread;
  }

  /**
   * Messages that come while the person reads are not unread.
   * @param {boolean} reading
   */
  setReading(reading) {
    this.#reading = reading;
    if (reading) this.#setUnread(0);
  }

  /**
   * @param {{id: string, name: string}} member whose words these are
   * @param {unknown} said
   */
  receive({ id, name }, said) {
    const content = typeof said === 'string' ? said.trim().slice(0, MAX_TEXT) : '';
    if (!content) return;
    // Our own clock: another's may be wrong by hours.
    this.emit('message', { from: id, name, text: content, at: this.#now(), own: false });
    if (!this.#reading) this.#setUnread(this.#unread + 1);
  }

  /**
   * @param {string} typed
   * @returns {boolean} whether there was anything to send
   */
  send(typed) {
    const content = typed.trim().slice(0, MAX_TEXT);
    const self = this.#room.self;
    if (!content || !self) return false;
    const at = this.#now();
    const results = this.#room.send({ type: 'chat', text: content, at });
    this.emit('message', { from: self.id, name: self.name, text: content, at, own: true });
    if (results.size === 0) this.emit('notice', text('chat.nobody'));
    const waiting = this.#namesOf(results, 'waiting');
    if (waiting) this.emit('notice', text('chat.waiting', { names: waiting }));
    const lost = this.#namesOf(results, 'lost');
    if (lost) this.emit('notice', text('chat.lost', { names: lost }));
    return true;
  }

  /**
   * @param {Map<string, Sent>} results by member id
   * @param {Sent} result
   */
  #namesOf(results, result) {
    const { members } = this.#room;
    return [...results].filter(([, it]) => it === result).map(([id]) => members.get(id)?.name ?? id).join(', ');
  }

  /** @param {number} count */
  #setUnread(count) {
    if (count === this.#unread) return;
    this.#unread = count;
    this.emit('unread', { count });
  }
}

/**
 * Splits a message at its links.
 * @param {string} content
 * @returns {{text: string, href: string}[]} href is '' for what is no link
 */
export function splitLinks(content) {
  return content.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'])/).filter(Boolean).map((part) => {
    const href = /^https?:\/\//.test(part) && URL.canParse(part) ? new URL(part).href : '';
    return { text: part, href };
  });
}

/**
 * The chat as one sees it: a column beside the call, a sheet over it on a phone.
 * @extends {Emitter<{close: {}}>}
 */
export class ChatPanel extends Emitter {
  #i18n;
  #chat;
  #lastFrom = '';
  #log = h('div', { id: 'chat-log', class: 'chat-log', role: 'log', 'aria-live': 'polite', tabindex: 0 });
  #input = h('textarea', { id: 'chat-input', rows: 1, maxlength: MAX_TEXT, enterkeyhint: 'send' });
  element;

  /**
   * @param {I18n} i18n
   * @param {Chat} chat
   */
  constructor(i18n, chat) {
    super();
    this.#i18n = i18n;
    this.#chat = chat;
    this.element = this.#build();
    show(this.element, false);
    chat.on('message', (message) => this.#add(message));
    chat.on('notice', (notice) => this.#append(i18n.put(h('p', { class: 'chat-notice' }), notice)));
  }

  get open() {
    return !this.element.hidden;
  }

  /** @param {boolean} open */
  setOpen(open) {
    show(this.element, open);
    this.#chat.setReading(open);
    if (!open) return;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#input.focus();
  }

  #build() {
    const i18n = this.#i18n;
    const close = h('button', { id: 'chat-close', class: 'quiet', type: 'button', onclick: () => this.emit('close', {}) }, icon('close'));
    i18n.put(close, text('chat.close'), 'aria-label');
    i18n.put(close, text('chat.close'), 'title');
    i18n.put(this.#input, text('chat.placeholder'), 'placeholder');
    i18n.put(this.#input, text('chat.placeholder'), 'aria-label');
    i18n.put(this.#log, text('chat.title'), 'aria-label');
    const send = h('button', { id: 'chat-send', class: 'send', type: 'submit' }, icon('send'));
    i18n.put(send, text('chat.send'), 'aria-label');
    i18n.put(send, text('chat.send'), 'title');
    this.#input.addEventListener('keydown', (event) => {
      // Enter while an input method composes picks a word; it does not send.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#log.append(i18n.put(h('p', { class: 'chat-empty' }), text('chat.empty')));
    const aside = h('aside', { id: 'chat', class: 'chat' },
      h('header', {}, i18n.put(h('h2'), text('chat.title')), close), this.#log,
      h('form', { class: 'chat-form', onsubmit: (/** @type {Event} */ event) => this.#submit(event) }, this.#input, send));
    return i18n.put(aside, text('chat.title'), 'aria-label');
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (this.#chat.send(this.#input.value)) this.#input.value = '';
    this.#input.focus();
  }

  /** @param {ChatMessage} message */
  #add({ from, name, text: content, at, own }) {
    const time = new Date(at);
    const body = h('p', { class: 'chat-text' }, ...splitLinks(content).map(({ text: part, href }) => (
      href ? h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, part) : part)));
    const first = from !== this.#lastFrom;
    this.#append(h('div', { class: `chat-message${own ? ' own' : ''}${first ? ' first' : ''}` },
      first && h('div', { class: 'chat-head' }, own ? this.#i18n.label('chat.you') : h('span', {}, name),
        h('time', { datetime: time.toISOString() }, time.toLocaleTimeString(this.#i18n.tag, { hour: '2-digit', minute: '2-digit' }))),
      body));
    this.#lastFrom = from;
  }

  /** @param {HTMLElement} entry */
  #append(entry) {
    this.#lastFrom = '';
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    log.append(entry);
    while (log.childElementCount > MAX_MESSAGES) log.firstElementChild?.remove();
    if (atEnd || entry.classList.contains('own')) log.scrollTop = log.scrollHeight;
  }
}
