// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeICE, relayed } from '../fakes/ice.js';
import { SEND_LIMIT, measureLoop } from '../static/check/loop.js';
import { Jitter, megabits, percentile } from '../static/check/measure.js';
import { parseServers } from '../static/check/servers.js';
import { niceTop } from '../static/check/plot.js';

const [target] = parseServers('turn:h', 'u', 'p').targets;

function start() {
  const clock = new FakeClock();
  const ice = new FakeICE(clock, { 'turn:h': { candidates: [[3, relayed('203.0.113.1', 50_000)]], complete: 4 } });
  const over = new AbortController();
  /** @type {string[]} */
  const states = [];
  const begin = () => measureLoop({
    target, createConnection: ice.createConnection, clock, signal: over.signal,
    report: ({ state }) => state !== states.at(-1) && states.push(state),
  });
  return { clock, ice, over, states, begin };
}

test('loop: round trip, jitter, loss and throughput, one after the other', async () => {
  const { clock, ice, states, begin } = start();
  const result = begin();
  await clock.advance(20_000);
  const loop = await result;
  assert.deepEqual(states, ['connecting', 'pinging', 'sending', 'measured']);
  assert.equal(Math.round(loop.p50), 20);
  assert.equal(Math.round(loop.p99), 20);
  assert.ok(loop.jitter < 0.01);
  assert.equal(loop.loss, 0);
  assert.equal(loop.sent, 120);
  // 1000 bytes a millisecond are 8 Mbit/s; the last of them are still on their way.
  assert.ok(loop.mbps > 7.5 && loop.mbps <= 8, `${loop.mbps}`);
  assert.ok(loop.rates.length >= 14);
  assert.equal(ice.open, 0);
  assert.ok(ice.configurations.every(({ iceTransportPolicy }) => iceTransportPolicy === 'relay'));
  const [one, other] = ice.connections;
  assert.equal(one.told.length, 1, 'each end hears of the other');
  assert.equal(other.told.length, 1);
  assert.deepEqual(one.channels.map(({ label, options }) => [label, options]),
    [['ping', { ordered: false, maxRetransmits: 0, negotiated: true, id: 0 }], ['bulk', { ordered: true, negotiated: true, id: 1 }]]);
});

test('loop: never more than the queue takes', async () => {
  const { clock, ice, begin } = start();
  const result = begin();
  await clock.advance(20_000);
  await result;
  assert.ok(ice.connections[0].channels[1].most <= 512 * 1024 + 16 * 1024);
});

test('loop: a fast path ends at the limit, before its time', async () => {
  const { clock, ice, begin } = start();
  ice.drain = 50_000;
  const result = begin();
  await clock.advance(20_000);
  const loop = await result;
  assert.equal(loop.state, 'measured');
  assert.ok(loop.bytes >= SEND_LIMIT && loop.bytes < SEND_LIMIT + 32 * 1024);
  assert.ok((loop.rates.at(-1)?.at ?? Infinity) < 1_000);
});

test('loop: what is lost on either way counts', async () => {
  const { clock, ice, begin } = start();
  ice.loses = (channel, count) => channel.label === 'ping' && channel === ice.connections[0].channels[0] && count % 4 === 0;
  const result = begin();
  await clock.advance(20_000);
  const loop = await result;
  // A quarter of 120 is lost on the way there, nothing of the 90 on the way back.
  assert.equal(loop.pings.length, 90);
  assert.equal(Math.round(loop.loss * 1_000), Math.round((30 / 210) * 1_000));
});

for (const { name, set, state } of [
  { name: 'nothing comes through', set: (/** @type {FakeICE} */ ice) => { ice.connects = null; }, state: 'late' },
  { name: 'a URL that the browser does not take', set: (/** @type {FakeICE} */ ice) => { ice.refuses = 'turn:h'; }, state: 'failed' },
]) {
  test(`loop: ${name}`, async () => {
    const { clock, ice, begin } = start();
    set(ice);
    const result = begin();
    await clock.advance(20_000);
    assert.equal((await result).state, state);
    assert.equal(ice.open, 0);
    assert.deepEqual(clock.pending, []);
  });
}

test('loop: the connection fails before it stands', async () => {
  const { clock, ice, begin } = start();
  ice.connects = null;
  const result = begin();
  await clock.advance(10);
  ice.connections[0].become('failed');
  assert.equal((await result).state, 'failed');
});

for (const at of [200, 4_000]) {
  test(`loop: the channel closes after ${at} ms`, async () => {
    const { clock, ice, begin } = start();
    const result = begin();
    await clock.advance(at);
    ice.connections[1].close();
    await clock.advance(20);
    assert.equal((await result).state, 'failed');
    assert.equal(ice.open, 0);
  });
  test(`loop: stopped after ${at} ms`, async () => {
    const { clock, ice, over, begin } = start();
    const result = begin();
    await clock.advance(at);
    over.abort();
    assert.equal((await result).state, 'stopped');
    assert.equal(ice.open, 0);
  });
}

test('percentiles', () => {
  assert.equal(percentile([3, 1, 2], 0.5), 2);
  assert.equal(percentile(Array.from({ length: 100 }, (_, index) => index + 1), 0.99), 99);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test('jitter is the sixteenth part of each change of the transit time', () => {
  const jitter = new Jitter();
  for (const transit of [10, 26, 26]) jitter.add(transit);
  assert.equal(jitter.value, 1 - 1 / 16);
});

test('throughput', () => {
  assert.equal(megabits(1_000_000, 1_000), 8);
  assert.equal(megabits(1, 0), 0);
});

test('the chart ends at round numbers', () => {
  for (const [largest, top] of [[0, 1], [0.9, 1], [1.2, 1.5], [152, 200], [7.4, 7.5], [76, 100], [1_000, 1_000]]) assert.equal(niceTop(largest), top);
});
