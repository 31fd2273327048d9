// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Entrance } from '../static/app/entrance.js';

/** @param {...string} names of those who are here */
function enter(...names) {
  const clock = new FakeClock();
  const room = new FakeRoom(...names);
  for (const peer of room.peers.values()) peer.connection = Object.assign(new EventTarget(), { signalingState: 'stable' });
  const entrance = new Entrance(/** @type {any} */ (room), clock);
  let passed = false;
  void entrance.answered().then(() => {
    passed = true;
  });
  return { clock, room, entrance, passed: () => passed };
}

/**
 * @param {{connection: any}} peer
 * @param {RTCSignalingState} state
 */
function enterState({ connection }, state) {
  connection.signalingState = state;
  connection.dispatchEvent(new Event('signalingstatechange'));
}

test('in an empty room there is nothing to wait for', async () => {
  const { clock, entrance, passed } = enter();
  await settled();
  assert.ok(passed());
  entrance.finish();
  assert.deepEqual(clock.pending, []);
});

test('everybody has answered first', async () => {
  const { clock, room, entrance, passed } = enter('Ann', 'Bob');
  for (const name of ['Ann', 'Bob']) enterState(room.peer(name), 'have-local-offer');
  await clock.advance(20);
  enterState(room.peer('Ann'), 'stable');
  await clock.advance(20);
  assert.equal(passed(), false);
  enterState(room.peer('Bob'), 'stable');
  await settled();
  assert.equal(passed(), false, 'in the task in which the last one is told of');
  await clock.advance(0);
  assert.ok(passed());
  entrance.finish();
  assert.deepEqual(clock.pending, []);
});

test('an answer that does not come is not waited for', async () => {
  const { clock, passed } = enter('Ann');
  await clock.advance(99);
  assert.equal(passed(), false);
  await clock.advance(1);
  assert.ok(passed());
});

test('what is heard meanwhile is told when all listen, once and in order', async () => {
  const { clock, room, entrance, passed } = enter('Ann');
  const ann = room.peer('Ann');
  room.emit('status', /** @type {any} */ ({ peer: ann, status: 'connecting' }));
  room.emit('track', /** @type {any} */ ({ peer: ann }));
  /** @type {any[]} */
  const told = [];
  room.on('data', ({ member, data }) => told.push([member.name, data.text]));
  room.hear('Ann', { type: 'chat', text: 'hello' });
  await settled();
  assert.deepEqual(entrance.tracks, [{ peer: ann }]);
  assert.equal(passed(), false, 'all this can wait');
  assert.equal(told.length, 0, 'whoever listens already hears it with the others');
  for (const type of /** @type {const} */ (['status', 'track'])) room.on(type, () => told.push(type));
  entrance.finish();
  room.hear('Ann', { type: 'chat', text: 'again' });
  entrance.finish();
  assert.deepEqual(told, ['status', 'track', ['Ann', 'hello'], ['Ann', 'again']]);
  assert.deepEqual(clock.pending, []);
});

test('what cannot wait ends all waiting in its own task', async () => {
  const { room, entrance, passed } = enter('Ann');
  let urgent = false;
  void entrance.urgent.then(() => {
    urgent = true;
  });
  room.emit('channel', /** @type {any} */ ({ peer: room.peer('Ann') }));
  await Promise.resolve();
  await Promise.resolve();
  assert.ok(urgent && passed());
  entrance.finish();
});

test('connecting goes on meanwhile, and what became of somebody who has come anew is not told', () => {
  const { room, entrance } = enter('Ann', 'Bob');
  /** @type {string[]} */
  const told = [];
  room.on('status', ({ member, status }) => told.push(`${member.name} ${status}`));
  room.become('Ann', 'connected');
  room.become('Bob', 'connected');
  assert.deepEqual(told.splice(0), ['Ann connected', 'Bob connected']);
  room.leave('Ann', 'reconnected');
  room.join('Ann');
  entrance.finish();
  assert.deepEqual(told, ['Bob connected']);
});

test('more than so much is not waited with', async () => {
  const { room, entrance, passed } = enter('Ann');
  for (let i = 0; i < 255; i++) room.hear('Ann', { type: 'chat', text: 'x' });
  await settled();
  assert.equal(passed(), false);
  room.hear('Ann', { type: 'chat', text: 'x' });
  await settled();
  assert.ok(passed());
  let told = 0;
  room.on('data', () => {
    told += 1;
  });
  entrance.finish();
  assert.equal(told, 256);
});
