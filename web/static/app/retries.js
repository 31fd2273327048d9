// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */

/** Milliseconds without a connection. By then a browser has usually found all candidates that there are. */
const FIRST_LOOK = 5_000;
/** By then a connection that can be made usually stands. */
const LONG = 15_000;
/** Then everything is tried from the beginning: a relay may have room again, a network may have been mended. */
const ANEW = 60_000;

/**
 * Looks after connections that do not come about, for as long as it takes: what the SDK gives up as `failed`, and what browsers leave
 * waiting without end because one side has not a single candidate.
 *
 * `trouble`: it takes too long to say nothing, or it cannot work as it is.
 * @extends {Emitter<{trouble: {peer: Peer}}>}
 */
export class Retries extends Emitter {
  #room;
  #clock;
  /** By member, how to stop waiting. @type {Map<string, () => void>} */
  #waiting = new Map();
  /** @type {(() => void)[]} */
  #undo;

  /** @param {{room: Pick<Room, 'on' | 'peers' | 'restart' | 'state'>, clock: Clock}} options */
  constructor({ room, clock }) {
    super();
    this.#room = room;
    this.#clock = clock;
    this.#undo = [
      room.on('member-joined', ({ peer }) => this.#see(peer)),
      room.on('status', ({ peer }) => this.#see(peer)),
      room.on('member-left', ({ member }) => this.#forget(member.id)),
    ];
    for (const peer of room.peers.values()) this.#see(peer);
  }

  close() {
    for (const undo of this.#undo) undo();
    for (const id of [...this.#waiting.keys()]) this.#forget(id);
  }

  /** @param {Peer} peer */
  #see(peer) {
    const { id } = peer.member;
    if (peer.status === 'connected') this.#forget(id);
    else if (!this.#waiting.has(id)) this.#begin(peer);
  }

  /** @param {string} id */
  #forget(id) {
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }

  /** @param {Peer} peer */
  #begin(peer) {
    this.#wait(peer, FIRST_LOOK, () => {
      if (hasNothing(peer)) this.emit('trouble', { peer });
      this.#wait(peer, LONG - FIRST_LOOK, () => {
        this.emit('trouble', { peer });
        this.#wait(peer, ANEW - LONG, () => this.#tryAnew(peer));
      });
    });
  }

  /**
   * @param {Peer} peer
   * @param {number} ms
   * @param {() => void} run
   */
  #wait({ member }, ms, run) {
    this.#waiting.set(member.id, this.#clock.after(ms, run));
  }

  /** @param {Peer} peer */
  #tryAnew(peer) {
    // Whoever has lost the server restarts everything when it is back.
    if (this.#room.state === 'joined') void this.#room.restart(peer.member);
    this.#begin(peer);
  }
}

/** Whether the browser has looked for every way and found none. @param {Peer} peer */
function hasNothing({ connection, candidateTypes }) {
  return connection.iceGatheringState === 'complete' && candidateTypes.size === 0;
}
