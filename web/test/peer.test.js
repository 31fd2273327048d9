// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeConnection } from '../fakes/connection.js';
import { Peer, selectedPath } from '../static/sdk/maitred.js';

/** @typedef {import('../static/sdk/maitred.js').SignalData} SignalData */

/**
 * Two peers and the line between them, which the test can hold up and cut.
 * @param {{ annPolite?: boolean }} [options]
 */
function pair({ annPolite = true } = {}) {
  const clock = new FakeClock();
  const line = { cut: false, held: /** @type {(() => unknown)[]} */ ([]), hold: false, offers: 0 };
  /** @type {Peer[]} */
  const peers = [];
  const pcs = [new FakeConnection(), new FakeConnection()];
  for (const side of [0, 1]) {
    peers[side] = new Peer({
      id: side ? 'ann' : 'bob', polite: side === 0 ? annPolite : !annPolite, clock,
      connection: /** @type {any} */ (pcs[side]),
      tracks: /** @type {any} */ ({ audio: { kind: 'audio' }, video: null }),
      send: (data) => {
        if (data.description?.type === 'offer') line.offers++;
        // A copy, as the wire makes one.
        const copy = JSON.parse(JSON.stringify(data));
        const deliver = () => peers[1 - side].receive(copy);
        if (line.hold) line.held.push(deliver);
        else if (!line.cut) void deliver();
      },
    });
    peers[side].on('error', ({ error }) => assert.fail(String(error)));
  }
  const [ann, bob] = peers;
  const [annPc, bobPc] = pcs;
  return { clock, line, ann, bob, annPc, bobPc };
}

/** @param {FakeConnection[]} pcs */
function assertConnected(...pcs) {
  for (const pc of pcs) {
    assert.equal(pc.signalingState, 'stable');
    assert.ok(pc.remoteDescription);
    const live = pc.getTransceivers();
    assert.equal(live.length, 2, 'one transceiver a kind');
    assert.ok(live.every(({ direction, mid }) => direction === 'sendrecv' && mid !== null));
    const audio = live.find(({ receiver }) => receiver.track.kind === 'audio');
    assert.equal(audio?.sender.track?.kind, 'audio', 'the track is sent');
  }
}

test('the newcomer offers, the other answers, once', async () => {
  const { line, ann, bob, annPc, bobPc } = pair();
  bob.expectOffer();
  ann.start();
  await settled();
  assertConnected(annPc, bobPc);
  assert.equal(line.offers, 1);
});

test('who was there first does not offer by itself', async () => {
  const { line, bob } = pair();
  bob.expectOffer();
  await settled();
  assert.equal(line.offers, 0);
});

test('but does when no offer comes', async () => {
  const { clock, bob, annPc, bobPc } = pair();
  bob.expectOffer();
  await clock.advance(6_000);
  await settled();
  assertConnected(annPc, bobPc);
});

for (const annPolite of [true, false]) {
  test(`glare in an ICE restart, ${annPolite ? 'the first' : 'the second'} to send gives way`, async () => {
    const { line, ann, bob, annPc, bobPc } = pair({ annPolite });
    ann.start();
    await settled();
    line.hold = true;
    ann.restart();
    bob.restart();
    await settled();
    assert.equal(line.held.length, 2);
    line.hold = false;
    for (const deliver of line.held) await deliver();
    await settled();
    assertConnected(annPc, bobPc);
  });
}

test('candidates of an ignored offer are no error', async () => {
  const { ann, annPc } = pair({ annPolite: false });
  ann.start();
  await settled();
  await ann.receive({ description: { type: 'offer', sdp: 'x' } });
  await ann.receive({ candidate: { candidate: 'host' } });
  assert.equal(annPc.signalingState, 'stable');
});

test('a lost offer is made again', async () => {
  const { clock, line, ann, annPc, bobPc } = pair();
  line.cut = true;
  ann.start();
  await settled();
  assert.equal(annPc.signalingState, 'have-local-offer');
  line.cut = false;
  await clock.advance(10_000);
  await settled();
  assertConnected(annPc, bobPc);
});

test('an offer without any answer is not repeated for ever', async () => {
  const { clock, line, ann } = pair();
  line.cut = true;
  ann.start();
  await settled();
  await clock.advance(39_999);
  assert.equal(ann.status, 'connecting');
  await clock.advance(80_000);
  assert.equal(line.offers, 4);
  assert.equal(ann.status, 'failed');
  assert.equal(ann.unanswered, true);
});

test('a manual restart asks once more, as patiently as the first time', async () => {
  const { clock, line, ann, annPc, bobPc } = pair();
  line.cut = true;
  ann.start();
  await settled();
  await clock.advance(40_000);
  ann.restart({ manual: true });
  assert.deepEqual([ann.status, ann.unanswered], ['connecting', false]);
  await settled();
  await clock.advance(40_000);
  assert.deepEqual([ann.status, line.offers], ['failed', 8]);
  line.cut = false;
  ann.restart({ manual: true });
  await settled();
  assert.equal(ann.status, 'connecting');
  assertConnected(annPc, bobPc);
});

test('whoever was given up and speaks after all is heard', async () => {
  const { clock, line, ann, bob } = pair();
  line.cut = true;
  ann.start();
  await settled();
  await clock.advance(40_000);
  line.cut = false;
  await ann.receive({ description: { type: 'answer', sdp: 'late' } });
  assert.deepEqual([ann.status, ann.unanswered], ['connecting', false]);
  bob.close();
});

test('media that flows is not called failed when a restart is not answered', async () => {
  const { clock, line, ann, annPc } = pair();
  ann.start();
  await settled();
  annPc.become('connected');
  line.cut = true;
  ann.restart();
  await settled();
  await clock.advance(60_000);
  assert.equal(ann.status, 'connected');
});

test('a connection that broke and gets no answer ends as failed', async () => {
  const { clock, line, ann, annPc } = pair();
  ann.on('restart-wanted', () => ann.restart());
  ann.start();
  await settled();
  annPc.become('connected');
  line.cut = true;
  annPc.become('failed');
  await clock.advance(120_000);
  assert.deepEqual([ann.status, ann.unanswered], ['failed', true]);
});

test('a late answer is ignored', async () => {
  const { ann, annPc, bobPc } = pair();
  ann.start();
  await settled();
  await ann.receive({ description: { type: 'answer', sdp: 'late' } });
  assertConnected(annPc, bobPc);
});

test('a restart while an offer is under way offers anew', async () => {
  const { line, ann, annPc, bobPc } = pair();
  line.cut = true;
  ann.start();
  await settled();
  line.cut = false;
  ann.restart();
  await settled();
  assertConnected(annPc, bobPc);
  assert.equal(annPc.iceGeneration, 1);
});

test('a failed connection wants a restart, a few times, then says so', async () => {
  const { clock, ann, annPc } = pair();
  ann.start();
  await settled();
  let wanted = 0;
  ann.on('restart-wanted', () => wanted++);
  for (const delay of [0, 3_000, 8_000, 15_000]) {
    annPc.become('failed');
    assert.notEqual(ann.status, 'failed');
    await clock.advance(delay);
  }
  assert.equal(wanted, 4);
  annPc.become('failed');
  assert.equal(ann.status, 'failed');
  assert.equal(wanted, 4);
  ann.restart({ manual: true });
  assert.equal(ann.status, 'connecting');
  annPc.become('failed');
  await clock.advance(0);
  assert.equal(wanted, 5, 'a manual restart renews the automatic ones');
});

for (const { polite, wanted } of [{ polite: false, wanted: 1 }, { polite: true, wanted: 0 }]) {
  test(`a disconnection that lasts is restarted by the ${polite ? 'other' : 'impolite'} side`, async () => {
    const { clock, ann, annPc } = pair({ annPolite: polite });
    ann.start();
    await settled();
    let restarts = 0;
    ann.on('restart-wanted', () => restarts++);
    annPc.become('connected');
    annPc.become('disconnected');
    assert.equal(ann.status, 'reconnecting');
    await clock.advance(4_000);
    assert.equal(restarts, wanted);
  });
}

test('a disconnection that heals is left alone', async () => {
  const { clock, ann, annPc } = pair({ annPolite: false });
  ann.on('restart-wanted', () => assert.fail('restarted'));
  annPc.become('disconnected');
  annPc.become('connected');
  await clock.advance(60_000);
  assert.equal(ann.status, 'connected');
});

test('tracks are replaced without negotiation', async () => {
  const { line, ann, annPc } = pair();
  ann.start();
  await settled();
  await ann.setTrack('video', /** @type {any} */ ({ kind: 'video', name: 'screen' }));
  await settled();
  assert.equal(annPc.transceivers[1].sender.track.name, 'screen');
  assert.equal(line.offers, 1);
});

test('video is capped and the cap lifted', async () => {
  const { ann, annPc } = pair();
  ann.start();
  await ann.limitVideo(500_000);
  assert.deepEqual(annPc.transceivers[1].sender.parameters.encodings, [{ maxBitrate: 500_000 }]);
  await ann.limitVideo(0);
  assert.deepEqual(annPc.transceivers[1].sender.parameters.encodings, [{}]);
});

test('nothing is said after close', async () => {
  const { line, ann, annPc } = pair();
  ann.start();
  ann.close();
  await settled();
  annPc.gather('host');
  ann.restart();
  await ann.receive({ description: { type: 'offer', sdp: 'x' } });
  assert.equal(line.offers, 0);
});

/** @param {{ann: Peer, annPc: FakeConnection, bobPc: FakeConnection}} both */
function openChannels({ annPc, bobPc }) {
  annPc.channel.other = bobPc.channel;
  bobPc.channel.other = annPc.channel;
  for (const { channel } of [annPc, bobPc]) {
    channel.readyState = 'open';
    channel.dispatchEvent(new Event('open'));
  }
}

test('chat goes over the data channel, cut to its limit', () => {
  const both = pair();
  /** @type {string[]} */
  const heard = [];
  both.bob.on('chat', ({ text }) => heard.push(text));
  assert.equal(both.ann.sendChat('early', 0), 'waiting');
  openChannels(both);
  assert.equal(both.ann.sendChat('hello', 0), 'sent');
  both.ann.sendChat('x'.repeat(5_000), 0);
  assert.deepEqual(heard.map(({ length }) => length), [5, 5, 4_000]);
});

test('more than a hundred messages do not wait, and that is told', () => {
  const both = pair();
  const told = Array.from({ length: 102 }, (_, i) => both.ann.sendChat(String(i), 0));
  assert.deepEqual([told[99], told[100], told[101]], ['waiting', 'lost', 'lost']);
  assert.equal(both.ann.takeUnsentChat().length, 100);
});

test('junk on the data channel is ignored', () => {
  const both = pair();
  both.bob.on('chat', () => assert.fail('junk was heard'));
  openChannels(both);
  for (const junk of ['', '{', 'null', '[]', '{"type":"chat"}', '{"type":"chat","text":7}', '{"type":"path","path":"<b>"}']) {
    both.annPc.channel.send(junk);
  }
  assert.equal(both.bob.path, 'unknown');
});

test('the path is relayed when either end says so', async () => {
  const both = pair();
  openChannels(both);
  both.annPc.stats = stats({ candidateType: 'host' }, { candidateType: 'prflx' });
  both.bobPc.stats = stats({ candidateType: 'relay', relayProtocol: 'tcp' }, { candidateType: 'host' });
  assert.equal(await both.ann.measurePath(), 'direct');
  assert.equal(await both.bob.measurePath(), 'relay-tcp');
  assert.equal(both.ann.path, 'relay-tcp');
});

/**
 * @param {object} local
 * @param {object} remote
 * @param {object} [how]
 */
function stats(local, remote, how) {
  const pair = { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', ...how };
  /** @type {[string, any][]} */
  const entries = [['l', local], ['r', remote], ['p', pair]];
  if (!how) entries.push(['t', { type: 'transport', selectedCandidatePairId: 'p' }]);
  return new Map(entries);
}

const PATHS = [
  { name: 'host to host', report: stats({ candidateType: 'host' }, { candidateType: 'host' }), path: 'direct' },
  { name: 'through NATs', report: stats({ candidateType: 'srflx' }, { candidateType: 'prflx' }), path: 'direct' },
  { name: 'relay over UDP', report: stats({ candidateType: 'relay', relayProtocol: 'udp' }, {}), path: 'relay-udp' },
  { name: 'relay over TCP', report: stats({ candidateType: 'relay', relayProtocol: 'tcp' }, {}), path: 'relay-tcp' },
  { name: 'relay over TLS', report: stats({ candidateType: 'relay', relayProtocol: 'tls' }, {}), path: 'relay-tls' },
  { name: 'a relay that does not say how', report: stats({ candidateType: 'relay' }, {}), path: 'relay-udp' },
  { name: 'the other end relayed', report: stats({ candidateType: 'host' }, { candidateType: 'relay' }), path: 'relay-udp' },
  { name: 'a browser that marks the pair', report: stats({ candidateType: 'host' }, {}, { nominated: true, state: 'succeeded' }), path: 'direct' },
  { name: 'nothing selected', report: new Map(), path: 'unknown' },
];
for (const { name, report, path } of PATHS) {
  test(`path: ${name}`, () => assert.equal(selectedPath(report), path));
}
