// @ts-check
import { text } from './i18n.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').StateChange} StateChange */
/** @typedef {import('./i18n.js').Text} Text */

/** An upgrade that takes longer than this gets words; a phone that wakes up may need a second or two. */
const SLOW = 4_000;
/** One failure may be a server that restarts; the second is worth a question. */
const FAILURES_BEFORE_PROBE = 2;

/**
 * @typedef {object} ReachOptions
 * @property {() => Promise<boolean>} probe whether the server answers plain HTTP
 * @property {Clock} clock
 * @property {(words: Text | null) => void} say
 */

/** Says why a join takes long: the server asks to wait, it does not answer, or only its WebSocket does not come through. */
export class Reach {
  #options;
  #state = 'connecting';
  #opened = false;
  #failures = 0;
  #blocked = false;
  #probing = false;
  #closed = false;
  #cancelSlow;

  /** @param {ReachOptions} options */
  constructor(options) {
    this.#options = options;
    this.#cancelSlow = options.clock.after(SLOW, () => this.#slow());
  }

  close() {
    this.#closed = true;
    this.#cancelSlow();
  }

  /**
   * Takes what the room says of its connection.
   * @param {StateChange} change
   */
  changed({ state, cause, delay, opened }) {
    this.#state = state;
    this.#opened = opened;
    if (delay > 0) this.#failures++;
    if (state !== 'connecting' || opened) {
      this.#cancelSlow();
      this.#blocked = false;
    }
    if (!this.#blocked) this.#options.say(waitingWords(cause?.code, delay));
    if (this.#failures >= FAILURES_BEFORE_PROBE) void this.#probe();
  }

  #slow() {
    if (this.#opened || this.#failures > 0) return;
    this.#options.say(text('join.slow'));
    void this.#probe();
  }

  async #probe() {
    const { probe, say } = this.#options;
    if (this.#probing || this.#blocked || this.#opened) return;
    this.#probing = true;
    const answers = await probe().catch(() => false);
    this.#probing = false;
    if (!answers || this.#closed || this.#opened || this.#state !== 'connecting') return;
    this.#blocked = true;
    say(text('join.blocked'));
  }
}

/**
 * @param {string | undefined} code
 * @param {number} delay
 */
function waitingWords(code, delay) {
  if (delay === 0) return null;
  const seconds = Math.max(1, Math.round(delay / 1000));
  switch (code) {
    case 'rate_limited': return text('join.busy', { seconds });
    case 'too_many_rooms': return text('join.noRoom', { seconds });
    case 'server_draining':
    case 'going_away': return text('join.restarting', { seconds });
    default: return text('join.retrying', { seconds });
  }
}
