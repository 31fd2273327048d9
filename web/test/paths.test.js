// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeConnection } from '../fakes/connection.js';
import { Emitter } from '../sdk/maitred.js';
import { Paths, PathsFeature, describeLeg, selectedPath } from '../static/app/paths.js';

/**
 * @param {object} local
 * @param {object} remote
 * @param {object} [how]
 */
function stats(local, remote, how) {
  const pair = { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', ...how };
  /** @type {[string, any][]} */
  const entries = [['l', local], ['r', remote], ['p', pair]];
  if (!how) entries.push(['t', { type: 'transport', selectedCandidatePairId: 'p' }]);
  return new Map(entries);
}

const PATHS = [
  { name: 'host to host', report: stats({ candidateType: 'host' }, { candidateType: 'host' }), path: 'direct' },
  { name: 'through NATs', report: stats({ candidateType: 'srflx' }, { candidateType: 'prflx' }), path: 'direct' },
  { name: 'relay over UDP', report: stats({ candidateType: 'relay', relayProtocol: 'udp' }, {}), path: 'relay-udp' },
  { name: 'relay over TCP', report: stats({ candidateType: 'relay', relayProtocol: 'tcp' }, {}), path: 'relay-tcp' },
  { name: 'relay over TLS', report: stats({ candidateType: 'relay', relayProtocol: 'tls' }, {}), path: 'relay-tls' },
  { name: 'a relay that does not say how', report: stats({ candidateType: 'relay' }, {}), path: 'relay-udp' },
  { name: 'the other end relayed', report: stats({ candidateType: 'host' }, { candidateType: 'relay' }), path: 'relay-udp' },
  { name: 'a browser that marks the pair', report: stats({ candidateType: 'host' }, {}, { nominated: true, state: 'succeeded' }), path: 'direct' },
  { name: 'nothing selected', report: new Map(), path: 'unknown' },
];
for (const { name, report, path } of PATHS) {
  test(`path: ${name}`, () => assert.equal(selectedPath(report), path));
}

/** @param {import('../sdk/maitred.js').Sent} [result] what becomes of what is sent */
function open(result = 'sent') {
  const connection = new FakeConnection();
  connection.stats = stats({ candidateType: 'host' }, { candidateType: 'prflx' });
  /** @type {unknown[]} */
  const sent = [];
  const peer = /** @type {any} */ ({
    connection, member: { id: 'bob' },
    send: (/** @type {unknown} */ message) => {
      sent.push(message);
      return result;
    },
  });
  const paths = new Paths();
  /** @type {string[]} */
  const told = [];
  paths.on('path', ({ id, path }) => told.push(`${id} ${path}`));
  return { paths, peer, sent, told, connection };
}

test('the own side is told to the other, once', async () => {
  const { paths, peer, sent, told } = open();
  await paths.measure(peer);
  await paths.measure(peer);
  assert.deepEqual([sent, told], [[{ type: 'path', path: 'direct' }], ['bob direct']]);
});

test('until it could be told', async () => {
  const { paths, peer, sent, told } = open('lost');
  await paths.measure(peer);
  await paths.measure(peer);
  assert.deepEqual([sent.length, told], [2, []]);
});

test('the path is relayed when either end says so', async () => {
  const { paths, peer, told } = open();
  await paths.measure(peer);
  paths.receive(peer, 'relay-tcp');
  paths.receive(peer, 'direct');
  assert.deepEqual(told, ['bob direct', 'bob relay-tcp', 'bob direct']);
});

test('what is no path is ignored', () => {
  const { paths, peer, told } = open();
  for (const junk of ['', '<b>', 7, null, { path: 'direct' }, 'unknown']) paths.receive(peer, junk);
  assert.deepEqual([paths.of(peer), told], ['unknown', []]);
});

test('a renewed connection goes by another way', async () => {
  const { paths, peer } = open();
  await paths.measure(peer);
  const measuring = paths.measure(peer);
  peer.connection = new FakeConnection();
  await measuring;
  assert.equal(paths.of(peer), 'unknown');
});

// What the server knows of it

const OWN = { candidateType: 'relay', relayProtocol: 'tls', address: '203.0.113.1', port: 50_000, url: 'turns:turn.example.com:5349?transport=tcp' };
const THERE = { candidateType: 'prflx', address: '203.0.113.1', port: 50_002 };
const HOST = { candidateType: 'host', address: '192.0.2.7', port: 4_000 };
/** @type {(relayed: string, transport?: string, bytes?: number) => any} */
const allocation = (relayed, transport = 'udp', bytes = 0) => ({ transport, relayed, bytes });

/**
 * @typedef {object} Attestation
 * @property {string} name
 * @property {any} local
 * @property {any} remote
 * @property {string} [told]
 * @property {any[] | null} [own] allocations of oneself; null where the report does not know us
 * @property {any[] | null} [other]
 * @property {boolean} [old] the report was asked for before the way was known
 * @property {string} proof
 * @property {[boolean, string, string, string, string][]} legs own, path, server, relayed, proof
 */
/** @type {Attestation[]} */
const ATTESTATIONS = [
  {
    name: 'both ends, as the report has them', local: OWN, remote: THERE, told: 'relay-udp', own: [allocation('203.0.113.1:50001'), allocation('203.0.113.1:50000', 'tls')],
    other: [allocation('203.0.113.1:50002')], proof: 'confirmed',
    legs: [[true, 'relay-tls', 'turn.example.com:5349', '203.0.113.1:50000', 'confirmed'], [false, 'relay-udp', '', '203.0.113.1:50002', 'confirmed']],
  },
  {
    name: 'one end over another server', local: OWN, remote: THERE, told: 'relay-udp', own: [allocation('203.0.113.1:50000', 'tls')], other: [], proof: 'elsewhere',
    legs: [[true, 'relay-tls', 'turn.example.com:5349', '203.0.113.1:50000', 'confirmed'], [false, 'relay-udp', '', '203.0.113.1:50002', 'elsewhere']],
  },
  {
    name: 'allocations that are not used confirm nothing', local: OWN, remote: HOST, own: [allocation('203.0.113.1:50009', 'tls', 9_000)], proof: 'elsewhere',
    legs: [[true, 'relay-tls', 'turn.example.com:5349', '203.0.113.1:50000', 'elsewhere']],
  },
  { name: 'nothing relayed', local: HOST, remote: HOST, told: 'direct', own: [allocation('203.0.113.1:50000')], proof: 'unknown', legs: [] },
  {
    name: 'a member that says nothing', local: HOST, remote: { ...THERE, candidateType: 'relay' }, other: [allocation('203.0.113.1:50002', 'tcp')], proof: 'confirmed',
    legs: [[false, 'relay-udp', '', '203.0.113.1:50002', 'confirmed']],
  },
  {
    name: 'a report without the member', local: OWN, remote: HOST, own: null, proof: 'unknown', legs: [[true, 'relay-tls', 'turn.example.com:5349', '203.0.113.1:50000', 'unknown']],
  },
  {
    name: 'a report older than the way', local: OWN, remote: HOST, own: [], old: true, proof: 'unknown', legs: [[true, 'relay-tls', 'turn.example.com:5349', '203.0.113.1:50000', 'unknown']],
  },
  {
    name: 'a browser without addresses: bytes over that transport', local: { candidateType: 'relay', relayProtocol: 'tcp' }, remote: HOST, own: [allocation('203.0.113.1:1', 'tcp', 5)], proof: 'confirmed',
    legs: [[true, 'relay-tcp', '', '', 'confirmed']],
  },
  {
    name: 'a browser without addresses: none over that transport', local: { candidateType: 'relay', relayProtocol: 'tcp' }, remote: HOST,
    own: [allocation('203.0.113.1:1', 'udp', 5), allocation('203.0.113.1:2', 'tcp', 0)], proof: 'unknown', legs: [[true, 'relay-tcp', '', '', 'unknown']],
  },
  {
    name: 'IPv6', local: { ...OWN, address: '[2001:db8::1]', url: 'turn:[2001:db8::1]:3478' }, remote: HOST, own: [allocation('[2001:db8::1]:50000')], proof: 'confirmed',
    legs: [[true, 'relay-tls', '[2001:db8::1]:3478', '[2001:db8::1]:50000', 'confirmed']],
  },
];
for (const { name, local, remote, told, own = [], other = [], old, proof, legs } of ATTESTATIONS) {
  test(`attested: ${name}`, async () => {
    const { peer, connection } = open();
    const clock = new FakeClock();
    const paths = new Paths(clock);
    connection.stats = stats(local, remote);
    await paths.measure(peer);
    if (told) paths.receive(peer, told);
    const members = /** @type {[string, any[] | null][]} */ ([['ann', own], ['bob', other]]).flatMap(([member, allocations]) => (allocations ? [{ member, allocations }] : []));
    paths.attest(members, clock.now() + (old ? -1 : 0));
    const route = paths.routeOf(peer, 'ann');
    assert.equal(route.proof, proof);
    assert.deepEqual(route.legs.map((it) => [it.own, it.path, it.server, it.relayed, it.proof]), legs);
  });
}

test('before the first report nothing is known, after a change nothing is denied', async () => {
  const { peer, connection } = open();
  const clock = new FakeClock();
  const paths = new Paths(clock);
  connection.stats = stats(OWN, HOST);
  await paths.measure(peer);
  assert.equal(paths.routeOf(peer, 'ann').proof, 'unknown');
  paths.attest([{ member: 'ann', allocations: [allocation('203.0.113.1:50000')] }], clock.now());
  assert.equal(paths.routeOf(peer, 'ann').proof, 'confirmed');
  await clock.advance(1_000);
  connection.stats = stats({ ...OWN, port: 50_004 }, HOST);
  await paths.measure(peer);
  assert.equal(paths.routeOf(peer, 'ann').proof, 'unknown');
});

test('only the own side is told to the other end', async () => {
  const { paths, peer, sent, connection } = open();
  connection.stats = stats(HOST, { ...THERE, candidateType: 'relay' });
  await paths.measure(peer);
  assert.deepEqual([sent, paths.of(peer)], [[{ type: 'path', path: 'direct' }], 'relay-udp']);
});

test('a leg in words', () => {
  const leg = /** @type {const} */ ({ own: true, path: 'relay-tls', server: 'turn.example.com:5349', relayed: '203.0.113.1:50000', proof: 'confirmed' });
  assert.deepEqual(describeLeg(leg, 'Bob'), {
    key: 'trust.ownRelayConfirmed', params: { name: 'Bob', transport: 'TLS', server: 'turn.example.com:5349', address: '203.0.113.1:50000' },
  });
  assert.equal(describeLeg({ ...leg, server: '' }, 'Bob').params.server, '203.0.113.1');
  assert.deepEqual(describeLeg({ ...leg, own: false, path: 'relay-udp', server: '', relayed: '', proof: 'elsewhere' }, 'Bob'), {
    key: 'trust.otherRelayElsewhere', params: { name: 'Bob', transport: 'UDP', server: '–', address: '–' },
  });
});

/** A call with one peer, whose tile remembers what it shows. */
function call() {
  const { peer, connection } = open();
  const clock = new FakeClock();
  connection.stats = stats(HOST, HOST);
  peer.status = 'connected';
  const room = Object.assign(/** @type {Emitter<any>} */ (new Emitter()), {
    self: { id: 'ann', name: 'Ann' }, peers: new Map([['bob', peer]]), asked: /** @type {number[]} */ ([]), joined: true,
    askRelay() {
      if (this.joined) this.asked.push(clock.now() - start);
      return this.joined;
    },
  });
  const shown = /** @type {any[]} */ ([]);
  const grid = Object.assign(/** @type {Emitter<any>} */ (new Emitter()), { tiles: new Map([['bob', { setPath: (/** @type {any[]} */ ...it) => shown.push(it) }]]) });
  const start = clock.now();
  peer.member.name = 'Bob';
  const feature = new PathsFeature(/** @type {any} */ ({ room, grid }), clock);
  return { feature, peer, connection, clock, room, grid, shown };
}

test('the server is asked only where something is relayed, when that changes and then every ten seconds', async () => {
  const { feature, connection, clock, room } = call();
  await clock.advance(20_000);
  assert.deepEqual(room.asked, []);
  connection.stats = stats(OWN, HOST);
  await clock.advance(25_000);
  assert.deepEqual(room.asked, [22_000, 32_000, 42_000]);
  connection.stats = stats({ ...OWN, relayProtocol: 'udp' }, HOST);
  await clock.advance(2_000);
  assert.deepEqual(room.asked.slice(3), [46_000]);
  feature.close();
  assert.deepEqual(clock.pending, []);
});

test('changes one after the other do not make more than one question in a moment', async () => {
  const { connection, clock, room, peer } = call();
  await clock.advance(2_000);
  connection.stats = stats(OWN, HOST);
  room.emit('status', { peer });
  await settled();
  for (const path of ['relay-tcp', 'relay-udp', 'direct']) room.emit('data', { peer, data: { type: 'path', path } });
  connection.stats = stats({ ...OWN, relayProtocol: 'udp' }, HOST);
  room.emit('status', { peer });
  await settled();
  assert.deepEqual(room.asked, [2_000]);
  await clock.advance(2_000);
  assert.deepEqual(room.asked, [2_000, 4_000]);
});

test('a lost connection to the server is no answer; a server that does not know the question is left alone', async () => {
  const { connection, clock, room } = call();
  connection.stats = stats(OWN, HOST);
  room.joined = false;
  await clock.advance(4_000);
  room.joined = true;
  await clock.advance(2_000);
  assert.deepEqual(room.asked, [6_000]);
  room.emit('error', { code: 'rate_limited', request: 'relay' });
  room.emit('error', { code: 'not_allowed', request: 'kick' });
  await clock.advance(10_000);
  assert.deepEqual(room.asked, [6_000, 16_000]);
  room.emit('error', { code: 'bad_message', request: 'relay' });
  await clock.advance(60_000);
  assert.equal(room.asked.length, 2);
});

test('tiles show the path, and what the server says of it', async () => {
  const { connection, clock, room, grid, shown, peer } = call();
  await clock.advance(2_000);
  assert.deepEqual(shown.at(-1), ['direct', undefined]);
  connection.stats = stats(OWN, HOST);
  await clock.advance(2_000);
  assert.deepEqual([shown.at(-1)[0], shown.at(-1)[1].proof, shown.at(-1)[1].title.key], ['relay-tls', 'unknown', 'trust.ownRelay']);
  room.emit('relay', { members: [{ member: 'ann', allocations: [allocation('203.0.113.1:50000', 'tls')] }, { member: 'bob', allocations: [] }] });
  assert.deepEqual([shown.at(-1)[1].proof, shown.at(-1)[1].title.key], ['confirmed', 'trust.ownRelayConfirmed']);
  const before = shown.length;
  grid.emit('add', { key: 'bob' });
  assert.deepEqual([shown.length, shown.at(-1)[1].proof], [before + 1, 'confirmed']);
  // Of two legs the title is about the one that is known least well.
  room.emit('data', { peer, data: { type: 'path', path: 'relay-tcp' } });
  await clock.advance(2_000);
  room.emit('relay', { members: [{ member: 'ann', allocations: [allocation('203.0.113.1:50000', 'tls')] }, { member: 'bob', allocations: [] }] });
  assert.deepEqual([shown.at(-1)[0], shown.at(-1)[1].proof, shown.at(-1)[1].title.key], ['relay-tls', 'elsewhere', 'trust.otherRelayElsewhere']);
});
