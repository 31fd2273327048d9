// @ts-check
import { SpaceError } from './filestore.js';
import { Transfer } from './filetransfer.js';
import { HASH, MAX_ROUNDS, PIECE, WINDOW, pieceLength, sha256, toHex } from './filewire.js';

/** @typedef {import('./filestore.js').Sink} Sink */
/** @typedef {import('./filewire.js').Frame} Frame */
/** @typedef {import('./filewire.js').Message} Message */

/** How often in a row one piece may come wrong. */
const MAX_TRIES = 3;
/** Bytes that an honest sender may have under way when it is told to go on elsewhere. */
const MAX_STALE = (WINDOW + 2) * PIECE;

const NO_BYTES = new Uint8Array(0);

/** A file that a peer sends. Each piece is checked, stored and forgotten. */
export class Receiving extends Transfer {
  /** @type {Sink | null} */
  #sink = null;
  /** Where it goes is being asked or made. */
  #opening = false;
  #round = 0;
  /** Pieces that are stored. */
  #stored = 0;
  /** The piece that comes in, where its bytes are collected and how many there are; its hash is '' until it is announced. */
  #next = 0;
  #buffer = NO_BYTES;
  #filled = 0;
  #hash = '';
  /** Complete pieces that are not stored yet, at most as many as the window. @type {{round: number, piece: number, bytes: Uint8Array<ArrayBuffer>, hash: string}[]} */
  #queue = [];
  #storing = false;
  /** Of pieces that are stored, for those to come. @type {ArrayBuffer[]} */
  #spare = [];
  #tries = 0;
  #stale = 0;
  #hashes = new Uint8Array(0);
  /** What the sender has for the hash of all hashes. */
  #endHash = '';
  /** The file, when it is done and was not saved elsewhere already. @type {Blob | null} */
  blob = null;
  /** Bytes that were free when they were not enough. */
  free = 0;

  get outgoing() {
    return false;
  }

  /** The person has to decide. */
  get undecided() {
    return this.status === 'offered' && !this.#opening;
  }

  /**
   * Takes the file.
   * @param {() => Promise<Sink>} open where it goes; it rejects with SpaceError where there is not enough room, and with null when the person
   * has thought better of it
   */
  async accept(open) {
    if (!this.undecided) return;
    this.#opening = true;
    this.emit('change', {});
    let sink;
    try {
      sink = await open();
    } catch (error) {
      this.#opening = false;
      if (error === null) this.emit('change', {});
      else this.#refuse(/** @type {Error} */ (error));
      return;
    }
    this.#opening = false;
    this.#sink = sink;
    if (this.finished) return this.#discard();
    this.#hashes = new Uint8Array(HASH * this.pieces);
    return this.setStatus('waiting');
  }

  decline() {
    this.end('declined');
  }

  /** Asks for the pieces that are not stored: at first, after a pause, and after a lost connection. */
  want() {
    if (++this.#round > MAX_ROUNDS) return this.end('bad');
    this.#queue.length = 0;
    this.#next = this.#stored;
    this.#filled = 0;
    this.#hash = '';
    this.#endHash = '';
    this.#stale = 0;
    this.say({ type: 'want', round: this.#round, from: this.#stored });
    return this.setStatus('running');
  }

  /** There is no connection. */
  interrupt() {
    if (this.status === 'running') this.setStatus('waiting');
  }

  /** @param {Message} message of the sender */
  receive(message) {
    switch (message.type) {
      case 'piece': return this.#announce(message);
      case 'end': return this.#takeEnd(message);
      case 'pause': return this.setOtherPause(message.paused);
      case 'cancel': return this.end(message.reason, { told: true, byOther: true });
      default: return undefined;
    }
  }

  /** @param {Frame} frame */
  take({ round, piece, offset, bytes }) {
    if (!this.#sink) return this.end('bad');
    if (round !== this.#round) {
      this.#stale += bytes.length;
      return this.#stale > MAX_STALE ? this.end('bad') : undefined;
    }
    if (piece !== this.#next || offset !== this.#filled || !this.#hash || bytes.length > this.#buffer.length - offset) return this.#again();
    this.#buffer.set(bytes, offset);
    this.#filled += bytes.length;
    if (this.#filled < this.#buffer.length) return undefined;
    this.#queue.push({ round, piece, bytes: this.#buffer, hash: this.#hash });
    this.#buffer = NO_BYTES;
    this.#next++;
    this.#filled = 0;
    this.#hash = '';
    void this.#store();
    return undefined;
  }

  /** @type {Transfer['end']} */
  end(reason, how) {
    if (this.finished) return;
    super.end(reason, how);
    this.#discard();
  }

  /** Removes what was received. */
  forget() {
    this.blob = null;
    this.#discard();
  }

  /** @param {Error} error */
  #refuse(error) {
    if (error instanceof SpaceError) this.free = error.free;
    this.end(error instanceof SpaceError ? 'space' : 'storage');
  }

  #discard() {
    this.#queue.length = 0;
    this.#buffer = NO_BYTES;
    this.#spare.length = 0;
    // What cannot be removed now goes with the next start.
    this.#sink?.discard().catch(() => {});
  }

  /** @param {{round: number, piece: number, hash: string}} announcement */
  #announce({ round, piece, hash }) {
    if (!this.#sink) return this.end('bad');
    if (round !== this.#round) return undefined;
    if (piece >= this.pieces || piece >= this.#stored + WINDOW) return this.end('bad');
    if (piece !== this.#next || this.#filled > 0) return this.#again();
    this.#hash = hash;
    // The first piece is the longest.
    const space = this.#buffer === NO_BYTES ? this.#spare.pop() ?? new ArrayBuffer(pieceLength(this.size, 0)) : this.#buffer.buffer;
    this.#buffer = new Uint8Array(space, 0, pieceLength(this.size, piece));
    return undefined;
  }

  /** Something came wrong. */
  #again() {
    if (++this.#tries > MAX_TRIES) return this.end('damaged');
    return this.want();
  }

  /** One piece after the other. */
  async #store() {
    if (this.#storing) return;
    this.#storing = true;
    try {
      for (let piece; !this.finished && (piece = this.#queue.shift());) await this.#storePiece(piece);
      if (!this.finished) await this.#complete();
    } catch {
      this.end('storage');
    } finally {
      this.#storing = false;
    }
  }

  /** @param {{round: number, piece: number, bytes: Uint8Array<ArrayBuffer>, hash: string}} piece */
  async #storePiece({ round, piece, bytes, hash }) {
    const actual = await sha256(bytes);
    // Asked for anew meanwhile, or it was on the way here already then.
    if (this.finished || round !== this.#round || piece !== this.#stored) return;
    if (toHex(actual) !== hash) {
      this.#again();
      return;
    }
    await /** @type {Sink} */ (this.#sink).write(piece * PIECE, bytes);
    this.#spare.push(bytes.buffer);
    if (this.finished) return;
    this.#hashes.set(actual, piece * HASH);
    this.#stored = piece + 1;
    this.#tries = 0;
    this.setMoved(this.#stored * PIECE);
    this.say({ type: 'got', pieces: this.#stored });
  }

  /** @param {{round: number, hash: string}} message */
  #takeEnd({ round, hash }) {
    if (!this.#sink) return this.end('bad');
    if (round !== this.#round) return undefined;
    if (this.#next < this.pieces) return this.#again();
    this.#endHash = hash;
    void this.#store();
    return undefined;
  }

  async #complete() {
    if (!this.#endHash || this.#stored < this.pieces) return;
    const expected = this.#endHash;
    this.#endHash = '';
    const actual = toHex(await sha256(this.#hashes));
    if (this.finished) return;
    if (actual !== expected) {
      this.end('damaged');
      return;
    }
    const blob = await /** @type {Sink} */ (this.#sink).finish();
    if (this.finished) return;
    this.blob = blob;
    this.say({ type: 'done' });
    this.setStatus('done');
  }
}
