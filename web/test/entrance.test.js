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
  void entrance.offered().then(() => {
    passed = true;
  });
  return { clock, room, entrance, passed: () => passed };
}

/** @param {{connection: any}} peer */
function offer({ connection }) {
  connection.signalingState = 'have-local-offer';
  connection.dispatchEvent(new Event('signalingstatechange'));
}

test('in an empty room there is nothing to wait for', async () => {
  const { clock, entrance, passed } = enter();
  await settled();
  assert.ok(passed());
  entrance.finish();
  assert.deepEqual(clock.pending, []);
});

test('the offers to everybody go out first', async () => {
  const { clock, room, entrance, passed } = enter('Ann', 'Bob');
  offer(room.peer('Ann'));
  await clock.advance(20);
  assert.equal(passed(), false);
  offer(room.peer('Bob'));
  await settled();
  assert.equal(passed(), false, 'in the task in which the last one is sent');
  await clock.advance(0);
  assert.ok(passed());
  entrance.finish();
  assert.deepEqual(clock.pending, []);
});

test('an offer that does not come is not waited for', async () => {
  const { clock, passed } = enter('Ann');
  await clock.advance(149);
  assert.equal(passed(), false);
  await clock.advance(1);
  assert.ok(passed());
});

test('what is heard meanwhile ends the waiting, and is told again once', async () => {
  const { clock, room, entrance, passed } = enter('Ann');
  room.hear('Ann', { type: 'chat', text: 'hello' });
  room.emit('draining', /** @type {any} */ ({ seconds: 5 }));
  await settled();
  assert.ok(passed());
  /** @type {any[]} */
  const told = [];
  room.on('data', ({ member, data }) => told.push([member.name, data.text]));
  room.on('draining', (detail) => told.push(detail));
  entrance.finish();
  room.hear('Ann', { type: 'chat', text: 'again' });
  entrance.finish();
  assert.deepEqual(told, [['Ann', 'hello'], { seconds: 5 }, ['Ann', 'again']]);
  assert.deepEqual(clock.pending, []);
});
