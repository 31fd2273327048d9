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
 * @property {() => boolean} online the browser's guess: what is known counts more
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
    if (!this.#blocked) this.#options.say(waitingWords(cause?.code, delay, this.#options.online()));
    if (this.#failures >= FAILURES_BEFORE_PROBE) void this.#probe();
  }

  #slow() {
    if (this.#opened || this.#failures > 0) return;
    this.#options.say(text(this.#options.online() ? 'join.slow' : 'join.offline'));
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
 * @param {boolean} online
 */
function waitingWords(code, delay, online) {
  if (delay === 0) return null;
  const seconds = Math.max(1, Math.round(delay / 1000));
  switch (code) {
    case 'rate_limited': return text('join.busy', { seconds });
    case 'too_many_rooms': return text('join.noRoom', { seconds });
    case 'server_draining':
    case 'going_away': return text('join.restarting', { seconds });
    default: return online ? text('join.retrying', { seconds }) : text('join.offline');
  }
}

/**
 * @typedef {object} OutageOptions
 * @property {() => Promise<boolean>} probe whether the server answers plain HTTP
 * @property {() => boolean} online the browser's guess: what is known counts more
 * @property {EventTarget} network tells `online` and `offline`
 * @property {(words: Text | null) => void} say null: all is well; the same words are not said twice
 */

/** Says what is the matter when a call has lost the server: a restart, the own network, or something that lets only plain HTTP through. */
export class Outage {
  #options;
  #lost = false;
  #restarting = false;
  #blocked = false;
  #failures = 0;
  #probing = false;
  #said = '';
  #ended = new AbortController();

  /** @param {OutageOptions} options */
  constructor(options) {
    this.#options = options;
    const { signal } = this.#ended;
    options.network.addEventListener('online', () => this.#tell(), { signal });
    options.network.addEventListener('offline', () => void this.#wentOffline(), { signal });
  }

  close() {
    this.#ended.abort();
  }

  /** The server has announced a restart. */
  drain() {
    this.#restarting = true;
    this.#say(text('call.draining'));
  }

  /**
   * Takes what the room says of its connection.
   * @param {Pick<StateChange, 'state' | 'cause' | 'delay'>} change
   */
  changed({ state, cause, delay }) {
    this.#lost = state === 'reconnecting';
    if (!this.#lost) {
      this.#restarting = this.#blocked = false;
      this.#failures = 0;
      this.#say(state === 'waiting' ? text('join.waiting') : null);
      return;
    }
    if (cause?.code === 'going_away' || cause?.code === 'server_draining') this.#restarting = true;
    if (delay > 0) this.#failures++;
    this.#tell();
    // The first is the connection that there was.
    if (this.#failures > FAILURES_BEFORE_PROBE) void this.#probe();
  }

  #tell() {
    if (this.#lost) this.#say(text(this.#words()));
    else if (this.#said === 'call.offline') this.#say(this.#restarting ? text('call.draining') : null);
  }

  /** @returns {import('./i18n.js').Key} */
  #words() {
    if (this.#blocked) return 'call.blocked';
    if (this.#restarting) return 'call.restarting';
    return this.#options.online() ? 'call.reconnecting' : 'call.offline';
  }

  /** Long before the connection is known to be dead; but a call in a network of its own goes on. */
  async #wentOffline() {
    if (this.#lost) return this.#tell();
    const answers = await this.#answers();
    if (!answers && !this.#lost && !this.#options.online() && !this.#ended.signal.aborted) this.#say(text('call.offline'));
  }

  #answers() {
    return this.#options.probe().catch(() => false);
  }

  /** @param {Text | null} words */
  #say(words) {
    const key = words?.key ?? '';
    if (key === this.#said) return;
    this.#said = key;
    this.#options.say(words);
  }

  async #probe() {
    if (this.#probing || this.#blocked) return;
    this.#probing = true;
    const failures = this.#failures;
    const answers = await this.#answers();
    this.#probing = false;
    // A connection that came and went meanwhile is another story.
    if (!answers || !this.#lost || this.#failures < failures || this.#ended.signal.aborted) return;
    this.#blocked = true;
    this.#tell();
  }
}

/** Whether the server answers at all, WebSocket or not. */
export async function serverAnswers() {
  const answer = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(5_000) });
  return answer.ok;
}
