// @ts-check

/** @typedef {import('./quick.js').Transport} Transport */
/** @typedef {{transport: Transport, port: number}} Listener */
/** @typedef {{id: string, iceServers: RTCIceServer[], ttl: number, listeners: Listener[]}} Started `ttl` in seconds */
/** @typedef {{packets: number, bytes: number}} Relayed */
/**
 * @typedef {object} Heard what the server knows of one of its ports
 * @property {Transport} transport
 * @property {number} port
 * @property {boolean} heard
 * @property {number} first_ms
 * @property {{method: string, code: number, count: number}[]} requests code 0: granted
 * @property {number} allocations
 * @property {{up: Relayed, down: Relayed, short_circuit: Relayed}} relayed
 */
/** @typedef {{at_ms: number, transport: Transport, client: string, method: string, code: number}} HeardEvent */
/** @typedef {{client: string, age_ms: number, transports: Heard[], events: HeardEvent[]}} ServerSide */
/** @typedef {'unauthorized' | 'disabled' | 'busy' | 'no_turn' | 'unreachable' | 'unexpected'} ProblemCode */

/** Why a check of the own server did not start. */
export class StartError extends Error {
  /**
   * @param {ProblemCode} code
   * @param {number} [status] of HTTP, 0 without an answer
   * @param {number} [seconds] until it may be tried again, 0 where the server did not say
   */
  constructor(code, status = 0, seconds = 0) {
    super(code);
    this.code = code;
    this.status = status;
    this.seconds = seconds;
  }
}

/** @type {Record<number, ProblemCode>} */
const CODES = { 401: 'unauthorized', 403: 'unauthorized', 404: 'disabled', 429: 'busy', 503: 'no_turn' };

/** The server's part in a check of itself. */
export class CheckAPI {
  #fetch;
  #token;

  /**
   * @param {typeof fetch} fetch
   * @param {string} token a join token, '' for none
   */
  constructor(fetch, token) {
    this.#fetch = fetch;
    this.#token = token;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Started>}
   */
  async start(signal) {
    const answer = await this.#ask('/api/v1/check', { method: 'POST', signal });
    if (!answer.ok) throw new StartError(CODES[answer.status] ?? 'unexpected', answer.status, Number(answer.headers.get('Retry-After')) || 0);
    const body = await answer.json().catch(() => null);
    if (typeof body?.id !== 'string' || !Array.isArray(body.iceServers)) throw new StartError('unexpected', answer.status);
    return { id: body.id, iceServers: body.iceServers, ttl: Number(body.ttl) || 0, listeners: Array.isArray(body.listeners) ? body.listeners : [] };
  }

  /**
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {Promise<ServerSide>}
   */
  async side(id, signal) {
    const answer = await this.#ask(`/api/v1/check/${encodeURIComponent(id)}`, { signal });
    if (!answer.ok) throw new StartError('unexpected', answer.status);
    const body = await answer.json().catch(() => null);
    if (!Array.isArray(body?.transports)) throw new StartError('unexpected', answer.status);
    return { client: String(body.client ?? ''), age_ms: Number(body.age_ms) || 0, transports: body.transports, events: Array.isArray(body.events) ? body.events : [] };
  }

  /**
   * Ends a check. What the browser has given up the server would keep until its time is over.
   * @param {string} id
   */
  async end(id) {
    const answer = await this.#ask(`/api/v1/check/${encodeURIComponent(id)}`, { method: 'DELETE', keepalive: true });
    await answer.text(); // one that nobody reads is called off
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async #ask(path, init) {
    /** @type {Record<string, string>} */
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    try {
      return await this.#fetch(path, { ...init, headers, cache: 'no-store' });
    } catch {
      throw new StartError('unreachable');
    }
  }
}
