// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Hands, SELF } from '../static/app/hands.js';

function open(room = new FakeRoom('Bob', 'Cay')) {
  const clock = new FakeClock();
  /** @type {any[]} */
  const told = [];
  const hands = new Hands(room, { set: (part) => told.push(part) }, clock);
  /** @type {string[]} */
  const raised = [];
  hands.on('raised', ({ member }) => raised.push(member.name));
  return { room, clock, hands, told, raised };
}

test('one\'s own hand goes up and down, and the others are told', () => {
  const { hands, told, clock, raised } = open();
  hands.toggle();
  assert.deepEqual([hands.up, hands.order], [true, [SELF]]);
  hands.toggle();
  assert.deepEqual([hands.up, hands.order], [false, []]);
  assert.deepEqual(told, [{ hand: clock.now() }, { hand: 0 }]);
  assert.deepEqual(raised, []);
});

test('hands are in the order in which they were heard of, whatever the clocks of the others say', async () => {
  const { room, clock, hands } = open();
  room.update('Cay', { state: { hand: 9e15 } });
  await clock.advance(1);
  hands.toggle();
  await clock.advance(1);
  room.update('Bob', { state: { hand: 1 } });
  assert.deepEqual(hands.order, ['Cay', SELF, 'Bob']);
  assert.deepEqual([hands.place('Cay'), hands.place(SELF), hands.place('Bob'), hands.place('Dan')], [1, 2, 3, 0]);
});

test('those that were up before us are in the order that they give, and no news', () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.update('Bob', { state: { hand: 200 } });
  room.update('Cay', { state: { hand: 100 } });
  const { hands, raised } = open(room);
  assert.deepEqual(hands.order, ['Cay', 'Bob']);
  room.rejoin(true);
  room.update('Bob', { state: { hand: 200, audio: false } });
  assert.deepEqual(raised, []);
});

test('a hand that goes up is told of, one that flutters once', async () => {
  const { room, clock, raised } = open();
  for (let i = 0; i < 5; i++) {
    room.update('Bob', { state: { hand: 1 } });
    room.update('Bob', { state: { hand: 0 } });
  }
  assert.deepEqual(raised, ['Bob']);
  await clock.advance(10_000);
  room.update('Bob', { state: { hand: 1 } });
  assert.deepEqual(raised, ['Bob', 'Bob']);
});

test('whoever keeps it up keeps the place', async () => {
  const { room, clock, hands } = open();
  room.update('Bob', { state: { hand: 5 } });
  await clock.advance(1);
  room.update('Cay', { state: { hand: 6 } });
  await clock.advance(1);
  room.update('Bob', { state: { hand: 7, audio: false } });
  assert.deepEqual(hands.order, ['Bob', 'Cay']);
});

for (const hand of [undefined, null, 0, -1, NaN, Infinity, '5', true, {}]) {
  test(`${String(hand)} is no raised hand`, () => {
    const { room, hands } = open();
    room.update('Bob', { state: { hand } });
    assert.deepEqual(hands.order, []);
  });
}

test('members without a state have none up', () => {
  const { room, hands } = open();
  room.update('Bob', { state: null });
  assert.deepEqual(hands.order, []);
});

test('whoever leaves takes the hand along', () => {
  const { room, hands } = open();
  room.update('Bob', { state: { hand: 5 } });
  room.leave('Bob');
  assert.deepEqual(hands.order, []);
});

test('what the server says of ourselves is no news', () => {
  const { room, hands, raised } = open();
  room.emit('member-updated', { member: { ...room.self, state: { hand: 5 } } });
  assert.deepEqual([hands.order, raised], [[], []]);
});

test('after it is closed nothing is heard', () => {
  const { room, hands } = open();
  hands.close();
  room.update('Bob', { state: { hand: 5 } });
  assert.deepEqual(hands.order, []);
});
