// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeConnection } from '../fakes/connection.js';
import { FakeSocket } from '../fakes/socket.js';
import { Room, Signaling, videoBitrate } from '../static/sdk/maitred.js';

const BOB = { id: 'bob', name: 'Bob', role: 'member', state: {} };
const CAY = { id: 'cay', name: 'Cay', role: 'member', state: {} };

/** @param {{self?: string, members?: object[], ttl?: number}} [options] */
function joinedMessage({ self = 'ann', members = [], ttl = 600 } = {}) {
  return {
    type: 'joined', self: { id: self, name: 'Ann', role: 'member', state: {} }, room: { id: 'tea' }, members,
    iceServers: [{ urls: ['turn:x'] }], ttl, resume: 'seat',
  };
}

/** @param {Parameters<typeof joinedMessage>[0]} [options] */
async function join(options) {
  const clock = new FakeClock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {FakeConnection[]} */
  const connections = [];
  const signaling = new Signaling({
    url: 'ws://x/ws', room: 'tea', name: 'Ann', clock, random: () => 0,
    createSocket: (url, protocol) => {
      const socket = new FakeSocket(url, protocol);
      sockets.push(socket);
      return socket;
    },
  });
  const room = new Room({
    signaling, clock,
    createConnection: (configuration) => {
      const connection = new FakeConnection(configuration);
      connections.push(connection);
      return /** @type {any} */ (connection);
    },
  });
  /** @type {string[]} */
  const events = [];
  room.on('member-joined', ({ member }) => events.push(`+${member.id}`));
  room.on('member-left', ({ member, reason }) => events.push(`-${member.id} ${reason}`));
  room.on('peer-renewed', ({ member }) => events.push(`!${member.id}`));
  room.join();
  sockets[0].open();
  sockets[0].receive(joinedMessage(options));
  await settled();
  const last = () => sockets[sockets.length - 1];
  /** @param {string} type */
  const sent = (type) => last().sent.filter((message) => message.type === type);
  const offers = () => sent('signal').filter(({ data }) => data.description?.type === 'offer');
  return { clock, sockets, connections, room, events, last, sent, offers };
}

/** @param {Awaited<ReturnType<typeof join>>} all */
async function comeBack({ clock, last }, message = joinedMessage({ members: [BOB] })) {
  last().drop(1006);
  await clock.advance(1_000);
  last().open();
  last().receive(message);
  await settled();
}

test('the newcomer offers to everybody who is there', async () => {
  const { room, events, offers } = await join({ members: [BOB, CAY] });
  assert.deepEqual(events, ['+bob', '+cay']);
  assert.deepEqual(offers().map(({ to }) => to), ['bob', 'cay']);
  assert.deepEqual([...room.members.keys()], ['bob', 'cay']);
});

test('who was there waits for the newcomer', async () => {
  const { events, offers, last } = await join();
  last().receive({ type: 'member-joined', member: BOB });
  await settled();
  assert.deepEqual(events, ['+bob']);
  assert.equal(offers().length, 0);
});

test('exactly one side is polite', async () => {
  const { room } = await join({ members: [BOB, { ...CAY, id: 'aaa' }] });
  assert.equal(room.peers.get('bob')?.polite, true);
  assert.equal(room.peers.get('aaa')?.polite, false);
});

test('member-left closes the connection, whether it names the id or the member', async () => {
  const { events, last, connections, room } = await join({ members: [BOB, CAY] });
  last().receive({ type: 'member-left', member: 'bob', reason: 'left' });
  last().receive({ type: 'member-left', member: CAY, reason: 'timeout' });
  assert.deepEqual(events.slice(2), ['-bob left', '-cay timeout']);
  assert.ok(connections.every(({ closed }) => closed));
  assert.equal(room.peers.size, 0);
});

test('the state is sent with the join, on every change and after coming back', async () => {
  const all = await join({ members: [BOB] });
  all.room.setState({ audio: false });
  assert.deepEqual(all.sent('update').map(({ state }) => state), [{ audio: false }]);
  await comeBack(all);
  assert.deepEqual(all.sent('update').map(({ state }) => state), [{ audio: false }]);
});

test('a resumed seat keeps connections that work', async () => {
  const all = await join({ members: [BOB] });
  all.connections[0].become('connected');
  await comeBack(all);
  assert.deepEqual(all.events, ['+bob']);
  assert.equal(all.connections.length, 1);
  assert.equal(all.connections[0].iceGeneration, 0);
});

test('and restarts ICE where they do not', async () => {
  const all = await join({ members: [BOB] });
  await all.room.peers.get('bob')?.receive({ description: { type: 'answer', sdp: '' } });
  all.connections[0].become('disconnected');
  await comeBack(all);
  assert.equal(all.connections[0].iceGeneration, 1);
  assert.equal(all.offers().length, 1);
});

test('a resumed seat takes over who came and went meanwhile', async () => {
  const all = await join({ members: [BOB] });
  await comeBack(all, joinedMessage({ members: [CAY] }));
  assert.deepEqual(all.events, ['+bob', '-bob left', '+cay']);
});

test('a new seat starts over with everybody', async () => {
  const all = await join({ members: [BOB] });
  await comeBack(all, joinedMessage({ self: 'ann2', members: [BOB] }));
  assert.deepEqual(all.events, ['+bob', '-bob reconnected', '+bob']);
  assert.equal(all.connections[0].closed, true);
});

test('a restart near the end of the credential asks for a fresh one first', async () => {
  const all = await join({ members: [BOB], ttl: 600 });
  await all.room.peers.get('bob')?.receive({ description: { type: 'answer', sdp: '' } });
  await all.clock.advance(550_000);
  const restarted = all.room.restart('bob');
  await settled();
  assert.equal(all.sent('ice').length, 1);
  assert.equal(all.connections[0].iceGeneration, 0);
  all.last().receive({ type: 'ice-servers', iceServers: [{ urls: ['turn:y'] }], ttl: 600 });
  await restarted;
  await settled();
  assert.equal(all.connections[0].iceGeneration, 1);
  assert.deepEqual(all.connections[0].configurations.at(-1).iceServers, [{ urls: ['turn:y'] }]);
});

test('a restart with a fresh credential asks for nothing', async () => {
  const all = await join({ members: [BOB] });
  await all.room.restart('bob');
  assert.equal(all.sent('ice').length, 0);
});

test('a server that does not answer is given up for dead', async () => {
  const all = await join({ members: [BOB] });
  await all.clock.advance(599_000);
  const restarted = all.room.restart('bob');
  await settled();
  await all.clock.advance(5_000);
  await restarted;
  assert.equal(all.sockets[0].closedByClient, true);
});

test('pushed ICE servers reach every connection without a restart', async () => {
  const all = await join({ members: [BOB, CAY] });
  all.last().receive({ type: 'ice-servers', iceServers: [{ urls: ['turn:z'] }], ttl: 60 });
  for (const connection of all.connections) {
    assert.deepEqual(connection.configurations.at(-1).iceServers, [{ urls: ['turn:z'] }]);
    assert.equal(connection.iceGeneration, 0);
  }
});

test('forcing the relay makes the connections anew', async () => {
  const all = await join({ members: [BOB] });
  await all.room.setRelayOnly(true);
  await settled();
  assert.deepEqual(all.events, ['+bob', '!bob']);
  assert.equal(all.connections[0].closed, true);
  assert.equal(all.connections[1].configurations[0].iceTransportPolicy, 'relay');
  const signals = all.sent('signal').map(({ data }) => data);
  assert.deepEqual(signals.slice(1).map(({ renew, description }) => renew ?? description.type), [true, 'offer']);
});

test('a renewal by the other is followed, and its offer awaited', async () => {
  const all = await join({ members: [BOB] });
  all.last().receive({ type: 'signal', from: 'bob', data: { renew: true } });
  await settled();
  assert.equal(all.connections.length, 2);
  assert.equal(all.offers().length, 1, 'the first one only');
});

for (const { self, renewed } of [{ self: 'ann', renewed: 3 }, { self: 'zoe', renewed: 2 }]) {
  test(`both renew at once: the ${self === 'ann' ? 'polite side follows' : 'impolite side goes on'}`, async () => {
    const all = await join({ self, members: [BOB] });
    await all.room.setRelayOnly(true);
    all.last().receive({ type: 'signal', from: 'bob', data: { renew: true } });
    await settled();
    assert.equal(all.connections.length, renewed);
  });
}

test('tracks reach those who are there and those who come later', async () => {
  const all = await join({ members: [BOB] });
  all.room.setTrack('video', /** @type {any} */ ({ kind: 'video' }));
  all.last().receive(joinedMessage({ members: [BOB, CAY] }));
  await settled();
  for (const connection of all.connections) assert.equal(connection.transceivers[1].sender.track?.kind, 'video');
});

test('chat says whom it did not reach yet', async () => {
  const { room, connections } = await join({ members: [BOB, CAY] });
  connections[1].channel.readyState = 'open';
  const { sent, waiting } = room.sendChat('hello');
  assert.deepEqual([sent.map(({ id }) => id), waiting.map(({ id }) => id)], [['cay'], ['bob']]);
});

test('what was said before the channel was open follows, over a renewed connection too', async () => {
  const { room, connections, last } = await join({ members: [BOB] });
  room.sendChat('hello');
  last().receive({ type: 'signal', from: 'bob', data: { renew: true } });
  const { channel } = connections[1];
  /** @type {string[]} */
  const said = [];
  channel.send = (data) => void said.push(JSON.parse(data).text);
  channel.readyState = 'open';
  channel.dispatchEvent(new Event('open'));
  assert.deepEqual(said, ['hello']);
});

for (const { self, answers } of [{ self: 'ann', answers: 1 }, { self: 'zoe', answers: 0 }]) {
  test(`both make their first offer: the ${answers ? 'polite side answers on a new connection' : 'impolite side keeps its own'}`, async () => {
    const all = await join({ self, members: [BOB] });
    all.last().receive({ type: 'signal', from: 'bob', data: { description: { type: 'offer', sdp: '' } } });
    await settled();
    assert.equal(all.sent('signal').filter(({ data }) => data.description?.type === 'answer').length, answers);
    assert.equal(all.connections.length, 1 + answers);
    assert.equal(all.connections[0].closed, answers === 1);
  });
}

test('a signal to someone who just left is no error worth showing', async () => {
  const { room, last } = await join();
  /** @type {string[]} */
  const codes = [];
  room.on('error', ({ code }) => codes.push(code));
  last().receive({ type: 'error', code: 'no_such_member', request: 'signal' });
  last().receive({ type: 'error', code: 'rate_limited', request: 'signal' });
  assert.deepEqual(codes, ['rate_limited']);
});

test('signals of strangers and unknown messages change nothing', async () => {
  const { last, events, connections } = await join();
  last().receive({ type: 'signal', from: 'nobody', data: { description: { type: 'offer', sdp: '' } } });
  last().receive({ type: 'signal', from: 'nobody', data: null });
  last().receive({ type: 'of-tomorrow', member: BOB });
  await settled();
  assert.deepEqual(events, []);
  assert.equal(connections.length, 0);
});

test('the end closes every connection', async () => {
  const { room, last, connections } = await join({ members: [BOB] });
  last().drop(4003);
  assert.equal(connections[0].closed, true);
  assert.equal(room.members.size, 0);
});

test('more people, less video for each', () => {
  assert.deepEqual([1, 2, 4, 7].map(videoBitrate), [2_500_000, 1_000_000, 500_000, 500_000]);
});
