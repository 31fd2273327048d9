// @ts-check
import { Jitter, megabits, percentile } from './measure.js';
import { Pair } from './pair.js';
import { iceServerOf } from './servers.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {'waiting' | 'connecting' | 'pinging' | 'sending' | 'measured' | 'failed' | 'late' | 'stopped'} LoopState */
/**
 * @typedef {object} Loop what went from one connection of this page through the relay to the other and back
 * @property {LoopState} state
 * @property {number} connected ms until it stood
 * @property {{at: number, ms: number}[]} pings round trips, `at` in ms after the first
 * @property {{at: number, mbps: number}[]} rates throughput as time went on
 * @property {number} p50 of the round trip in ms; NaN of none
 * @property {number} p99
 * @property {number} jitter in ms, of one way
 * @property {number} loss share of what was sent and did not arrive, both ways
 * @property {number} sent pings
 * @property {number} mbps mean throughput in Mbit/s
 * @property {number} bytes that arrived for it
 * @property {string} problem of the browser, in its words
 */
/**
 * @typedef {object} LoopOptions
 * @property {Target} target
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {Clock} clock with fractions of a millisecond, if possible
 * @property {AbortSignal} signal
 * @property {(loop: Loop) => void} report called at every change
 */

/** As often as sound is sent, and as large. */
const PING_EVERY = 20;
const PING_SIZE = 160;
const PINGS = 120;
/** A ping that takes longer is lost. */
const PING_LIMIT = 1_500;

export const SEND_TIME = 3_000;
/** At most this much per transport, for those who pay by the byte. */
export const SEND_LIMIT = 25_000_000;
const CHUNK = 16 * 1024;
const QUEUE_HIGH = 512 * 1024;
const QUEUE_LOW = 128 * 1024;
const RATE_EVERY = 200;

const CHANNELS = { ping: { ordered: false, maxRetransmits: 0 }, bulk: { ordered: true } };

/** @returns {Loop} */
export function newLoop() {
  return { state: 'waiting', connected: 0, pings: [], rates: [], p50: NaN, p99: NaN, jitter: 0, loss: 0, sent: 0, mbps: 0, bytes: 0, problem: '' };
}

/**
 * Connects two ends through the relay and through nothing else, and measures between them.
 * @param {LoopOptions} options
 * @returns {Promise<Loop>}
 */
export async function measureLoop({ target, createConnection, clock, signal, report }) {
  const loop = newLoop();
  /** @param {LoopState} state */
  const become = (state) => {
    loop.state = state;
    report(loop);
  };
  become('connecting');
  /** @type {Pair | null} */
  let pair = null;
  const begin = clock.now();
  try {
    /** @type {RTCConfiguration} */
    const configuration = { iceServers: [iceServerOf(target)], iceTransportPolicy: 'relay' };
    pair = new Pair({ createConnection, configurations: [configuration, configuration], channels: CHANNELS, clock, signal });
    const state = await pair.connect();
    loop.connected = clock.now() - begin;
    loop.problem = pair.problem;
    if (state === 'open') await measure(pair, { loop, become, clock, signal });
    become(state !== 'open' ? state : signal.aborted ? 'stopped' : 'measured');
  } catch (error) {
    loop.problem = String(error);
    become(signal.aborted ? 'stopped' : 'failed');
  } finally {
    pair?.close();
  }
  return loop;
}

/** @typedef {{loop: Loop, become: (state: LoopState) => void, clock: Clock, signal: AbortSignal}} Measuring */

/**
 * @param {Pair} pair
 * @param {Measuring} measuring
 */
async function measure({ channels: [near, far] }, measuring) {
  measuring.become('pinging');
  await ping(near.ping, far.ping, measuring);
  if (measuring.signal.aborted) return;
  measuring.become('sending');
  await send(near.bulk, far.bulk, measuring);
}

/**
 * @param {RTCDataChannel} near
 * @param {RTCDataChannel} far
 * @param {Measuring} measuring
 */
function ping(near, far, { loop, become, clock, signal }) {
  const begin = clock.now();
  const jitter = new Jitter();
  let arrived = 0;
  /** @type {Set<number>} */
  const back = new Set();
  const count = () => {
    const sent = loop.sent + arrived;
    loop.loss = sent > 0 ? 1 - (arrived + back.size) / sent : 0;
    loop.jitter = jitter.value;
    const times = loop.pings.map(({ ms }) => ms);
    loop.p50 = percentile(times, 0.5);
    loop.p99 = percentile(times, 0.99);
  };
  far.onmessage = ({ data }) => {
    arrived++;
    jitter.add(clock.now() - new DataView(data).getFloat64(4));
    if (far.readyState === 'open') far.send(data);
  };
  return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
    let cancel = () => {};
    const tidy = () => {
      cancel();
      near.onmessage = far.onmessage = near.onclose = null;
      signal.removeEventListener('abort', end);
      count();
    };
    const end = () => {
      tidy();
      resolve();
    };
    signal.addEventListener('abort', end);
    near.onclose = () => {
      tidy();
      reject(new Error('closed'));
    };
    near.onmessage = ({ data }) => {
      const view = new DataView(data);
      const now = clock.now();
      const ms = now - view.getFloat64(4);
      if (ms > PING_LIMIT) return;
      back.add(view.getUint32(0));
      loop.pings.push({ at: now - begin, ms });
      if (loop.sent === PINGS && back.size === PINGS) end();
      else become('pinging');
    };
    const tick = () => {
      if (loop.sent >= PINGS || clock.now() - begin > PINGS * PING_EVERY * 2) {
        cancel = clock.after(PING_LIMIT, end);
        return;
      }
      cancel = clock.after(PING_EVERY, tick);
      near.send(pingOf(loop.sent++, clock.now()));
      count();
    };
    tick();
  }));
}

/**
 * @param {number} number
 * @param {number} at
 */
function pingOf(number, at) {
  const view = new DataView(new ArrayBuffer(PING_SIZE));
  view.setUint32(0, number);
  view.setFloat64(4, at);
  return view.buffer;
}

/**
 * Sends as much as goes through, never more at once than the channel's queue takes.
 * @param {RTCDataChannel} near
 * @param {RTCDataChannel} far
 * @param {Measuring} measuring
 */
function send(near, far, { loop, become, clock, signal }) {
  const chunk = new ArrayBuffer(CHUNK);
  const begin = clock.now();
  let queued = 0;
  let rated = { at: begin, bytes: 0 };
  const rate = () => {
    const now = clock.now();
    if (now > rated.at) loop.rates.push({ at: now - begin, mbps: megabits(loop.bytes - rated.bytes, now - rated.at) });
    rated = { at: now, bytes: loop.bytes };
    loop.mbps = megabits(loop.bytes, now - begin);
  };
  return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
    let cancelRate = () => {};
    const tidy = () => {
      cancelTime();
      cancelRate();
      near.onbufferedamountlow = near.onclose = far.onmessage = null;
      signal.removeEventListener('abort', end);
      rate();
    };
    const end = () => {
      tidy();
      resolve();
    };
    const cancelTime = clock.after(SEND_TIME, end);
    signal.addEventListener('abort', end);
    near.onclose = () => {
      tidy();
      reject(new Error('closed'));
    };
    const tick = () => {
      rate();
      become('sending');
      cancelRate = clock.after(RATE_EVERY, tick);
    };
    cancelRate = clock.after(RATE_EVERY, tick);
    far.onmessage = ({ data }) => {
      loop.bytes += data.byteLength;
      if (loop.bytes >= SEND_LIMIT) end();
    };
    const fill = () => {
      while (near.bufferedAmount < QUEUE_HIGH && queued < SEND_LIMIT) {
        near.send(chunk);
        queued += CHUNK;
      }
    };
    near.bufferedAmountLowThreshold = QUEUE_LOW;
    near.onbufferedamountlow = fill;
    fill();
  }));
}
