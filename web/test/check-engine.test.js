// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeICE, relayed } from '../fakes/ice.js';
import { check as en } from '../static/app/text/en/check.js';
import { fill } from '../static/app/i18n.js';
import { CheckAPI, StartError } from '../static/check/api.js';
import { Check } from '../static/check/engine.js';
import { writeReport } from '../static/check/report.js';
import { parseServers } from '../static/check/servers.js';
import { judge } from '../static/check/verdict.js';

const UDP = 'turn:h:3478?transport=udp';
const TCP = 'turn:h:3478?transport=tcp';
const iceServers = [{ urls: ['stun:h:3478'] }, { urls: [UDP, TCP], username: 'check-secret', credential: 'hunter2' }];
const started = { id: 'a/b', iceServers, ttl: 120, listeners: [{ transport: 'udp', port: 3478 }, { transport: 'tcp', port: 3478 }] };
const zero = { packets: 0, bytes: 0 };
const side = {
  client: '203.0.113.7', age_ms: 1,
  transports: [{ transport: 'udp', port: 3478, heard: true, first_ms: 12, requests: [{ method: 'allocate', code: 0, count: 1 }], allocations: 1, relayed: { up: zero, down: zero, short_circuit: zero } }],
  events: [{ at_ms: 12, transport: 'udp', client: '203.0.113.7:51000', method: 'allocate', code: 401 }],
};
const answers = {
  'stun:h:3478': { candidates: [[1, { type: 'host', protocol: 'udp', address: '203.0.113.7', port: 1, priority: 9 }]], complete: 5 },
  [UDP]: { candidates: [[20, relayed('203.0.113.1', 50_000, { priority: 5, url: UDP })]], complete: 21 }, [TCP]: { errors: [[30, { errorCode: 486, errorText: 'Quota' }]], complete: 31 },
};

/**
 * A response that takes no time of the real clock.
 * @param {number} status
 * @param {unknown} body undefined: it is not JSON
 * @param {Record<string, string>} [headers]
 * @returns {any}
 */
const answer = (status, body, headers = {}) => ({
  ok: status < 300, status, headers: new Headers(headers),
  json: async () => body ?? JSON.parse('<html>'),
});

/** @param {(path: string, init: any) => any} respond */
function setUp(respond = (path) => answer(200, path.endsWith('/check') ? started : side)) {
  const clock = new FakeClock();
  const ice = new FakeICE(clock, /** @type {any} */ (answers));
  /** @type {{path: string, init: any}[]} */
  const requests = [];
  const fetch = /** @type {any} */ (async (/** @type {string} */ path, /** @type {any} */ init) => {
    requests.push({ path, init });
    return respond(path, init);
  });
  const check = new Check({ createConnection: ice.createConnection, clock, api: new CheckAPI(fetch, 'token') });
  /** @type {string[]} */
  const phases = [];
  check.on('phase', () => phases.push(check.phase));
  return { clock, ice, requests, check, phases };
}

test('a check of the own server from its credential to the end', async () => {
  const { clock, ice, requests, check, phases } = setUp();
  const running = check.run();
  await settled();
  await clock.advance(30_000);
  await running;
  assert.deepEqual(phases, ['starting', 'gathering', 'nat', 'measuring', 'asking', 'done']);
  assert.deepEqual(check.paths.map(({ target, gathering, loop }) => [target.url, gathering.outcome, loop?.state]),
    [['stun:h:3478', 'answered', undefined], [UDP, 'answered', 'measured'], [TCP, 'refused', undefined]]);
  assert.equal(check.nat?.kind, 'none');
  assert.deepEqual(check.server, side);
  assert.equal(requests[0].init.method, 'POST');
  assert.ok(requests.every(({ init }) => init.headers.Authorization === 'Bearer token'));
  assert.ok(requests.length > 3 && requests.slice(1).every(({ path }) => path === '/api/v1/check/a%2Fb'));
  assert.deepEqual(requests.map(({ init }) => init.method === 'DELETE').indexOf(true), requests.length - 1, 'it ends once, and last');
  assert.equal(ice.open, 0);
  assert.deepEqual(clock.pending, [], 'nobody asks the server any more');
});

test('servers entered by hand are nothing that the own server is asked about', async () => {
  const { clock, ice } = setUp();
  const { targets } = parseServers(UDP, 'u', 'p');
  const check = new Check({ createConnection: ice.createConnection, clock, api: null, targets });
  const running = check.run();
  await settled();
  await clock.advance(30_000);
  await running;
  assert.equal(check.phase, 'done');
  assert.equal(check.server, null);
});

for (const at of [5, 300, 4_000]) {
  test(`stopped after ${at} ms`, async () => {
    const { clock, ice, check, requests } = setUp();
    const running = check.run();
    await settled();
    await clock.advance(at);
    check.stop();
    await running;
    assert.equal(check.phase, 'stopped');
    assert.equal(ice.open, 0);
    assert.equal(requests.at(-1)?.init.method, 'DELETE');
    await clock.advance(3_000);
    assert.deepEqual(clock.pending, []);
  });
}

/** @type {{name: string, response: () => any, code: string, seconds?: number}[]} */
const REFUSALS = [
  { name: '401', response: () => answer(401, {}), code: 'unauthorized' },
  { name: '404', response: () => answer(404, {}), code: 'disabled' },
  { name: '429', response: () => answer(429, {}, { 'Retry-After': '17' }), code: 'busy', seconds: 17 },
  { name: '503', response: () => answer(503, {}), code: 'no_turn' },
  { name: '500', response: () => answer(500, {}), code: 'unexpected' },
  { name: 'not JSON', response: () => answer(200, undefined), code: 'unexpected' },
  { name: 'no network', response: () => { throw new TypeError('Failed to fetch'); }, code: 'unreachable' },
];
for (const { name, response, code, seconds = 0 } of REFUSALS) {
  test(`the server does not start a check: ${name}`, async () => {
    const { clock, check, ice } = setUp(response);
    await check.run();
    assert.equal(check.phase, 'failed');
    assert.ok(check.problem instanceof StartError);
    assert.deepEqual([check.problem.code, check.problem.seconds], [code, seconds]);
    assert.equal(ice.connections.length, 0);
    assert.deepEqual(clock.pending, []);
  });
}

test('the server’s side may be missing', async () => {
  const { clock, check } = setUp((path) => path.endsWith('/check') ? answer(200, started) : answer(404, {}));
  const running = check.run();
  await settled();
  await clock.advance(30_000);
  await running;
  assert.equal(check.phase, 'done');
  assert.equal(check.server, null);
});

test('the report has everything but the credential', async () => {
  const { clock, check } = setUp();
  const running = check.run();
  await settled();
  await clock.advance(30_000);
  await running;
  const verdict = judge({ supported: true, own: true, phase: check.phase, problem: null, paths: check.paths });
  const say = (/** @type {any} */ { key, params }) => fill(/** @type {any} */ (en)[key], params);
  const report = writeReport(check, verdict, { say, page: 'https://call.example.com', browser: 'Browser/1', date: 'today' });
  for (const part of ['https://call.example.com', 'Browser/1', UDP, TCP, 'relay udp 203.0.113.1:50000', '486', 'The quota', 'Mbit/s', '203.0.113.7', 'UDP 3478: Reached', 'allocate 401']) {
    assert.ok(report.includes(part), `${part} is missing in\n${report}`);
  }
  for (const secret of ['hunter2', 'check-secret', 'undefined', 'NaN', 'token']) assert.ok(!report.includes(secret), `${secret} is in\n${report}`);
  assert.doesNotMatch(report, /\{\w+\}/);
});
