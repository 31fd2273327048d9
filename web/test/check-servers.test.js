// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_SERVERS, iceServerOf, parseServerURL, parseServers, targetsOf } from '../static/check/servers.js';
import { TabStore } from '../static/check/tabstore.js';

/** @type {[string, object][]} */
const GOOD = [
  ['stun:stun.example.com', { kind: 'stun', transport: 'udp', host: 'stun.example.com', port: 3478 }],
  ['turn:192.0.2.1:3479?transport=tcp', { kind: 'turn', transport: 'tcp', host: '192.0.2.1', port: 3479 }],
  ['turns:example.com', { kind: 'turn', transport: 'tls', host: 'example.com', port: 5349 }],
  ['turns:example.com:443?transport=udp', { kind: 'turn', transport: 'dtls', host: 'example.com', port: 443 }],
  ['turn:[2001:db8::1]:3478', { kind: 'turn', transport: 'udp', host: '2001:db8::1', port: 3478 }],
];
for (const [url, want] of GOOD) test(`${url} is taken`, () => assert.deepEqual(parseServerURL(url), { target: { url, ...want } }));

/** @type {[string, string][]} */
const BAD = [
  ['http://example.com', 'check.urlScheme'], ['example.com', 'check.urlScheme'], ['turn://example.com', 'check.urlSlashes'], ['turn:', 'check.urlHost'],
  ['turn::3478', 'check.urlHost'], ['turn:u:p@example.com', 'check.urlPort'], ['turn:u@example.com', 'check.urlHost'], ['turn:2001:db8::1', 'check.urlPort'],
  ['turn:[2001:db8::1', 'check.urlHost'], ['turn:h:0', 'check.urlPort'], ['turn:h:65536', 'check.urlPort'], ['turn:h:', 'check.urlPort'],
  ['stun:h?transport=udp', 'check.urlStunQuery'], ['turn:h?transport=tls', 'check.urlTransport'], ['turn:h?', 'check.urlTransport'], ['turn:a b', 'check.urlHost'],
];
for (const [url, problem] of BAD) test(`${url} is explained`, () => assert.deepEqual(parseServerURL(url), { problem }));

test('lines become targets, each once, with the credential for relays', () => {
  const { targets, problem, needsCredential } = parseServers('\n stun:h \nturn:h\r\nturn:h\n', 'u', 'p');
  assert.deepEqual(targets.map(({ url, username, credential }) => [url, username, credential]), [['stun:h', undefined, undefined], ['turn:h', 'u', 'p']]);
  assert.equal(problem, null);
  assert.equal(needsCredential, false);
  assert.deepEqual(targets.map(iceServerOf), [{ urls: ['stun:h'] }, { urls: ['turn:h'], username: 'u', credential: 'p' }]);
});

test('the line that is wrong is told', () => {
  assert.deepEqual(parseServers('stun:h\n\nftp:x', '', '').problem, { key: 'check.urlScheme', line: 3, url: 'ftp:x' });
  assert.equal(parseServers(' \n', '', '').problem?.key, 'check.urlNone');
  const many = Array.from({ length: MAX_SERVERS + 1 }, (_, index) => `stun:h${index}`).join('\n');
  assert.equal(parseServers(many, '', '').problem?.key, 'check.urlMany');
});

for (const [username, password, needs] of /** @type {const} */ ([['', '', true], ['u', '', true], ['', 'p', true], ['u', 'p', false]])) {
  test(`a relay with username "${username}" and password "${password}"`, () => assert.equal(parseServers('turn:h', username, password).needsCredential, needs));
}

test('a URL of the server that is wrong is tested, too, so that it shows', () => {
  assert.deepEqual(targetsOf([{ urls: 'turn:??', username: 'u', credential: 'p' }]),
    [{ url: 'turn:??', kind: 'turn', transport: 'udp', host: '', port: 0, username: 'u', credential: 'p' }]);
});

test('what was entered stays in the tab, and without storage in the page', () => {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const storage = /** @type {any} */ ({ getItem: (/** @type {string} */ key) => kept.get(key) ?? null, setItem: (/** @type {string} */ key, /** @type {string} */ value) => kept.set(key, value) });
  const servers = { urls: 'turn:h', username: 'u', password: 'p' };
  new TabStore(() => storage).servers = servers;
  new TabStore(() => storage).token = 't';
  assert.deepEqual(new TabStore(() => storage).servers, servers);
  assert.equal(new TabStore(() => storage).token, 't');
  kept.set('maitred.check', '{"urls":1}');
  assert.deepEqual(new TabStore(() => storage).servers, { urls: '', username: '', password: '' });
  const forbidden = new TabStore(() => {
    throw new Error('forbidden');
  });
  forbidden.token = 't';
  assert.equal(forbidden.token, 't');
});
