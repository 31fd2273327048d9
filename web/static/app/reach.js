// @ts-check
import { text } from './i18n.js';

/** @typedef {import('../sdk/maitred.js').Cause} Cause */
/** @typedef {import('../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../sdk/maitred.js').Signaling} Signaling */
/** @typedef {import('../sdk/maitred.js').SignalingState} SignalingState */
/** @typedef {import('./i18n.js').Text} Text */

/** An upgrade that takes longer than this gets words; a phone that wakes up may need a second or two. */
const SLOW = 4_000;
/** One failure may be a server that restarts; the second is worth a question. */
const FAILURES_BEFORE_PROBE = 2;

/**
 * @typedef {object} ReachOptions
 * @property {Pick<Signaling, 'opened' | 'on' | 'state'>} signaling
 * @property {() => Promise<boolean>} probe whether the server answers plain HTTP
 * @property {Clock} clock
 * @property {(words: Text | null) => void} say
 */

/** Says why a join takes long: the server asks to wait, it does not answer, or only its WebSocket does not come through. */
export class Reach {
  #options;
  #failures = 0;
  #blocked = false;
  #probing = false;
  #closed = false;
  #cancelSlow;
  #unsubscribe;

  /** @param {ReachOptions} options */
  constructor(options) {
    this.#options = options;
    this.#unsubscribe = options.signaling.on('state', ({ state, cause, delay }) => this.#changed(state, cause, delay));
    this.#cancelSlow = options.clock.after(SLOW, () => this.#slow());
  }

  close() {
    this.#closed = true;
    this.#cancelSlow();
    this.#unsubscribe();
  }

  /**
   * @param {SignalingState} state
   * @param {Cause | null} cause
   * @param {number} delay
   */
  #changed(state, cause, delay) {
    if (delay > 0) this.#failures++;
    if (state !== 'connecting' || this.#options.signaling.opened) {
      this.#cancelSlow();
      this.#blocked = false;
    }
    if (!this.#blocked) this.#options.say(waitingWords(state, cause, delay));
    if (this.#failures >= FAILURES_BEFORE_PROBE) void this.#probe();
  }

  #slow() {
    if (this.#options.signaling.opened || this.#failures > 0) return;
    this.#options.say(text('join.slow'));
    void this.#probe();
  }

  async #probe() {
    const { signaling, probe, say } = this.#options;
    if (this.#probing || this.#blocked || signaling.opened) return;
    this.#probing = true;
    const answers = await probe().catch(() => false);
    this.#probing = false;
    if (!answers || this.#closed || signaling.opened || signaling.state !== 'connecting') return;
    this.#blocked = true;
    say(text('join.blocked'));
  }
}

/**
 * @param {SignalingState} state
 * @param {Cause | null} cause
 * @param {number} delay
 */
function waitingWords(state, cause, delay) {
  if (state === 'waiting') return text('join.waiting');
  if (delay === 0) return null;
  const seconds = Math.max(1, Math.round(delay / 1000));
  switch (cause?.code) {
    case 'rate_limited': return text('join.busy', { seconds });
    case 'too_many_rooms': return text('join.noRoom', { seconds });
    case 'server_draining':
    case 'going_away': return text('join.restarting', { seconds });
    default: return text('join.retrying', { seconds });
  }
}
