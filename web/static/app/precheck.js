// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { text } from './i18n.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../check/quick.js').QuickResult} QuickResult */
/** @typedef {import('../check/quick.js').QuickOptions} QuickOptions */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {'good' | 'slow' | 'blocked' | 'unreachable'} Verdict */

/** How long the server may take to say which relay there is. */
const ANSWER_TIME = 8_000;
/** Where the browser does not tell when it is idle. */
const IDLE_TIME = 500;

/**
 * @typedef {object} PrecheckOptions
 * @property {(signal: AbortSignal) => Promise<QuickResult | null>} check null: it is not offered here; rejects where the server does not answer
 * @property {(run: () => void) => () => void} idle runs when the page has nothing else to do; returns the way to cancel that
 */

/**
 * Finds out, before the call and beside everything else, whether it is going to work. Whatever happens, nobody has to wait for it.
 * @extends {Emitter<{verdict: {verdict: Verdict}}>}
 */
export class Precheck extends Emitter {
  #options;
  #over = new AbortController();
  #cancel = () => {};

  /** @param {PrecheckOptions} options */
  constructor(options) {
    super();
    this.#options = options;
  }

  /** May be called once. */
  start() {
    this.#cancel = this.#options.idle(() => void this.#run());
  }

  /** Ends it, with all connections that it has made. */
  close() {
    this.#cancel();
    this.#over.abort();
  }

  async #run() {
    const { signal } = this.#over;
    const result = await this.#options.check(signal).catch(() => /** @type {const} */ ('unreachable'));
    if (result !== null && !signal.aborted) this.emit('verdict', { verdict: result === 'unreachable' ? result : judge(result) });
  }
}

/**
 * @param {Pick<QuickResult, 'udp' | 'relay'>} result
 * @returns {Verdict}
 */
export function judge({ udp, relay }) {
  if (udp) return 'good';
  return relay ? 'slow' : 'blocked';
}

/**
 * @param {Verdict} verdict
 * @returns {Text}
 */
export function verdictText(verdict) {
  switch (verdict) {
    case 'good': return text('lobby.checkGood');
    case 'slow': return text('lobby.checkSlow');
    case 'blocked': return text('lobby.checkBlocked');
    case 'unreachable': return text('lobby.checkUnreachable');
  }
}

/**
 * @typedef {object} CheckOptions
 * @property {typeof fetch} fetch
 * @property {() => Promise<{quickCheck: (options: QuickOptions) => Promise<QuickResult>}>} load the check itself, which the page needs for nothing else
 * @property {QuickOptions['createConnection']} createConnection
 * @property {Clock} clock
 * @property {string} [token] a join token, where there is one
 */

/**
 * Asks the server for a credential to check with, and checks. Rejects where the server does not answer.
 * @param {AbortSignal} signal
 * @param {CheckOptions} options
 * @returns {Promise<QuickResult | null>} null where the server offers no check: switched off, not for us, not again so soon
 */
export async function checkConnection(signal, { fetch: ask, load, createConnection, clock, token }) {
  const started = await askForCheck(signal, { ask, clock, token });
  if (!started) return null;
  try {
    if (signal.aborted) return null;
    const { quickCheck } = await load();
    return signal.aborted ? null : await quickCheck({ iceServers: started.iceServers, createConnection, clock, signal });
  } finally {
    // What the browser has given up before it was there, the server would keep until the time of the check is over. Without an answer it does; and one
    // that nobody reads is called off.
    void ask(`/api/v1/check/${encodeURIComponent(started.id)}`, { method: 'DELETE', keepalive: true }).then((answer) => answer.text()).catch(() => {});
  }
}

/**
 * @param {AbortSignal} signal
 * @param {{ask: typeof fetch, clock: Clock, token?: string}} options
 * @returns {Promise<{id: string, iceServers: RTCIceServer[]} | null>}
 */
async function askForCheck(signal, { ask, clock, token }) {
  const limit = new AbortController();
  const abort = () => limit.abort();
  signal.addEventListener('abort', abort);
  const cancel = clock.after(ANSWER_TIME, abort);
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const answer = await ask('/api/v1/check', { method: 'POST', headers, signal: limit.signal });
    if (answer.ok) {
      const { id, iceServers } = await answer.json();
      return iceServers ? { id: String(id), iceServers } : null;
    }
    // 503 is the server's own word that it has no relay, or no time; what else is above 499 comes from something before it.
    if (answer.status >= 500 && answer.status !== 503) throw new Error(`the check was answered with status ${answer.status}`);
    return null;
  } finally {
    cancel();
    signal.removeEventListener('abort', abort);
  }
}

/**
 * @param {() => void} run when the browser is idle, or nearly
 * @returns {() => void} cancels it
 */
export function whenIdle(run) {
  if (typeof requestIdleCallback === 'function') {
    const id = requestIdleCallback(run, { timeout: 4 * IDLE_TIME });
    return () => cancelIdleCallback(id);
  }
  const timer = setTimeout(run, IDLE_TIME);
  return () => clearTimeout(timer);
}
