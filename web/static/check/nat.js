// @ts-check
import { describe } from './gather.js';
import { Pair } from './pair.js';
import { iceServerOf } from './servers.js';
import { words } from './words.js';

/** @typedef {import('./gather.js').Found} Found */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {import('./words.js').Text} Text */
/** @typedef {'none' | 'same' | 'differs' | 'some' | 'blocked' | 'unknown'} NATKind `some`: there is one, of which no more can be told */
/** @typedef {{kind: NATKind, text: Text, uncertain: Text[]}} NAT */
/**
 * @typedef {object} NATEvidence
 * @property {boolean} tried a server was asked over UDP
 * @property {boolean} reached it answered
 * @property {boolean} elsewhere a server answered over TCP or TLS
 * @property {Found[]} candidates of all that was gathered, host and srflx among them
 * @property {{type: string, address: string, port: number} | null} seen what the own relayed address sees of this computer
 */
/**
 * @typedef {object} ProbeOptions
 * @property {Target[]} targets
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {import('../../sdk/maitred.js').Clock} clock
 * @property {AbortSignal} signal
 */

const PROBE_TIMEOUT = 5_000;

/**
 * Talks to one's own relayed address: it is another port than the server's, so the NAT may show another mapping to it.
 * @param {ProbeOptions} options `targets` over UDP; those that gave addresses
 * @returns {Promise<Pick<NATEvidence, 'candidates' | 'seen'>>} `seen` is null where that does not work or no relay is among them
 */
export async function probeNAT({ targets, createConnection, clock, signal }) {
  /** @type {Found[]} */
  const candidates = [];
  const relay = targets.find(({ kind }) => kind === 'turn');
  if (!relay || signal.aborted) return { candidates, seen: null };
  const begin = clock.now();
  const enough = new AbortController();
  const stop = () => enough.abort();
  signal.addEventListener('abort', stop);
  const pair = new Pair({
    createConnection, clock, signal: enough.signal, timeout: PROBE_TIMEOUT, channels: { nat: {} },
    configurations: [{ iceServers: targets.map(iceServerOf) }, { iceServers: [iceServerOf(relay)], iceTransportPolicy: 'relay' }],
    tells(candidate, end) {
      const found = describe(candidate, clock.now() - begin);
      if (end === 0) candidates.push(found);
      // The relay must expect this computer, but only as the server knows it: everything else would hide the NAT.
      return end === 1 ? found.type === 'relay' : found.type === 'srflx';
    },
  });
  const [here] = pair.connections;
  here.addEventListener('icegatheringstatechange', () => {
    // Nothing is mapped: there is no NAT to look at, and nothing that the relay could expect.
    if (here.iceGatheringState === 'complete' && !candidates.some(({ type }) => type === 'srflx')) stop();
  });
  try {
    if (await pair.connect() !== 'open') return { candidates, seen: null };
    return { candidates, seen: await localEnd(here) };
  } finally {
    signal.removeEventListener('abort', stop);
    pair.close();
  }
}

/** @param {RTCPeerConnection} connection */
async function localEnd(connection) {
  /** @type {any[]} */
  const stats = [...(await connection.getStats()).values()];
  const transport = stats.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  const selected = stats.find(({ id, type, state, nominated }) => type === 'candidate-pair'
    && (transport ? id === transport.selectedCandidatePairId : nominated && state === 'succeeded'));
  const local = stats.find(({ id }) => selected && id === selected.localCandidateId);
  return local ? { type: local.candidateType, address: local.address ?? local.ip ?? '', port: local.port ?? 0 } : null;
}

/**
 * What the evidence says, and what it leaves open. One server is one address: how a NAT treats others nobody can see from here.
 * @param {NATEvidence} evidence
 * @returns {NAT}
 */
export function judgeNAT({ tried, reached, elsewhere, candidates, seen }) {
  if (!tried) return { kind: 'unknown', text: words('check.natUntried'), uncertain: [] };
  if (!reached && elsewhere) return { kind: 'blocked', text: words('check.natBlocked'), uncertain: [words('check.natBlockedUncertain')] };
  if (!reached) return { kind: 'unknown', text: words('check.natUnreached'), uncertain: [] };
  const hosts = candidates.filter(({ type, protocol }) => type === 'host' && protocol === 'udp');
  const mapped = candidates.filter(({ type, protocol }) => type === 'srflx' && protocol === 'udp');
  if (hosts.length === 0 && mapped.length === 0) return { kind: 'unknown', text: words('check.natUntold'), uncertain: [] };
  const outside = [...new Set(mapped.map(({ address }) => address))].join(', ');
  if (mapped.length === 0 || mapped.every(({ address }) => hosts.some((host) => host.address === address))) {
    const hidden = mapped.length === 0 && hosts.some(({ address }) => address.endsWith('.local'));
    return { kind: 'none', text: words('check.natNone'), uncertain: hidden ? [words('check.natHidden')] : [] };
  }
  const known = seen && mapped.some(({ address, port }) => address === seen.address && port === seen.port);
  if (severalMappings(mapped) || (seen?.type === 'prflx' && !known)) {
    return { kind: 'differs', text: words('check.natDiffers', { outside }), uncertain: [words('check.natDiffersUncertain')] };
  }
  if (seen && (known || seen.type === 'srflx')) {
    return { kind: 'same', text: words('check.natSame', { outside }), uncertain: [words('check.natSameUncertain'), words('check.natFilter')] };
  }
  return { kind: 'some', text: words('check.natSome', { outside }), uncertain: [words('check.natSomeUncertain'), words('check.natFilter')] };
}

/**
 * Whether one local port looks different to different servers.
 * @param {Found[]} mapped
 */
function severalMappings(mapped) {
  /** @type {Map<string, Set<string>>} */
  const byBase = new Map();
  for (const { address, port, relatedAddress, relatedPort } of mapped) {
    // Without the local port one cannot tell one port's two faces from two ports.
    if (relatedPort === 0) continue;
    const base = `${address.includes(':') ? 6 : 4} ${relatedAddress} ${relatedPort}`;
    byBase.set(base, (byBase.get(base) ?? new Set()).add(`${address} ${port}`));
  }
  return [...byBase.values()].some((faces) => faces.size > 1);
}
