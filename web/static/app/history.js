// @ts-check
import { memberName } from './names.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {{id: string, from: string, name: string, text: string, at: number}} HistoryMessage as one page tells it to another; `at` by the clock of the page that tells */

/** Most messages in an answer, and its size as JSON in bytes: it goes out as one message of the data channel. */
const MAX_HISTORY = 100;
export const MAX_HISTORY_BYTES = 40 * 1024;
/** Longest text in one message, in UTF-16 units. */
export const MAX_TEXT = 4_000;
/** How old messages can be: a call does not last longer, a clock that says so is wrong. */
const MAX_AGE = 24 * 60 * 60 * 1_000;

/** How many of those who were here before us are asked, one after the other. */
const MAX_ASKED = 3;
/** For the connection to stand, and then for the answer. */
const CONNECTION_TIME = 15_000;
const ANSWER_TIME = 4_000;
/** The same peer gets an answer once in this time. */
const ANSWER_INTERVAL = 5_000;

const encoder = new TextEncoder();

/**
 * What somebody has written, without what turns the direction of writing around for more than a word: it would make a link look like another.
 * @param {unknown} said
 * @returns {string} '' for what is no text
 */
export function messageText(said) {
  return typeof said === 'string' ? said.replace(/[\u202A-\u202E\u2066-\u2069]/g, '').trim().slice(0, MAX_TEXT) : '';
}

/** @param {unknown} id */
export function isMessageId(id) {
  return typeof id === 'string' && /^[\w.-]{1,64}$/.test(id);
}

/**
 * The newest messages that fit into an answer.
 * @param {readonly HistoryMessage[]} messages oldest first
 * @returns {HistoryMessage[]} likewise
 */
export function packHistory(messages) {
  const packed = [];
  let size = JSON.stringify({ type: 'history', messages: [] }).length;
  for (const { id, from, name, text, at } of messages.slice(-MAX_HISTORY).reverse()) {
    const message = { id, from, name, text, at };
    size += encoder.encode(JSON.stringify(message)).length + 1;
    if (size > MAX_HISTORY_BYTES) break;
    packed.unshift(message);
  }
  return packed;
}

/**
 * What is usable of another page's answer. Its clock may be wrong: no message is younger than now or older than a day.
 * @param {unknown} said
 * @param {number} now
 * @returns {HistoryMessage[]}
 */
export function unpackHistory(said, now) {
  if (!Array.isArray(said)) return [];
  /** @type {Map<string, HistoryMessage>} */
  const messages = new Map();
  for (const it of said.slice(-MAX_HISTORY)) {
    const name = typeof it?.name === 'string' ? memberName(it.name) : '';
    const text = messageText(it?.text);
    if (!isMessageId(it?.id) || !isMessageId(it.from) || !name || !text || !Number.isFinite(it.at)) continue;
    messages.set(it.id, { id: it.id, from: it.from, name, text, at: Math.min(now, Math.max(now - MAX_AGE, it.at)) });
  }
  return packHistory([...messages.values()]);
}

/**
 * Brings what was said before one came, from those who were there: asks the one who has been in the room longest, the next one when no answer
 * comes, and answers those who come later. Nobody is asked again while the seat is the same.
 */
export class History {
  #room;
  #chat;
  #clock;
  /** Who may still be asked. @type {Peer[]} */
  #candidates = [];
  /** Who was asked and has not answered. @type {Set<Peer>} */
  #asked = new Set();
  /** @type {Peer | null} */
  #current = null;
  #cancelTimer = () => {};
  /** When each was answered. @type {WeakMap<Peer, number>} */
  #answered = new WeakMap();
  #closed = false;
  #undo;

  /**
   * @param {Pick<Room, 'peers' | 'on'>} room joined
   * @param {Pick<Chat, 'messages' | 'takeSeat' | 'merge'>} chat
   * @param {Clock} clock
   */
  constructor(room, chat, clock) {
    this.#room = room;
    this.#chat = chat;
    this.#clock = clock;
    this.#undo = [
      room.on('joined', ({ resumed }) => !resumed && this.#takeSeat()),
      room.on('status', ({ peer, status }) => this.#statusChanged(peer, status)),
      room.on('member-left', () => this.#current && this.#room.peers.get(this.#current.member.id) !== this.#current && this.#askNext()),
      room.on('data', ({ member, peer, data }) => this.#receive(member, peer, data)),
    ];
    this.#ask();
  }

  close() {
    this.#closed = true;
    this.#cancelTimer();
    for (const undo of this.#undo) undo();
  }

  #takeSeat() {
    this.#chat.takeSeat();
    this.#current = null;
    this.#cancelTimer();
    // Those who are in the room are told of in the same task.
    queueMicrotask(() => !this.#closed && this.#ask());
  }

  /** In the order in which they joined. */
  #ask() {
    this.#candidates = [...this.#room.peers.values()].slice(0, MAX_ASKED);
    this.#asked.clear();
    this.#askNext();
  }

  /** @returns {void} */
  #askNext() {
    this.#cancelTimer();
    this.#current = this.#candidates.shift() ?? null;
    if (!this.#current) return;
    const sent = this.#current.send({ type: 'history-please' });
    if (sent === 'lost') return this.#askNext();
    this.#asked.add(this.#current);
    this.#wait(sent === 'sent' ? ANSWER_TIME : CONNECTION_TIME);
  }

  /** @param {number} time */
  #wait(time) {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(time, () => this.#askNext());
  }

  /**
   * @param {Peer} peer
   * @param {import('../../sdk/maitred.js').PeerStatus} status
   */
  #statusChanged(peer, status) {
    if (peer !== this.#current) return;
    if (status === 'connected') this.#wait(ANSWER_TIME);
    else if (status === 'failed') this.#askNext();
  }

  /**
   * @param {Member} member
   * @param {Peer} peer
   * @param {any} data
   */
  #receive(member, peer, data) {
    if (data?.type === 'history-please') this.#answer(peer);
    // Whoever was asked may be late, and what is told twice is known; nobody else is listened to.
    else if (data?.type === 'history' && this.#asked.delete(peer)) this.#take(member, data.messages);
  }

  /** @param {Peer} peer */
  #answer(peer) {
    const now = this.#clock.now();
    if (now - (this.#answered.get(peer) ?? -Infinity) < ANSWER_INTERVAL) return;
    this.#answered.set(peer, now);
    peer.send({ type: 'history', messages: packHistory(this.#chat.messages) });
  }

  /**
   * @param {Member} member
   * @param {unknown} messages
   */
  #take(member, messages) {
    this.#cancelTimer();
    this.#current = null;
    this.#chat.merge(member, unpackHistory(messages, this.#clock.now()));
  }
}
