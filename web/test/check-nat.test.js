// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeICE, mapped, relayed } from '../fakes/ice.js';
import { judgeNAT, probeNAT } from '../static/check/nat.js';
import { parseServers } from '../static/check/servers.js';

/** @param {string} address */
const host = (address) => ({ type: 'host', protocol: 'udp', address, port: 50_000 });
const all = { tried: true, reached: true, elsewhere: true, candidates: [], seen: null };

/** @type {{name: string, evidence: object, kind: string, text: string, uncertain: string[]}[]} */
const CASES = [
  { name: 'no server over UDP', evidence: { tried: false }, kind: 'unknown', text: 'check.natUntried', uncertain: [] },
  { name: 'UDP dead, TCP alive', evidence: { reached: false }, kind: 'blocked', text: 'check.natBlocked', uncertain: ['check.natBlockedUncertain'] },
  { name: 'all dead', evidence: { reached: false, elsewhere: false }, kind: 'unknown', text: 'check.natUnreached', uncertain: [] },
  { name: 'refused before any address', evidence: {}, kind: 'unknown', text: 'check.natUntold', uncertain: [] },
  { name: 'nothing mapped', evidence: { candidates: [host('203.0.113.7')] }, kind: 'none', text: 'check.natNone', uncertain: [] },
  { name: 'mapped to itself', evidence: { candidates: [host('203.0.113.7'), mapped('203.0.113.7', 50_000)] }, kind: 'none', text: 'check.natNone', uncertain: [] },
  { name: 'nothing mapped, and the own address hidden', evidence: { candidates: [host('a-b.local')] }, kind: 'none', text: 'check.natNone', uncertain: ['check.natHidden'] },
  { name: 'one port, two faces', evidence: { candidates: [host('192.168.1.5'), mapped('203.0.113.7', 1), mapped('203.0.113.7', 2)] }, kind: 'differs', text: 'check.natDiffers', uncertain: ['check.natDiffersUncertain'] },
  { name: 'two ports, a face each', evidence: { candidates: [mapped('203.0.113.7', 1, '192.168.1.5', 1), mapped('203.0.113.7', 2, '192.168.1.5', 2)] }, kind: 'some', text: 'check.natSome', uncertain: ['check.natSomeUncertain', 'check.natFilter'] },
  { name: 'two faces of unknown ports', evidence: { candidates: [mapped('203.0.113.7', 1, '0.0.0.0', 0), mapped('203.0.113.7', 2, '0.0.0.0', 0)] }, kind: 'some', text: 'check.natSome', uncertain: ['check.natSomeUncertain', 'check.natFilter'] },
  { name: 'IPv4 and IPv6 are no two faces', evidence: { candidates: [mapped('203.0.113.7', 1), mapped('2001:db8::7', 2)] }, kind: 'some', text: 'check.natSome', uncertain: ['check.natSomeUncertain', 'check.natFilter'] },
  { name: 'the relay sees another port', evidence: { candidates: [mapped('203.0.113.7', 1)], seen: { type: 'prflx', address: '203.0.113.7', port: 2 } }, kind: 'differs', text: 'check.natDiffers', uncertain: ['check.natDiffersUncertain'] },
  { name: 'the relay sees the same port', evidence: { candidates: [mapped('203.0.113.7', 1)], seen: { type: 'srflx', address: '203.0.113.7', port: 1 } }, kind: 'same', text: 'check.natSame', uncertain: ['check.natSameUncertain', 'check.natFilter'] },
  { name: 'the relay sees the same port, called prflx', evidence: { candidates: [mapped('203.0.113.7', 1)], seen: { type: 'prflx', address: '203.0.113.7', port: 1 } }, kind: 'same', text: 'check.natSame', uncertain: ['check.natSameUncertain', 'check.natFilter'] },
  { name: 'the relay is reached without the NAT', evidence: { candidates: [mapped('203.0.113.7', 1)], seen: { type: 'host', address: '192.168.1.5', port: 1 } }, kind: 'some', text: 'check.natSome', uncertain: ['check.natSomeUncertain', 'check.natFilter'] },
];
for (const { name, evidence, kind, text, uncertain } of CASES) {
  test(`NAT: ${name}`, () => {
    const nat = judgeNAT(/** @type {any} */ ({ ...all, ...evidence }));
    assert.deepEqual({ kind: nat.kind, text: nat.text.key, uncertain: nat.uncertain.map(({ key }) => key) }, { kind, text, uncertain });
  });
}

/** @param {Record<string, import('../fakes/ice.js').Answer>} answers */
function probe(answers) {
  const clock = new FakeClock();
  const ice = new FakeICE(clock, answers);
  const over = new AbortController();
  const { targets } = parseServers(Object.keys(answers).join('\n'), 'u', 'p');
  return { clock, ice, over, result: probeNAT({ targets, createConnection: ice.createConnection, clock, signal: over.signal }) };
}

const relay = relayed('203.0.113.1', 50_000);

test('the probe tells the relay nothing but the mapped address, and this end nothing but the relay', async () => {
  const mine = mapped('203.0.113.7', 4_000);
  const { clock, ice, result } = probe({ 'stun:h': { candidates: [[1, host('192.168.1.5')], [2, mine]], complete: 9 }, 'turn:h': { candidates: [[3, relay]], complete: 9 } });
  ice.stats = new Map(/** @type {[string, any][]} */ ([
    ['T', { id: 'T', type: 'transport', selectedCandidatePairId: 'P' }], ['Q', { id: 'Q', type: 'candidate-pair', localCandidateId: 'X' }],
    ['P', { id: 'P', type: 'candidate-pair', localCandidateId: 'L' }], ['L', { id: 'L', type: 'local-candidate', candidateType: 'prflx', address: '203.0.113.7', port: 4_001 }],
  ]));
  await clock.advance(50);
  const { candidates, seen } = await result;
  assert.deepEqual(seen, { type: 'prflx', address: '203.0.113.7', port: 4_001 });
  assert.deepEqual(candidates.map(({ type }) => type), ['host', 'srflx', 'relay']);
  const [here, there] = ice.connections;
  assert.deepEqual(here.told.map(({ type }) => type), ['relay']);
  assert.deepEqual(there.told.map(({ type }) => type), ['srflx']);
  assert.deepEqual(ice.configurations.map(({ iceTransportPolicy }) => iceTransportPolicy), [undefined, 'relay']);
  assert.equal(ice.open, 0);
});

test('the probe of a browser without transport statistics takes the nominated pair', async () => {
  const { clock, ice, result } = probe({ 'turn:h': { candidates: [[1, mapped('203.0.113.7', 1)], [2, relay]], complete: 9 } });
  ice.stats = new Map(/** @type {[string, any][]} */ ([
    ['P', { id: 'P', type: 'candidate-pair', state: 'succeeded', nominated: true, localCandidateId: 'L' }], ['L', { id: 'L', candidateType: 'srflx', address: '203.0.113.7', port: 1 }],
  ]));
  await clock.advance(50);
  assert.equal((await result).seen?.type, 'srflx');
});

test('the probe ends as soon as there is nothing mapped', async () => {
  const { clock, ice, result } = probe({ 'turn:h': { candidates: [[1, host('203.0.113.7')], [2, relay]], complete: 9 } });
  ice.connects = null;
  await clock.advance(9);
  assert.equal((await result).seen, null);
  assert.equal(ice.open, 0);
  // What is left are the fakes' own; nothing waits for the time that the probe may take.
  assert.ok(clock.pending.every((ms) => ms < 10));
});

test('the probe of a relay that does not reach back ends in time', async () => {
  const { clock, ice, result } = probe({ 'turn:h': { candidates: [[1, mapped('203.0.113.7', 1)], [2, relay]], complete: 9 } });
  ice.connects = null;
  await clock.advance(5_000);
  assert.equal((await result).seen, null);
  assert.equal(ice.open, 0);
});

test('the probe without a relay asks nobody', async () => {
  const { ice, result } = probe({ 'stun:h': {} });
  assert.deepEqual(await result, { candidates: [], seen: null });
  assert.equal(ice.connections.length, 0);
});
