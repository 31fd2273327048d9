// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeConnection } from '../fakes/connection.js';
import { Paths, selectedPath } from '../static/app/paths.js';

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
