// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('../../sdk/maitred.js').RoomEvents} RoomEvents */

/** In milliseconds: for no answer does one wait longer to see the call. On a slow network it is built while the answers are under way. */
const PATIENCE = 100;

/** What the call listens to and cannot ask the room for afterwards. */
const HELD = /** @type {const} */ (['status', 'track', 'data', 'channel', 'signal', 'broadcast', 'server-message', 'relay', 'draining', 'error']);
/** What can wait for a picture. A channel cannot: what comes over it next is for whoever listens by then. */
const PATIENT = new Set(['status', 'track', 'data']);
/** And so much of it: more would be somebody who floods. */
const MOST_HELD = 256;

/** What pictures wait for goes on meanwhile, too. */
const CONNECTING = new Set(['status', 'track']);

/**
 * The first moments in a room. To build the call keeps the page busy for longer than to connect to the others, on whom their pictures wait. What is heard
 * meanwhile is held back until all of the call listens, so that each part of it hears everything, in order.
 */
export class Entrance {
  #room;
  #clock;
  #over = new AbortController();
  /** @type {(() => void)[]} */
  #undo;
  /** @type {{type: keyof RoomEvents, detail: any}[]} */
  #held = [];
  #hurry = () => {};
  /** Resolves when something is heard that cannot wait. @type {Promise<void>} */
  urgent = new Promise((resolve) => {
    this.#hurry = resolve;
  });

  /**
   * @param {Pick<Room, 'addEventListener' | 'removeEventListener' | 'emit' | 'peers'>} room that was joined in this task: nobody listens yet
   * @param {Clock} clock
   */
  constructor(room, clock) {
    this.#room = room;
    this.#clock = clock;
    this.#undo = HELD.map((type) => {
      const hold = (/** @type {any} */ event) => {
        if (!CONNECTING.has(type)) event.stopImmediatePropagation();
        this.#held.push({ type, detail: event.detail });
        if (!PATIENT.has(type) || this.#held.length >= MOST_HELD) this.#hurry();
      };
      room.addEventListener(type, hold);
      return () => room.removeEventListener(type, hold);
    });
  }

  /** What has arrived so far. @returns {RoomEvents['track'][]} */
  get tracks() {
    return this.#held.filter(({ type }) => type === 'track').map(({ detail }) => detail);
  }

  /** @returns {Promise<void>} when all who are here have answered, it takes too long, or something is urgent */
  answered() {
    const { signal } = this.#over;
    const left = new Set([...this.#room.peers.values()].map(({ connection }) => connection));
    return new Promise((resolve) => {
      void this.urgent.then(resolve);
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

  /** All of the call listens now. */
  finish() {
    this.#over.abort();
    for (const undo of this.#undo) undo();
    for (const { type, detail } of this.#held.splice(0)) {
      // Of somebody who has gone, or has come anew, meanwhile.
      const over = CONNECTING.has(type) && this.#room.peers.get(detail.peer.member.id) !== detail.peer;
      if (!over) this.#room.emit(type, detail);
    }
  }
}
