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
  /** Those who were here before us are no news. */
  #settled = false;
  /** @type {(() => void)[]} */
  #undo;
  #retries;
  #tellings;

  /**
   * @param {Pick<CallContext, 'i18n' | 'room' | 'grid' | 'toasts'>} context
   * @param {import('../../sdk/maitred.js').Clock} [clock]
   */
  constructor(context, clock = systemClock) {
    super();
    this.#context = context;
    this.#tellings = new Buckets(clock, TELL_LIMIT);
    const { room } = context;
    this.#undo = [
      room.on('joined', ({ resumed }) => !resumed && this.#settle()),
      room.on('member-joined', ({ member, peer }) => this.#add(member, peer)),
      room.on('member-updated', ({ member }) => this.#update(member)),
      room.on('member-left', ({ member, reason }) => this.#remove(member, reason)),
      room.on('track', ({ peer, track, stream }) => this.#receiveTrack(peer, track, stream)),
      room.on('status', ({ peer }) => this.#showConnection(peer)),
    ];
    for (const peer of room.peers.values()) this.#add(peer.member, peer);
    this.#settled = true;
    this.#retries = new Retries({ room, clock });
    this.#undo.push(this.#retries.on('trouble', ({ peer }) => this.#context.grid.tiles.get(peer.member.id)?.explain(peer, this.#situation)));
  }

  close() {
    this.#retries.close();
    for (const undo of this.#undo) undo();
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
    const { i18n, room, grid, toasts } = this.#context;
    const tile = new Tile(i18n, member, false);
    tile.on('retry', () => void room.restart(member, { manual: true }));
    tile.on('blocked', () => this.emit('blocked', {}));
    peer.on('error', ({ error }) => console.warn('maitred: peer', member.id, error));
    this.#arrived.set(member.id, new ArrivedTracks());
    grid.add(member.id, tile);
    this.#showConnection(peer);
    if (this.#settled) toasts.show(text('call.joined', { name: member.name }));
    this.#count();
  }

  /** @param {Member} member */
  #update(member) {
    const { grid, toasts } = this.#context;
    const tile = grid.tiles.get(member.id);
    if (!tile) return;
    const before = tile.state.screen === true;
    tile.setMember(member);
    this.#sort(member);
    const started = tile.state.screen === true && !before;
    if (started && this.#tellings.of(member.id).take()) toasts.show(text('call.sharing', { name: member.name }));
    grid.layout();
  }

  /**
   * @param {Member} member
   * @param {string} reason
   */
  #remove(member, reason) {
    const { room, grid, toasts } = this.#context;
    this.#arrived.delete(member.id);
    this.#tellings.delete(member.id);
    grid.remove(screenKey(member));
    grid.remove(member.id);
    // After a lost seat everybody is met anew, and when the call is over it is oneself who leaves.
    if (reason !== 'reconnected' && room.state !== 'closed') {
      toasts.show(text(reason === 'timeout' ? 'call.timedOut' : 'call.left', { name: member.name }));
    }
    this.#count();
  }

  #count() {
    this.emit('count', { count: this.#context.room.members.size + 1 });
  }

  /**
   * @param {Peer} peer
   * @param {MediaStreamTrack} track
   * @param {MediaStream} stream
   */
  #receiveTrack(peer, track, stream) {
    const { member, connection } = peer;
    const arrived = this.#arrived.get(member.id);
    arrived?.add({ connection, track, stream: stream.id });
    track.addEventListener('ended', () => {
      arrived?.remove(track);
      if (arrived && this.#arrived.get(member.id) === arrived) this.#sort(peer.member);
    }, { once: true });
    this.#sort(member);
  }

  /** Brings what has arrived to the tiles that it belongs to. @param {Member} member */
  #sort(member) {
    const { i18n, grid } = this.#context;
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
