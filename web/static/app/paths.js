// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {'direct' | 'relay-udp' | 'relay-tcp' | 'relay-tls' | 'unknown'} Path */
/** @typedef {{local: Path, remote: Path}} Ends how either end's side of a connection goes */
/** @typedef {Pick<Peer, 'connection' | 'send' | 'member'>} PathPeer */

/** @type {ReadonlySet<string>} */
const PATHS = new Set(['direct', 'relay-udp', 'relay-tcp', 'relay-tls']);

/**
 * How the media goes to each member. An end knows its own way to the relay only, so both tell each other over the data channel.
 * @extends {Emitter<{path: {id: string, path: Path}}>}
 */
export class Paths extends Emitter {
  /** A renewed connection starts as unknown. @type {WeakMap<RTCPeerConnection, Ends>} */
  #ends = new WeakMap();

  /**
   * Relayed if either end's side is.
   * @param {PathPeer} peer
   * @returns {Path}
   */
  of(peer) {
    const { local, remote } = this.#endsOf(peer);
    return local.startsWith('relay') || !remote.startsWith('relay') ? local : remote;
  }

  /**
   * Reads the selected candidate pair and tells the other end how this end's side of it goes.
   * @param {PathPeer} peer
   */
  async measure(peer) {
    const { connection } = peer;
    const path = selectedPath(await connection.getStats());
    const { local } = this.#endsOf(peer);
    if (connection !== peer.connection || path === local) return;
    if (peer.send({ type: 'path', path }) !== 'lost') this.#set(peer, { local: path });
  }

  /**
   * Takes a message of the other end.
   * @param {PathPeer} peer
   * @param {unknown} path
   */
  receive(peer, path) {
    if (PATHS.has(/** @type {string} */ (path))) this.#set(peer, { remote: /** @type {Path} */ (path) });
  }

  /**
   * @param {PathPeer} peer
   * @param {Partial<Ends>} known
   */
  #set(peer, known) {
    const before = this.of(peer);
    this.#ends.set(peer.connection, { ...this.#endsOf(peer), ...known });
    const path = this.of(peer);
    if (path !== before) this.emit('path', { id: peer.member.id, path });
  }

  /**
   * @param {PathPeer} peer
   * @returns {Ends}
   */
  #endsOf({ connection }) {
    return this.#ends.get(connection) ?? { local: 'unknown', remote: 'unknown' };
  }
}

/**
 * How this end's media goes, from the selected candidate pair.
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {Path}
 */
export function selectedPath(report) {
  const pair = selectedPair(report);
  const local = pair && report.get(pair.localCandidateId);
  const remote = pair && report.get(pair.remoteCandidateId);
  if (!local) return 'unknown';
  if (local.candidateType === 'relay') {
    const path = `relay-${local.relayProtocol ?? 'udp'}`;
    return PATHS.has(path) ? /** @type {Path} */ (path) : 'relay-udp';
  }
  // The other end's relayed address is reached over UDP; its own leg to the relay is only known there.
  return remote?.candidateType === 'relay' ? 'relay-udp' : 'direct';
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {any}
 */
function selectedPair(report) {
  let nominated = null;
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) return report.get(entry.selectedCandidatePairId);
    // Browsers that name no pair in "transport" mark it on the pair.
    if (entry.type === 'candidate-pair' && (entry.selected || (entry.nominated && entry.state === 'succeeded'))) nominated = entry;
  }
  return nominated;
}
