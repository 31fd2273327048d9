// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Emitter } from '../sdk/maitred.js';
import { Members } from '../static/app/members.js';

test('a screen is told of, one that flutters once in a while', async () => {
  const room = new FakeRoom();
  const clock = new FakeClock();
  /** @type {string[]} */
  const told = [];
  const tile = {
    state: {}, setTracks() {},
    setMember(/** @type {any} */ { state }) {
      this.state = state;
    },
  };
  const grid = { tiles: new Map([['Bob', tile], ['Cay', { ...tile }]]), screens: new Map(), layout() {}, remove() {} };
  const toasts = { show: (/** @type {any} */ { key, params }) => told.push(`${key} ${params.name}`) };
  const members = new Members(/** @type {any} */ ({ i18n: {}, room, grid, toasts }), clock);
  const flutter = (/** @type {string} */ id) => {
    for (let i = 0; i < 10; i++) room.emit('member-updated', { member: { id, name: id, role: 'member', state: { screen: i % 2 === 0 } } });
  };
  flutter('Bob');
  flutter('Cay');
  assert.deepEqual(told, ['call.sharing Bob', 'call.sharing Cay']);
  await clock.advance(10_000);
  flutter('Bob');
  assert.equal(told.length, 3);
  members.close();
});

/** A tile without a page. @extends {Emitter<{}>} */
class FakeTile extends Emitter {
  /** @type {any[]} */
  tracks = [];
  /** The picture is seen. */
  see = () => {};

  /** @param {{state?: object | null}} member */
  constructor({ state }) {
    super();
    this.state = state;
  }

  /** @param {any[]} tracks */
  setTracks(tracks) {
    this.tracks = tracks;
  }

  setConnection() {}

  /** @returns {Promise<void>} */
  pictured() {
    return new Promise((resolve) => {
      this.see = resolve;
    });
  }
}

/** @param {...string} names of those who are here before us */
function enter(...names) {
  const room = Object.assign(new FakeRoom(), { state: 'joined' });
  const clock = new FakeClock();
  /** @type {string[]} */
  const told = [];
  const grid = {
    tiles: /** @type {Map<string, FakeTile>} */ (new Map()), screens: new Map(), layout() {},
    add: (/** @type {string} */ id, /** @type {FakeTile} */ tile) => grid.tiles.set(id, tile),
    remove: (/** @type {string} */ id) => grid.tiles.delete(id),
  };
  const come = (/** @type {string} */ id, /** @type {object} */ state = {}) => {
    const peer = Object.assign(new Emitter(), {
      member: { id, name: id, role: 'member', state }, connection: Object.assign(new EventTarget(), { signalingState: 'stable' }),
    });
    room.peers.set(id, peer);
    room.emit('member-joined', /** @type {any} */ ({ member: peer.member, peer }));
    return peer;
  };
  for (const name of names) come(name, { video: name !== 'Eve' });
  const toasts = { show: (/** @type {any} */ { key, params }) => told.push(`${key} ${params.name}`) };
  const members = new Members(/** @type {any} */ ({ i18n: {}, room, grid, toasts }), clock, (member) => /** @type {any} */ (new FakeTile(member)));
  return { room, clock, told, members, tiles: grid.tiles, come };
}

/** @param {string} stream */
const camera = (stream) => ({ track: Object.assign(new EventTarget(), { kind: 'video', id: stream, readyState: 'live', muted: true }), stream: { id: stream } });

test('whoever comes is shown when the picture begins to arrive', async () => {
  const { room, clock, told, members, tiles, come } = enter('Ann');
  assert.deepEqual([...tiles.keys()], ['Ann']);
  const bob = come('Bob');
  const arrival = camera('cam');
  room.emit('track', /** @type {any} */ ({ peer: bob, ...arrival }));
  room.update('Bob', { name: 'Robert' });
  await clock.advance(200);
  assert.ok(!tiles.has('Bob'));
  arrival.track.dispatchEvent(new Event('unmute'));
  assert.deepEqual(tiles.get('Bob')?.tracks.map(({ id }) => id), ['cam']);
  assert.deepEqual(told, ['call.joined Robert']);
  const tile = tiles.get('Bob');
  await clock.advance(1_000);
  arrival.track.dispatchEvent(new Event('unmute'));
  assert.equal(tiles.get('Bob'), tile);
  assert.equal(told.length, 1);
  members.close();
});

test('a picture that is there already is not waited for, one that is over is not shown', () => {
  const { room, members, tiles, come } = enter('Ann');
  const { track, stream } = camera('cam');
  room.emit('track', /** @type {any} */ ({ peer: come('Bob', { screen: true }), track: Object.assign(track, { muted: false }), stream }));
  assert.ok(tiles.has('Bob'));
  const over = camera('old');
  room.emit('track', /** @type {any} */ ({ peer: room.peer('Ann'), ...over, track: Object.assign(over.track, { readyState: 'ended' }) }));
  assert.deepEqual(tiles.get('Ann')?.tracks, []);
  members.close();
});

test('nobody waits long to be seen without a picture', async () => {
  const { clock, told, members, tiles, come } = enter();
  come('Bob', { screen: true });
  await clock.advance(299);
  assert.deepEqual(told, []);
  await clock.advance(1);
  assert.ok(tiles.has('Bob'));
  assert.deepEqual(told, ['call.joined Bob', 'call.sharing Bob']);
  members.close();
});

test('who is gone before being seen is not told of', async () => {
  const { room, clock, told, members, tiles, come } = enter();
  const bob = come('Bob');
  const arrival = camera('cam');
  room.emit('track', /** @type {any} */ ({ peer: bob, ...arrival }));
  room.leave('Bob');
  arrival.track.dispatchEvent(new Event('unmute'));
  await clock.advance(1_000);
  assert.deepEqual([...tiles.keys()], []);
  assert.deepEqual(told, []);
  come('Cay');
  members.close();
  await clock.advance(1_000);
  assert.deepEqual([...tiles.keys()], []);
});

test('it is known when everybody who sends a picture is seen, or that it takes too long', async () => {
  const { clock, members, tiles } = enter('Ann', 'Bob', 'Eve');
  let seen = 0;
  const look = () => void members.pictured().then(() => {
    seen += 1;
  });
  look();
  tiles.get('Ann')?.see();
  await settled();
  assert.equal(seen, 0);
  tiles.get('Bob')?.see();
  await settled();
  assert.equal(seen, 1);
  look();
  await clock.advance(299);
  assert.equal(seen, 1);
  await clock.advance(1);
  assert.equal(seen, 2);
  members.close();
});
