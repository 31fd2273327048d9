// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Buckets } from './bucket.js';
import { systemClock } from './clock.js';
import { text } from './i18n.js';
import { readState } from './presence.js';
import { Retries } from './retries.js';
import { ArrivedTracks } from './sharing.js';
import { ScreenTile, Tile } from './tiles.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./context.js').CallContext} CallContext */

/** In milliseconds: for no picture does one wait longer. */
const PATIENCE = 300;
/** Somebody's screen is told of once in ten seconds, however often it is shared and not. */
const TELL_LIMIT = { burst: 1, rate: 0.1 };

/**
 * The others: a tile for each of them, one more for a screen that they share, and words for those who come and go.
 * @extends {Emitter<{blocked: {}, count: {count: number}}>}
 */
export class Members extends Emitter {
  #context;
  /** @type {Map<string, ArrivedTracks>} */
  #arrived = new Map();
  /**
   * Those who have come and are shown when their picture begins to arrive, or after a while without one: to show them takes what the browser needs
   * to connect to them. With how to stop waiting. @type {Map<string, () => void>}
   */
  #coming = new Map();
  /** Those who were here before us are no news. */
  #settled = false;
  #clock;
  #makeTile;
  /** @type {(() => void)[]} */
  #undo;
  #retries;
  #tellings;

  /**
   * @param {Pick<CallContext, 'i18n' | 'room' | 'grid' | 'toasts'>} context
   * @param {import('../../sdk/maitred.js').Clock} [clock]
   * @param {(member: Member) => Tile} [makeTile]
   */
  constructor(context, clock = systemClock, makeTile = (member) => new Tile(context.i18n, member, false)) {
    super();
    this.#context = context;
    this.#clock = clock;
    this.#makeTile = makeTile;
    this.#tellings = new Buckets(clock, TELL_LIMIT);
    const { room } = context;
    this.#undo = [
      room.on('joined', ({ resumed }) => !resumed && this.#settle()),
      room.on('member-joined', ({ member, peer }) => this.#add(member, peer)),
      room.on('member-updated', ({ member }) => this.#update(member)),
      room.on('member-left', ({ member, reason }) => this.#remove(member, reason)),
      room.on('track', (arrival) => this.receive(arrival)),
      room.on('status', ({ peer }) => this.#showConnection(peer)),
    ];
    for (const peer of room.peers.values()) this.#add(peer.member, peer);
    this.#settled = true;
    this.#retries = new Retries({ room, clock });
    this.#undo.push(this.#retries.on('trouble', ({ peer }) => this.#context.grid.tiles.get(peer.member.id)?.explain(peer, this.#situation)));
  }

  close() {
    this.#retries.close();
    for (const undo of [...this.#undo, ...this.#coming.values()]) undo();
    this.#coming.clear();
  }

  /** @returns {Promise<void>} when a picture is seen of everybody who sends one, or it takes too long */
  pictured() {
    const tiles = [...this.#context.room.peers.keys()].map((id) => this.#context.grid.tiles.get(id)).filter((tile) => tile?.state.video !== false);
    return new Promise((resolve) => {
      const cancel = this.#clock.after(PATIENCE, resolve);
      void Promise.all(tiles.map((tile) => tile?.pictured())).then(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Those whom a new seat meets are announced in the same task. */
  #settle() {
    this.#settled = false;
    queueMicrotask(() => {
      this.#settled = true;
    });
  }

  /**
   * @param {Member} member
   * @param {Peer} peer
   */
  #add(member, peer) {
    this.#arrived.set(member.id, new ArrivedTracks());
    peer.on('error', ({ error }) => console.warn('maitred: peer', member.id, error));
    if (this.#settled) this.#coming.set(member.id, this.#clock.after(PATIENCE, () => this.#welcome(peer)));
    else this.#seat(peer);
  }

  /** @param {Peer} peer */
  #welcome(peer) {
    const { id } = peer.member;
    const stopWaiting = this.#coming.get(id);
    if (!stopWaiting || this.#context.room.peers.get(id) !== peer) return;
    stopWaiting();
    this.#coming.delete(id);
    this.#seat(peer);
    this.#sort(peer.member);
    this.#context.toasts.show(text('call.joined', { name: peer.member.name }));
    if (readState(peer.member.state).screen) this.#tellOfScreen(peer.member);
  }

  /** @param {Peer} peer */
  #seat(peer) {
    const { room, grid } = this.#context;
    const { member } = peer;
    const tile = this.#makeTile(member);
    tile.on('retry', () => void room.restart(member, { manual: true }));
    tile.on('blocked', () => this.emit('blocked', {}));
    grid.add(member.id, tile);
    this.#showConnection(peer);
    this.#count();
  }

  /** @param {Member} member */
  #update(member) {
    const { grid } = this.#context;
    const tile = grid.tiles.get(member.id);
    if (!tile) return;
    const before = tile.state.screen === true;
    tile.setMember(member);
    this.#sort(member);
    if (tile.state.screen === true && !before) this.#tellOfScreen(member);
    grid.layout();
  }

  /** @param {Member} member */
  #tellOfScreen({ id, name }) {
    if (this.#tellings.of(id).take()) this.#context.toasts.show(text('call.sharing', { name }));
  }

  /**
   * @param {Member} member
   * @param {string} reason
   */
  #remove(member, reason) {
    const { room, grid, toasts } = this.#context;
    const unseen = this.#coming.get(member.id);
    unseen?.();
    this.#coming.delete(member.id);
    this.#arrived.delete(member.id);
    this.#tellings.delete(member.id);
    grid.remove(screenKey(member));
    grid.remove(member.id);
    // After a lost seat everybody is met anew, and when the call is over it is oneself who leaves.
    if (reason !== 'reconnected' && room.state !== 'closed' && !unseen) {
      toasts.show(text(reason === 'timeout' ? 'call.timedOut' : 'call.left', { name: member.name }));
    }
    this.#count();
  }

  #count() {
    this.emit('count', { count: this.#context.room.members.size + 1 });
  }

  /** Shows what has arrived, unless it is over; for a second time that changes nothing. @param {import('../../sdk/maitred.js').RoomEvents['track']} arrival */
  receive({ peer, track, stream }) {
    const { member, connection } = peer;
    if (track.readyState === 'ended') return;
    const arrived = this.#arrived.get(member.id);
    arrived?.add({ connection, track, stream: stream.id });
    track.addEventListener('ended', () => {
      arrived?.remove(track);
      if (arrived && this.#arrived.get(member.id) === arrived) this.#sort(peer.member);
    }, { once: true });
    if (track.kind === 'video' && track.muted) track.addEventListener('unmute', () => this.#welcome(peer), { once: true });
    else if (track.kind === 'video') this.#welcome(peer);
    this.#sort(member);
  }

  /** Brings what has arrived to the tiles that it belongs to. @param {Member} member */
  #sort(member) {
    const { i18n, grid } = this.#context;
    if (this.#coming.has(member.id)) return;
    const { person, screen } = this.#arrived.get(member.id)?.sort(readState(member.state).screenStream) ?? { person: [], screen: [] };
    grid.tiles.get(member.id)?.setTracks(person);
    const key = screenKey(member);
    const known = grid.screens.get(key);
    if (!screen.some(({ kind }) => kind === 'video')) {
      if (known) grid.remove(key);
      return;
    }
    const tile = known ?? new ScreenTile(i18n, member, null);
    if (!known) {
      tile.on('blocked', () => this.emit('blocked', {}));
      grid.addScreen(key, tile);
    }
    tile.setTracks(screen);
  }

  /** @param {Peer} peer */
  #showConnection(peer) {
    const tile = this.#context.grid.tiles.get(peer.member.id);
    tile?.setConnection(peer, this.#situation);
  }

  /** Whoever has the server is online, whatever the browser believes. */
  get #situation() {
    const { room } = this.#context;
    return { relayOnly: room.relayOnly, online: room.state === 'joined' || navigator.onLine };
  }
}

/** @param {{id: string}} member */
function screenKey({ id }) {
  return `${id}:screen`;
}
