// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Buckets } from './bucket.js';
import { systemClock } from './clock.js';
import { h } from './dom.js';
import { EmojiChoice } from './emoji.js';
import { History, MAX_TEXT, isMessageId, messageText } from './history.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { Panel } from './panels.js';

/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('../../sdk/maitred.js').Sent} Sent */
/** @typedef {import('./history.js').HistoryMessage} HistoryMessage */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {HistoryMessage & {own: boolean}} ChatMessage */
/** @typedef {{messages: ChatMessage[], before: ChatMessage | null, name: string}} Earlier what somebody had to tell, and the message that it comes before; null for the end */

const MAX_MESSAGES = 500;
/** What is taken of one member. */
const LIMIT = { burst: 20, rate: 5 };
/** Most of a message that a note over the call shows. */
const MAX_NOTE = 90;

const EMOJI = ['😀', '😂', '😊', '😍', '😉', '😎', '🤔', '😅', '😢', '😮', '🙈', '🥳', '👍', '👎', '👏', '🙏', '💪', '👋', '❤️', '🔥', '🎉', '✅', '❌', '☕'];

/**
 * The messages of a call and how many of them are unread. They are kept here and in the pages of the others, nowhere else.
 * @extends {Emitter<{message: ChatMessage, earlier: Earlier, notice: Text, unread: {count: number}}>}
 */
export class Chat extends Emitter {
  #room;
  #clock;
  /** @type {ChatMessage[]} */
  #messages = [];
  /** How many of them are from before the present seat: what was missed comes after those. */
  #before = 0;
  #sent = 0;
  #unread = 0;
  #reading = false;
  #buckets;
  /** Of whose flood a notice was given; once, until it is quiet again. @type {Set<string>} */
  #flooding = new Set();
  #undo;

  /**
   * @param {Pick<Room, 'self' | 'members' | 'send' | 'on'>} room
   * @param {import('../../sdk/maitred.js').Clock} [clock]
   */
  constructor(room, clock = systemClock) {
    super();
    this.#room = room;
    this.#clock = clock;
    this.#buckets = new Buckets(clock, LIMIT);
    this.#undo = room.on('member-left', ({ member }) => {
      this.#buckets.delete(member.id);
      this.#flooding.delete(member.id);
    });
  }

  close() {
    this.#undo();
  }

  /** Oldest first. @returns {readonly ChatMessage[]} */
  get messages() {
    return this.#messages;
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

  /** We are in the room anew, and may have missed something. */
  takeSeat() {
    this.#before = this.#messages.length;
  }

  /**
   * @param {{id: string, name: string}} member whose words these are
   * @param {{id?: unknown, text?: unknown}} said older pages give no id
   */
  receive({ id: from, name }, said) {
    const content = messageText(said.text);
    if (!content || !this.#admit(from, name)) return;
    // Nobody gives a message the id of somebody else's.
    const given = isMessageId(said.id) && String(said.id).startsWith(`${from}.`);
    const id = given ? String(said.id) : this.#newId(from);
    if (this.#messages.some((it) => it.id === id)) return;
    // Our own clock: another's may be wrong by hours.
    this.#add({ id, from, name, text: content, at: this.#clock.now(), own: false });
    if (!this.#reading) this.#setUnread(this.#unread + 1);
  }

  /**
   * @param {string} typed
   * @returns {boolean} whether there was anything to send
   */
  send(typed) {
    const content = messageText(typed);
    const self = this.#room.self;
    if (!content || !self) return false;
    const message = { id: this.#newId(self.id), text: content, at: this.#clock.now() };
    const results = this.#room.send({ type: 'chat', ...message });
    this.#add({ ...message, from: self.id, name: self.name, own: true });
    if (results.size === 0) this.emit('notice', text('chat.nobody'));
    const waiting = this.#namesOf(results, 'waiting');
    if (waiting) this.emit('notice', text('chat.waiting', { names: waiting }));
    const lost = this.#namesOf(results, 'lost');
    if (lost) this.emit('notice', text('chat.lost', { names: lost }));
    return true;
  }

  /**
   * Takes what was said before we came, as somebody else has it.
   * @param {{name: string}} teller
   * @param {readonly HistoryMessage[]} told oldest first
   */
  merge({ name }, told) {
    const known = new Set(this.#messages.map(({ id }) => id));
    const self = this.#room.self?.id;
    const messages = told.filter(({ id, from }) => !known.has(id) && from !== self).map((it) => ({ ...it, own: false }));
    if (messages.length === 0) return;
    const before = this.#messages[this.#before] ?? null;
    this.#messages.splice(this.#before, 0, ...messages);
    this.#before += messages.length;
    this.#trim();
    this.emit('earlier', { messages, before, name });
  }

  /**
   * Of a flood the surplus is dropped.
   * @param {string} id
   * @param {string} name
   */
  #admit(id, name) {
    const bucket = this.#buckets.of(id);
    if (bucket.full) this.#flooding.delete(id);
    if (bucket.take()) return true;
    if (!this.#flooding.has(id)) this.emit('notice', text('chat.flood', { name }));
    this.#flooding.add(id);
    return false;
  }

  /** @param {ChatMessage} message */
  #add(message) {
    this.#messages.push(message);
    this.#trim();
    this.emit('message', message);
  }

  #trim() {
    const surplus = Math.max(0, this.#messages.length - MAX_MESSAGES);
    this.#messages.splice(0, surplus);
    this.#before = Math.max(0, this.#before - surplus);
  }

  /** By chance, so that nobody can take an id before its message comes. @param {string} from */
  #newId(from) {
    const [chance] = crypto.getRandomValues(new Uint32Array(1));
    return `${from}.${++this.#sent}.${chance.toString(36)}`;
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
 * Splits a message at its links. What has a user name in it is none: it would look like a link to another host.
 * @param {string} content
 * @returns {{text: string, href: string}[]} href is '' for what is no link
 */
export function splitLinks(content) {
  return content.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'])/).filter(Boolean).map((part) => {
    const url = /^https?:\/\//.test(part) && URL.canParse(part) ? new URL(part) : null;
    return { text: part, href: url && !url.username && !url.password ? url.href : '' };
  });
}

/**
 * The chat as one sees it.
 */
export class ChatFeature {
  #i18n;
  #toasts;
  #chat;
  #history;
  #panel;
  #toggle;
  #emoji;
  #lastFrom = '';
  /** @type {Map<string, HTMLElement>} */
  #entries = new Map();
  #undo;
  #log = h('div', { id: 'chat-log', class: 'chat-log', role: 'log', 'aria-live': 'polite', tabindex: 0 });
  #input = h('textarea', { id: 'chat-input', rows: 1, maxlength: MAX_TEXT, enterkeyhint: 'send' });
  #emojiToggle = h('button', { id: 'chat-emoji', class: 'quiet', type: 'button', onclick: () => this.#toggleEmoji() }, icon('smile'));
  #read = () => this.#chat.setReading(this.#panel.open && !document.hidden);

  /** @param {import('./context.js').CallContext} context */
  constructor({ i18n, room, toasts, bar, panels, shortcuts, chatActions, unread }) {
    this.#i18n = i18n;
    this.#toasts = toasts;
    this.#chat = new Chat(room);
    this.#emoji = new EmojiChoice(i18n, {
      id: 'chat-emoji-choice', label: 'chat.emoji', choices: EMOJI.map((emoji) => ({ emoji })), columns: 8, toggle: this.#emojiToggle,
    });
    this.#panel = this.#build(chatActions);
    this.#toggle = bar.button({
      id: 'chat-toggle', icon: 'chat', label: 'control.chat', title: 'control.chatTitle', shortcut: 'C', onclick: () => panels.toggle(this.#panel),
    });
    bar.add(this.#toggle, 40);
    panels.add(this.#panel, this.#toggle);
    shortcuts.set('c', () => panels.toggle(this.#panel));
    this.#emoji.on('choose', ({ emoji }) => this.#insert(emoji));
    this.#chat.on('message', (message) => this.#add(message));
    this.#chat.on('earlier', (earlier) => this.#addEarlier(earlier));
    this.#chat.on('notice', (notice) => this.#append(i18n.put(h('p', { class: 'chat-notice' }), notice)));
    this.#chat.on('unread', ({ count }) => {
      this.#showUnread(count);
      unread(count);
    });
    this.#panel.on('change', ({ open }) => {
      if (!open) this.#emoji.hide();
      this.#read();
    });
    document.addEventListener('visibilitychange', this.#read);
    this.#undo = [
      room.on('data', ({ member, data }) => data?.type === 'chat' && this.#chat.receive(member, data)),
      i18n.on('change', () => this.#retime()),
    ];
    this.#history = new History(room, this.#chat, systemClock);
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#history.close();
    this.#chat.close();
    this.#emoji.close();
    document.removeEventListener('visibilitychange', this.#read);
  }

  /** @param {HTMLElement} actions of other parts of the page */
  #build(actions) {
    const i18n = this.#i18n;
    i18n.put(this.#input, text('chat.placeholder'), 'placeholder');
    i18n.put(this.#input, text('chat.placeholder'), 'aria-label');
    i18n.put(this.#log, text('chat.title'), 'aria-label');
    i18n.put(this.#emojiToggle, text('chat.emoji'), 'aria-label');
    i18n.put(this.#emojiToggle, text('chat.emoji'), 'title');
    const send = h('button', { id: 'chat-send', class: 'send', type: 'submit' }, icon('send'));
    i18n.put(send, text('chat.send'), 'aria-label');
    i18n.put(send, text('chat.send'), 'title');
    this.#input.addEventListener('keydown', (event) => {
      // Enter while an input method composes picks a word; it does not send.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#log.append(i18n.put(h('p', { class: 'chat-empty' }), text('chat.empty')));
    const form = h('form', { class: 'chat-form', onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      h('div', { class: 'chat-tools' }, this.#emojiToggle, actions), this.#input, send);
    return new Panel(i18n, {
      id: 'chat', title: 'chat.title', close: 'chat.close', focus: () => this.#focus(), content: [this.#log, this.#emoji.element, form],
    });
  }

  #focus() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#input.focus();
  }

  /** It takes its place from the messages: the newest stays in view. */
  #toggleEmoji() {
    const atEnd = this.#atEnd;
    this.#emoji.toggle();
    if (atEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  /** @param {string} emoji */
  #insert(emoji) {
    const { selectionStart, selectionEnd } = this.#input;
    this.#input.setRangeText(emoji, selectionStart, selectionEnd, 'end');
  }

  /** @param {number} unread */
  #showUnread(unread) {
    const i18n = this.#i18n;
    this.#toggle.querySelector('.unread')?.remove();
    if (unread > 0) this.#toggle.append(h('span', { class: 'unread' }, unread > 9 ? '9+' : String(unread)));
    const title = unread > 0 ? text('control.chatUnread', { count: unread }) : text('control.chatTitle');
    i18n.put(this.#toggle, title, 'title');
    i18n.put(this.#toggle, title, 'aria-label');
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#emoji.hide();
    if (this.#chat.send(this.#input.value)) this.#input.value = '';
    this.#input.focus();
  }

  /** @param {ChatMessage} message */
  #add(message) {
    const last = this.#lastFrom;
    this.#append(this.#entry(message, message.from !== last));
    this.#lastFrom = message.from;
    if (message.own || this.#panel.open) return;
    const note = [...message.text];
    this.#toasts.show(text('chat.note', { name: message.name, text: note.length > MAX_NOTE ? `${note.slice(0, MAX_NOTE).join('')}…` : message.text }), 'chatted');
  }

  /** @param {Earlier} earlier */
  #addEarlier({ messages, before, name }) {
    let last = '';
    const entries = messages.map((message) => {
      const entry = this.#entry(message, message.from !== last);
      last = message.from;
      return entry;
    });
    // No news to be read aloud.
    const section = h('section', { class: 'chat-earlier', 'aria-live': 'off' },
      this.#i18n.put(h('p', { class: 'chat-notice' }), text('chat.earlier', { name })), ...entries);
    const next = before && this.#entries.get(before.id);
    const log = this.#log;
    const fromEnd = log.scrollHeight - log.scrollTop;
    if (next) next.before(section);
    else log.append(section);
    if (!next) this.#lastFrom = '';
    this.#trim();
    log.scrollTop = log.scrollHeight - fromEnd;
  }

  /**
   * @param {ChatMessage} message
   * @param {boolean} first of several by the same person
   */
  #entry({ id, name, text: content, at, own }, first) {
    const body = h('p', { class: 'chat-text' }, ...splitLinks(content).map(({ text: part, href }) => (
      href ? h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, part) : part)));
    const entry = h('div', { class: `chat-message${own ? ' own' : ''}${first ? ' first' : ''}`, 'data-id': id },
      first && h('div', { class: 'chat-head' }, own ? this.#i18n.label('chat.you') : h('span', {}, name),
        h('time', { datetime: new Date(at).toISOString() }, this.#time(new Date(at)))),
      body);
    this.#entries.set(id, entry);
    return entry;
  }

  /** @param {Date} at */
  #time(at) {
    return at.toLocaleTimeString(this.#i18n.tag, { hour: '2-digit', minute: '2-digit' });
  }

  #retime() {
    for (const time of this.#log.querySelectorAll('time')) time.textContent = this.#time(new Date(time.dateTime));
  }

  /** @param {HTMLElement} entry */
  #append(entry) {
    this.#lastFrom = '';
    const log = this.#log;
    const atEnd = this.#atEnd;
    log.append(entry);
    this.#trim();
    if (atEnd || entry.classList.contains('own')) log.scrollTop = log.scrollHeight;
  }

  #trim() {
    while (this.#entries.size > MAX_MESSAGES) {
      const oldest = /** @type {HTMLElement} */ (this.#log.querySelector('.chat-message'));
      this.#entries.delete(oldest.dataset.id ?? '');
      oldest.remove();
    }
    const notices = this.#log.querySelectorAll('.chat-notice');
    if (notices.length > MAX_MESSAGES) notices[0].remove();
  }
}
