// @ts-check
import { iceServerOf } from './servers.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('./servers.js').Target} Target */
/**
 * @typedef {object} Found a candidate
 * @property {number} ms after the start
 * @property {string} type `host`, `srflx`, `prflx` or `relay`
 * @property {string} protocol
 * @property {string} address
 * @property {number} port
 * @property {string} relatedAddress '' where the browser does not tell
 * @property {number} relatedPort
 * @property {string} relayProtocol
 * @property {number} priority
 * @property {string} foundation
 * @property {string} url of the server that it is from, '' for host candidates
 */
/** @typedef {{ms: number, code: number, text: string, url: string, count: number}} IceError `text` is the browser's or the server's, `ms` of the first of `count` */
/**
 * @typedef {'running' | 'answered' | 'refused' | 'unreachable' | 'silent' | 'nothing' | 'invalid' | 'unsupported' | 'stopped'} Outcome
 * `silent`: no answer in time; `nothing`: the browser ended without a word; `unreachable`: it says why.
 */
/**
 * @typedef {object} Gathering
 * @property {Outcome} outcome
 * @property {Found[]} candidates
 * @property {IceError[]} errors
 * @property {number} ms until the first candidate that was wanted, or the end
 */
/**
 * @typedef {object} GatherOptions
 * @property {Target} target
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {Clock} clock
 * @property {AbortSignal} signal
 * @property {(gathering: Gathering) => void} report called at every change
 */

/** In ms. Browsers ask a dead UDP server for up to 40 s before they say so: longer than people look at a page. */
export const GATHER_TIMEOUT = 10_000;
/** In ms after the first answer: another network interface may have one, too. */
const MORE_TIME = 1_500;
const MAX_CANDIDATES = 64;
const MAX_ERRORS = 16;

/** @returns {Gathering} */
export function newGathering() {
  return { outcome: 'running', candidates: [], errors: [], ms: 0 };
}

/**
 * Gathers from one server alone; from a relay, relayed addresses only.
 * @param {GatherOptions} options
 * @returns {Promise<Gathering>}
 */
export async function gather({ target, createConnection, clock, signal, report }) {
  const gathering = newGathering();
  /** @param {Outcome} outcome */
  const finish = (outcome) => {
    gathering.outcome = outcome;
    if (outcome !== 'answered' || gathering.ms === 0) gathering.ms = clock.now() - begin;
    report(gathering);
    return gathering;
  };
  const begin = clock.now();
  // No browser speaks it to a TURN server, and not all say so.
  if (target.transport === 'dtls') return finish('unsupported');
  /** @type {RTCPeerConnection} */
  let connection;
  try {
    connection = createConnection({ iceServers: [iceServerOf(target)], iceTransportPolicy: target.kind === 'turn' ? 'relay' : 'all' });
  } catch (error) {
    gathering.errors.push({ ms: 0, code: 0, text: String(error), url: target.url, count: 1 });
    return finish('invalid');
  }
  const ended = watch(connection, { target, clock, signal, gathering, begin, report });
  try {
    connection.createDataChannel('check');
    await connection.setLocalDescription();
    return finish(await ended);
  } catch (error) {
    gathering.errors.push({ ms: clock.now() - begin, code: 0, text: String(error), url: target.url, count: 1 });
    return finish('invalid');
  } finally {
    connection.close();
  }
}

/**
 * @param {RTCPeerConnection} connection
 * @param {{target: Target, clock: Clock, signal: AbortSignal, gathering: Gathering, begin: number, report: (gathering: Gathering) => void}} how
 * @returns {Promise<Outcome>}
 */
function watch(connection, { target, clock, signal, gathering, begin, report }) {
  return new Promise((resolve) => {
    const has = () => gathering.candidates.some(({ type }) => type === wanted(target));
    let cancelMore = () => {};
    /** @param {boolean} late */
    const end = (late) => {
      cancelTimeout();
      cancelMore();
      signal.removeEventListener('abort', stop);
      resolve(signal.aborted ? 'stopped' : outcomeOf(target, gathering, late));
    };
    const stop = () => end(false);
    const cancelTimeout = clock.after(GATHER_TIMEOUT, () => end(true));
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    connection.addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate?.candidate || gathering.candidates.length >= MAX_CANDIDATES) return;
      const first = !has();
      gathering.candidates.push(describe(candidate, clock.now() - begin));
      if (first && has()) {
        gathering.ms = clock.now() - begin;
        cancelMore = clock.after(MORE_TIME, () => end(false));
      }
      report(gathering);
    });
    connection.addEventListener('icecandidateerror', (event) => {
      noteError(gathering.errors, event, clock.now() - begin);
      report(gathering);
    });
    connection.addEventListener('icegatheringstatechange', () => {
      if (connection.iceGatheringState === 'complete') end(false);
    });
  });
}

/** @param {Target} target */
function wanted(target) {
  return target.kind === 'turn' ? 'relay' : 'srflx';
}

/**
 * @param {Target} target
 * @param {Gathering} gathering
 * @param {boolean} late
 * @returns {Outcome}
 */
function outcomeOf(target, { candidates, errors }, late) {
  if (candidates.some(({ type }) => type === wanted(target))) return 'answered';
  if (errors.some(({ code }) => code >= 300 && code < 700)) return 'refused';
  if (errors.length > 0) return 'unreachable';
  if (late) return 'silent';
  // Browsers leave out a mapped address that is the computer's own.
  return target.kind === 'stun' && candidates.length > 0 ? 'answered' : 'nothing';
}

/**
 * @param {IceError[]} errors
 * @param {RTCPeerConnectionIceErrorEvent} event
 * @param {number} ms
 */
function noteError(errors, { errorCode: code, errorText, url }, ms) {
  const text = errorText ?? '';
  const known = errors.find((it) => it.code === code && it.text === text);
  if (known) known.count++;
  else if (errors.length < MAX_ERRORS) errors.push({ ms, code, text, url: url ?? '', count: 1 });
}

/**
 * The parts of a candidate, from its line where the browser has no attribute for it (RFC 8839 section 5.1).
 * @param {RTCIceCandidate} candidate
 * @param {number} ms
 * @returns {Found}
 */
export function describe(candidate, ms) {
  const parts = candidate.candidate.replace(/^candidate:/, '').split(' ');
  /** @param {string} name */
  const after = (name) => parts[parts.indexOf(name) + 1 || parts.length] ?? '';
  const more = /** @type {{relayProtocol?: string | null, url?: string | null}} */ (candidate);
  return {
    ms, type: candidate.type ?? after('typ'), protocol: (candidate.protocol ?? parts[2] ?? '').toLowerCase(), address: candidate.address ?? parts[4] ?? '',
    port: candidate.port ?? (Number(parts[5]) || 0), relatedAddress: candidate.relatedAddress ?? after('raddr'),
    relatedPort: candidate.relatedPort ?? (Number(after('rport')) || 0), relayProtocol: more.relayProtocol ?? '',
    priority: candidate.priority ?? (Number(parts[3]) || 0), foundation: candidate.foundation ?? parts[0] ?? '', url: more.url ?? '',
  };
}
