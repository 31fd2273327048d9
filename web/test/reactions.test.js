// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { SELF } from '../static/app/hands.js';
import { Announcer, REACTIONS, Reactions } from '../static/app/reactions.js';

function open() {
  const room = new FakeRoom('Bob', 'Cay');
  const clock = new FakeClock();
  const reactions = new Reactions(room, clock);
  /** @type {string[]} */
  const seen = [];
  reactions.on('reaction', ({ id, name, emoji }) => seen.push(`${id} ${name} ${emoji}`));
  return { room, clock, reactions, seen };
}

test('what is sent goes to everybody and is seen here', () => {
  const { room, reactions, seen } = open();
  reactions.send('👏');
  for (const id of ['Bob', 'Cay']) assert.deepEqual(room.peer(id).sent, [{ type: 'reaction', emoji: '👏' }]);
  assert.deepEqual(seen, [`${SELF} Me 👏`]);
});

test('every emoji that is offered is shown at the other end', async () => {
  const { room, clock, seen } = open();
  for (const emoji of REACTIONS.keys()) {
    room.hear('Bob', { type: 'reaction', emoji });
    await clock.advance(1_000);
  }
  assert.deepEqual(seen, [...REACTIONS.keys()].map((emoji) => `Bob Bob ${emoji}`));
});

test('and nothing else', () => {
  const { room, reactions, seen } = open();
  for (const emoji of ['🍕', '', 'x', '👍👍', 7, null, undefined, ['👍'], { toString: () => '👍' }]) room.hear('Bob', { type: 'reaction', emoji });
  room.hear('Bob', { type: 'chat', emoji: '👍' });
  room.hear('Bob', null);
  reactions.send('🍕');
  assert.deepEqual([seen, room.peer('Bob').sent], [[], []]);
});

test('of a flood by one the surplus is dropped, which harms nobody else', async () => {
  const { room, clock, seen } = open();
  for (let i = 0; i < 100; i++) room.hear('Bob', { type: 'reaction', emoji: '👍' });
  assert.equal(seen.length, 6);
  room.hear('Cay', { type: 'reaction', emoji: '👍' });
  assert.equal(seen.length, 7);
  await clock.advance(1_000);
  for (let i = 0; i < 100; i++) room.hear('Bob', { type: 'reaction', emoji: '👍' });
  assert.equal(seen.length, 9);
  await clock.advance(3_600_000);
  for (let i = 0; i < 100; i++) room.hear('Bob', { type: 'reaction', emoji: '👍' });
  assert.equal(seen.length, 15);
});

test('and no flood goes out', async () => {
  const { room, clock, reactions, seen } = open();
  for (let i = 0; i < 100; i++) reactions.send('👍');
  await clock.advance(500);
  reactions.send('👍');
  assert.equal(room.peer('Bob').sent.length, 7);
  assert.equal(seen.length, 7);
});

test('screen readers hear the first at once, and the rest of a second together', async () => {
  const clock = new FakeClock();
  /** @type {string[][]} */
  const said = [];
  const announcer = new Announcer((words) => said.push(words), clock);
  announcer.add('Bob: heart');
  for (let i = 0; i < 20; i++) announcer.add(`Cay: ${i % 6}`);
  assert.deepEqual(said, [['Bob: heart']]);
  await clock.advance(1_000);
  assert.deepEqual(said[1], ['Cay: 0', 'Cay: 1', 'Cay: 2', 'Cay: 3']);
  await clock.advance(5_000);
  assert.equal(said.length, 2);
  assert.deepEqual(clock.pending, []);
  announcer.add('Bob: applause');
  announcer.close();
  assert.deepEqual([said[2], clock.pending], [['Bob: applause'], []]);
});
