// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeSocket } from '../fakes/socket.js';
import { PROTOCOL, Signaling } from '../static/sdk/maitred.js';

const JOINED = { type: 'joined', self: { id: 'me', name: 'Ann' }, room: { id: 'tea' }, members: [], iceServers: [], ttl: 600, resume: 'seat-1' };

/** @param {Partial<import('../static/sdk/maitred.js').SignalingOptions>} [options] */
function start(options = {}) {
  const clock = new FakeClock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {{state: string, code: string | undefined, delay: number}[]} */
  const states = [];
  const signaling = new Signaling({
    url: 'ws://x/ws', room: 'tea', name: 'Ann', clock, random: () => 0.5,
    createSocket: (url, protocol) => {
      const socket = new FakeSocket(url, protocol);
      sockets.push(socket);
      return socket;
    },
    ...options,
  });
  signaling.on('state', ({ state, cause, delay }) => states.push({ state, code: cause?.code, delay }));
  signaling.start();
  return { clock, sockets, states, signaling, last: () => sockets[sockets.length - 1] };
}

function joined() {
  const all = start();
  all.last().open();
  all.last().receive(JOINED);
  return all;
}

test('joins with the protocol and without a resume token', () => {
  const { sockets, signaling } = joined();
  assert.equal(sockets[0].protocol, PROTOCOL);
  assert.deepEqual(sockets[0].sent, [{ type: 'join', room: 'tea', name: 'Ann' }]);
  assert.equal(signaling.state, 'joined');
});

test('sends token and password only when there are any', () => {
  const { last } = start({ token: 't', password: 'p' });
  last().open();
  assert.deepEqual(last().sent[0], { type: 'join', room: 'tea', name: 'Ann', token: 't', password: 'p' });
});

test('a lost connection comes back with the resume token', async () => {
  const { clock, sockets, states, last } = joined();
  last().drop(1006);
  assert.deepEqual(states.at(-1), { state: 'reconnecting', code: 'connection_lost', delay: 375 });
  await clock.advance(374);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
  last().open();
  assert.equal(last().sent[0].resume, 'seat-1');
  last().receive({ ...JOINED, resume: 'seat-2' });
  assert.equal(states.at(-1)?.state, 'joined');
});

test('the pauses grow, jittered, up to a limit, and start over after a join', async () => {
  const { clock, states, last } = joined();
  const delays = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    last().drop(1006);
    delays.push(states.at(-1)?.delay);
    await clock.advance(states.at(-1)?.delay ?? 0);
  }
  assert.deepEqual(delays, [375, 750, 1500, 3000, 6000, 11250, 11250, 11250]);
  last().open();
  last().receive(JOINED);
  last().drop(1006);
  assert.equal(states.at(-1)?.delay, 375);
});

test('jitter spreads the pause between one half and the whole', () => {
  for (const [random, delay] of [[0, 250], [0.999, 500]]) {
    const { last, states } = start({ random: () => random });
    last().drop(1006);
    assert.equal(states.at(-1)?.delay, delay);
  }
});

test('before the first join it keeps connecting, it does not reconnect', () => {
  const { last, states } = start();
  last().drop(1006);
  assert.equal(states.at(-1)?.state, 'connecting');
});

test('a join without an answer counts as lost', async () => {
  const { clock, last, states } = start();
  const first = last();
  first.open();
  await clock.advance(15_000);
  assert.equal(first.closedByClient, true);
  assert.equal(states.at(-1)?.code, 'connection_lost');
});

test('messages sent while the connection is down follow after the resume', async () => {
  const { clock, last, signaling } = joined();
  last().drop(1006);
  signaling.send({ type: 'signal', to: 'bob', data: 1 });
  await clock.advance(400);
  last().open();
  assert.deepEqual(last().sent.map(({ type }) => type), ['join']);
  last().receive(JOINED);
  assert.deepEqual(last().sent.map(({ type }) => type), ['join', 'signal']);
});

test('they are dropped when the server has given us a new seat', async () => {
  const { clock, last, signaling } = joined();
  last().drop(1006);
  signaling.send({ type: 'signal', to: 'bob', data: 1 });
  await clock.advance(400);
  last().open();
  last().receive({ ...JOINED, self: { id: 'other', name: 'Ann' } });
  assert.deepEqual(last().sent.map(({ type }) => type), ['join']);
});

/**
 * A server that takes so many messages at once and so many a second, as maitred does by default.
 * @param {FakeClock} clock
 * @param {FakeSocket} socket
 */
function limited(clock, socket, { burst = 200, rate = 100 } = {}) {
  const told = { taken: /** @type {any[]} */ ([]), dropped: 0 };
  let tokens = burst;
  let at = clock.now();
  const send = socket.send.bind(socket);
  socket.send = (text) => {
    tokens = Math.min(burst, tokens + (clock.now() - at) * rate / 1000);
    at = clock.now();
    if (tokens < 1) told.dropped++;
    else tokens--, told.taken.push(JSON.parse(text));
    send(text);
  };
  return told;
}

test('what waited out a lost connection goes out in order and within the limits of the server', async () => {
  const { clock, last, signaling } = joined();
  last().drop(1006);
  for (let i = 0; i < 400; i++) signaling.send({ type: 'signal', to: 'bob', data: i });
  await clock.advance(400);
  const told = limited(clock, last());
  last().open();
  last().receive(JOINED);
  signaling.send({ type: 'update', state: {} });
  assert.ok(told.taken.length < 200, 'not all at once');
  await clock.advance(10_000);
  assert.equal(told.dropped, 0);
  assert.deepEqual(told.taken.map(({ type, data }) => data ?? type), ['join', ...Array(400).keys(), 'update']);
  assert.deepEqual(clock.pending, []);
});

test('a busy room is paced too', async () => {
  const { clock, last, signaling } = joined();
  const told = limited(clock, last());
  for (let i = 0; i < 300; i++) signaling.send({ type: 'signal', to: 'bob', data: i });
  await clock.advance(10_000);
  assert.deepEqual([told.dropped, told.taken.length], [0, 300]);
});

test('what is not out yet when the connection is lost goes over the next one', async () => {
  const { clock, last, signaling } = joined();
  const first = last();
  for (let i = 0; i < 150; i++) signaling.send({ type: 'signal', to: 'bob', data: i });
  const out = first.sent.length - 1;
  first.readyState = 2;
  await clock.advance(1_000);
  first.drop(1006);
  await clock.advance(400);
  last().open();
  last().receive(JOINED);
  await clock.advance(10_000);
  assert.ok(out < 150);
  assert.deepEqual(last().sent.slice(1).map(({ data }) => data), [...Array(150).keys()].slice(out));
});

test('what waits does not grow without end', async () => {
  const { clock, last, signaling } = joined();
  last().readyState = 2;
  for (let i = 0; i < 10_000; i++) signaling.send({ type: 'signal', to: 'bob', data: i });
  last().drop(1006);
  await clock.advance(400);
  last().open();
  last().receive(JOINED);
  await clock.advance(60_000);
  assert.equal(last().sent.length, 1 + 512);
});

const ENDINGS = [
  { name: 'bad message', code: 4000, cause: 'bad_message' },
  { name: 'unauthorized', code: 4001, cause: 'unauthorized' },
  { name: 'kicked', code: 4003, cause: 'kicked' },
  { name: 'replaced', code: 4009, cause: 'replaced' },
];
for (const { name, code, cause } of ENDINGS) {
  test(`close code ${code} (${name}) ends it`, () => {
    const { clock, last, states, sockets } = joined();
    last().drop(code);
    assert.deepEqual(states.at(-1), { state: 'closed', code: cause, delay: 0 });
    assert.deepEqual(clock.pending, []);
    assert.equal(sockets.length, 1);
  });
}

const PAUSES = [
  { name: 'going away', code: 1001, cause: 'going_away' },
  { name: 'too big', code: 1009, cause: 'too_big' },
  { name: 'server error', code: 1011, cause: 'connection_lost' },
  { name: 'try later', code: 1013, cause: 'connection_lost' },
  { name: 'too slow', code: 4008, cause: 'too_slow' },
];
for (const { name, code, cause } of PAUSES) {
  test(`close code ${code} (${name}) is followed by another attempt`, () => {
    const { clock, last, states } = joined();
    last().drop(code);
    assert.equal(states.at(-1)?.code, cause);
    assert.equal(states.at(-1)?.state, 'reconnecting');
    assert.equal(clock.pending.length, 1);
  });
}

test('the reason of a kick is kept', () => {
  const { last, signaling } = joined();
  last().receive({ type: 'kicked', reason: 'too loud' });
  last().drop(4003);
  assert.deepEqual(signaling.cause, { code: 'kicked', message: 'too loud', closeCode: 4003 });
});

for (const code of ['room_full', 'room_locked', 'wrong_password', 'unauthorized', 'not_allowed', 'bad_message']) {
  test(`a join refused with ${code} is final`, () => {
    const { last, states } = start();
    last().open();
    last().receive({ type: 'error', code, request: 'join' });
    assert.deepEqual(states.at(-1), { state: 'closed', code, delay: 0 });
  });
}

test('whoever was removed while the connection was lost is told so', async () => {
  const { clock, last, states } = joined();
  last().drop(1006);
  await clock.advance(400);
  last().open();
  last().receive({ type: 'error', code: 'not_allowed', request: 'join' });
  assert.deepEqual(states.at(-1), { state: 'closed', code: 'kicked', delay: 0 });
});

for (const code of ['rate_limited', 'server_draining', 'too_many_rooms']) {
  test(`a join refused with ${code} is tried again`, async () => {
    const { clock, last, states, sockets } = start();
    last().open();
    last().receive({ type: 'error', code, request: 'join' });
    assert.equal(states.at(-1)?.code, code);
    await clock.advance(500);
    assert.equal(sockets.length, 2);
  });
}

test('an error in the room is a message, not an end', () => {
  const { last, signaling } = joined();
  /** @type {string[]} */
  const types = [];
  signaling.on('message', ({ type }) => types.push(type));
  last().receive({ type: 'error', code: 'rate_limited', request: 'signal' });
  assert.deepEqual(types, ['error']);
  assert.equal(signaling.state, 'joined');
});

test('leave says so and closes for good', () => {
  const { clock, last, signaling } = joined();
  signaling.leave();
  assert.equal(last().sent.at(-1).type, 'leave');
  assert.equal(last().closedByClient, true);
  assert.equal(signaling.state, 'closed');
  assert.deepEqual(clock.pending, []);
  signaling.send({ type: 'ice' });
});

test('retryNow does not wait', () => {
  const { last, signaling, sockets, clock } = joined();
  last().drop(1006);
  signaling.retryNow();
  assert.equal(sockets.length, 2);
  signaling.retryNow();
  assert.equal(sockets.length, 2);
  assert.equal(clock.pending.length, 1, 'only the join timeout');
});

test('events of a socket that was given up are not heard', async () => {
  const { clock, last, signaling, states } = joined();
  const old = last();
  old.drop(1006);
  await clock.advance(400);
  const before = states.length;
  old.receive(JOINED);
  old.drop(4003);
  assert.equal(states.length, before);
  assert.equal(signaling.state, 'reconnecting');
});

test('what is no message is ignored', () => {
  const { last, signaling } = joined();
  let messages = 0;
  signaling.on('message', () => messages++);
  for (const junk of ['', '{', '[]', 'null', '7', '{"type":7}']) last().receive(junk);
  assert.equal(messages, 0);
});

test('a socket that cannot even be made is a lost connection', () => {
  const { states } = start({ createSocket: () => { throw new Error('no'); } });
  assert.equal(states.at(-1)?.code, 'connection_lost');
});
