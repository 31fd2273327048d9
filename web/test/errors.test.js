// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { CAUSES, explainCause, explainDevice, explainPeer, explainScreen } from '../static/app/errors.js';
import { dictionaries } from '../static/app/i18n.js';
import { check } from '../static/app/text/en/check.js';

/** @typedef {import('../static/app/i18n.js').Key} Key */

const schema = readFileSync(new URL('../../docs/protocol.schema.json', import.meta.url), 'utf8');
/** The error codes of the protocol, as its schema lists them. @type {string[]} */
const CODES = JSON.parse(/\[\s*"bad_message", "room_full"[^\]]*\]/.exec(schema)?.[0] ?? '[]');
const ENDINGS = ['kicked', 'replaced', 'too_slow', 'too_big', 'going_away', 'connection_lost'];
/** The STUN error codes that the check page explains. */
const STUN_CODES = Object.keys(check).map((key) => /^check\.code(\d+)$/.exec(key)?.[1]).filter((code) => code !== undefined).map(Number);

/** What a person, or the operator, is told to do. */
const ACTIONS = {
  en: /\b(allow|ask|check|choose|close|connect|leave|look|open|plug|reload|restart|try|turn|use|wait)\b(?! again in)/i,
  zh: /请|管理员(应|可以)/,
};

/** @param {Key} key */
function tellsWhatToDo(key) {
  for (const language of /** @type {const} */ (['en', 'zh'])) assert.match(dictionaries[language][key], ACTIONS[language], `${key} in ${language}`);
}

test('the lists of codes are found', () => {
  assert.ok(CODES.length >= 10 && CODES.includes('server_draining'), String(CODES));
  assert.ok(STUN_CODES.length >= 15 && STUN_CODES.includes(701), String(STUN_CODES));
});

for (const code of [...CODES, ...ENDINGS]) {
  test(`${code} has words of its own, and something to do in them`, () => {
    const { key } = explainCause({ code }).text;
    assert.equal(key, `error.${code}`);
    tellsWhatToDo(key);
  });
}

test('every cause that the page makes itself has words', () => {
  for (const code of Object.keys(CAUSES)) {
    const { key } = explainCause({ code }).text;
    assert.notEqual(key, 'error.unknown');
    tellsWhatToDo(key);
  }
  for (const key of /** @type {const} */ (['error.unknown', 'error.kickedBecause'])) tellsWhatToDo(key);
});

test('an unknown code has words, too', () => {
  for (const cause of [null, { code: 'of_tomorrow' }, { code: 'constructor' }]) {
    assert.deepEqual(explainCause(cause), { text: { key: 'error.unknown', params: {} }, retry: true, network: false });
  }
});

test('trying again is offered where it may help', () => {
  assert.equal(explainCause({ code: 'room_full' }).retry, true);
  assert.equal(explainCause({ code: 'kicked' }).retry, false);
  assert.equal(explainCause({ code: 'unauthorized' }).retry, false);
});

test('the test of the connection is offered where the network may be the cause', () => {
  assert.equal(explainCause({ code: 'connection_lost' }).network, true);
  assert.equal(explainCause({ code: 'too_slow' }).network, true);
  assert.equal(explainCause({ code: 'room_full' }).network, false);
});

test('whoever was not let in may knock again', () => {
  assert.deepEqual(explainCause({ code: 'denied' }), { text: { key: 'error.denied', params: {} }, retry: true, network: false });
});

test('the reason of a kick is told', () => {
  assert.deepEqual(explainCause({ code: 'kicked', message: 'too loud' }).text, { key: 'error.kickedBecause', params: { reason: 'too loud' } });
});

/** @type {{error: {name: string, message?: string}, devices: 'both' | 'audio' | 'video', key: string}[]} */
const DEVICES = [
  { error: { name: 'InsecureContextError' }, devices: 'both', key: 'device.insecure' },
  { error: { name: 'UnsupportedError' }, devices: 'both', key: 'device.unsupported' },
  { error: { name: 'NotAllowedError', message: 'Permission denied' }, devices: 'both', key: 'device.denied' },
  { error: { name: 'NotAllowedError' }, devices: 'video', key: 'device.deniedCamera' },
  { error: { name: 'NotAllowedError' }, devices: 'audio', key: 'device.deniedMicrophone' },
  { error: { name: 'NotAllowedError', message: 'Permission denied by system' }, devices: 'both', key: 'device.deniedSystem' },
  { error: { name: 'SecurityError' }, devices: 'both', key: 'device.denied' },
  { error: { name: 'NotFoundError' }, devices: 'both', key: 'device.missing' },
  { error: { name: 'NotFoundError' }, devices: 'video', key: 'device.missingCamera' },
  { error: { name: 'NotFoundError' }, devices: 'audio', key: 'device.missingMicrophone' },
  { error: { name: 'NotReadableError' }, devices: 'both', key: 'device.busy' },
  { error: { name: 'NotReadableError' }, devices: 'video', key: 'device.busyCamera' },
  { error: { name: 'AbortError' }, devices: 'audio', key: 'device.busyMicrophone' },
  { error: { name: 'OverconstrainedError' }, devices: 'video', key: 'device.constraints' },
  { error: { name: 'DeviceLostError' }, devices: 'video', key: 'device.lostCamera' },
  { error: { name: 'DeviceLostError' }, devices: 'audio', key: 'device.lostMicrophone' },
  { error: { name: 'StrangeError' }, devices: 'both', key: 'device.other' },
];
for (const { error, devices, key } of DEVICES) {
  test(`${error.name} for ${devices}${error.message ? ` (${error.message})` : ''}: ${key}`, () => {
    assert.equal(explainDevice(error, devices).key, key);
    tellsWhatToDo(/** @type {Key} */ (key));
  });
}

test('closing the screen picker needs no words, the rest does', () => {
  assert.equal(explainScreen({ name: 'NotAllowedError' }), null);
  assert.equal(explainScreen({ name: 'NotAllowedError', message: 'denied by system' })?.key, 'device.screenDenied');
  assert.equal(explainScreen({ name: 'UnsupportedError' })?.key, 'device.screenUnsupported');
  assert.equal(explainScreen({ name: 'NotReadableError' })?.key, 'device.screenFailed');
  for (const key of /** @type {const} */ (['device.screenDenied', 'device.screenUnsupported', 'device.screenFailed'])) tellsWhatToDo(key);
});

const USUAL = { name: 'Bob', relayOnly: false, before: false, online: true, relayOffered: true };

/** @type {{name: string, types?: string[], errors?: number[], unanswered?: boolean, key: Key, how?: Partial<typeof USUAL>}[]} */
const PEERS = [
  { name: 'a relay was reached', types: ['host', 'relay'], errors: [701], key: 'tile.failedGeneral' },
  { name: 'the credential was refused', types: ['host'], errors: [401, 701], key: 'tile.failedRefused' },
  { name: 'no relay was reached', types: ['host'], errors: [701], key: 'tile.failedRelay' },
  { name: 'the relay has no IPv6, and no answer came over IPv4', types: ['host'], errors: [440, 701], key: 'tile.failedRelay' },
  { name: 'the policy leaves one out', types: ['host'], errors: [403], key: 'tile.failedForbidden' },
  { name: 'the quota is used up', types: ['host'], errors: [486, 701], key: 'tile.failedQuota' },
  { name: 'the relay has no room', errors: [508], key: 'tile.failedNoRoom' },
  { name: 'one relay was full and another reached', types: ['relay'], errors: [486], key: 'tile.failedGeneral' },
  { name: 'the relay does not help either', types: ['relay'], key: 'tile.failedThroughRelay', how: { relayOnly: true } },
  { name: 'only the relay is allowed, and silent', key: 'tile.failedRelay', how: { relayOnly: true } },
  { name: 'only the relay is allowed, and there is none', key: 'tile.failedRelayOnly', how: { relayOnly: true, relayOffered: false } },
  { name: 'there is no relay', types: ['host'], key: 'tile.failedNoRelay', how: { relayOffered: false } },
  { name: 'the other side says nothing', types: ['relay'], unanswered: true, key: 'tile.failedUnanswered' },
  { name: 'the connection broke', types: ['host', 'relay'], key: 'tile.failedLost', how: { before: true } },
  { name: 'the connection broke, and the relay refuses another', errors: [486], key: 'tile.failedQuota', how: { before: true } },
  { name: 'the own device is offline', errors: [701], unanswered: true, key: 'tile.failedOffline', how: { online: false, before: true } },
  { name: 'the own device is said to be offline, and the relay refuses', errors: [486], key: 'tile.failedQuota', how: { online: false } },
  { name: 'nothing is known', key: 'tile.failedGeneral' },
];
for (const { name, types, errors, unanswered = false, key, how } of PEERS) {
  test(`a failed peer where ${name}: ${key}`, () => {
    const peer = { candidateTypes: new Set(types), iceErrors: new Set(errors), unanswered };
    assert.equal(explainPeer(peer, { ...USUAL, ...how }).key, key);
    tellsWhatToDo(key);
  });
}

for (const code of STUN_CODES) {
  test(`${code} from the relay has words with something to do in them`, () => {
    const words = explainPeer({ candidateTypes: new Set(), iceErrors: new Set([code]), unanswered: false }, { ...USUAL, relayOnly: true });
    tellsWhatToDo(words.key);
    assert.ok(dictionaries.en[words.key].includes('relay'), words.key);
    if (words.key === 'tile.failedCode') assert.equal(words.params.code, code);
  });
}
