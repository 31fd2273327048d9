// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { certificatesAgree, codeOf, commitmentOf, describeEnd, fingerprintsOf, isNonce, makeNonce, otherAgrees, pairOf } from './safetycode.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {Pick<Peer, 'connection' | 'send' | 'member' | 'status'>} SafetyPeer */
/**
 * `waiting`: the other end has not done its part yet, and maybe never will; `failed`: what it did is wrong, or another certificate is used than was announced;
 * `insecure`: this page came over plain http, where browsers do no cryptography and anybody could have changed it.
 * @typedef {'waiting' | 'ready' | 'failed' | 'insecure'} Stage
 */
/**
 * @typedef {object} Safety
 * @property {Stage} stage
 * @property {readonly number[]} code indexes into SIGNS, empty until it is ready
 * @property {boolean} compared a person has found it to be the same at both ends
 * @property {boolean} replaced another one was compared before
 * @property {{own: string[], other: string[]}} fingerprints of the certificates
 */
/**
 * @typedef {object} Exchange about one pair of certificates
 * @property {RTCPeerConnection} connection that it goes on over
 * @property {string} pair
 * @property {{own: string[], other: string[]}} fingerprints
 * @property {string} nonce our own
 * @property {string} commit our own
 * @property {string} otherCommit '' until it has come
 * @property {string} otherNonce likewise
 * @property {'nothing' | 'commit' | 'nonce'} told how much of ours is on its way
 * @property {boolean} broken the other end does not keep to what it said
 * @property {boolean} agrees the certificates in use are those announced
 * @property {number[]} code
 */
/** @typedef {{exchange: Exchange | null, compared: boolean, replaced: boolean, work: Promise<void>, heard: {exchange: Exchange | null, messages: number}}} Entry */

/** Messages of a member that are looked at in one exchange, and before it; an honest one sends two. */
const MAX_MESSAGES = 16;
const NO_FINGERPRINTS = { own: [], other: [] };

/** What each connection announced first: it is what the handshake was checked with. @type {WeakMap<RTCPeerConnection, string>} */
const announced = new WeakMap();

/**
 * Keeps what the other end of a connection announces first. It has to be called before there can be a second description.
 * @param {RTCPeerConnection} connection
 */
export function noteAnnounced(connection) {
  const { sdp } = connection.pendingRemoteDescription ?? connection.currentRemoteDescription ?? connection.remoteDescription ?? {};
  if (sdp && !announced.has(connection)) announced.set(connection, describeEnd(fingerprintsOf(sdp)));
}

/**
 * Makes the safety codes of a room. Each end first sends a commitment, and its nonce only when it has the other's commitment: whoever is in the middle has to settle
 * for its own part before it can know what the codes will be, and so has one try per connection (docs/safety-code.md).
 * @extends {Emitter<{change: {id: string}, replaced: {member: Member}}>}
 */
export class SafetyCodes extends Emitter {
  #room;
  /** By member id. @type {Map<string, Entry>} */
  #entries = new Map();
  /** Whose negotiations are listened to. @type {WeakSet<RTCPeerConnection>} */
  #heard = new WeakSet();
  #over = new AbortController();
  #undo;
  #secure;

  /**
   * @param {Pick<Room, 'on'> & {peers: ReadonlyMap<string, SafetyPeer>}} room joined
   * @param {{secure?: boolean}} [how]
   */
  constructor(room, { secure = globalThis.crypto?.subtle !== undefined } = {}) {
    super();
    this.#room = room;
    this.#secure = secure;
    this.#undo = [
      room.on('member-joined', ({ peer }) => this.#add(peer)),
      room.on('member-left', ({ member }) => this.#entries.delete(member.id)),
      room.on('status', ({ peer }) => this.#refresh(peer)),
      room.on('data', ({ peer, data }) => data?.type === 'safety' && this.#receive(peer, data)),
    ];
    for (const peer of room.peers.values()) this.#add(peer);
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#over.abort();
  }

  /**
   * @param {string} id of a member
   * @returns {Safety}
   */
  of(id) {
    const entry = this.#entries.get(id);
    const exchange = entry?.exchange;
    const replaced = entry?.replaced ?? false;
    if (!this.#secure) return { stage: 'insecure', code: [], compared: false, replaced: false, fingerprints: NO_FINGERPRINTS };
    if (!exchange || exchange.connection !== this.#room.peers.get(id)?.connection) {
      return { stage: 'waiting', code: [], compared: false, replaced, fingerprints: NO_FINGERPRINTS };
    }
    const { code, fingerprints } = exchange;
    if (exchange.broken || !exchange.agrees) return { stage: 'failed', code: [], compared: false, replaced, fingerprints };
    if (code.length === 0) return { stage: 'waiting', code, compared: false, replaced, fingerprints };
    return { stage: 'ready', code, compared: entry.compared, replaced, fingerprints };
  }

  /**
   * Remembers, for as long as this connection keeps its certificates, that people have compared the code.
   * @param {string} id
   * @param {boolean} compared
   */
  setCompared(id, compared) {
    const entry = this.#entries.get(id);
    if (!entry || this.of(id).stage !== 'ready') return;
    entry.compared = compared;
    entry.replaced = false;
    this.emit('change', { id });
  }

  /** @param {SafetyPeer} peer */
  #add(peer) {
    this.#entries.set(peer.member.id, { exchange: null, compared: false, replaced: false, work: Promise.resolve(), heard: { exchange: null, messages: 0 } });
    this.#refresh(peer);
  }

  /** @param {SafetyPeer} peer */
  #refresh(peer) {
    this.#hear(peer);
    if (peer.status === 'connected') this.#run(peer, (entry) => this.#begin(peer, entry));
    else this.emit('change', { id: peer.member.id });
  }

  /**
   * @param {SafetyPeer} peer
   * @param {any} message
   */
  #receive(peer, message) {
    const known = this.#entries.get(peer.member.id);
    if (!known) return;
    if (known.heard.exchange !== known.exchange) known.heard = { exchange: known.exchange, messages: 0 };
    if (++known.heard.messages > MAX_MESSAGES) return;
    this.#run(peer, async (entry) => {
      await this.#begin(peer, entry);
      if (entry.exchange?.connection === peer.connection) await takeIn(entry.exchange, message);
    });
  }

  /**
   * Certificates may change with any negotiation.
   * @param {SafetyPeer} peer
   */
  #hear(peer) {
    const { connection } = peer;
    if (this.#heard.has(connection)) return;
    this.#heard.add(connection);
    noteAnnounced(connection);
    connection.addEventListener('signalingstatechange', () => {
      noteAnnounced(connection);
      if (connection.signalingState === 'stable' && connection === peer.connection) this.#refresh(peer);
    }, { signal: this.#over.signal });
  }

  /**
   * One step after the other for each member.
   * @param {SafetyPeer} peer
   * @param {(entry: Entry) => Promise<void>} step
   */
  #run(peer, step) {
    const { id } = peer.member;
    const entry = this.#entries.get(id);
    if (!entry || !this.#secure) return;
    entry.work = entry.work.then(async () => {
      if (this.#entries.get(id) !== entry) return;
      const before = JSON.stringify(this.of(id));
      await step(entry);
      await this.#advance(peer, entry);
      if (JSON.stringify(this.of(id)) !== before) this.emit('change', { id });
    }).catch((error) => console.warn('maitred: safety code', id, error));
  }

  /**
   * Finds out which certificates are in use; others than before need another code.
   * @param {SafetyPeer} peer
   * @param {Entry} entry
   */
  async #begin(peer, entry) {
    const { connection } = peer;
    const fingerprints = {
      own: fingerprintsOf((connection.currentLocalDescription ?? connection.localDescription)?.sdp ?? ''),
      other: fingerprintsOf((connection.currentRemoteDescription ?? connection.remoteDescription)?.sdp ?? ''),
    };
    if (fingerprints.own.length === 0 || fingerprints.other.length === 0) return;
    noteAnnounced(connection);
    const agrees = certificatesAgree(await connection.getStats(), fingerprints)
      && (await otherAgrees(connection, fingerprints.other) ?? announced.get(connection) === describeEnd(fingerprints.other));
    const ends = endsOf(fingerprints);
    const pair = await pairOf(ends);
    if (connection !== peer.connection) return;
    if (entry.exchange?.pair === pair) {
      Object.assign(entry.exchange, { connection, agrees });
      return;
    }
    const nonce = makeNonce();
    const commit = await commitmentOf(ends.own, ends.other, nonce);
    const replaced = entry.compared;
    entry.exchange = { connection, pair, fingerprints, nonce, commit, otherCommit: '', otherNonce: '', told: 'nothing', broken: false, agrees, code: [] };
    entry.compared = false;
    entry.replaced ||= replaced;
    if (replaced) this.emit('replaced', { member: peer.member });
  }

  /**
   * Says what is to be said next, and makes the code when both have said all.
   * @param {SafetyPeer} peer
   * @param {Entry} entry
   */
  async #advance(peer, { exchange }) {
    if (!exchange || exchange.broken || !exchange.agrees || exchange.connection !== peer.connection) return;
    const { pair, commit, nonce } = exchange;
    if (exchange.told === 'nothing' && peer.send({ type: 'safety', pair, commit }) !== 'lost') exchange.told = 'commit';
    if (exchange.told !== 'nonce' && exchange.otherCommit && peer.send({ type: 'safety', pair, commit, nonce }) !== 'lost') exchange.told = 'nonce';
    if (exchange.told === 'nonce' && exchange.otherNonce && exchange.code.length === 0) {
      exchange.code = await codeOf(endsOf(exchange.fingerprints), { own: nonce, other: exchange.otherNonce });
    }
  }
}

/** @param {{own: string[], other: string[]}} fingerprints */
function endsOf({ own, other }) {
  return { own: describeEnd(own), other: describeEnd(other) };
}

/**
 * The first commitment counts. Whoever has missed it gets it with the nonce, and that is as good: its own nonce has not been told yet.
 * @param {Exchange} exchange
 * @param {any} message
 */
async function takeIn(exchange, { pair, commit, nonce }) {
  if (pair !== exchange.pair || !isNonce(commit)) return;
  exchange.otherCommit ||= commit;
  if (commit !== exchange.otherCommit) exchange.broken = true;
  if (nonce === undefined || exchange.broken || exchange.otherNonce) return;
  const { own, other } = endsOf(exchange.fingerprints);
  if (!isNonce(nonce) || await commitmentOf(other, own, nonce) !== commit) exchange.broken = true;
  else exchange.otherNonce = nonce;
}
