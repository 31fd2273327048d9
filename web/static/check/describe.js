// @ts-check
import { TRANSPORT_NAMES, rounded, words } from './words.js';
import { GATHER_TIMEOUT } from './gather.js';

/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./gather.js').Gathering} Gathering */
/** @typedef {import('./loop.js').Loop} Loop */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {import('./words.js').Text} Text */
/** @typedef {'good' | 'bad' | 'working' | 'info'} Tone */

/**
 * "TURN over TCP", the name of a path.
 * @param {Target} target
 * @returns {Text}
 */
export function pathTitle({ kind, transport }) {
  return words(kind === 'turn' ? 'check.pathRelay' : 'check.pathMapped', { transport: TRANSPORT_NAMES[transport] });
}

/**
 * One or two words on how it stands.
 * @param {Path} path
 * @param {boolean} over nothing more will be tested
 * @returns {{tone: Tone, text: Text}}
 */
export function pathState({ target, gathering: { outcome }, loop }, over) {
  if (outcome === 'running') return { tone: 'working', text: words('check.stateGathering') };
  if (outcome === 'stopped' || loop?.state === 'stopped') return { tone: 'info', text: words('check.stateStopped') };
  if (outcome === 'unsupported') return { tone: 'info', text: words('check.stateUnsupported') };
  if (outcome !== 'answered') return { tone: 'bad', text: words(outcome === 'refused' ? 'check.stateRefused' : 'check.stateFailed') };
  if (target.kind === 'stun') return { tone: 'good', text: words('check.stateWorks') };
  switch (loop?.state) {
    case undefined: return over ? { tone: 'info', text: words('check.stateStopped') } : { tone: 'working', text: words('check.stateQueued') };
    case 'measured': return { tone: 'good', text: words('check.stateWorks') };
    case 'failed':
    case 'late': return { tone: 'bad', text: words('check.stateNoLoop') };
    default: return { tone: 'working', text: words('check.stateMeasuring') };
  }
}

/**
 * What gathering told, in a sentence.
 * @param {Target} target
 * @param {Gathering} gathering
 * @returns {Text | null}
 */
export function gatheringWords({ kind, transport, host }, { outcome, candidates, ms }) {
  switch (outcome) {
    case 'answered': {
      const found = candidates.find(({ type }) => type === (kind === 'turn' ? 'relay' : 'srflx'));
      if (!found) return words('check.gotNothingNew');
      return words(kind === 'turn' ? 'check.gotRelay' : 'check.gotMapped', { ms: rounded(ms), address: addressOf(found.address, found.port) });
    }
    case 'silent': return words('check.gotSilent', { seconds: GATHER_TIMEOUT / 1000 });
    case 'nothing': return words(transport === 'tls' && /^[\d.]+$|:/.test(host) ? 'check.gotNothingTLS' : 'check.gotNothing');
    case 'invalid': return words('check.gotInvalid');
    case 'unsupported': return words('check.gotUnsupported');
    default: return null;
  }
}

/**
 * @param {Loop} loop
 * @returns {Text | null}
 */
export function loopWords({ state, connected, p50, p99, jitter, loss, mbps }) {
  switch (state) {
    case 'late': return words('check.loopLate', { seconds: rounded(connected / 1000) });
    case 'failed': return words('check.loopFailed');
    case 'measured': return words('check.loopMeasured', {
      p50: rounded(p50), p99: rounded(p99), half: rounded(p50 / 2), jitter: rounded(jitter), loss: rounded(loss * 100), mbps: rounded(mbps),
    });
    case 'connecting': return words('check.loopConnecting');
    case 'pinging': return words('check.loopPinging');
    case 'sending': return words('check.loopSending');
    default: return null;
  }
}

/**
 * @param {string} address
 * @param {number} port
 */
export function addressOf(address, port) {
  if (!address) return '';
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
