// @ts-check
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FakeConnection } from '../fakes/connection.js';
import { Emitter } from '../sdk/maitred.js';
import { dictionaries } from '../static/app/i18n.js';
import { standingOf } from '../static/app/safety.js';
import { SIGNS_IN_CODE, certificatesAgree, codeOf, commitmentOf, describeEnd, fingerprintsOf, isNonce, makeNonce, otherAgrees, pairOf } from '../static/app/safetycode.js';
import { SafetyCodes, noteAnnounced } from '../static/app/safetyexchange.js';
import { SIGNS } from '../static/app/signs.js';

const document = readFileSync(new URL('../../docs/safety-code.md', import.meta.url), 'utf8');

// How a code is made

const DESCRIPTIONS = [
  { name: 'one certificate, in any case of letters', sdp: 'v=0\r\na=fingerprint:SHA-256 0a:1B:2c\r\n', want: ['sha-256 0A:1B:2C'] },
  { name: 'the same for every medium', sdp: 'a=fingerprint:sha-256 0A:1B\r\nm=audio\r\na=fingerprint:sha-256 0A:1B\r\nm=video\r\na=fingerprint:sha-256 0a:1b', want: ['sha-256 0A:1B'] },
  { name: 'several algorithms, sorted', sdp: 'a=fingerprint:sha-512 FF:00\na=fingerprint:sha-256 0A:1B\na=fingerprint:sha-1 EE:EE\n', want: ['sha-1 EE:EE', 'sha-256 0A:1B', 'sha-512 FF:00'] },
  { name: 'what only looks like one', sdp: 'a=x-fingerprint:sha-256 0A:1B\r\ns=a=fingerprint:sha-256 0A:1B\r\na=fingerprint:sha-256 0A1B\r\na=fingerprint:sha-256 0G:1B\r\n', want: [] },
  { name: 'nothing', sdp: '', want: [] },
];
for (const { name, sdp, want } of DESCRIPTIONS) {
  test(`fingerprints: ${name}`, () => assert.deepEqual(fingerprintsOf(sdp), want));
}

/** @param {object} transport @param {string} local @param {string} remote */
function certificates(transport, local, remote) {
  const entry = (/** @type {string} */ fingerprint) => ({ type: 'certificate', fingerprint, fingerprintAlgorithm: 'sha-256' });
  return new Map(Object.entries({ t: { type: 'transport', ...transport }, l: entry(local), r: entry(remote) }));
}
const BOTH = { localCertificateId: 'l', remoteCertificateId: 'r' };
const ANNOUNCED = { own: ['sha-256 AA:AA'], other: ['sha-1 11:11', 'sha-256 BB:BB'] };
const IN_USE = [
  { name: 'as announced', report: certificates(BOTH, 'AA:AA', 'bb:bb'), agree: true },
  { name: 'another one there', report: certificates(BOTH, 'AA:AA', 'CC:CC'), agree: false },
  { name: 'another one here', report: certificates(BOTH, 'CC:CC', 'BB:BB'), agree: false },
  { name: 'ends changed', report: certificates(BOTH, 'BB:BB', 'AA:AA'), agree: false },
  { name: 'a browser that does not tell', report: certificates({}, 'CC:CC', 'CC:CC'), agree: true },
  { name: 'a browser that tells half of it', report: certificates({ localCertificateId: 'l', remoteCertificateId: 'gone' }, 'AA:AA', 'CC:CC'), agree: true },
  { name: 'nothing', report: new Map(), agree: true },
];
for (const { name, report, agree } of IN_USE) {
  test(`certificates in use: ${name}`, () => assert.equal(certificatesAgree(report, ANNOUNCED), agree));
}

test('the document has a code that is made as it says', async () => {
  const vector = JSON.parse(/```json vector\n(.*?)```/s.exec(document)?.[1] ?? '');
  const [ann, bob] = vector.ends;
  const ends = { own: describeEnd(fingerprintsOf(ann.sdp.join('\r\n'))), other: describeEnd(fingerprintsOf(bob.sdp.join('\r\n'))) };
  const turned = { own: ends.other, other: ends.own };
  assert.deepEqual([ends.own, ends.other], [ann.end, bob.end]);
  assert.equal(await pairOf(ends), vector.pair);
  assert.equal(await pairOf(turned), vector.pair);
  assert.equal(await commitmentOf(ends.own, ends.other, ann.nonce), ann.commit);
  assert.equal(await commitmentOf(ends.other, ends.own, bob.nonce), bob.commit);
  assert.deepEqual(await codeOf(ends, { own: ann.nonce, other: bob.nonce }), vector.code);
  assert.deepEqual(await codeOf(turned, { own: bob.nonce, other: ann.nonce }), vector.code);
  assert.equal(vector.code.map((/** @type {number} */ index) => SIGNS[index][0]).join(''), vector.signs);
});

test('the document lists the signs that there are', () => {
  const listed = [...document.matchAll(/^\| (\d+) \| (\S+) \| ([^|]+) \| ([^|]+) \|/gm)].map(([, ...cells]) => cells.map((cell) => cell.trim()));
  const { en, zh } = dictionaries;
  assert.deepEqual(listed, SIGNS.map(([sign, key], index) => [String(index), sign, en[key], zh[key]]));
});

test('64 signs, each once, with a name of its own in both languages', () => {
  assert.equal(SIGNS.length, 64);
  for (const of of [(/** @type {number} */ i) => SIGNS[i][0], (/** @type {number} */ i) => dictionaries.en[SIGNS[i][1]], (/** @type {number} */ i) => dictionaries.zh[SIGNS[i][1]]]) {
    assert.equal(new Set(SIGNS.map((_, index) => of(index))).size, 64);
  }
});

test('every input changes the code, and all of its bits come from the hash', async () => {
  const ends = { own: 'sha-256 AA', other: 'sha-256 BB' };
  const nonces = { own: '0'.repeat(64), other: '1'.repeat(64) };
  const codes = [
    await codeOf(ends, nonces), await codeOf({ ...ends, own: 'sha-256 AC' }, nonces), await codeOf({ ...ends, other: 'sha-256 BC' }, nonces),
    await codeOf(ends, { ...nonces, own: '2'.repeat(64) }), await codeOf(ends, { ...nonces, other: '2'.repeat(64) }),
    await codeOf(ends, { own: nonces.other, other: nonces.own }),
  ];
  assert.equal(new Set(codes.map(String)).size, codes.length);
  for (const code of codes) assert.ok(code.length === SIGNS_IN_CODE && code.every((it) => Number.isInteger(it) && it >= 0 && it < 64));
});

test('nonces are fresh', () => {
  assert.ok(isNonce(makeNonce()));
  assert.notEqual(makeNonce(), makeNonce());
  for (const junk of [undefined, null, 7, '', 'A'.repeat(64), '0'.repeat(63), '0'.repeat(65), ['0'.repeat(64)]]) assert.ok(!isNonce(junk));
});

// What the ends say to each other

/** @extends {Emitter<any>} */
class FakeRoom extends Emitter {
  /** @type {Map<string, any>} */
  peers = new Map();
}

/** @param {string} fingerprint */
const description = (fingerprint) => ({ type: 'offer', sdp: `v=0\r\na=fingerprint:sha-256 ${fingerprint}\r\n` });

/** One end of a connection, with what it sends. */
class End {
  room = new FakeRoom();
  /** @type {any[]} */
  sent = [];
  /** @type {any[]} */
  notices = [];
  /** @type {import('../sdk/maitred.js').Sent} what becomes of what is sent */
  result = 'sent';
  /** @type {(message: any) => void} */
  onsend = () => {};
  /** @type {any} */
  peer;
  codes;

  /**
   * @param {string} own fingerprint
   * @param {string} other
   * @param {{secure?: boolean}} [how]
   */
  constructor(own, other, how) {
    this.peer = {
      member: { id: 'other', name: 'Other' }, status: 'connecting', connection: new FakeConnection(),
      send: (/** @type {any} */ message) => {
        if (this.result === 'lost') return 'lost';
        this.sent.push(message);
        this.onsend(message);
        return this.result;
      },
    };
    this.room.peers.set('other', this.peer);
    this.codes = new SafetyCodes(/** @type {any} */ (this.room), how);
    this.codes.on('replaced', ({ member }) => this.notices.push(member.name));
    this.describe(own, other);
  }

  get safety() {
    return this.codes.of('other');
  }

  /** @param {string} own @param {string} other */
  describe(own, other) {
    Object.assign(this.peer.connection, { localDescription: description(own), remoteDescription: description(other) });
  }

  connect() {
    this.peer.status = 'connected';
    this.room.emit('status', { peer: this.peer });
  }

  /** @param {string} own @param {string} other */
  renew(own, other) {
    this.peer.connection = new FakeConnection();
    this.peer.status = 'connecting';
    this.room.emit('status', { peer: this.peer });
    this.describe(own, other);
  }

  /** @param {any} message */
  hear(message) {
    this.room.emit('data', { peer: this.peer, data: message });
  }

  /** @param {(safety: import('../static/app/safetyexchange.js').Safety) => boolean} wanted */
  until(wanted) {
    return new Promise((resolve) => {
      const look = () => {
        if (!wanted(this.safety)) return;
        undo();
        resolve(this.safety);
      };
      const undo = this.codes.on('change', look);
      look();
    });
  }

  /** @param {string} stage */
  stage(stage) {
    return this.until((safety) => safety.stage === stage);
  }

  /** @returns {Promise<any>} the next message that is sent */
  next() {
    return new Promise((resolve) => {
      this.onsend = resolve;
    });
  }
}

/** @param {End} one @param {End} other */
function join(one, other) {
  one.onsend = (message) => queueMicrotask(() => other.hear(message));
  other.onsend = (message) => queueMicrotask(() => one.hear(message));
  for (const end of [one, other]) end.connect();
}

/** @param {End} one @param {End} other */
async function ready(one, other) {
  join(one, other);
  await Promise.all([one.stage('ready'), other.stage('ready')]);
}

test('both ends come to the same code, after a commitment each', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  assert.equal(ann.safety.stage, 'waiting');
  await ready(ann, bob);
  assert.deepEqual(ann.safety.code, bob.safety.code);
  assert.equal(ann.safety.code.length, SIGNS_IN_CODE);
  for (const { sent } of [ann, bob]) {
    assert.deepEqual(sent.map((it) => Object.keys(it).sort()), [['commit', 'pair', 'type'], ['commit', 'nonce', 'pair', 'type']]);
  }
});

test('a nonce is told only to those who are bound', async () => {
  const ann = new End('AA', 'BB');
  const first = ann.next();
  ann.connect();
  const { pair } = await first;
  const commit = await commitmentOf('sha-256 BB', 'sha-256 AA', '7'.repeat(64));
  const second = ann.next();
  for (const junk of [{}, { pair }, { pair, commit: 7 }, { pair, nonce: '7'.repeat(64) }, { pair: 'x', commit }, { pair, commit: commit.toUpperCase() }]) ann.hear({ type: 'safety', ...junk });
  ann.hear({ type: 'safety', pair, commit });
  assert.ok((await second).nonce);
  assert.equal(ann.sent.length, 2);
});

test('whoever has missed the commitment gets it with the nonce', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  const missed = ann.next();
  ann.connect();
  await missed;
  join(ann, bob);
  await Promise.all([ann.stage('ready'), bob.stage('ready')]);
  assert.deepEqual(ann.safety.code, bob.safety.code);
});

test('what could not be sent is sent with the next occasion', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  ann.result = 'lost';
  join(ann, bob);
  await bob.until(() => bob.sent.length === 1 || bob.safety.fingerprints.own.length > 0);
  ann.result = 'sent';
  ann.connect();
  await Promise.all([ann.stage('ready'), bob.stage('ready')]);
  assert.deepEqual(ann.safety.code, bob.safety.code);
});

/** Longer than an end takes for whatever it has to do: a step takes a few hashes. */
async function aWhile() {
  for (let i = 0; i < 20; i++) await pairOf({ own: 'x', other: 'y' });
}

/** @type {{name: string, say: (pair: string, sent: any) => Promise<any[]>}[]} */
const CHEATS = [
  { name: 'another commitment', say: async (pair) => [{ pair, commit: '1'.repeat(64) }, { pair, commit: '2'.repeat(64) }] },
  { name: 'a nonce that was not committed to', say: async (pair) => [{ pair, commit: '1'.repeat(64) }, { pair, commit: '1'.repeat(64), nonce: '2'.repeat(64) }] },
  { name: 'no nonce at all', say: async (pair) => [{ pair, commit: '1'.repeat(64), nonce: 7 }] },
  { name: 'our own words', say: async (_, sent) => [sent, { ...sent, nonce: '2'.repeat(64) }] },
];
for (const { name, say } of CHEATS) {
  test(`no code for ${name}, and none later`, async () => {
    const ann = new End('AA', 'BB');
    const first = ann.next();
    ann.connect();
    const sent = await first;
    for (const message of await say(sent.pair, sent)) ann.hear({ type: 'safety', ...message });
    await ann.stage('failed');
    const nonce = '7'.repeat(64);
    ann.hear({ type: 'safety', pair: sent.pair, commit: await commitmentOf('sha-256 BB', 'sha-256 AA', nonce), nonce });
    ann.connect();
    await aWhile();
    assert.deepEqual([ann.safety.stage, ann.safety.code], ['failed', []]);
  });
}

test('words said back to whoever said them are worth nothing', async () => {
  const ann = new End('AA', 'BB');
  ann.onsend = (message) => queueMicrotask(() => ann.hear(message));
  ann.connect();
  await ann.stage('failed');
});

test('somebody in the middle who passes everything on is found out', async () => {
  const [ann, bob] = [new End('AA', 'EE'), new End('BB', 'FF')];
  const [toAnn, toBob] = [new End('EE', 'AA'), new End('FF', 'BB')];
  await Promise.all([ready(ann, toAnn), ready(bob, toBob)]);
  assert.notDeepEqual(ann.safety.code, bob.safety.code);
  // Nor can the words of one side be given to the other as one's own.
  const eve = new End('AA', 'EE');
  eve.connect();
  for (const message of bob.sent) eve.hear({ ...message, pair: await pairOf({ own: 'sha-256 AA', other: 'sha-256 EE' }) });
  await eve.stage('failed');
});

test('a code that was compared is shown anew, with a notice, when the connection has other certificates', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  await ready(ann, bob);
  ann.codes.setCompared('other', true);
  assert.equal(standingOf(ann.safety), 'compared');
  const before = ann.safety.code;
  ann.renew('AC', 'BD');
  bob.renew('BD', 'AC');
  assert.deepEqual([ann.safety.stage, ann.safety.compared], ['waiting', false]);
  await ready(ann, bob);
  assert.notDeepEqual(ann.safety.code, before);
  assert.deepEqual(ann.safety.code, bob.safety.code);
  assert.deepEqual([standingOf(ann.safety), standingOf(bob.safety)], ['replaced', 'open']);
  assert.deepEqual([ann.notices, bob.notices], [['Other'], []]);
  ann.codes.setCompared('other', true);
  assert.equal(standingOf(ann.safety), 'compared');
});

test('the same certificates in another connection keep the code', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  await ready(ann, bob);
  ann.codes.setCompared('other', true);
  const { code } = ann.safety;
  ann.renew('AA', 'BB');
  ann.connect();
  await ann.stage('ready');
  assert.deepEqual([ann.safety.code, ann.safety.compared, ann.notices], [code, true, []]);
});

/**
 * @param {(string | undefined)[]} shown certificates of the transports' other ends; undefined for a transport that does not tell
 * @returns {any}
 */
function withCertificates(...shown) {
  const [sctp, ...media] = shown.map((certificate) => (
    certificate === undefined ? {} : { getRemoteCertificates: () => [new TextEncoder().encode(certificate).buffer] }));
  return { sctp: { transport: sctp }, getReceivers: () => media.map((transport) => ({ transport })) };
}

test('the certificate of the handshake must be the announced one', async () => {
  const digest = async (/** @type {string} */ certificate) => {
    const bytes = [...new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(certificate)))];
    return `sha-256 ${bytes.map((it) => it.toString(16).padStart(2, '0').toUpperCase()).join(':')}`;
  };
  const announced = ['sha-512 AA', await digest('bob')];
  assert.equal(await otherAgrees(withCertificates('bob'), announced), true);
  assert.equal(await otherAgrees(withCertificates('bob', 'bob', undefined), announced), true);
  assert.equal(await otherAgrees(withCertificates('mallory'), announced), false);
  assert.equal(await otherAgrees(withCertificates('bob', 'mallory'), announced), false);
  assert.equal(await otherAgrees(withCertificates(undefined), announced), null);
  assert.equal(await otherAgrees(/** @type {any} */ ({}), announced), null);
});

test('a later description is not believed where the handshake says otherwise, or nothing is known of it', async () => {
  const ann = new End('AA', 'BB');
  ann.peer.connection.stats = new Map();
  Object.assign(ann.peer.connection, withCertificates('of somebody in the middle'));
  ann.connect();
  await ann.stage('failed');
  assert.deepEqual(ann.sent, []);
});

test('certificates may change within a connection', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  await ready(ann, bob);
  ann.codes.setCompared('other', true);
  ann.describe('AA', 'CC');
  ann.peer.connection.dispatchEvent(new Event('signalingstatechange'));
  await ann.stage('failed');
  assert.deepEqual([ann.safety.compared, ann.notices], [false, ['Other']]);
});

test('another certificate than was announced is not to be trusted, and hears nothing', async () => {
  const ann = new End('AA', 'BB');
  ann.peer.connection.stats = certificates(BOTH, 'AA', 'CC');
  ann.connect();
  await ann.stage('failed');
  assert.deepEqual(ann.sent, []);
});

test('what was announced before anybody looked after safety codes is what counts', async () => {
  const ann = new End('AA', 'BB');
  const { connection } = ann.peer;
  Object.assign(connection, { getStats: async () => new Map() });
  noteAnnounced(/** @type {any} */ (connection));
  // Somebody in the middle has done the handshake, and says another one's certificate afterwards.
  ann.describe('AA', 'CC');
  ann.connect();
  await ann.stage('failed');
  assert.deepEqual(ann.sent, []);
});

test('of a message flood only a little is looked at', async () => {
  const ann = new End('AA', 'BB');
  let looked = 0;
  const looking = new Promise((resolve) => {
    ann.peer.connection.getStats = async () => {
      if (++looked === 16) resolve(null);
      return new Map();
    };
  });
  for (let i = 0; i < 1_000; i++) ann.hear({ type: 'safety', pair: 'x', commit: '1'.repeat(64) });
  await looking;
  await aWhile();
  assert.equal(looked, 16);
  // There is an exchange now, which is not looked after for ever either.
  for (let i = 0; i < 1_000; i++) {
    ann.hear({ type: 'safety', pair: 'x', commit: '1'.repeat(64) });
    if (i % 100 === 0) await aWhile();
  }
  await aWhile();
  assert.equal(looked, 32);
});

test('no cryptography, no code: nothing is said', () => {
  const ann = new End('AA', 'BB', { secure: false });
  ann.connect();
  ann.hear({ type: 'safety', pair: 'x', commit: '1'.repeat(64) });
  ann.codes.setCompared('other', true);
  assert.deepEqual([standingOf(ann.safety), ann.sent], ['insecure', []]);
});

test('only what there is can be compared, and members who have left are forgotten', async () => {
  const [ann, bob] = [new End('AA', 'BB'), new End('BB', 'AA')];
  ann.codes.setCompared('other', true);
  assert.equal(ann.safety.compared, false);
  await ready(ann, bob);
  ann.codes.setCompared('other', true);
  ann.room.peers.delete('other');
  ann.room.emit('member-left', { member: ann.peer.member });
  assert.deepEqual([ann.safety.stage, ann.safety.compared], ['waiting', false]);
});
