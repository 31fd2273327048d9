// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeSocket } from '../fakes/socket.js';
import { SocketAhead } from '../static/app/socketahead.js';

const URL = 'wss://call.example.com/ws';

function start() {
  const clock = new FakeClock();
  /** @type {FakeSocket[]} */
  const made = [];
  const ahead = new SocketAhead((url, protocol) => {
    made.push(new FakeSocket(url, protocol));
    return /** @type {any} */ (made.at(-1));
  }, clock);
  const take = (url = URL) => {
    const socket = /** @type {FakeSocket} */ (/** @type {unknown} */ (ahead.take(url, 'maitred.v1')));
    let opened = 0;
    socket.addEventListener('open', () => {
      opened += 1;
    });
    return { socket, opened: () => opened };
  };
  return { clock, made, take, open: () => ahead.open(URL, 'maitred.v1') };
}

test('without one ahead a socket is made, as asked for', () => {
  const { made, take } = start();
  assert.equal(take().socket, made[0]);
  assert.deepEqual([made[0].url, made[0].protocol], [URL, 'maitred.v1']);
});

test('one that is open already says so to whoever takes it, once', async () => {
  const { clock, made, open, take } = start();
  open();
  made[0].open();
  const { socket, opened } = take();
  assert.equal(socket, made[0]);
  assert.equal(opened(), 0, 'in the task in which it is taken, nobody listens yet');
  await settled();
  assert.equal(opened(), 1);
  await clock.advance(60_000);
  assert.equal(socket.closedByClient, false, 'it belongs to the call now');
  assert.notEqual(take().socket, socket, 'and to nobody else');
});

test('one that opens later tells so itself', async () => {
  const { made, open, take } = start();
  open();
  const { socket, opened } = take();
  await settled();
  assert.equal(opened(), 0);
  socket.open();
  assert.equal(opened(), 1);
  assert.equal(made.length, 1);
});

test('there is one at a time, and it does not stay', async () => {
  const { clock, made, open, take } = start();
  open();
  open();
  assert.equal(made.length, 1);
  await clock.advance(8_000);
  assert.ok(made[0].closedByClient);
  assert.deepEqual(clock.pending, []);
  open();
  assert.equal(made.length, 2);
  assert.equal(take().socket, made[1]);
  assert.deepEqual(clock.pending, []);
});

test('one that has been closed, or leads elsewhere, is not used', () => {
  const { made, open, take } = start();
  open();
  made[0].drop(1006);
  assert.equal(take().socket, made[1]);
  open();
  made[2].open();
  assert.equal(take('wss://other.example.com/ws').socket, made[3]);
  assert.ok(made[2].closedByClient);
  open();
  made[4].drop(1006);
  open();
  assert.equal(take().socket, made[5], 'nor is it waited for');
});

test('one from before a sleep, in which timers stand still, is not used', () => {
  const { clock, made, open, take } = start();
  open();
  made[0].open();
  const now = clock.now();
  clock.now = () => now + 8_000;
  assert.equal(take().socket, made[1]);
  assert.ok(made[0].closedByClient);
});
