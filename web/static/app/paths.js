// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { systemClock } from './clock.js';
import { text } from './i18n.js';
import { selectedPair } from './stats.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').MemberRelay} MemberRelay */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').RelayAllocation} RelayAllocation */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {'direct' | 'relay-udp' | 'relay-tcp' | 'relay-tls' | 'unknown'} Path */
/** @typedef {Pick<Peer, 'connection' | 'send' | 'member'>} PathPeer */
/** @typedef {'confirmed' | 'elsewhere' | 'unknown'} Proof what our server says of a relayed way: it does that; it knows nothing of it, so another server does; nothing yet */
/**
 * @typedef {object} Way how one end's side of a connection goes
 * @property {Path} path
 * @property {string} server host and port of the relay, '' where the end does not know, and for the other end
 * @property {string} relayed address at the relay, '' where it is not known
 */
/** @typedef {Way & {own: boolean, proof: Proof}} Leg a relayed way, of oneself or of the other end */
/** @typedef {{path: Path, legs: Leg[], proof: Proof}} Route all that is known; `proof` is that of the leg that is known least well */
/**
 * @typedef {object} Ends
 * @property {Way} own
 * @property {string} remote address that we send to
 * @property {boolean} remoteIsRelay as far as this end can see
 * @property {Path} told what the other end says of its side
 * @property {number} since when all this has been so
 */

/** @type {ReadonlySet<string>} */
const PATHS = new Set(['direct', 'relay-udp', 'relay-tcp', 'relay-tls']);
/** @type {Way} */
const NOWHERE = { path: 'unknown', server: '', relayed: '' };
/** @type {Ends} */
const NOTHING = { own: NOWHERE, remote: '', remoteIsRelay: false, told: 'unknown', since: 0 };
const MEASURE_INTERVAL = 2_000;
/** How often the server is asked while nothing changes, and at most, in milliseconds. */
const ASK_INTERVAL = 10_000;
const ASK_PAUSE = 1_500;

/** @param {Path} path */
function isRelayed(path) {
  return path.startsWith('relay');
}

/**
 * How the media goes to each member. An end knows its own way to the relay only, so both tell each other over the data channel; the server
 * tells for which members its relay works, so that nobody needs to be believed.
 * @extends {Emitter<{path: {id: string, path: Path}, change: {id: string}}>}
 */
export class Paths extends Emitter {
  #clock;
  /** A renewed connection starts as unknown. @type {WeakMap<RTCPeerConnection, Ends>} */
  #ends = new WeakMap();
  /** By member id. @type {Map<string, RelayAllocation[]>} */
  #allocations = new Map();
  /** When the server was asked for them. */
  #attested = -Infinity;

  /** @param {Pick<Clock, 'now'>} [clock] */
  constructor(clock = systemClock) {
    super();
    this.#clock = clock;
  }

  /**
   * Relayed if either end's side is.
   * @param {PathPeer} peer
   * @returns {Path}
   */
  of(peer) {
    const ends = this.#endsOf(peer);
    return isRelayed(ends.own.path) ? ends.own.path : otherPath(ends) ?? ends.own.path;
  }

  /**
   * @param {PathPeer} peer
   * @param {string} self our own member id
   * @returns {Route}
   */
  routeOf(peer, self) {
    const ends = this.#endsOf(peer);
    const { own, remote, since } = ends;
    const other = otherPath(ends);
    /** @type {(way: Way, own: boolean, id: string) => Leg} */
    const leg = (way, isOwn, id) => ({ ...way, own: isOwn, proof: this.#attested < 0 ? 'unknown' : prove(way, this.#allocations.get(id), this.#attested >= since) });
    const legs = [
      ...(isRelayed(own.path) ? [leg(own, true, self)] : []),
      ...(other ? [leg({ path: other, server: '', relayed: remote }, false, peer.member.id)] : []),
    ];
    const proofs = legs.map(({ proof }) => proof);
    const proof = /** @type {const} */ (['elsewhere', 'unknown']).find((it) => proofs.includes(it)) ?? (legs.length > 0 ? 'confirmed' : 'unknown');
    return { path: this.of(peer), legs, proof };
  }

  /**
   * Reads the selected candidate pair and tells the other end how this end's side of it goes.
   * @param {PathPeer} peer
   */
  async measure(peer) {
    const { connection } = peer;
    const way = readWay(await connection.getStats());
    const known = this.#endsOf(peer);
    if (connection !== peer.connection) return;
    const { path } = way.own;
    if (path !== known.own.path && peer.send({ type: 'path', path }) === 'lost') return;
    this.#set(peer, way);
  }

  /**
   * Takes a message of the other end.
   * @param {PathPeer} peer
   * @param {unknown} path
   */
  receive(peer, path) {
    if (PATHS.has(/** @type {string} */ (path))) this.#set(peer, { told: /** @type {Path} */ (path) });
  }

  /**
   * Takes the server's report.
   * @param {MemberRelay[]} members
   * @param {number} asked when
   */
  attest(members, asked) {
    this.#allocations = new Map(members.map(({ member, allocations }) => [member, allocations]));
    this.#attested = asked;
  }

  /**
   * @param {PathPeer} peer
   * @param {Partial<Ends>} news
   */
  #set(peer, news) {
    const before = this.of(peer);
    const known = this.#endsOf(peer);
    const ends = { ...known, ...news };
    if (JSON.stringify(ends) === JSON.stringify(known)) return;
    this.#ends.set(peer.connection, { ...ends, since: this.#clock.now() });
    const path = this.of(peer);
    if (path !== before) this.emit('path', { id: peer.member.id, path });
    this.emit('change', { id: peer.member.id });
  }

  /**
   * @param {PathPeer} peer
   * @returns {Ends}
   */
  #endsOf({ connection }) {
    return this.#ends.get(connection) ?? NOTHING;
  }
}

/**
 * What the server's report says of a relayed way.
 * @param {Way} way
 * @param {RelayAllocation[] | undefined} allocations of the member whose way it is
 * @param {boolean} current the report is not older than the way
 * @returns {Proof}
 */
function prove({ path, relayed }, allocations, current) {
  if (!allocations) return 'unknown';
  if (allocations.some((it) => it.relayed === relayed)) return 'confirmed';
  if (!current) return 'unknown';
  // Without an address the transport has to do, if anything goes that way at all.
  if (!relayed && allocations.some(({ transport, bytes }) => `relay-${transport}` === path && bytes > 0)) return 'confirmed';
  return relayed || allocations.length === 0 ? 'elsewhere' : 'unknown';
}

/**
 * The other end's way to its relay. Where it says nothing, it is reached over UDP.
 * @param {Ends} ends
 * @returns {Path | null} null where there is none
 */
function otherPath({ told, remoteIsRelay }) {
  if (isRelayed(told)) return told;
  return remoteIsRelay ? 'relay-udp' : null;
}

/**
 * How media goes as far as this end can see, from the selected candidate pair.
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {Path}
 */
export function selectedPath(report) {
  const { own, remoteIsRelay } = readWay(report);
  return remoteIsRelay && !isRelayed(own.path) ? 'relay-udp' : own.path;
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {Pick<Ends, 'own' | 'remote' | 'remoteIsRelay'>}
 */
function readWay(report) {
  const pair = selectedPair(report);
  const local = pair && report.get(pair.localCandidateId);
  const remote = pair && report.get(pair.remoteCandidateId);
  if (!local) return { own: NOWHERE, remote: '', remoteIsRelay: false };
  const there = { remote: addressOf(remote), remoteIsRelay: remote?.candidateType === 'relay' };
  if (local.candidateType !== 'relay') return { own: { path: 'direct', server: '', relayed: '' }, ...there };
  const path = `relay-${local.relayProtocol ?? 'udp'}`;
  const known = PATHS.has(path) ? /** @type {Path} */ (path) : 'relay-udp';
  return { own: { path: known, server: serverOf(local.url), relayed: addressOf(local) }, ...there };
}

/** As the server writes it. @param {any} candidate */
function addressOf(candidate) {
  const address = String(candidate?.address ?? candidate?.ip ?? '').replace(/^\[|\]$/g, '');
  if (!address || !candidate.port) return '';
  return address.includes(':') ? `[${address}]:${candidate.port}` : `${address}:${candidate.port}`;
}

/** Host and port of `turn:host:port?transport=…`. @param {unknown} url */
function serverOf(url) {
  return /^turns?:([^?]+)/.exec(String(url ?? ''))?.[1] ?? '';
}

/** @param {string} address with a port */
function hostOf(address) {
  return address.replace(/:\d+$/, '');
}

/** @type {Record<'own' | 'other', Record<Proof, Key>>} */
const TITLES = {
  own: { unknown: 'trust.ownRelay', confirmed: 'trust.ownRelayConfirmed', elsewhere: 'trust.ownRelayElsewhere' },
  other: { unknown: 'trust.otherRelay', confirmed: 'trust.otherRelayConfirmed', elsewhere: 'trust.otherRelayElsewhere' },
};

/**
 * Where a leg leads, in words.
 * @param {Leg} leg
 * @param {string} name of the other
 * @returns {Text}
 */
export function describeLeg({ own, path, server, relayed, proof }, name) {
  const transport = path.slice('relay-'.length).toUpperCase();
  return text(TITLES[own ? 'own' : 'other'][proof], { name, transport, server: server || hostOf(relayed) || '–', address: relayed || '–' });
}

/** Shows on the tiles how media goes. */
export class PathsFeature {
  #context;
  #clock;
  #paths;
  #asked = -Infinity;
  /** Something has changed since the server was asked. */
  #stale = false;
  /** The server does not know the question. */
  #refused = false;
  #stop = () => {};
  #undo;

  /**
   * @param {Pick<CallContext, 'room' | 'grid'>} context
   * @param {Clock} [clock]
   */
  constructor(context, clock = systemClock) {
    const { room, grid } = context;
    this.#context = context;
    this.#clock = clock;
    this.#paths = new Paths(clock);
    this.#undo = [
      room.on('status', ({ peer }) => this.#connectionChanged(peer)),
      room.on('data', ({ peer, data }) => data?.type === 'path' && this.#paths.receive(peer, data.path)),
      room.on('relay', ({ members }) => this.#attest(members)),
      room.on('error', ({ code, request }) => {
        if (request === 'relay' && code !== 'rate_limited') this.#refused = true;
      }),
      grid.on('add', ({ key }) => this.#show(key)),
      this.#paths.on('path', () => {
        this.#stale = true;
        this.#ask();
      }),
      this.#paths.on('change', ({ id }) => this.#show(id)),
    ];
    this.#tick();
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#stop();
  }

  /**
   * @param {PathPeer} peer
   * @returns {Route}
   */
  routeOf(peer) {
    return this.#paths.routeOf(peer, this.#context.room.self?.id ?? '');
  }

  #tick() {
    for (const peer of this.#context.room.peers.values()) if (peer.status === 'connected') this.#measure(peer);
    this.#ask();
    this.#stop = this.#clock.after(MEASURE_INTERVAL, () => this.#tick());
  }

  /** @param {Peer} peer */
  #connectionChanged(peer) {
    this.#show(peer.member.id);
    if (peer.status === 'connected') this.#measure(peer);
  }

  /** @param {Peer} peer */
  #measure(peer) {
    this.#paths.measure(peer).catch((error) => console.warn('maitred: path', peer.member.id, error));
  }

  /** Only where something is relayed does the server know more. */
  #ask() {
    const { room } = this.#context;
    const passed = this.#clock.now() - this.#asked;
    if (this.#refused || passed < (this.#stale ? ASK_PAUSE : ASK_INTERVAL)) return;
    if (![...room.peers.values()].some((peer) => isRelayed(this.#paths.of(peer))) || !room.askRelay()) return;
    this.#asked = this.#clock.now();
    this.#stale = false;
  }

  /** @param {MemberRelay[]} members */
  #attest(members) {
    this.#paths.attest(members, this.#asked);
    // Our own side is part of every connection.
    for (const id of this.#context.room.peers.keys()) this.#show(id);
  }

  /** @param {string} id */
  #show(id) {
    const peer = this.#context.room.peers.get(id);
    const tile = this.#context.grid.tiles.get(id);
    if (!peer || !tile) return;
    const { path, legs, proof } = this.routeOf(peer);
    const leg = legs.find((it) => it.proof === proof);
    tile.setPath(path, leg && { title: describeLeg(leg, peer.member.name), proof });
  }
}
