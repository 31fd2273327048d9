// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { Emitter } from '../sdk/maitred.js';
import { Retries } from '../static/app/retries.js';

/** @extends {Emitter<import('../sdk/maitred.js').RoomEvents>} */
class RestartedRoom extends Emitter {
  /** @type {Map<string, any>} */
  peers = new Map();
  /** @type {import('../sdk/maitred.js').SignalingState} */
  state = 'joined';
  /** @type {string[]} */
  restarted = [];

  /** @param {any} member */
  async restart({ id }) {
    this.restarted.push(id);
  }

  /** @param {string} id @param {import('../sdk/maitred.js').PeerStatus} status */
  become(id, status) {
    const peer = this.peers.get(id);
    peer.status = status;
    this.emit('status', { member: peer.member, peer, status });
  }
}

/** @param {string[]} candidateTypes @param {string} iceGatheringState */
function makePeer(candidateTypes = ['host'], iceGatheringState = 'complete') {
  return /** @type {any} */ ({ member: { id: 'bob' }, status: 'connecting', candidateTypes: new Set(candidateTypes), connection: { iceGatheringState } });
}

function open(peer = makePeer()) {
  const clock = new FakeClock();
  const room = new RestartedRoom();
  room.peers.set('bob', peer);
  const retries = new Retries({ room, clock });
  /** When there was trouble, in milliseconds from now. @type {number[]} */
  const troubles = [];
  const start = clock.now();
  retries.on('trouble', () => troubles.push(clock.now() - start));
  return { clock, room, retries, troubles };
}

test('a connection that stands in time is no trouble', async () => {
  const { clock, room, troubles } = open();
  await clock.advance(14_000);
  room.become('bob', 'connected');
  assert.deepEqual([troubles, clock.pending], [[], []]);
});

test('one that takes long needs words, and is tried anew every minute', async () => {
  const { clock, room, troubles } = open();
  await clock.advance(59_999);
  assert.deepEqual([troubles, room.restarted], [[15_000], []]);
  await clock.advance(1);
  assert.deepEqual(room.restarted, ['bob']);
  await clock.advance(120_000);
  assert.deepEqual(troubles, [15_000, 75_000, 135_000]);
  assert.deepEqual(room.restarted, ['bob', 'bob', 'bob']);
  room.become('bob', 'connected');
  assert.deepEqual(clock.pending, []);
});

test('where the browser has not a single candidate, the words come at once: it would wait without end', async () => {
  const { clock, troubles } = open(makePeer([], 'complete'));
  await clock.advance(5_000);
  assert.deepEqual(troubles, [5_000]);
});

test('but not while it is looking for some', async () => {
  const { clock, troubles } = open(makePeer([], 'gathering'));
  await clock.advance(5_000);
  assert.deepEqual(troubles, []);
});

test('giving up and beginning again do not reset the minute', async () => {
  const { clock, room } = open();
  await clock.advance(50_000);
  room.become('bob', 'failed');
  room.become('bob', 'connecting');
  await clock.advance(10_000);
  assert.deepEqual(room.restarted, ['bob']);
});

test('a connection that breaks is looked after from then on', async () => {
  const { clock, room, troubles } = open();
  room.become('bob', 'connected');
  await clock.advance(100_000);
  room.become('bob', 'reconnecting');
  await clock.advance(60_000);
  assert.deepEqual([troubles, room.restarted], [[115_000], ['bob']]);
});

test('without the server nothing is restarted: that is done when it is back', async () => {
  const { clock, room } = open();
  room.state = 'reconnecting';
  await clock.advance(60_000);
  room.state = 'joined';
  assert.deepEqual(room.restarted, []);
  await clock.advance(60_000);
  assert.deepEqual(room.restarted, ['bob']);
});

test('newcomers are looked after, those who leave are not, and nobody after the end', async () => {
  const { clock, room, retries } = open();
  const cay = { ...makePeer(), member: { id: 'cay' } };
  room.emit('member-joined', { member: cay.member, peer: cay });
  room.emit('member-left', { member: room.peers.get('bob').member, reason: 'left' });
  await clock.advance(60_000);
  assert.deepEqual(room.restarted, ['cay']);
  retries.close();
  assert.deepEqual(clock.pending, []);
});
