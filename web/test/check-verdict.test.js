// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainCode } from '../static/check/codes.js';
import { gatheringWords, loopWords, pathState } from '../static/check/describe.js';
import { newLoop } from '../static/check/loop.js';
import { parseServers } from '../static/check/servers.js';
import { tellStory } from '../static/check/story.js';
import { judge } from '../static/check/verdict.js';

const URLS = { stun: 'stun:h', udp: 'turn:h?transport=udp', tcp: 'turn:h?transport=tcp', tls: 'turns:h:443?transport=tcp', dtls: 'turns:h?transport=udp' };

/**
 * @param {keyof typeof URLS} name
 * @param {string} outcome
 * @param {{codes?: number[], loop?: object | null}} [more]
 * @returns {any}
 */
function path(name, outcome, { codes = [], loop = null } = {}) {
  const [target] = parseServers(URLS[name], 'u', 'p').targets;
  return { target, gathering: { outcome, candidates: [], errors: codes.map((code) => ({ ms: 1, code, text: '', url: '', count: 1 })), ms: 1 }, loop };
}

const good = { ...newLoop(), state: 'measured', p50: 40, p99: 60, jitter: 2, loss: 0, mbps: 30 };
/** @param {keyof typeof URLS} name @param {object} [loop] */
const works = (name, loop = {}) => path(name, 'answered', { loop: { ...good, ...loop } });
/** @param {keyof typeof URLS} name @param {number} code */
const refused = (name, code) => path(name, 'refused', { codes: [code] });
const dead = { udp: path('udp', 'silent'), tcp: path('tcp', 'silent'), tls: path('tls', 'unreachable', { codes: [701] }) };

/** @type {{name: string, evidence: object, level: string, meaning: string[], advice?: string[], operator?: string[]}[]} */
const CASES = [
  { name: 'everything works', evidence: { paths: [path('stun', 'answered'), works('udp'), works('tcp'), works('tls')] }, level: 'good', meaning: ['check.good'] },
  { name: 'UDP is all there is, and works', evidence: { paths: [works('udp')] }, level: 'good', meaning: ['check.good'], operator: ['check.onlyUDPOperator'] },
  { name: 'DTLS is nothing for browsers', evidence: { paths: [works('udp'), works('tcp'), path('dtls', 'unsupported')] }, level: 'good', meaning: ['check.good'] },
  { name: 'UDP is blocked', evidence: { paths: [path('stun', 'silent'), dead.udp, works('tcp'), works('tls')] }, level: 'limited', meaning: ['check.udpBlocked'], advice: ['check.udpBlockedDo'], operator: ['check.udpBlockedOperator'] },
  { name: 'UDP gives an address, but nothing comes through', evidence: { paths: [path('udp', 'answered', { loop: { ...newLoop(), state: 'late' } }), works('tcp')] }, level: 'limited', meaning: ['check.udpBlocked'], advice: ['check.udpBlockedDo'], operator: ['check.udpBlockedOperator'] },
  { name: 'UDP is not offered', evidence: { paths: [works('tls')] }, level: 'limited', meaning: ['check.udpMissing'], operator: ['check.udpMissingOperator'] },
  { name: 'TLS fails', evidence: { paths: [works('udp'), works('tcp'), dead.tls] }, level: 'limited', meaning: ['check.someFailed'], operator: ['check.someFailedOperator'] },
  { name: 'packets are lost', evidence: { paths: [works('udp', { loss: 0.1 }), works('tcp')] }, level: 'limited', meaning: ['check.lossy'], advice: ['check.qualityDo'] },
  { name: 'the relay is far away', evidence: { paths: [works('udp', { p50: 500 }), works('tcp')] }, level: 'limited', meaning: ['check.slow'], advice: ['check.slowDo'], operator: ['check.slowOperator'] },
  { name: 'lossy and shaky give the same advice once', evidence: { paths: [works('udp', { loss: 0.1, jitter: 50 }), works('tcp')] }, level: 'limited', meaning: ['check.lossy', 'check.shaky'], advice: ['check.qualityDo'] },
  { name: 'little comes through', evidence: { paths: [works('udp', { mbps: 0.4 }), works('tcp')] }, level: 'limited', meaning: ['check.narrow'], advice: ['check.narrowDo'] },
  { name: 'a bad TCP does not matter where UDP is good', evidence: { paths: [works('udp'), works('tcp', { p50: 900, mbps: 0.1 })] }, level: 'good', meaning: ['check.good'] },
  { name: 'addresses, but nothing comes through', evidence: { paths: [path('udp', 'answered', { loop: { ...newLoop(), state: 'late' } }), path('tcp', 'answered', { loop: { ...newLoop(), state: 'failed' } })] }, level: 'broken', meaning: ['check.loopDead'], advice: ['check.loopDeadDo'], operator: ['check.loopDeadOperator'] },
  { name: 'nothing answers', evidence: { paths: [path('stun', 'silent'), dead.udp, dead.tcp, dead.tls] }, level: 'broken', meaning: ['check.nothingReached'], advice: ['check.otherNetworkDo'], operator: ['check.nothingReachedOperator'] },
  { name: 'the own credential is refused', evidence: { paths: [refused('udp', 401), refused('tcp', 401)] }, level: 'broken', meaning: ['check.refusedOwn'], advice: ['check.refusedOwnDo'], operator: ['check.refusedOwnOperator'] },
  { name: 'a credential typed in is refused', evidence: { own: false, paths: [refused('udp', 401), dead.tcp] }, level: 'broken', meaning: ['check.refusedCustom'], advice: ['check.refusedCustomDo'] },
  { name: 'the quota is used up', evidence: { paths: [refused('udp', 486), refused('tcp', 486)] }, level: 'broken', meaning: ['check.refusedQuota'], advice: ['check.refusedQuotaDo'], operator: ['check.refusedQuotaOperator'] },
  { name: 'the relay is full', evidence: { paths: [refused('udp', 508)] }, level: 'broken', meaning: ['check.refusedFull'], advice: ['check.refusedFullDo'], operator: ['check.refusedFullOperator'] },
  { name: 'forbidden', evidence: { paths: [refused('udp', 403)] }, level: 'broken', meaning: ['check.refusedOther'], operator: ['check.refusedOtherOperator'] },
  { name: 'another refusal', evidence: { paths: [refused('udp', 442), dead.tls] }, level: 'broken', meaning: ['check.refusedOther'], operator: ['check.refusedOtherOperator'] },
  { name: 'nothing that a browser can use', evidence: { paths: [path('dtls', 'unsupported'), path('udp', 'invalid')] }, level: 'broken', meaning: ['check.nothingUsable'], advice: ['check.nothingUsableDo'] },
  { name: 'STUN alone, alive', evidence: { paths: [path('stun', 'answered')] }, level: 'limited', meaning: ['check.stunOnly'], advice: ['check.stunOnlyDo'], operator: ['check.noTurnOperator'] },
  { name: 'STUN alone, dead', evidence: { paths: [path('stun', 'silent')] }, level: 'broken', meaning: ['check.stunDead'], advice: ['check.otherNetworkDo'] },
  { name: 'no WebRTC', evidence: { supported: false, phase: 'starting' }, level: 'broken', meaning: ['check.noWebRTC'], advice: ['check.noWebRTCDo'] },
  { name: 'still running', evidence: { phase: 'measuring', paths: [works('udp')] }, level: 'running', meaning: [] },
  { name: 'stopped', evidence: { phase: 'stopped', paths: [works('udp')] }, level: 'unknown', meaning: ['check.stopped'], advice: ['check.stoppedDo'] },
  { name: 'an invitation is needed', evidence: { phase: 'failed', problem: { code: 'unauthorized', status: 401, seconds: 0 } }, level: 'unknown', meaning: ['check.unauthorized'], advice: ['check.unauthorizedDo'] },
  { name: 'turned off', evidence: { phase: 'failed', problem: { code: 'disabled', status: 404, seconds: 0 } }, level: 'unknown', meaning: ['check.disabled'], advice: ['check.customDo'], operator: ['check.disabledOperator'] },
  { name: 'too many checks', evidence: { phase: 'failed', problem: { code: 'busy', status: 429, seconds: 20 } }, level: 'unknown', meaning: ['check.busy'], advice: ['check.busyDo'] },
  { name: 'too many checks, without a time', evidence: { phase: 'failed', problem: { code: 'busy', status: 429, seconds: 0 } }, level: 'unknown', meaning: ['check.busy'], advice: ['check.busyLater'] },
  { name: 'no relay', evidence: { phase: 'failed', problem: { code: 'no_turn', status: 503, seconds: 0 } }, level: 'limited', meaning: ['check.noTurn'], operator: ['check.noTurnOperator'] },
  { name: 'the server is gone', evidence: { phase: 'failed', problem: { code: 'unreachable', status: 0, seconds: 0 } }, level: 'broken', meaning: ['check.unreachable'], advice: ['check.unreachableDo'], operator: ['check.unreachableOperator'] },
  { name: 'an answer of another kind', evidence: { phase: 'failed', problem: { code: 'unexpected', status: 500, seconds: 0 } }, level: 'unknown', meaning: ['check.unexpected'], advice: ['check.stoppedDo'], operator: ['check.unexpectedOperator'] },
];
for (const { name, evidence, level, meaning, advice = [], operator = [] } of CASES) {
  test(`verdict: ${name}`, () => {
    const verdict = judge(/** @type {any} */ ({ supported: true, own: true, phase: 'done', problem: null, paths: [], ...evidence }));
    /** @param {{key: string}[]} texts */
    const keys = (texts) => texts.map(({ key }) => key);
    assert.deepEqual({ level: verdict.level, meaning: keys(verdict.meaning), advice: keys(verdict.advice), operator: keys(verdict.operator) }, { level, meaning, advice, operator });
  });
}

/** @param {object} more */
const heard = (more) => ({ transport: 'udp', port: 3478, heard: true, first_ms: 12, requests: [], allocations: 0, ...more });
const challenge = { method: 'allocate', code: 401, count: 1 };

/** @type {{name: string, listeners?: any[], transports: any[], paths: any[], want: [string, string, string][]}[]} */
const STORIES = [
  { name: 'good', transports: [heard({ allocations: 2 })], paths: [path('stun', 'answered'), works('udp')], want: [['UDP 3478', 'good', 'check.storyGood']] },
  { name: 'STUN alone', transports: [heard({ requests: [{ method: 'binding', code: 0, count: 1 }] })], paths: [path('stun', 'answered')], want: [['UDP 3478', 'good', 'check.storyHeard']] },
  { name: 'UDP never heard', transports: [heard({ heard: false })], paths: [dead.udp], want: [['UDP 3478', 'bad', 'check.storyNeverUDP']] },
  { name: 'told by the listeners alone', listeners: [{ transport: 'tcp', port: 3478 }], transports: [], paths: [dead.tcp], want: [['TCP 3478', 'bad', 'check.storyNeverTCP']] },
  { name: 'refused', transports: [heard({ requests: [challenge, { method: 'allocate', code: 486, count: 1 }] })], paths: [refused('udp', 486)], want: [['UDP 3478', 'bad', 'check.storyRefused']] },
  { name: 'the credential refused', transports: [heard({ requests: [{ ...challenge, count: 2 }] })], paths: [refused('udp', 401)], want: [['UDP 3478', 'bad', 'check.storyUnsigned']] },
  { name: 'the challenge was lost', transports: [heard({ requests: [challenge] })], paths: [dead.udp], want: [['UDP 3478', 'bad', 'check.storyAnswerLost']] },
  { name: 'the allocation was lost', transports: [heard({ requests: [challenge], allocations: 1 })], paths: [dead.udp], want: [['UDP 3478', 'bad', 'check.storyAnswerLost']] },
  { name: 'TLS was opened, then nothing', transports: [heard({ transport: 'tls', port: 443 })], paths: [dead.tls], want: [['TLS 443', 'bad', 'check.storyTLS']] },
  { name: 'TCP was opened, then nothing', transports: [heard({ transport: 'tcp' })], paths: [dead.tcp], want: [['TCP 3478', 'bad', 'check.storyMute']] },
  { name: 'works without the server', transports: [heard({ heard: false })], paths: [works('udp')], want: [['UDP 3478', 'info', 'check.storyElsewhere']] },
  { name: 'another port is not tested', transports: [heard({ allocations: 1 }), heard({ port: 5000, heard: false })], paths: [works('udp')], want: [['UDP 3478', 'good', 'check.storyGood'], ['UDP 5000', 'info', 'check.storyUntested']] },
  { name: 'the port that clients know is another', transports: [heard({ transport: 'tls', port: 8443, allocations: 1 })], paths: [works('tls')], want: [['TLS 8443', 'good', 'check.storyGood']] },
  { name: 'DTLS is not tested', transports: [heard({ transport: 'dtls', port: 5349, heard: false })], paths: [path('dtls', 'unsupported')], want: [['DTLS 5349', 'info', 'check.storyUntested']] },
  { name: 'still gathering', transports: [heard({})], paths: [path('udp', 'running')], want: [['UDP 3478', 'info', 'check.storyRunning']] },
];
for (const { name, listeners = [], transports, paths, want } of STORIES) {
  test(`story: ${name}`, () => {
    const sentences = tellStory(listeners, /** @type {any} */ ({ client: '203.0.113.7', age_ms: 1, transports, events: [] }), paths);
    assert.deepEqual(sentences.map((it) => [it.name, it.tone, it.text.key]), want);
  });
}

test('every code is explained, unknown ones, too', () => {
  for (const code of [300, 400, 401, 403, 437, 438, 441, 442, 486, 508, 701]) assert.equal(explainCode(code)[0].key, `check.code${code}`);
  assert.deepEqual(explainCode(599).map(({ key, params }) => [key, params.code]), [['check.codeOther', 599], ['check.codeOtherDo', undefined]]);
});

/** @type {[string, any, string, string][]} */
const STATES = [
  ['gathering', path('udp', 'running'), 'working', 'check.stateGathering'],
  ['waiting', path('udp', 'answered'), 'working', 'check.stateQueued'],
  ['measuring', works('udp', { state: 'sending' }), 'working', 'check.stateMeasuring'],
  ['measured', works('udp'), 'good', 'check.stateWorks'],
  ['no loop', works('udp', { state: 'late' }), 'bad', 'check.stateNoLoop'],
  ['stopped while measured', works('udp', { state: 'stopped' }), 'info', 'check.stateStopped'],
  ['refused', refused('udp', 401), 'bad', 'check.stateRefused'],
  ['silent', dead.udp, 'bad', 'check.stateFailed'],
  ['STUN', path('stun', 'answered'), 'good', 'check.stateWorks'],
  ['DTLS', path('dtls', 'unsupported'), 'info', 'check.stateUnsupported'],
];
for (const [name, it, tone, key] of STATES) {
  test(`state: ${name}`, () => {
    const state = pathState(it, false);
    assert.deepEqual([state.tone, state.text.key], [tone, key]);
  });
}

test('state: stopped before its turn to be measured', () => {
  assert.equal(pathState(path('udp', 'answered'), true).text.key, 'check.stateStopped');
});

test('what gathering told', () => {
  /** @param {any} it */
  const key = ({ target, gathering }) => gatheringWords(target, gathering)?.key;
  assert.equal(key(dead.udp), 'check.gotSilent');
  assert.equal(key(path('stun', 'answered')), 'check.gotNothingNew');
  assert.equal(key(path('udp', 'nothing')), 'check.gotNothing');
  const [target] = parseServers('turns:192.0.2.1', 'u', 'p').targets;
  assert.equal(key({ ...path('tls', 'nothing'), target }), 'check.gotNothingTLS');
  assert.equal(key(refused('udp', 401)), undefined);
  const found = { type: 'relay', address: '2001:db8::1', port: 9 };
  assert.deepEqual(gatheringWords(dead.udp.target, /** @type {any} */ ({ outcome: 'answered', candidates: [found], ms: 1.26, errors: [] }))?.params, { ms: 1.3, address: '[2001:db8::1]:9' });
});

test('what the loop told, in half for the way to the server', () => {
  assert.deepEqual(loopWords(/** @type {any} */ (good))?.params, { p50: 40, p99: 60, half: 20, jitter: 2, loss: 0, mbps: 30 });
  assert.equal(loopWords(newLoop()), null);
});
