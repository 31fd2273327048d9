// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeICE, mapped, relayed } from '../fakes/ice.js';
import { describe, gather } from '../static/check/gather.js';
import { parseServers } from '../static/check/servers.js';

/**
 * @param {string} url
 * @param {import('../fakes/ice.js').Answer} answer
 */
function start(url, answer) {
  const clock = new FakeClock();
  const ice = new FakeICE(clock, { [url]: answer });
  const over = new AbortController();
  let reports = 0;
  const [target] = parseServers(url, 'u', 'p').targets;
  const result = gather({ target, createConnection: ice.createConnection, clock, signal: over.signal, report: () => reports++ });
  return { clock, ice, over, result, reports: () => reports };
}

/** @type {{name: string, url: string, answer: import('../fakes/ice.js').Answer, outcome: string, ms: number}[]} */
const CASES = [
  { name: 'a relayed address', url: 'turn:h', answer: { candidates: [[25, relayed('203.0.113.1', 50_000)]], complete: 30 }, outcome: 'answered', ms: 25 },
  { name: 'a relayed address, and another interface that stays silent', url: 'turn:h', answer: { candidates: [[25, relayed('203.0.113.1', 50_000)]] }, outcome: 'answered', ms: 25 },
  { name: 'an error on one interface, an address on the other', url: 'turn:h',
    answer: { errors: [[10, { errorCode: 701 }]], candidates: [[25, relayed('203.0.113.1', 50_000)]], complete: 30 }, outcome: 'answered', ms: 25 },
  { name: 'refused', url: 'turn:h', answer: { errors: [[20, { errorCode: 401 }]], complete: 21 }, outcome: 'refused', ms: 21 },
  { name: 'refused and unreachable', url: 'turn:h', answer: { errors: [[20, { errorCode: 701 }], [30, { errorCode: 486 }]], complete: 31 }, outcome: 'refused', ms: 31 },
  { name: 'unreachable', url: 'turns:h', answer: { errors: [[20, { errorCode: 701 }]], complete: 21 }, outcome: 'unreachable', ms: 21 },
  { name: 'silent', url: 'turn:h', answer: {}, outcome: 'silent', ms: 10_000 },
  { name: 'given up without a word', url: 'turns:192.0.2.1', answer: { complete: 5 }, outcome: 'nothing', ms: 5 },
  { name: 'a mapped address', url: 'stun:h', answer: { candidates: [[1, { type: 'host', protocol: 'udp', address: '192.168.1.5', port: 1 }], [40, mapped('203.0.113.7', 9)]], complete: 41 }, outcome: 'answered', ms: 40 },
  { name: 'no address but the own', url: 'stun:h', answer: { candidates: [[1, { type: 'host', protocol: 'udp', address: '203.0.113.7', port: 1 }]], complete: 50 }, outcome: 'answered', ms: 50 },
  { name: 'a STUN server that is silent', url: 'stun:h', answer: { candidates: [[1, { type: 'host', protocol: 'udp', address: '192.168.1.5', port: 1 }]] }, outcome: 'silent', ms: 10_000 },
  { name: 'what no browser speaks', url: 'turns:h?transport=udp', answer: {}, outcome: 'unsupported', ms: 0 },
];
for (const { name, url, answer, outcome, ms } of CASES) {
  test(`gather: ${name}`, async () => {
    const { clock, ice, result, reports } = start(url, answer);
    await clock.advance(12_000);
    const gathering = await result;
    assert.equal(gathering.outcome, outcome);
    assert.equal(gathering.ms, ms);
    assert.equal(ice.open, 0);
    assert.equal(reports(), (answer.candidates?.length ?? 0) + (answer.errors?.length ?? 0) + 1);
    assert.deepEqual(clock.pending, []);
  });
}

test('gather: a relay is asked for relayed addresses only, the server alone', async () => {
  const { clock, ice, result } = start('turn:h', { complete: 1 });
  await clock.advance(1);
  await result;
  assert.deepEqual(ice.configurations, [{ iceServers: [{ urls: ['turn:h'], username: 'u', credential: 'p' }], iceTransportPolicy: 'relay' }]);
});

test('gather: the same error is counted', async () => {
  const error = { errorCode: 701, errorText: 'timed out', url: 'turn:h' };
  const { clock, result } = start('turn:h', { errors: [[10, error], [20, error], [30, { errorCode: 401 }]], complete: 40 });
  await clock.advance(40);
  assert.deepEqual((await result).errors, [
    { ms: 10, code: 701, text: 'timed out', url: 'turn:h', count: 2 }, { ms: 30, code: 401, text: '', url: '', count: 1 },
  ]);
});

test('gather: stopped', async () => {
  const { over, ice, clock, result } = start('turn:h', {});
  await clock.advance(10);
  over.abort();
  assert.equal((await result).outcome, 'stopped');
  assert.equal(ice.open, 0);
  assert.deepEqual(clock.pending, []);
});

test('gather: a URL that the browser does not take', async () => {
  const clock = new FakeClock();
  const ice = new FakeICE(clock);
  ice.refuses = 'turn:h';
  const [target] = parseServers('turn:h', 'u', 'p').targets;
  const gathering = await gather({ target, createConnection: ice.createConnection, clock, signal: new AbortController().signal, report: () => {} });
  assert.equal(gathering.outcome, 'invalid');
  assert.match(gathering.errors[0].text, /not a server/);
});

test('a candidate is read from its line where the browser has no attributes', () => {
  const line = 'candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.168.1.5 rport 50000 generation 0';
  assert.deepEqual(describe(/** @type {any} */ ({ candidate: line }), 7), {
    ms: 7, type: 'srflx', protocol: 'udp', address: '203.0.113.7', port: 46_154, relatedAddress: '192.168.1.5', relatedPort: 50_000, relayProtocol: '',
    priority: 1_677_729_535, foundation: '842163049', url: '',
  });
  assert.equal(describe(/** @type {any} */ ({ candidate: 'candidate:1 1 udp 5 192.0.2.1 9 typ host' }), 0).relatedAddress, '');
});
