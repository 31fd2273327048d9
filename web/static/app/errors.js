// @ts-check
import { text } from './i18n.js';

/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {{code: string, message?: string}} Cause as of the SDK; its errors, too */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {'both' | 'audio' | 'video'} Devices what was asked for when it failed */

/**
 * Every error code of the protocol and every way in which a connection ends. `retry`: trying again may help. `network`: the network may be the cause.
 * @type {Record<string, {key: Key, retry: boolean, network?: boolean}>}
 */
export const CAUSES = {
  bad_message: { key: 'error.bad_message', retry: true },
  room_full: { key: 'error.room_full', retry: true },
  room_locked: { key: 'error.room_locked', retry: true },
  wrong_password: { key: 'error.wrong_password', retry: false },
  unauthorized: { key: 'error.unauthorized', retry: false },
  no_such_member: { key: 'error.no_such_member', retry: false },
  rate_limited: { key: 'error.rate_limited', retry: true },
  too_many_rooms: { key: 'error.too_many_rooms', retry: true },
  not_allowed: { key: 'error.not_allowed', retry: false },
  denied: { key: 'error.denied', retry: true },
  server_draining: { key: 'error.server_draining', retry: true },
  kicked: { key: 'error.kicked', retry: false },
  replaced: { key: 'error.replaced', retry: true },
  too_slow: { key: 'error.too_slow', retry: true, network: true },
  too_big: { key: 'error.too_big', retry: true },
  going_away: { key: 'error.going_away', retry: true },
  connection_lost: { key: 'error.connection_lost', retry: true, network: true },
  bad_room: { key: 'error.bad_room', retry: false },
  unsupported: { key: 'error.unsupported', retry: false },
};

/**
 * @param {Cause | null} cause
 * @returns {{text: Text, retry: boolean, network: boolean}}
 */
export function explainCause(cause) {
  const known = cause && Object.hasOwn(CAUSES, cause.code) ? CAUSES[cause.code] : null;
  if (!cause || !known) return { text: text('error.unknown'), retry: true, network: false };
  const { key, retry, network = false } = known;
  const words = cause.code === 'kicked' && cause.message ? text('error.kickedBecause', { reason: cause.message }) : text(key);
  return { text: words, retry, network };
}

/** @type {Record<string, Record<Devices, Key>>} */
const DEVICE_KEYS = {
  denied: { both: 'device.denied', audio: 'device.deniedMicrophone', video: 'device.deniedCamera' },
  missing: { both: 'device.missing', audio: 'device.missingMicrophone', video: 'device.missingCamera' },
  busy: { both: 'device.busy', audio: 'device.busyMicrophone', video: 'device.busyCamera' },
};

/**
 * Why getUserMedia gave nothing, and what to do.
 * @param {{name: string, message?: string}} error
 * @param {Devices} devices
 * @returns {Text}
 */
export function explainDevice(error, devices) {
  switch (error.name) {
    case 'InsecureContextError': return text('device.insecure');
    case 'UnsupportedError': return text('device.unsupported');
    case 'NotAllowedError':
    case 'SecurityError':
      return /system/i.test(error.message ?? '') ? text('device.deniedSystem') : text(DEVICE_KEYS.denied[devices]);
    case 'NotFoundError': return text(DEVICE_KEYS.missing[devices]);
    case 'NotReadableError':
    case 'AbortError': return text(DEVICE_KEYS.busy[devices]);
    case 'OverconstrainedError': return text('device.constraints');
    case 'DeviceLostError': return text(devices === 'audio' ? 'device.lostMicrophone' : 'device.lostCamera');
    default: return text('device.other', { name: error.name });
  }
}

/**
 * Why getDisplayMedia gave nothing; null when the person closed the picker, which needs no words.
 * @param {{name: string, message?: string}} error
 * @returns {Text | null}
 */
export function explainScreen(error) {
  if (error.name === 'NotAllowedError') return /system/i.test(error.message ?? '') ? text('device.screenDenied') : null;
  if (error.name === 'UnsupportedError') return text('device.screenUnsupported');
  return text('device.screenFailed', { name: error.name });
}

/** What the relay answered instead of an address, the most telling first. @type {Map<number, Key>} */
const RELAY_REFUSALS = new Map([
  [486, 'tile.failedQuota'], [508, 'tile.failedNoRoom'], [403, 'tile.failedForbidden'], [401, 'tile.failedRefused'], [441, 'tile.failedRefused'],
]);
/** 440: there is no relay for IPv6, or IPv4, where the other one does. 701: no answer at all. */
const NO_REFUSALS = new Set([440, 701]);

/**
 * @param {ReadonlySet<number>} codes STUN error codes
 * @returns {Text | null} null where the relay has refused nothing
 */
function explainRefusal(codes) {
  for (const [code, key] of RELAY_REFUSALS) if (codes.has(code)) return text(key);
  const code = [...codes].find((it) => !NO_REFUSALS.has(it));
  return code === undefined ? null : text('tile.failedCode', { code });
}

/**
 * @typedef {object} Circumstances
 * @property {string} name of the member
 * @property {boolean} relayOnly everything goes through the relay already
 * @property {boolean} before there was a connection, which broke
 * @property {boolean} online as far as is known
 * @property {boolean} relayOffered the server has named a relay
 */

/**
 * Why there is no connection to a member, as far as this end can tell.
 * @param {Pick<Peer, 'iceErrors' | 'candidateTypes' | 'unanswered'>} peer
 * @param {Circumstances} circumstances
 * @returns {Text}
 */
export function explainPeer({ iceErrors, candidateTypes, unanswered }, { name, relayOnly, before, online, relayOffered }) {
  const relayed = candidateTypes.has('relay');
  const refusal = relayed ? null : explainRefusal(iceErrors);
  if (refusal) return refusal;
  if (!online) return text('tile.failedOffline');
  if (unanswered) return text('tile.failedUnanswered', { name });
  if (!relayOffered) return text(relayOnly ? 'tile.failedRelayOnly' : 'tile.failedNoRelay');
  if (!relayed && (relayOnly || iceErrors.size > 0)) return text('tile.failedRelay');
  if (before) return text('tile.failedLost', { name });
  return text(relayOnly ? 'tile.failedThroughRelay' : 'tile.failedGeneral');
}
