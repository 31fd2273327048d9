// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Bucket } from './bucket.js';
import { systemClock } from './clock.js';
import { Receiving } from './filereceive.js';
import { Sending } from './filesend.js';
import { cleanName, frameSize, parseFrame, parseMessage } from './filewire.js';

/** @typedef {import('../../sdk/maitred.js').Channel} Channel */
/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./filesend.js').Source} Source */
/** @typedef {import('./filewire.js').Message} Message */
/** @typedef {import('./filewire.js').Reason} Reason */
/** @typedef {import('./filewire.js').Role} Role */
/** @typedef {import('./filewire.js').Saying} Saying */
/**
 * @typedef {object} LineOptions
 * @property {Pick<Peer, 'member' | 'connection' | 'channel'>} peer
 * @property {() => Reason | ''} [refuse] why no more files are taken from anybody; '' while they are
 * @property {Clock} [clock]
 */

/** Of the data channel. */
export const LABEL = 'files';
/** Files that may be on their way to one peer, or from one, at once; all but one wait for their turn. */
export const MAX_TRANSFERS = 32;
/** What is heard of one peer's offers: twice as many as may be on their way, and one a second. */
const OFFER_LIMIT = { burst: 2 * MAX_TRANSFERS, rate: 1 };
/** Bytes that may wait in the channel, and how few there are when more are put in. */
const BUFFER_HIGH = 1 << 20;
const BUFFER_LOW = 1 << 18;
/** Finished transfers whose end can be told again. */
const MAX_FINALS = 64;
/** Messages without sense after which nothing of the peer is heard any more. */
const MAX_STRIKES = 100;
/** Milliseconds until a channel that was closed alone is opened again, and twice as long each time that it does not open. */
const REOPEN = 1_000;
const MAX_REOPENS = 5;

const nothing = () => {};

/**
 * The files that go to and come from one peer, over one data channel. It outlives the connection: after a loss the sender repeats what it offers, and
 * the receiver answers with the piece to go on from.
 * @extends {Emitter<{offer: {transfer: Receiving}, connection: {}}>}
 */
export class FileLine extends Emitter {
  #peer;
  #refuse;
  #clock;
  /** @type {Channel | null} */
  #channel = null;
  /** What was open last. @type {RTCDataChannel | null} */
  #raw = null;
  /** @type {(() => void)[]} */
  #undo = [];
  /** Not finished, by number. @type {Map<number, Sending>} */
  #outgoing = new Map();
  /** @type {Map<number, Receiving>} */
  #incoming = new Map();
  /** What was last said of those that were received or not. @type {Map<number, Saying>} */
  #finals = new Map();
  #lastId = 0;
  #pumping = false;
  /** Has the frame that waits for room looked again. */
  #wake = nothing;
  #strikes = 0;
  #offers;
  #reopens = 0;
  #cancelReopen = nothing;
  #closed = false;

  /** @param {LineOptions} options */
  constructor({ peer, refuse = () => '', clock = systemClock }) {
    super();
    this.#peer = peer;
    this.#refuse = refuse;
    this.#clock = clock;
    this.#offers = new Bucket(clock, OFFER_LIMIT);
  }

  get connected() {
    return !!this.#channel?.raw;
  }

  /**
   * Offers a file; it is sent when it is accepted.
   * @param {Source} source
   * @returns {Sending | null} null when too many are under way already
   */
  offer(source) {
    if (this.#closed || this.#outgoing.size >= MAX_TRANSFERS) return null;
    const id = ++this.#lastId;
    const sending = new Sending({
      id, source, member: this.#peer.member, say: (saying) => this.#say('sender', id, saying), clock: this.#clock,
    });
    this.#outgoing.set(id, sending);
    sending.on('change', () => {
      if (sending.finished) this.#outgoing.delete(id);
      this.#wake();
      void this.#pump();
    });
    if (this.connected) sending.offer();
    else this.#open();
    return sending;
  }

  /** Takes the channel that the other end has opened. @param {Channel} channel */
  use(channel) {
    if (this.#closed) return;
    for (const undo of this.#undo) undo();
    this.#channel = channel;
    this.#undo = [
      channel.on('open', () => this.#opened()),
      channel.on('message', ({ data }) => this.#receive(data)),
      channel.on('close', () => this.#lost()),
    ];
    this.#opened();
  }

  /** The connection to the peer has changed. */
  check() {
    if (this.connected || this.#closed) return;
    this.#interrupt();
    if (this.#channel?.options && !this.#channel.attached && this.#busy) {
      this.#reopens = 0;
      this.#open();
    }
  }

  /**
   * Ends all that is under way.
   * @param {Reason} reason
   */
  close(reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelReopen();
    for (const undo of this.#undo) undo();
    for (const transfer of [...this.#outgoing.values(), ...this.#incoming.values()]) transfer.end(reason, { told: true });
    this.#wake();
    this.#channel?.close();
  }

  get #busy() {
    return this.#outgoing.size > 0 || this.#incoming.size > 0;
  }

  // The channel

  #open() {
    this.use(this.#peer.channel(LABEL));
  }

  #opened() {
    const raw = this.#channel?.raw ?? null;
    if (!raw || raw === this.#raw) return;
    this.#raw = raw;
    this.#reopens = 0;
    raw.bufferedAmountLowThreshold = BUFFER_LOW;
    raw.addEventListener('bufferedamountlow', () => this.#wake());
    for (const sending of this.#outgoing.values()) sending.offer();
    this.#wake();
    this.emit('connection', {});
  }

  #lost() {
    this.#raw = null;
    this.#interrupt();
    if (!this.#channel?.options || !this.#busy || this.#reopens >= MAX_REOPENS) return;
    this.#cancelReopen();
    this.#cancelReopen = this.#clock.after(REOPEN * 2 ** this.#reopens++, () => this.#open());
  }

  #interrupt() {
    for (const transfer of [...this.#outgoing.values(), ...this.#incoming.values()]) transfer.interrupt();
    this.#wake();
    this.emit('connection', {});
  }

  /**
   * Without a connection nothing is said: what counts is said again when there is one.
   * @param {Role} as
   * @param {number} id
   * @param {Saying} saying
   */
  #say(as, id, saying) {
    const raw = this.#channel?.raw;
    if (!raw || this.#closed) return;
    // Frames leave room for what is said: the other end asks without listening.
    if (raw.bufferedAmount > 2 * BUFFER_HIGH) this.close('bad');
    else this.#channel?.send(JSON.stringify({ as, id, ...saying }));
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (typeof data === 'string') {
      const message = parseMessage(data);
      if (!message) this.#strike();
      else if (message.as === 'sender') this.#hearSender(message);
      else this.#hearReceiver(message);
      return;
    }
    const frame = parseFrame(data);
    const transfer = frame && this.#incoming.get(frame.id);
    if (frame && transfer) transfer.take(frame);
    else if (!frame || !this.#finals.has(frame.id)) this.#strike();
  }

  #strike() {
    if (++this.#strikes >= MAX_STRIKES) this.close('bad');
  }

  // Sending

  /** @param {Message} message */
  #hearReceiver(message) {
    const sending = this.#outgoing.get(message.id);
    if (sending) sending.receive(message);
    // The rest crosses with the end of a transfer that was told already.
    else if (message.type === 'want') {
      this.#strike();
      this.#say('sender', message.id, { type: 'cancel', reason: 'unknown' });
    }
  }

  /** One piece after the other of those that are wanted. */
  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    const outlet = {
      frameSize: () => frameSize(this.#peer.connection.sctp?.maxMessageSize),
      put: this.#put.bind(this),
    };
    try {
      for (let sending; (sending = [...this.#outgoing.values()].find(({ sendable }) => sendable));) await sending.step(outlet);
    } finally {
      this.#pumping = false;
    }
  }

  /** @type {import('./filesend.js').Outlet['put']} */
  async #put(frame, wanted) {
    while (wanted()) {
      const channel = this.#channel;
      if (!channel?.raw || this.#closed) return false;
      if (channel.raw.bufferedAmount + frame.length <= BUFFER_HIGH) return channel.send(frame) === 'sent';
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
      });
    }
    return false;
  }

  // Receiving

  /** @param {Message} message */
  #hearSender(message) {
    const known = this.#incoming.get(message.id);
    const final = this.#finals.get(message.id);
    if (message.type === 'offer') {
      if (known) this.#offeredAgain(known, message);
      else if (final) this.#say('receiver', message.id, final);
      else this.#offered(message);
    } else if (known) known.receive(message);
    else if (!final) this.#strike();
  }

  /** @param {Extract<Message, {type: 'offer'}>} offer */
  #offered({ id, name, size, paused }) {
    // Who sends the same way never offers more than that at once; and who cancels makes no room for more.
    const flood = !this.#offers.take() || this.#incoming.size >= MAX_TRANSFERS;
    if (flood) this.#strike();
    const reason = flood ? 'busy' : this.#refuse();
    if (reason) {
      this.#say('receiver', id, { type: 'cancel', reason });
      return;
    }
    const transfer = new Receiving({
      id, member: this.#peer.member, name: cleanName(name), size, say: (saying) => this.#say('receiver', id, saying), clock: this.#clock,
    });
    transfer.otherPause = paused;
    this.#incoming.set(id, transfer);
    transfer.on('change', () => {
      if (transfer.finished) this.#finish(transfer);
      this.#schedule();
    });
    this.emit('offer', { transfer });
  }

  /**
   * The connection was lost meanwhile.
   * @param {Receiving} transfer
   * @param {Extract<Message, {type: 'offer'}>} offer
   */
  #offeredAgain(transfer, { size, paused }) {
    if (size !== transfer.size) {
      transfer.end('bad');
      return;
    }
    if (transfer.ownPause) transfer.say({ type: 'pause', paused: true });
    transfer.setOtherPause(paused);
    if (transfer.status === 'running') transfer.want();
    else this.#schedule();
  }

  /** @param {Receiving} transfer */
  #finish({ id, status, reason }) {
    this.#incoming.delete(id);
    this.#finals.set(id, status === 'done' || !reason ? { type: 'done' } : { type: 'cancel', reason });
    if (this.#finals.size > MAX_FINALS) this.#finals.delete([...this.#finals.keys()][0]);
  }

  /** One file at a time: what waits to be stored stays within one window. */
  #schedule() {
    const all = [...this.#incoming.values()];
    if (!this.connected || all.some(({ status }) => status === 'running')) return;
    all.find(({ status, paused }) => status === 'waiting' && !paused)?.want();
  }
}
