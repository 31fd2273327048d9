// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAUSES, explainCause, explainDevice, explainPeer, explainScreen } from '../static/app/errors.js';

const CODES = ['bad_message', 'room_full', 'room_locked', 'wrong_password', 'unauthorized', 'no_such_member', 'rate_limited',
  'too_many_rooms', 'not_allowed', 'server_draining'];
const ENDINGS = ['kicked', 'replaced', 'too_slow', 'too_big', 'going_away', 'connection_lost'];

for (const code of [...CODES, ...ENDINGS]) {
  test(`${code} has words of its own`, () => {
    assert.equal(explainCause({ code }).text.key, `error.${code}`);
  });
}

test('every cause that the page makes itself has words', () => {
  for (const code of Object.keys(CAUSES)) assert.notEqual(explainCause({ code }).text.key, 'error.unknown');
});

test('an unknown code has words, too', () => {
  for (const cause of [null, { code: 'of_tomorrow' }, { code: 'constructor' }]) {
    assert.deepEqual(explainCause(cause), { text: { key: 'error.unknown', params: {} }, retry: true });
  }
});

test('trying again is offered where it may help', () => {
  assert.equal(explainCause({ code: 'room_full' }).retry, true);
  assert.equal(explainCause({ code: 'kicked' }).retry, false);
  assert.equal(explainCause({ code: 'unauthorized' }).retry, false);
});

test('whoever was not let in may knock again', () => {
  assert.deepEqual(explainCause({ code: 'denied' }), { text: { key: 'error.denied', params: {} }, retry: true });
});

test('the reason of a kick is told', () => {
  assert.deepEqual(explainCause({ code: 'kicked', message: 'too loud' }).text, { key: 'error.kickedBecause', params: { reason: 'too loud' } });
});

/** @type {{error: {name: string, message?: string}, devices: 'both' | 'audio' | 'video', key: string}[]} */
const DEVICES = [
  { error: { name: 'InsecureContextError' }, devices: 'both', key: 'device.insecure' },
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
  });
}

test('closing the screen picker needs no words, the rest does', () => {
  assert.equal(explainScreen({ name: 'NotAllowedError' }), null);
  assert.equal(explainScreen({ name: 'NotAllowedError', message: 'denied by system' })?.key, 'device.screenDenied');
  assert.equal(explainScreen({ name: 'UnsupportedError' })?.key, 'device.screenUnsupported');
  assert.equal(explainScreen({ name: 'NotReadableError' })?.key, 'device.screenFailed');
});

/** @type {{name: string, types: string[], errors: number[], key: string, relayOnly?: boolean, unanswered?: boolean}[]} */
const PEERS = [
  { name: 'a relay was reached', types: ['host', 'relay'], errors: [701], key: 'tile.failedGeneral' },
  { name: 'the credential was refused', types: ['host'], errors: [401, 701], key: 'tile.failedRefused' },
  { name: 'no relay was reached', types: ['host'], errors: [701], key: 'tile.failedRelay' },
  { name: 'the credential was forbidden', types: ['host'], errors: [403], key: 'tile.failedRefused' },
  { name: 'the quota is used up', types: ['host'], errors: [486, 701], key: 'tile.failedQuota' },
  { name: 'the relay has no room', types: [], errors: [508], key: 'tile.failedNoRoom' },
  { name: 'one relay was full and another reached', types: ['relay'], errors: [486], key: 'tile.failedGeneral' },
  { name: 'the relay does not help either', types: ['relay'], errors: [], key: 'tile.failedThroughRelay', relayOnly: true },
  { name: 'only the relay is allowed, and silent', types: [], errors: [], key: 'tile.failedRelay', relayOnly: true },
  { name: 'the other side says nothing', types: ['relay'], errors: [], key: 'tile.failedUnanswered', unanswered: true },
  { name: 'nothing is known', types: [], errors: [], key: 'tile.failedGeneral' },
];
for (const { name, types, errors, key, relayOnly = false, unanswered = false } of PEERS) {
  test(`a failed peer where ${name}: ${key}`, () => {
    const peer = { candidateTypes: new Set(types), iceErrors: new Set(errors), unanswered };
    assert.equal(explainPeer(peer, { name: 'Bob', relayOnly }).key, key);
  });
}
