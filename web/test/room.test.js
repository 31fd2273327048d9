// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeConnection, openChannels } from '../fakes/connection.js';
import { FakeSocket } from '../fakes/socket.js';
import * as sdk from '../sdk/maitred.js';

const BOB = { id: 'bob', name: 'Bob', role: 'member', state: {} };
const CAY = { id: 'cay', name: 'Cay', role: 'member', state: {} };
const SETTINGS = { id: 'tea', locked: false, knock: false, password: false, maxMembers: 16 };

/** @param {{self?: string, members?: object[], ttl?: number, resumed?: boolean, received?: number}} [options] */
function joinedMessage({ self = 'ann', members = [], ttl = 600, resumed = false, received = 0 } = {}) {
  return {
    type: 'joined', self: { id: self, name: 'Ann', role: 'member', state: {} }, room: SETTINGS, members,
    iceServers: [{ urls: ['turn:x'] }], ttl, resume: 'seat', resumed, received,
  };
}

/**
 * A room that is not joined yet.
 * @param {Partial<sdk.JoinOptions>} [options]
 */
function open(options) {
  const clock = new FakeClock();
  const network = new EventTarget();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {FakeConnection[]} */
  const connections = [];
  const room = new sdk.Room({
    url: 'ws://x', room: 'tea', name: 'Ann', clock, random: () => 0, network,
    createSocket: (url, protocol) => {
      const socket = new FakeSocket(url, protocol);
      sockets.push(socket);
      return socket;
    },
    createConnection: (configuration) => {
      const connection = new FakeConnection(configuration);
      connections.push(connection);
      return /** @type {any} */ (connection);
    },
    ...options,
  });
  /** @type {string[]} */
  const events = [];
  room.on('member-joined', ({ member }) => events.push(`+${member.id}`));
  room.on('member-left', ({ member, reason }) => events.push(`-${member.id} ${reason}`));
  const last = () => sockets[sockets.length - 1];
  /** @param {string} type */
  const sent = (type) => last().sent.filter((message) => message.type === type);
  const offers = () => sent('signal').filter(({ data }) => data.description?.type === 'offer');
  return { clock, network, sockets, connections, room, events, last, sent, offers };
}

/**
 * @param {Parameters<typeof joinedMessage>[0]} [message]
 * @param {Partial<sdk.JoinOptions>} [options]
 */
async function join(message, options) {
  const all = open(options);
  const joined = all.room.join();
  all.last().open();
  all.last().receive(joinedMessage(message));
  await joined;
  await settled();
  return all;
}

/**
 * @param {Awaited<ReturnType<typeof join>>} all
 * @param {Parameters<typeof joinedMessage>[0]} [message]
 */
async function comeBack({ clock, last }, message = { members: [BOB], resumed: true }) {
  // Nothing of what was sent is sent again, unless the message says so.
  const received = last().sent.length - 1;
  last().drop(1006);
  await clock.advance(1_000);
  last().open();
  last().receive(joinedMessage({ received, ...message }));
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
  assert.equal(room.peers.get('bob')?.options.polite, true);
  assert.equal(room.peers.get('aaa')?.options.polite, false);
});

test('member-left closes the connection', async () => {
  const { events, last, connections, room } = await join({ members: [BOB, CAY] });
  last().receive({ type: 'member-left', member: 'bob', reason: 'left' });
  last().receive({ type: 'member-left', member: 'cay', reason: 'timeout' });
  assert.deepEqual(events.slice(2), ['-bob left', '-cay timeout']);
  assert.ok(connections.every(({ closed }) => closed));
  assert.equal(room.peers.size, 0);
});

test('the state is sent with the join, on every change, and on a new seat', async () => {
  const all = await join({ members: [BOB] }, { state: { audio: true } });
  all.room.update({ audio: false });
  assert.deepEqual(all.sent('update').map(({ state }) => state), [{ audio: true }, { audio: false }]);
  await comeBack(all);
  assert.deepEqual(all.sent('update'), [], 'a seat that was taken back has it');
  await comeBack(all, { self: 'ann2', members: [BOB] });
  assert.deepEqual(all.sent('update').map(({ state }) => state), [{ audio: false }]);
});

test('what is set before the join is sent with it', () => {
  const { room, last, sent } = open();
  void room.join();
  room.update({ audio: false });
  last().open();
  last().receive(joinedMessage());
  assert.deepEqual(sent('update').map(({ state }) => state), [{ audio: false }]);
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

test('but first hears out what an offer that is under way brings', async () => {
  const all = await join({ members: [BOB] });
  await comeBack(all);
  assert.equal(all.offers().length, 0);
  all.last().receive({ type: 'signal', from: 'bob', data: { description: { type: 'answer', sdp: '' } } });
  await settled();
  assert.equal(all.offers().length, 1);
  assert.equal(all.connections[0].iceGeneration, 1);
});

test('and leaves the first offer to the newcomer', async () => {
  const all = await join();
  all.last().receive({ type: 'member-joined', member: BOB });
  await comeBack(all);
  assert.equal(all.offers().length, 0);
});

test('a network that came back makes the room connect at once', async () => {
  const all = await join({ members: [BOB] });
  all.last().drop(1006);
  all.network.dispatchEvent(new Event('online'));
  await all.clock.advance(0);
  assert.equal(all.sockets.length, 2);
});

test('and restarts ICE with everybody, even where all seems well', async () => {
  const all = await join({ members: [BOB] });
  await all.room.peers.get('bob')?.receive({ description: { type: 'answer', sdp: '' } });
  all.connections[0].become('connected');
  const peer = /** @type {any} */ (all.room.peers.get('bob'));
  const restart = peer.restart.bind(peer);
  /** @type {unknown[]} */
  const asked = [];
  peer.restart = (/** @type {unknown} */ how) => {
    asked.push(how);
    restart(how);
  };
  const received = all.last().sent.length - 1;
  all.network.dispatchEvent(new Event('online'));
  assert.equal(all.sockets[0].closedByClient, true);
  await all.clock.advance(0);
  all.last().open();
  all.last().receive(joinedMessage({ members: [BOB], resumed: true, received }));
  await settled();
  assert.equal(all.connections[0].iceGeneration, 1);
  assert.deepEqual(asked, [{ patient: true, manual: true }], 'from the beginning: it is another network');
  await comeBack(all);
  assert.equal(all.connections[0].iceGeneration, 1, 'once');
});

test('another kind of network is another network, another speed is not', async () => {
  const connection = Object.assign(new EventTarget(), { type: 'wifi' });
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { connection }, configurable: true });
  try {
    const all = await join();
    connection.dispatchEvent(new Event('change'));
    assert.equal(all.room.state, 'joined');
    connection.type = 'cellular';
    connection.dispatchEvent(new Event('change'));
    assert.equal(all.room.state, 'reconnecting');
    all.room.leave();
    connection.type = 'wifi';
    connection.dispatchEvent(new Event('change'));
    assert.equal(all.room.state, 'closed');
  } finally {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else delete (/** @type {any} */ (globalThis).navigator);
  }
});

test('a connection that breaks is a reason to ask whether the server is still there', async () => {
  const all = await join({ members: [BOB] });
  await all.room.peers.get('bob')?.receive({ description: { type: 'answer', sdp: '' } });
  all.connections[0].become('connected');
  all.connections[0].become('disconnected');
  assert.equal(all.sent('ice').length, 1);
  await all.clock.advance(5_000);
  assert.equal(all.sockets[0].closedByClient, true, 'it has not answered');
  assert.equal(all.sockets.length, 2);
});

test('a page that goes away leaves', async () => {
  const all = await join();
  all.network.dispatchEvent(new Event('pagehide'));
  assert.equal(all.last().sent.at(-1).type, 'leave');
  assert.equal(all.room.state, 'closed');
});

test('a room that is over does not listen to the network any more', async () => {
  const all = await join();
  all.room.leave();
  all.network.dispatchEvent(new Event('online'));
  await all.clock.advance(60_000);
  assert.equal(all.sockets.length, 1);
});

test('a resumed seat takes over who came and went meanwhile', async () => {
  const all = await join({ members: [BOB] });
  await comeBack(all, { members: [CAY], resumed: true });
  assert.deepEqual(all.events, ['+bob', '-bob left', '+cay']);
});

test('a new seat starts over with everybody', async () => {
  const all = await join({ members: [BOB] });
  await comeBack(all, { self: 'ann2', members: [BOB] });
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
  assert.deepEqual(all.events, ['+bob']);
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
  const [camera, screen, stream] = /** @type {any[]} */ ([{ kind: 'video', name: 'camera' }, { kind: 'video', name: 'screen' }, {}]);
  all.room.setTrack('video', camera);
  all.room.addTrack(screen, stream);
  all.last().receive({ type: 'member-joined', member: CAY });
  await all.clock.advance(6_000);
  for (const { transceivers } of all.connections) {
    assert.deepEqual(transceivers.map(({ sender }) => sender.track?.name), [undefined, 'camera', 'screen']);
  }
  all.room.removeTrack(screen);
  all.room.setTrack('video', null);
  for (const { transceivers } of all.connections) {
    assert.deepEqual(transceivers.map(({ sender, stopped }) => [sender.track?.name, stopped]), [[undefined, false], [undefined, false], ['screen', true]]);
  }
});

test('the first audio and video track of the stream are sent', async () => {
  const [audio, video, second] = ['audio', 'video', 'video'].map((kind, index) => ({ kind, index }));
  const stream = /** @type {any} */ ({ getTracks: () => [audio, video, second] });
  const { connections } = await join({ members: [BOB] }, { stream });
  assert.deepEqual(connections[0].transceivers.map(({ sender }) => sender.track?.index), [0, 1]);
});

test('what comes from peers comes from the room, too, with the member', async () => {
  const { room, connections } = await join({ members: [BOB] });
  /** @type {any[]} */
  const heard = [];
  for (const type of /** @type {const} */ (['track', 'data', 'channel', 'status'])) {
    room.on(type, ({ member, peer, ...detail }) => heard.push([type, member.id, peer === room.peers.get('bob'), Object.keys(detail)[0]]));
  }
  const bob = new FakeConnection();
  const data = bob.createDataChannel('data', { negotiated: true, id: 0 });
  bob.createDataChannel('files');
  openChannels(connections[0], bob);
  data.send('1');
  connections[0].hear('audio', [{}]);
  connections[0].become('connected');
  assert.deepEqual(heard, [
    ['channel', 'bob', true, 'channel'], ['data', 'bob', true, 'data'], ['track', 'bob', true, 'track'], ['status', 'bob', true, 'status'],
  ]);
});

test('data for everybody is told for everybody', async () => {
  const { room, connections } = await join({ members: [BOB, CAY] });
  connections[1].channels[0].open();
  assert.deepEqual([...room.send('hello')], [['bob', 'waiting'], ['cay', 'sent']]);
});

test('the application speaks through the server, too', async () => {
  const { room, last, sent } = await join({ members: [BOB] });
  /** @type {any[]} */
  const heard = [];
  room.on('signal', ({ member, data }) => heard.push([member.id, data]));
  room.on('broadcast', ({ member, from, data }) => heard.push([member?.id, from, data]));
  room.on('server-message', ({ data }) => heard.push(data));
  assert.equal(room.signal(BOB.id, { poke: 1 }), true);
  assert.equal(room.signal(/** @type {any} */ (BOB), 0), true);
  assert.equal(room.broadcast([1]), true);
  assert.deepEqual(sent('signal').slice(1).map(({ to, data }) => [to, data]), [['bob', { poke: 1 }], ['bob', 0]]);
  assert.deepEqual(sent('broadcast').map(({ data }) => data), [[1]]);
  for (const data of [{ poke: 2 }, 'text', null]) last().receive({ type: 'signal', from: 'bob', data });
  last().receive({ type: 'broadcast', from: 'bob', data: 7 });
  last().receive({ type: 'server-message', data: { text: 'tea is ready' } });
  assert.deepEqual(heard, [['bob', { poke: 2 }], ['bob', 'text'], ['bob', null], ['bob', 'bob', 7], { text: 'tea is ready' }]);
  room.leave();
  assert.equal(room.broadcast(1), false);
});

test('the server tells on request what its relay does', async () => {
  const all = await join({ members: [BOB] });
  /** @type {unknown[]} */
  const told = [];
  all.room.on('relay', ({ members }) => told.push(members));
  assert.equal(all.room.askRelay(), true);
  assert.deepEqual(all.sent('relay'), [{ type: 'relay' }]);
  const members = [{ member: 'ann', allocations: [] }, { member: 'bob', allocations: [{ transport: 'tls', relayed: '203.0.113.1:50000', bytes: 7 }] }];
  all.last().receive({ type: 'relay', members });
  assert.deepEqual(told, [members]);
});

test('and is not asked for what would be stale when it answers', async () => {
  const all = open();
  assert.equal(all.room.askRelay(), false);
  void all.room.join();
  all.last().open();
  assert.equal(all.room.askRelay(), false);
  all.last().receive(joinedMessage());
  all.last().drop(1006);
  assert.equal(all.room.askRelay(), false);
  await all.clock.advance(1_000);
  all.last().open();
  all.last().receive(joinedMessage({ resumed: true }));
  assert.deepEqual(all.sent('relay'), []);
  assert.equal(all.room.askRelay(), true);
});

// Doors

test('moderators command by methods', async () => {
  const { room, last } = await join({ members: [BOB] });
  const before = last().sent.length;
  room.kick('bob', 'too loud');
  room.kick(/** @type {any} */ (BOB));
  room.lock({ locked: true, knock: true });
  room.lock({ locked: false });
  room.admit('eve');
  room.deny('eve');
  room.setPassword('sesame');
  room.setPassword();
  room.limit(4);
  room.limit();
  assert.deepEqual(last().sent.slice(before), [
    { type: 'kick', member: 'bob', reason: 'too loud' }, { type: 'kick', member: 'bob' },
    { type: 'lock', locked: true, knock: true }, { type: 'lock', locked: false },
    { type: 'admit', member: 'eve' }, { type: 'deny', member: 'eve' },
    { type: 'password', password: 'sesame' }, { type: 'password', password: '' },
    { type: 'limit', maxMembers: 4 }, { type: 'limit', maxMembers: 0 },
  ]);
});

test('the settings are known, and their changes told', async () => {
  const { room, last } = await join();
  assert.deepEqual(room.settings, SETTINGS);
  /** @type {unknown} */
  let told;
  room.on('room', ({ room: settings }) => {
    told = settings;
  });
  last().receive({ type: 'room', room: { ...SETTINGS, locked: true } });
  assert.deepEqual(told, { ...SETTINGS, locked: true });
  assert.equal(room.settings, told);
});

const ENDS = [
  { name: 'admitted', message: { type: 'member-joined', member: CAY }, events: ['+cay'] },
  { name: 'denied', message: { type: 'member-left', member: 'cay', reason: 'denied' }, events: [] },
  { name: 'left', message: { type: 'member-left', member: 'cay', reason: 'left' }, events: [] },
];
for (const { name, message, events } of ENDS) {
  test(`whoever knocks waits until they are ${name}`, async () => {
    const all = await join();
    /** @type {string[]} */
    const told = [];
    all.room.on('knock', ({ member }) => told.push(`?${member.id}`));
    all.room.on('knock-ended', ({ member, reason }) => told.push(`${member.id} ${reason}`));
    all.last().receive({ type: 'knock', member: CAY });
    assert.deepEqual([...all.room.knocking.keys()], ['cay']);
    all.last().receive(message);
    assert.deepEqual(told, ['?cay', `cay ${name}`]);
    assert.equal(all.room.knocking.size, 0);
    assert.deepEqual(all.events, events);
  });
}

test('on a new seat nobody knocks who does not knock again', async () => {
  const all = await join();
  all.last().receive({ type: 'knock', member: CAY });
  /** @type {string[]} */
  const told = [];
  all.room.on('knock-ended', ({ reason }) => told.push(reason));
  await comeBack(all, { self: 'ann2' });
  assert.deepEqual([all.room.knocking.size, told], [0, ['reconnected']]);
});

test('what becomes of oneself is told', async () => {
  const { room, last } = await join();
  /** @type {any[]} */
  const told = [];
  room.on('member-updated', ({ member }) => told.push(member));
  last().receive({ type: 'member-updated', member: { id: 'ann', name: 'Ann', role: 'moderator', state: {} } });
  last().receive({ type: 'member-updated', member: { id: 'nobody', name: 'X', role: 'member', state: {} } });
  assert.deepEqual(told.map(({ id, role }) => [id, role]), [['ann', 'moderator']]);
  assert.equal(room.self?.role, 'moderator');
});

// Joining

test('join is fulfilled with the room, everybody in it', async () => {
  const all = open();
  /** @type {FakeSocket | undefined} */
  let socket;
  const joining = sdk.join({
    url: 'https://call.example.com', room: 'tea', name: 'Ann', clock: all.clock, createConnection: () => /** @type {any} */ (new FakeConnection()),
    createSocket: (url, protocol) => socket = new FakeSocket(url, protocol),
  });
  assert.equal(socket?.url, 'wss://call.example.com/ws');
  socket?.open();
  socket?.receive(joinedMessage({ members: [BOB, CAY] }));
  const room = await joining;
  assert.ok(room instanceof sdk.Room);
  assert.deepEqual([room.self?.id, [...room.members.keys()], room.state], ['ann', ['bob', 'cay'], 'joined']);
});

test('listeners given with the options miss nothing', async () => {
  /** @type {string[]} */
  const told = [];
  const all = open({
    on: {
      state: ({ state }) => told.push(state), waiting: () => told.push('let me in'),
      joined: ({ resumed }) => told.push(`resumed ${resumed}`), 'member-joined': ({ member }) => told.push(`+${member.id}`),
    },
  });
  const joining = all.room.join();
  all.last().open();
  all.last().receive({ type: 'waiting' });
  all.last().receive(joinedMessage({ members: [BOB] }));
  await joining;
  assert.deepEqual(told, ['connecting', 'connecting', 'waiting', 'let me in', 'joined', 'resumed false', '+bob']);
});

for (const { code, message } of [{ code: 'wrong_password', message: 'not this one' }, { code: 'room_full', message: undefined }]) {
  test(`join is rejected with ${code}`, async () => {
    const all = open();
    const joining = all.room.join();
    all.last().open();
    all.last().receive({ type: 'error', code, message, request: 'join' });
    await assert.rejects(joining, { name: 'Error', code, message: message ?? code });
    assert.equal(all.last().closedByClient, true);
  });
}

test('whoever is denied is told so', async () => {
  const all = open();
  const joining = all.room.join();
  all.last().open();
  all.last().receive({ type: 'waiting' });
  all.last().receive({ type: 'error', code: 'not_allowed', message: 'denied', request: 'join' });
  await assert.rejects(joining, { code: 'not_allowed' });
});

test('joining can be given up', async () => {
  const controller = new AbortController();
  const all = open({ signal: controller.signal });
  const joining = all.room.join();
  controller.abort(new Error('enough'));
  await assert.rejects(joining, { message: 'enough' });
  assert.deepEqual([all.last().closedByClient, all.clock.pending], [true, []]);
  await assert.rejects(open({ signal: controller.signal }).room.join(), { message: 'enough' });
});

const ADDRESSES = [
  ['https://call.example.com', 'wss://call.example.com/ws'], ['http://localhost:8080/', 'ws://localhost:8080/ws'],
  ['wss://call.example.com/ws', 'wss://call.example.com/ws'], ['ws://x/some/path', 'ws://x/some/path'],
];
for (const [url, address] of ADDRESSES) {
  test(`the server at ${url} is reached at ${address}`, () => {
    const { room, last } = open({ url });
    void room.join();
    assert.equal(last().url, address);
  });
}

test('what is no address is an error at once', async () => {
  await assert.rejects(sdk.join({ url: 'http://', room: 'tea', name: 'Ann' }), { name: 'TypeError' });
});

test('whoever is kicked is told why, and it is over', async () => {
  const { room, last, events } = await join({ members: [BOB] });
  /** @type {any[]} */
  const told = [];
  room.on('kicked', ({ reason }) => told.push(reason));
  room.on('state', ({ state, cause }) => told.push(state, cause?.code, cause?.message));
  last().receive({ type: 'kicked', reason: 'too loud' });
  last().drop(4003);
  assert.deepEqual(told, ['too loud', 'closed', 'kicked', 'too loud']);
  assert.deepEqual(events, ['+bob', '-bob kicked']);
});

// Credentials

test('pushed ICE servers restart what has failed, and what the relay refused', async () => {
  const all = await join({ members: [BOB, CAY] });
  for (const peer of all.room.peers.values()) await peer.receive({ description: { type: 'answer', sdp: '' } });
  const [bob, cay] = all.connections;
  bob.fail(401);
  cay.fail(701);
  all.last().receive({ type: 'ice-servers', iceServers: [{ urls: ['turn:z'] }], ttl: 60 });
  await settled();
  assert.deepEqual([bob.iceGeneration, cay.iceGeneration], [1, 0], 'cay is still trying');
  bob.become('connected');
  bob.fail(401);
  for (const delay of [0, 3_000, 8_000, 15_000, 0]) {
    cay.become('failed');
    await all.clock.advance(delay);
  }
  assert.equal(all.room.peers.get('cay')?.status, 'failed');
  const before = cay.iceGeneration;
  all.last().receive({ type: 'ice-servers', iceServers: [{ urls: ['turn:z'] }], ttl: 600 });
  await all.clock.advance(10_000);
  assert.ok(cay.iceGeneration > before);
  assert.equal(bob.iceGeneration, 1, 'what works is left alone');
});

test('a refused credential is asked for anew before a restart', async () => {
  const all = await join({ members: [BOB] });
  await all.room.peers.get('bob')?.receive({ description: { type: 'answer', sdp: '' } });
  all.connections[0].fail(401);
  all.connections[0].become('failed');
  await all.clock.advance(0);
  assert.equal(all.sent('ice').length, 1);
  all.last().receive({ type: 'ice-servers', iceServers: [{ urls: ['turn:y'] }], ttl: 600 });
  await settled();
  assert.equal(all.connections[0].iceGeneration, 1, 'once, by whoever asked');
});

test('more configuration is passed on, what the room decides is not overridden', async () => {
  const rtc = /** @type {any} */ ({ certificates: [1], iceServers: [], iceTransportPolicy: 'all' });
  const { connections } = await join({ members: [BOB] }, { rtc, relayOnly: true });
  assert.deepEqual(connections[0].configurations, [
    { bundlePolicy: 'max-bundle', certificates: [1], iceServers: [{ urls: ['turn:x'] }], iceTransportPolicy: 'relay' },
  ]);
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
