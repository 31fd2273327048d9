// @ts-check
import { Transfer } from './filetransfer.js';
import { HASH, HEADER, MAX_NAME, PIECE, WINDOW, pieceLength, sha256, toHex, writeFrame } from './filewire.js';

/** @typedef {import('./filetransfer.js').TransferOptions} TransferOptions */
/** @typedef {import('./filewire.js').Message} Message */
/** @typedef {Pick<File, 'name' | 'size' | 'slice'>} Source */
/**
 * Where frames go.
 * @typedef {object} Outlet
 * @property {() => number} frameSize bytes of the file in one frame
 * @property {(frame: Uint8Array<ArrayBuffer>, wanted: () => boolean) => Promise<boolean>} put sends when there is room;
 * false when the frame is not wanted any more by then, or there is no connection
 */

/** A file that we send. It is read piece by piece, when the receiver wants them. */
export class Sending extends Transfer {
  /** What is sent, until it is over. @type {Source | null} */
  #source;
  #round = 0;
  /** The receiver waits for pieces of the round. */
  #wanted = false;
  #next = 0;
  #stored = 0;
  /** One past the last piece that was ever sent. */
  #most = 0;
  /** The last round that went to its end; 0 for none. */
  #endRound = 0;
  #hashes = new Uint8Array(0);

  /** @param {Omit<TransferOptions, 'name' | 'size'> & {source: Source}} options */
  constructor({ source, ...options }) {
    super({ ...options, name: source.name, size: source.size });
    this.#source = source;
  }

  get outgoing() {
    return true;
  }

  /** For sending it again. */
  get source() {
    return this.#source;
  }

  /** There is something to send now. */
  get sendable() {
    if (!this.#wanted || this.finished) return false;
    return this.#next < this.pieces ? this.#next < this.#stored + WINDOW : this.#endRound !== this.#round;
  }

  /** Again after each lost connection, too: the answer says from which piece on. */
  offer() {
    this.#wanted = false;
    this.say({ type: 'offer', name: this.name.slice(0, MAX_NAME), size: this.size, paused: this.ownPause });
  }

  /** There is no connection. */
  interrupt() {
    this.#wanted = false;
    if (this.status === 'running') this.setStatus('waiting');
  }

  /** @param {Message} message of the receiver */
  receive(message) {
    switch (message.type) {
      case 'want': return this.#start(message.round, message.from);
      case 'got': return this.#acknowledge(message.pieces);
      case 'done': return this.#finish();
      case 'pause': return this.setOtherPause(message.paused);
      case 'cancel': return this.end(message.reason, { told: true, byOther: true });
      default: return undefined;
    }
  }

  pauseChanged() {
    // After a pause the receiver says again what it wants.
    if (this.paused) this.#wanted = false;
    super.pauseChanged();
  }

  /**
   * Sends the next piece, or the end.
   * @param {Outlet} outlet
   */
  async step(outlet) {
    const round = this.#round;
    const wanted = () => this.#wanted && this.#round === round && !this.finished;
    if (this.#next === this.pieces) {
      const hash = await sha256(this.#hashes);
      if (!wanted()) return;
      this.#endRound = round;
      this.say({ type: 'end', round, hash: toHex(hash) });
      return;
    }
    const piece = this.#next;
    const bytes = await this.#read(piece);
    if (!bytes || !wanted()) return;
    const hash = await sha256(bytes);
    if (!wanted()) return;
    this.#hashes.set(hash, piece * HASH);
    this.#most = Math.max(this.#most, piece + 1);
    this.say({ type: 'piece', round, piece, hash: toHex(hash) });
    const length = outlet.frameSize();
    // Sending copies what is sent.
    const space = new Uint8Array(HEADER + length);
    for (let offset = 0; offset < bytes.length; offset += length) {
      const frame = writeFrame({ id: this.id, round, piece, offset, bytes: bytes.subarray(offset, offset + length) }, space);
      if (await outlet.put(frame, wanted)) continue;
      // Without a connection nothing of this round is wanted any more.
      if (wanted()) this.interrupt();
      return;
    }
    if (wanted()) this.#next = piece + 1;
  }

  /** @param {number} piece */
  async #read(piece) {
    const from = piece * PIECE;
    const length = pieceLength(this.size, piece);
    try {
      const bytes = new Uint8Array(await /** @type {Source} */ (this.#source).slice(from, from + length).arrayBuffer());
      if (bytes.length === length) return bytes;
    } catch {
      // The browser says no more than that; the person is told below.
    }
    this.end('unreadable');
    return null;
  }

  /**
   * @param {number} round
   * @param {number} from
   */
  #start(round, from) {
    if (round <= this.#round || from > this.#most) return this.end('bad');
    if (this.#hashes.length === 0) this.#hashes = new Uint8Array(HASH * this.pieces);
    this.#round = round;
    this.#next = from;
    this.#stored = from;
    // Who wants pieces does not pause, whatever was told of it while there was no connection.
    this.otherPause = false;
    this.#wanted = !this.paused;
    this.setMoved(from * PIECE);
    if (this.#wanted) this.setStatus('running');
    return undefined;
  }

  /** @param {number} pieces */
  #acknowledge(pieces) {
    if (pieces > this.#most) return this.end('bad');
    this.#stored = Math.max(this.#stored, pieces);
    return this.setMoved(this.#stored * PIECE);
  }

  #finish() {
    if (this.#endRound === 0) return this.end('bad');
    this.setMoved(this.size);
    this.#source = null;
    return this.setStatus('done');
  }
}
