// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Room} Room */

/** In milliseconds: for no answer does one wait longer to see the call. On a slow network it is built while the answers are under way. */
const PATIENCE = 100;

/** What the call listens to and cannot ask the room for afterwards. */
const HELD = /** @type {const} */ (['status', 'track', 'data', 'channel', 'signal', 'broadcast', 'server-message', 'relay', 'draining', 'error']);

/**
 * The first moments in a room. To build the call keeps the page busy for longer than to connect to the others, on whom their pictures wait: offers,
 * answers and candidates go first. What is heard meanwhile ends the waiting, unless it is part of connecting, and is told again to the call.
 */
export class Entrance {
  #room;
  #clock;
  #over = new AbortController();
  /** @type {(() => void)[]} */
  #undo;
  /** @type {(() => void)[]} */
  #held = [];
  #proceed = () => {};

  /**
   * @param {Pick<Room, 'on' | 'emit' | 'peers'>} room that was joined in this task
   * @param {Clock} clock
   */
  constructor(room, clock) {
    this.#room = room;
    this.#clock = clock;
    this.#undo = HELD.map((type) => room.on(type, (/** @type {any} */ detail) => {
      this.#held.push(() => room.emit(type, detail));
      if (type !== 'track' && type !== 'status') this.#proceed();
    }));
  }

  /** @returns {Promise<void>} when all who are here have answered */
  answered() {
    const { signal } = this.#over;
    const left = new Set([...this.#room.peers.values()].map(({ connection }) => connection));
    return new Promise((resolve) => {
      this.#proceed = resolve;
      if (left.size === 0) resolve();
      for (const connection of left) {
        connection.addEventListener('signalingstatechange', () => {
          if (connection.signalingState !== 'stable') return;
          left.delete(connection);
          // The connection is told of the answer, and what comes of it, first.
          if (left.size === 0) this.#undo.push(this.#clock.after(0, resolve));
        }, { signal });
      }
      this.#undo.push(this.#clock.after(PATIENCE, resolve));
    });
  }

  /** The call listens now. */
  finish() {
    this.#over.abort();
    for (const undo of this.#undo) undo();
    for (const tell of this.#held.splice(0)) tell();
  }
}
