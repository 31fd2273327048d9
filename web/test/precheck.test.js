// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { Precheck, checkConnection, judge, verdictText } from '../static/app/precheck.js';

const RESULT = { udp: true, tcp: true, tls: false, relay: true, codes: [], ms: 20 };

/** @param {(signal: AbortSignal) => Promise<any>} check */
function start(check) {
  const page = { idle: () => {}, cancelled: false };
  /** @type {string[]} */
  const verdicts = [];
  const precheck = new Precheck({
    check,
    idle: (run) => {
      page.idle = run;
      return () => {
        page.cancelled = true;
      };
    },
  });
  precheck.on('verdict', ({ verdict }) => verdicts.push(verdict));
  precheck.start();
  return { precheck, page, verdicts };
}

test('it waits until the page is idle', async () => {
  let asked = 0;
  const { page, verdicts } = start(async () => {
    asked++;
    return RESULT;
  });
  await settled();
  assert.equal(asked, 0);
  page.idle();
  await settled();
  assert.deepEqual([asked, verdicts], [1, ['good']]);
});

test('closed before it began, it never begins', () => {
  const { precheck, page } = start(async () => RESULT);
  precheck.close();
  assert.equal(page.cancelled, true);
});

test('closed meanwhile, it is aborted and says nothing', async () => {
  /** @type {AbortSignal | undefined} */
  let given;
  let answer = () => {};
  const { precheck, page, verdicts } = start((signal) => {
    given = signal;
    return new Promise((resolve) => {
      answer = () => resolve(RESULT);
    });
  });
  page.idle();
  precheck.close();
  answer();
  await settled();
  assert.deepEqual([given?.aborted, verdicts], [true, []]);
});

const OUTCOMES = /** @type {const} */ ([
  ['udp', RESULT, ['good'], 'lobby.checkGood'],
  ['only tcp', { ...RESULT, udp: false }, ['slow'], 'lobby.checkSlow'],
  ['no relay', { ...RESULT, udp: false, tcp: false, relay: false }, ['blocked'], 'lobby.checkBlocked'],
  ['no answer', new TypeError('failed to fetch'), ['unreachable'], 'lobby.checkUnreachable'],
  ['not offered', null, [], ''],
]);
for (const [what, outcome, expected, key] of OUTCOMES) {
  test(`${what}: ${expected[0] ?? 'nothing'}`, async () => {
    const { page, verdicts } = start(async () => {
      if (outcome instanceof Error) throw outcome;
      return outcome;
    });
    page.idle();
    await settled();
    assert.deepEqual(verdicts, expected);
    if (expected[0]) assert.equal(verdictText(expected[0]).key, key);
  });
}

test('TLS alone is slow, too', () => {
  assert.equal(judge({ udp: false, relay: true }), 'slow');
});

/**
 * @param {number} status
 * @param {any} [body]
 */
function server(status, body = {}) {
  /** @type {any[]} */
  const asked = [];
  /** @type {any[]} */
  const checked = [];
  const options = {
    fetch: /** @type {any} */ (async (/** @type {string} */ url, /** @type {any} */ request) => {
      asked.push([url, request.method, request.headers]);
      return new Response(JSON.stringify(body), { status });
    }),
    load: async () => ({ quickCheck: async (/** @type {any} */ given) => (checked.push(given), RESULT) }),
    createConnection: /** @type {any} */ (() => null), clock: new FakeClock(),
  };
  return { asked, checked, options };
}

test('the server gives the ICE servers to check, and the token is shown to it', async () => {
  const iceServers = [{ urls: ['turn:127.0.0.1:3478'], username: 'check-1', credential: 'c' }];
  const { asked, checked, options } = server(200, { id: '1', iceServers, ttl: 120 });
  const { signal } = new AbortController();
  assert.equal(await checkConnection(signal, { ...options, token: 'secret' }), RESULT);
  assert.deepEqual(asked, [['/api/v1/check', 'POST', { Authorization: 'Bearer secret' }], ['/api/v1/check/1', 'DELETE', undefined]]);
  assert.deepEqual(checked[0].iceServers, iceServers);
  assert.deepEqual(options.clock.pending, [], 'no timer is left');
});

test('a check that is given up, or fails, is ended, too', async () => {
  const { asked, options } = server(200, { id: 'a/b', iceServers: [] });
  const given = new AbortController();
  assert.equal(await checkConnection(given.signal, { ...options, load: async () => {
    given.abort();
    return { quickCheck: async () => RESULT };
  } }), null);
  await assert.rejects(checkConnection(new AbortController().signal, { ...options, load: () => Promise.reject(new Error('no module')) }));
  assert.deepEqual(asked.map(([path, method]) => `${method} ${path}`), ['POST /api/v1/check', 'DELETE /api/v1/check/a%2Fb', 'POST /api/v1/check', 'DELETE /api/v1/check/a%2Fb']);
});

for (const status of [401, 403, 404, 405, 429, 503]) {
  test(`status ${status}: it is not offered`, async () => {
    const { checked, options } = server(status);
    assert.equal(await checkConnection(new AbortController().signal, options), null);
    assert.equal(checked.length, 0);
  });
}

test('a gateway that has no server behind it: no answer', async () => {
  const { options } = server(502);
  await assert.rejects(checkConnection(new AbortController().signal, options));
});

test('a server that takes too long does not answer', async () => {
  const { options } = server(200);
  const hanging = checkConnection(new AbortController().signal, {
    ...options, fetch: /** @type {any} */ ((/** @type {string} */ _, /** @type {any} */ { signal }) => new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')));
    })),
  });
  const rejected = assert.rejects(hanging);
  await options.clock.advance(8_000);
  await rejected;
});

test('ended while the check is loaded, it is not begun', async () => {
  const { checked, options } = server(200, { iceServers: [] });
  const over = new AbortController();
  const load = async () => {
    over.abort();
    return options.load();
  };
  assert.equal(await checkConnection(over.signal, { ...options, load }), null);
  assert.equal(checked.length, 0);
});
