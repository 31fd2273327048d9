// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeICE, relayed } from '../fakes/ice.js';
import { quickCheck, transportOf } from '../static/check/quick.js';

const URLS = { udp: 'turn:h:3478?transport=udp', tcp: 'turn:h:3478?transport=tcp', tls: 'turns:h:443?transport=tcp' };
const iceServers = [{ urls: ['stun:h:3478'] }, { urls: Object.values(URLS), username: 'u', credential: 'p' }];
const found = { candidates: [[30, relayed('203.0.113.1', 50_000)]] };
const silent = {};

/** @type {{name: string, answers: Record<string, any>, want: object, at: number, timeout?: number}[]} */
const CASES = [
  { name: 'all answer', answers: { [URLS.udp]: found, [URLS.tcp]: { candidates: [[60, relayed('203.0.113.1', 1)]] }, [URLS.tls]: { candidates: [[90, relayed('203.0.113.1', 2)]] } },
    want: { udp: true, tcp: true, tls: true, relay: true, codes: [], ms: 30 }, at: 90 },
  { name: 'UDP is dropped', answers: { [URLS.udp]: silent, [URLS.tcp]: found, [URLS.tls]: { candidates: [[20, relayed('203.0.113.1', 2)]] } },
    want: { udp: false, tcp: true, tls: true, relay: true, codes: [], ms: 20 }, at: 5_000 },
  { name: 'the credential is refused', answers: Object.fromEntries(Object.values(URLS).map((url) => [url, { errors: [[40, { errorCode: 401 }]] }])),
    want: { udp: false, tcp: false, tls: false, relay: false, codes: [401], ms: 40 }, at: 40 },
  { name: 'unreachable on one interface, not on the other', answers: { [URLS.udp]: { errors: [[10, { errorCode: 701 }]], candidates: [[50, relayed('203.0.113.1', 1)]] },
    [URLS.tcp]: { errors: [[10, { errorCode: 701 }]], complete: 15 }, [URLS.tls]: { complete: 15 } },
    want: { udp: true, tcp: false, tls: false, relay: true, codes: [701], ms: 50 }, at: 50 },
  { name: 'nothing answers', answers: {}, want: { udp: false, tcp: false, tls: false, relay: false, codes: [], ms: 800 }, at: 800, timeout: 800 },
];
for (const { name, answers, want, at, timeout } of CASES) {
  test(`quick check: ${name}`, async () => {
    const clock = new FakeClock();
    const ice = new FakeICE(clock, answers);
    let done = false;
    const result = quickCheck({ iceServers, createConnection: ice.createConnection, clock, timeout }).then((it) => {
      done = true;
      return it;
    });
    await clock.advance(at - 1);
    assert.equal(done, false, 'too early');
    await clock.advance(1);
    assert.deepEqual(await result, want);
    assert.equal(ice.open, 0);
    assert.ok(ice.configurations.every(({ iceTransportPolicy }) => iceTransportPolicy === 'relay'));
    await clock.advance(200);
    assert.deepEqual(clock.pending, []);
  });
}

test('quick check: without a relay it ends at once', async () => {
  const clock = new FakeClock();
  const ice = new FakeICE(clock);
  assert.equal((await quickCheck({ iceServers: [{ urls: 'stun:h' }], createConnection: ice.createConnection, clock })).relay, false);
  assert.equal(ice.connections.length, 0);
});

test('quick check: aborted, and aborted before', async () => {
  const clock = new FakeClock();
  const ice = new FakeICE(clock);
  const over = new AbortController();
  const running = quickCheck({ iceServers, createConnection: ice.createConnection, clock, signal: over.signal });
  over.abort();
  assert.equal((await running).relay, false);
  assert.equal(ice.open, 0);
  await quickCheck({ iceServers, createConnection: ice.createConnection, clock, signal: over.signal });
  assert.equal(ice.connections.length, 3, 'the second asks nobody');
  assert.deepEqual(clock.pending, []);
});

test('quick check: a URL that the browser does not take gives no relay', async () => {
  const clock = new FakeClock();
  const ice = new FakeICE(clock);
  ice.refuses = URLS.udp;
  const result = await quickCheck({ iceServers: [{ urls: URLS.udp }], createConnection: ice.createConnection, clock });
  assert.equal(result.udp, false);
});

for (const [url, transport] of /** @type {const} */ ([
  ['stun:h', 'udp'], ['turn:h', 'udp'], ['turn:h:1?transport=udp', 'udp'], ['turn:h?transport=tcp', 'tcp'], ['TURNS:h', 'tls'], ['turns:h?transport=tcp', 'tls'],
  ['turns:h?transport=udp', 'dtls'],
])) test(`${url} goes over ${transport}`, () => assert.equal(transportOf(url), transport));
