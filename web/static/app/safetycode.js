// @ts-check
import { sha256, toHex } from './filewire.js';

/** @typedef {{own: string, other: string}} Ends the certificates of both ends of a connection, each as `describeEnd` writes it */

/** How many signs a code has; each is 6 bits. */
export const SIGNS_IN_CODE = 6;
/** Of a nonce, in bytes. */
const NONCE = 32;
const PREFIX = 'maitred safety code 1';

/**
 * The certificates that a session description announces (RFC 8122, section 5), each once, in a form that is the same at both ends.
 * @param {string} sdp
 * @returns {string[]} such as `sha-256 0A:1B:…`, sorted
 */
export function fingerprintsOf(sdp) {
  const lines = [...sdp.matchAll(/^a=fingerprint:[ \t]*([\w-]+)[ \t]+((?:[0-9a-f]{2}:)*[0-9a-f]{2})[ \t\r]*$/gim)];
  return [...new Set(lines.map(([, algorithm, value]) => writeFingerprint(algorithm, value)))].sort();
}

/**
 * @param {string} algorithm
 * @param {string} value
 */
function writeFingerprint(algorithm, value) {
  return `${algorithm.toLowerCase()} ${value.toUpperCase()}`;
}

/** @param {string[]} fingerprints of `fingerprintsOf` */
export function describeEnd(fingerprints) {
  return fingerprints.join(' ');
}

/**
 * Whether the certificates that a connection really uses are those that the descriptions announce. Browsers that do not tell are believed.
 * @param {RTCStatsReport | Map<string, any>} report
 * @param {{own: string[], other: string[]}} announced
 */
export function certificatesAgree(report, { own, other }) {
  for (const entry of report.values()) {
    if (entry.type !== 'transport') continue;
    for (const [id, known] of /** @type {[string | undefined, string[]][]} */ ([[entry.localCertificateId, own], [entry.remoteCertificateId, other]])) {
      const certificate = id === undefined ? undefined : report.get(id);
      if (certificate?.fingerprint && !known.includes(writeFingerprint(certificate.fingerprintAlgorithm, certificate.fingerprint))) return false;
    }
  }
  return true;
}

/**
 * Whether the other end has shown a certificate in the DTLS handshake that its description announces. Firefox takes other fingerprints in a later
 * description without another handshake, so that the description in use proves nothing.
 * @param {RTCPeerConnection} connection
 * @param {readonly string[]} announced of `fingerprintsOf`
 * @returns {Promise<boolean | null>} null where the browser does not tell
 */
export async function otherAgrees(connection, announced) {
  const transports = new Set([connection.sctp?.transport, ...(connection.getReceivers?.() ?? []).map(({ transport }) => transport)]);
  const shown = [...transports].map((transport) => transport?.getRemoteCertificates?.()[0]).filter((certificate) => certificate !== undefined);
  if (shown.length === 0) return null;
  for (const certificate of shown) {
    const value = toHex(await sha256(new Uint8Array(certificate))).replace(/..(?!$)/g, '$&:');
    if (!announced.includes(writeFingerprint('sha-256', value))) return false;
  }
  return true;
}

export function makeNonce() {
  return toHex(crypto.getRandomValues(new Uint8Array(NONCE)));
}

/** @param {unknown} value */
export function isNonce(value) {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/**
 * Names the pair of certificates, so that what was said of another connection is not mistaken for this one's.
 * @param {Ends} ends
 */
export async function pairOf({ own, other }) {
  return toHex((await hash(['pair', ...[own, other].sort()])).subarray(0, 8));
}

/**
 * What binds an end to its nonce before it knows the other's. It cannot be sent back: the order says whose it is.
 * @param {string} from who commits, as `describeEnd` writes it
 * @param {string} to
 * @param {string} nonce
 */
export async function commitmentOf(from, to, nonce) {
  return toHex(await hash(['commitment', from, to, nonce]));
}

/**
 * The code, the same at both ends.
 * @param {Ends} ends
 * @param {{own: string, other: string}} nonces
 * @returns {Promise<number[]>} indexes into SIGNS
 */
export async function codeOf(ends, nonces) {
  const sides = [[ends.own, nonces.own], [ends.other, nonces.other]].sort(([a], [b]) => (a < b ? -1 : 1));
  const bytes = await hash(['code', ...sides.flat()]);
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return Array.from({ length: SIGNS_IN_CODE }, (_, index) => parseInt(bits.slice(index * 6, index * 6 + 6), 2));
}

/** @param {string[]} lines */
function hash([what, ...lines]) {
  return sha256(new TextEncoder().encode([`${PREFIX} ${what}`, ...lines].join('\n')));
}
