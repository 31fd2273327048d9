// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/**
 * @typedef {object} WakeOptions
 * @property {Pick<Room, 'reconnect' | 'restart' | 'peers'>} room
 * @property {Clock} clock
 * @property {EventTarget & {visibilityState: string}} page the document
 * @property {Pick<WakeLock, 'request'>} [lock] absent where the browser has none
 */

const TICK = 5_000;
/** A clock that has jumped so far has stood still: the computer slept. */
const ASLEEP = 15_000;
/** Browsers run the timers of a hidden page once a minute. */
const ASLEEP_HIDDEN = 90_000;
/** No page needs to be told twice that the network may be gone. */
const RECONNECT_PAUSE = 8_000;
/** Connections need a moment until they know that nothing comes any more. */
const LOOKS_AFTER = [3_000, 8_000, 15_000];

/**
 * Keeps the screen on, and notices that the computer or the page has slept: the connection to the server and those to the others may be dead
 * then without knowing it. What the browser tells itself, another network, the room hears alone.
 */
export class Wake {
  #options;
  #last;
  #hiddenSince = 0;
  /** The longest of them while the page was hidden. */
  #hiddenGap = 0;
  #reconnected = -Infinity;
  #cancelTick = () => {};
  #cancelLook = () => {};
  /** @type {WakeLockSentinel | null} */
  #sentinel = null;
  #closed = false;
  #changed = () => this.#visibilityChanged();

  /** @param {WakeOptions} options */
  constructor(options) {
    this.#options = options;
    this.#last = options.clock.now();
    options.page.addEventListener('visibilitychange', this.#changed);
    if (this.#visible) void this.#keepOn();
    else this.#hiddenSince = this.#last;
    this.#tick();
  }

  close() {
    this.#closed = true;
    this.#cancelTick();
    this.#cancelLook();
    this.#options.page.removeEventListener('visibilitychange', this.#changed);
    this.#release();
  }

  get #visible() {
    return this.#options.page.visibilityState === 'visible';
  }

  #tick() {
    this.#cancelTick = this.#options.clock.after(TICK, () => {
      const gap = this.#gap();
      if (!this.#visible) this.#hiddenGap = Math.max(this.#hiddenGap, gap);
      if (gap > (this.#visible ? ASLEEP : ASLEEP_HIDDEN)) this.#recover();
      this.#tick();
    });
  }

  /** How long the clock has stood still, in milliseconds. */
  #gap() {
    const now = this.#options.clock.now();
    const gap = now - this.#last - TICK;
    this.#last = now;
    return gap;
  }

  #visibilityChanged() {
    const now = this.#options.clock.now();
    if (!this.#visible) {
      this.#hiddenSince = now;
      this.#hiddenGap = 0;
      return;
    }
    void this.#keepOn();
    // Late timers alone mean little in a hidden page; it may have been frozen all the same.
    const gap = Math.max(this.#gap(), this.#hiddenGap);
    if (gap > ASLEEP && now - this.#hiddenSince > ASLEEP) this.#recover();
  }

  #recover() {
    const { clock, room } = this.#options;
    if (clock.now() - this.#reconnected < RECONNECT_PAUSE) return;
    this.#reconnected = clock.now();
    room.reconnect();
    this.#lookAfterPeers(0);
  }

  /** @param {number} times that it was done already */
  #lookAfterPeers(times) {
    const { clock, room } = this.#options;
    this.#cancelLook();
    if (times === LOOKS_AFTER.length) return;
    this.#cancelLook = clock.after(LOOKS_AFTER[times], () => {
      for (const [id, { status, connection }] of room.peers) {
        const broken = status === 'failed' || connection.connectionState === 'disconnected' || connection.connectionState === 'failed';
        // As if a person had asked: what was tried while asleep does not count.
        if (broken) void room.restart(id, { manual: true, patient: true });
      }
      this.#lookAfterPeers(times + 1);
    });
  }

  async #keepOn() {
    const { lock } = this.#options;
    if (!lock || (this.#sentinel && !this.#sentinel.released)) return;
    try {
      this.#sentinel = await lock.request('screen');
    } catch {
      // Browsers refuse when the battery is low, and the screen goes dark as it always does.
    }
    if (this.#closed) this.#release();
  }

  #release() {
    this.#sentinel?.release().catch(() => {}); // the browser has released it by itself
    this.#sentinel = null;
  }
}
