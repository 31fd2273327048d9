// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeSocket } from '../fakes/socket.js';
import { PROTOCOL, Signaling } from '../sdk/maitred.js';

const JOINED = {
  type: 'joined', self: { id: 'me', name: 'Ann' }, room: { id: 'tea' }, members: [], iceServers: [], ttl: 600, resume: 'seat-1', resumed: false, received: 0,
};

/** @param {number} received */
const resumed = (received) => ({ ...JOINED, resumed: true, received });

/** @param {Partial<import('../sdk/maitred.js').SignalingOptions>} [options] */
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
  last().receive(resumed(0));
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
  last().receive(resumed(0));
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
  last().receive(resumed(0));
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
  last().receive(resumed(out));
  await clock.advance(10_000);
  assert.ok(out < 150);
  assert.deepEqual(last().sent.slice(1).map(({ data }) => data), [...Array(150).keys()].slice(out));
});

test('what waits does not grow without end', async () => {
  const { clock, last, signaling } = joined();
  last().readyState = 2;
  for (let i = 0; i < 10_000; i++) assert.equal(signaling.send({ type: 'signal', to: 'bob', data: i }), i < 512);
  last().drop(1006);
  await clock.advance(400);
  last().open();
  last().receive(resumed(0));
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
  /** @type {unknown} */
  let why;
  signaling.on('state', ({ cause }) => {
    why = cause;
  });
  last().receive({ type: 'kicked', reason: 'too loud' });
  last().drop(4003);
  assert.deepEqual(why, { code: 'kicked', message: 'too loud', closeCode: 4003 });
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

test('reconnect does not wait for the next attempt', async () => {
  const { clock, last, signaling, sockets } = joined();
  last().drop(1006);
  signaling.reconnect();
  await clock.advance(0);
  assert.equal(sockets.length, 2);
  assert.deepEqual(clock.pending, [15_000], 'only the join timeout');
});

test('nor for a connection that may be dead', async () => {
  const { clock, last, signaling, sockets, states } = joined();
  signaling.reconnect();
  assert.deepEqual(states.at(-1), { state: 'reconnecting', code: 'connection_lost', delay: 0 });
  assert.equal(sockets[0].closedByClient, true);
  await clock.advance(0);
  signaling.reconnect();
  await clock.advance(0);
  assert.equal(sockets.length, 3, 'an attempt that hangs is given up, too');
  last().open();
  assert.equal(last().sent[0].resume, 'seat-1');
});

test('what is over is not connected again', () => {
  const { clock, signaling, sockets } = joined();
  signaling.leave();
  signaling.reconnect();
  assert.deepEqual(clock.pending, []);
  assert.equal(sockets.length, 1);
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

test('a socket that cannot even be made is not tried again', () => {
  const { clock, states } = start({ createSocket: () => { throw new Error('no'); } });
  assert.deepEqual(states.at(-1), { state: 'closed', code: 'connection_lost', delay: 0 });
  assert.deepEqual(clock.pending, []);
});

test('that a WebSocket has opened is told, once', async () => {
  const { clock, last, signaling } = start();
  /** @type {boolean[]} */
  const told = [];
  signaling.on('state', ({ opened }) => told.push(opened));
  last().drop(1006);
  await clock.advance(500);
  last().open();
  last().drop(1006);
  await clock.advance(1_000);
  last().open();
  assert.deepEqual(told, [false, true, true]);
});

// Counting: what a server says and takes on a seat, over all its connections.

/** @param {ReturnType<typeof joined>} all */
async function reopen({ clock, last }) {
  last().drop(1006);
  await clock.advance(20_000 - 1);
  last().open();
  return last();
}

test('every message since the first joined counts, known or not, and joined never does', async () => {
  const all = joined();
  for (const message of [{ type: 'draining' }, { type: 'of-tomorrow' }, '{"no":"type"}']) all.last().receive(message);
  let socket = await reopen(all);
  assert.deepEqual(socket.sent, [{ type: 'join', room: 'tea', name: 'Ann', resume: 'seat-1', received: 3 }]);
  socket.receive(resumed(0));
  socket.receive({ type: 'draining' });
  socket = await reopen(all);
  assert.equal(socket.sent[0].received, 4);
});

test('what comes before joined does not count', async () => {
  const all = joined();
  let socket = await reopen(all);
  socket.receive({ type: 'waiting' });
  socket.receive({ type: 'error', code: 'rate_limited', request: 'join' });
  await all.clock.advance(1_000);
  socket = all.last();
  socket.open();
  assert.equal(socket.sent[0].received, 0);
});

test('what the server has not handled is sent again, once, in order, and before anything new', async () => {
  const all = joined();
  for (let i = 1; i <= 5; i++) all.signaling.send({ type: 'broadcast', data: i });
  all.last().drop(1006);
  all.signaling.send({ type: 'broadcast', data: 6 });
  let socket = await reopen(all);
  socket.receive(resumed(3));
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), [4, 5, 6]);
  all.signaling.send({ type: 'broadcast', data: 7 });
  socket = await reopen(all);
  socket.receive(resumed(6));
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), [7]);
});

test('join and leave do not count', async () => {
  const all = joined();
  all.signaling.send({ type: 'broadcast', data: 1 });
  const socket = await reopen(all);
  socket.receive(resumed(1));
  all.signaling.send({ type: 'broadcast', data: 2 });
  const again = await reopen(all);
  again.receive(resumed(1));
  assert.deepEqual(again.sent.slice(1).map(({ data }) => data), [2]);
});

test('no more than the last 256 are kept', async () => {
  const all = joined();
  for (let i = 1; i <= 400; i++) all.signaling.send({ type: 'broadcast', data: i });
  await all.clock.advance(10_000);
  assert.equal(all.last().sent.length, 401);
  let socket = await reopen(all);
  socket.receive(resumed(100));
  await all.clock.advance(10_000);
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), Array.from({ length: 256 }, (_, i) => 145 + i));
  // The server counts what it has got, whatever was lost.
  all.signaling.send({ type: 'broadcast', data: 'new' });
  socket = await reopen(all);
  socket.receive(resumed(356));
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), ['new']);
});

test('on a new seat both counts start over and nothing is sent again', async () => {
  const all = joined();
  all.last().receive({ type: 'draining' });
  all.signaling.send({ type: 'broadcast', data: 1 });
  let socket = await reopen(all);
  socket.receive({ ...JOINED, self: { id: 'other', name: 'Ann' }, resume: 'seat-2' });
  assert.equal(socket.sent.length, 1);
  socket.receive({ type: 'draining' });
  all.signaling.send({ type: 'broadcast', data: 2 });
  socket = await reopen(all);
  assert.deepEqual([socket.sent[0].resume, socket.sent[0].received], ['seat-2', 1]);
  socket.receive({ ...resumed(0), self: { id: 'other', name: 'Ann' } });
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), [2]);
});

for (const answer of [{ ...JOINED, resumed: false }, { ...resumed(0), self: { id: 'other', name: 'Ann' } }]) {
  test(`resumed: ${answer.resumed} as ${answer.self.id} is a new seat`, async () => {
    const all = joined();
    /** @type {unknown} */
    let told;
    all.signaling.on('message', (message) => {
      told = message.type === 'joined' && message.resumed;
    });
    all.signaling.send({ type: 'broadcast', data: 1 });
    const socket = await reopen(all);
    socket.receive(answer);
    assert.equal(told, false);
    assert.equal(socket.sent.length, 1);
  });
}

test('a server that does not count is taken to have got everything', async () => {
  const all = joined();
  all.signaling.send({ type: 'broadcast', data: 1 });
  all.last().drop(1006);
  all.signaling.send({ type: 'broadcast', data: 2 });
  const socket = await reopen(all);
  const { resumed: _, received: __, ...plain } = JOINED;
  socket.receive(plain);
  assert.deepEqual(socket.sent.slice(1).map(({ data }) => data), [2]);
});

test('whoever waits to be let in waits without a limit', async () => {
  const { clock, last, states } = start();
  last().open();
  last().receive({ type: 'waiting' });
  assert.equal(states.at(-1)?.state, 'waiting');
  assert.deepEqual(clock.pending, []);
  last().receive(JOINED);
  assert.equal(states.at(-1)?.state, 'joined');
});

for (const { code, closed } of [{ code: 'not_allowed', closed: 4003 }, { code: 'room_locked', closed: 0 }]) {
  test(`and is told ${code} when nobody does`, () => {
    const { last, states } = start();
    last().open();
    last().receive({ type: 'waiting' });
    last().receive({ type: 'error', code, request: 'join' });
    if (closed) last().drop(closed);
    assert.deepEqual(states.at(-1), { state: 'closed', code, delay: 0 });
  });
}
