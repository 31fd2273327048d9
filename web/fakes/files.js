// @ts-check
import { Channel } from '../sdk/maitred.js';
import { FileLine, LABEL } from '../static/app/files.js';
import { PIECE } from '../static/app/filewire.js';
import { FakeClock } from './clock.js';

/** Bytes that the network takes from one end at a time. */
const BURST = 256 * 1024;

/** @param {string | ArrayBufferView} data */
const lengthOf = (data) => (typeof data === 'string' ? data.length : data.byteLength);

/** A data channel with a network behind it that takes its time. */
export class FakeRaw extends EventTarget {
  readyState = 'connecting';
  binaryType = 'blob';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  mostBuffered = 0;
  /** @type {FakeRaw | null} */
  other = null;
  /** What becomes of a message on its way: itself, another, or null for nothing. @type {(data: any) => any} */
  spoil = (data) => data;
  /** @type {any[]} */
  #queue = [];
  #moving = false;

  constructor() {
    super();
    this.label = LABEL;
  }

  /** @param {string | Uint8Array} data */
  send(data) {
    if (this.readyState !== 'open') throw new Error('send on a channel that is not open');
    this.bufferedAmount += lengthOf(data);
    this.mostBuffered = Math.max(this.mostBuffered, this.bufferedAmount);
    this.#queue.push(typeof data === 'string' ? data : data.slice());
    this.#move();
  }

  open() {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }

  close() {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.#queue.length = 0;
    this.dispatchEvent(new Event('close'));
    this.other?.close();
  }

  #move() {
    if (this.#moving) return;
    this.#moving = true;
    setImmediate(() => {
      this.#moving = false;
      for (let taken = 0; taken < BURST && this.#queue.length > 0;) taken += this.#deliver(this.#queue.shift());
      if (this.#queue.length > 0) this.#move();
    });
  }

  /** @param {any} data */
  #deliver(data) {
    const length = lengthOf(data);
    const wasHigh = this.bufferedAmount > this.bufferedAmountLowThreshold;
    this.bufferedAmount -= length;
    const arrived = this.spoil(data);
    if (arrived !== null && this.readyState === 'open') {
      const message = typeof arrived === 'string' ? arrived : arrived.buffer;
      this.other?.dispatchEvent(Object.assign(new Event('message'), { data: message }));
    }
    if (wasHigh && this.bufferedAmount <= this.bufferedAmountLowThreshold) this.dispatchEvent(new Event('bufferedamountlow'));
    return length;
  }
}

/** One end of a wire: what a FileLine needs of a Peer, with real Channels. */
class FakePeer {
  /** @type {Channel | null} */
  own = null;
  connection = /** @type {any} */ ({ sctp: { maxMessageSize: 262_144 } });
  /** @type {Wire} */
  #wire;

  /**
   * @param {Wire} wire
   * @param {string} id
   */
  constructor(wire, id) {
    this.#wire = wire;
    this.member = { id, name: id };
  }

  /** @param {string} label */
  channel(label) {
    this.own ??= new Channel(label, {});
    if (!this.own.attached) this.attach(this.own);
    return this.own;
  }

  /** @param {Channel} channel */
  attach(channel) {
    const raw = new FakeRaw();
    channel.attach(/** @type {any} */ (raw));
    this.#wire.announce(this, raw);
  }
}

/** Two pages, a FileLine at each, and the connection between them. */
export class Wire {
  clock = new FakeClock();
  up = true;
  /** @type {[FakePeer, FakePeer]} what Ann has of Bob, and Bob of Ann */
  peers = [new FakePeer(this, 'bob'), new FakePeer(this, 'ann')];
  /** @type {FileLine[]} */
  lines;
  /** The running channel, Ann's end and Bob's. @type {FakeRaw[]} */
  raws = [];
  /** How channels that open spoil what goes over them, by end. @type {((data: any) => any)[]} */
  spoil = [];

  /** @param {Partial<import('../static/app/files.js').LineOptions>} [options] */
  constructor(options = {}) {
    this.lines = this.peers.map((peer) => new FileLine({ peer: /** @type {any} */ (peer), clock: this.clock, ...options }));
  }

  /**
   * A channel was made at one end.
   * @param {FakePeer} peer
   * @param {FakeRaw} raw
   */
  announce(peer, raw) {
    if (!this.up) return;
    const side = this.peers.indexOf(peer);
    const other = this.peers[1 - side];
    const end = new FakeRaw();
    [raw.other, end.other] = [end, raw];
    this.raws = side === 0 ? [raw, end] : [end, raw];
    for (const [index, spoil] of this.spoil.entries()) if (spoil) this.raws[index].spoil = spoil;
    setImmediate(() => {
      const known = other.own?.attached ? other.own : null;
      other.own = known ?? new Channel(LABEL, null);
      other.own.attach(/** @type {any} */ (end));
      if (!known) this.lines[1 - side].use(other.own);
      raw.open();
      end.open();
    });
  }

  /** The connection is replaced, as `Peer.renew` does it: who opened the channel hears nothing but `open`. */
  renew() {
    const before = this.raws;
    for (const peer of this.peers) {
      const { own } = peer;
      own?.detach();
      if (own && !own.options) {
        peer.own = null;
        own.close();
      }
    }
    for (const raw of before) raw.close();
    for (const peer of this.peers) if (peer.own) peer.attach(peer.own);
  }

  /** Both are told to have lost each other. */
  close() {
    for (const line of this.lines) line.close('gone');
  }
}

/** The bytes of a made-up file. @param {number} piece @param {number} length */
function bytesOf(piece, length) {
  const bytes = new Uint8Array(length).fill((piece * 31 + 7) & 0xff);
  if (length >= 4) new DataView(bytes.buffer).setUint32(0, piece);
  return bytes;
}

/** A file of any size whose bytes are made when they are read. */
export class FakeFile {
  /** Bytes of the largest read. */
  mostRead = 0;
  readable = true;

  /**
   * @param {string} name
   * @param {number} size
   */
  constructor(name, size) {
    this.name = name;
    this.size = size;
  }

  /** @type {any} */
  slice = (/** @type {number} */ from, /** @type {number} */ to) => ({
    arrayBuffer: async () => {
      if (!this.readable) throw new Error('NotReadableError');
      this.mostRead = Math.max(this.mostRead, to - from);
      return bytesOf(from / PIECE, to - from).buffer;
    },
  });
}

/** Keeps nothing, but knows what a FakeFile's bytes are. */
export class FakeSink {
  written = 0;
  writes = 0;
  wrong = 0;
  finished = false;
  discarded = false;
  /** The disk: what a write waits for. @type {() => Promise<unknown>} */
  disk = () => Promise.resolve();

  /** @type {import('../static/app/filestore.js').Sink['write']} */
  write = async (position, bytes) => {
    await this.disk();
    if (position !== this.written || Buffer.compare(bytes, bytesOf(position / PIECE, bytes.length)) !== 0) this.wrong++;
    this.written += bytes.length;
    this.writes++;
  };

  finish = async () => {
    this.finished = true;
    return new Blob(['the file']);
  };

  discard = async () => {
    this.discarded = true;
  };
}
