// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeConnection, openChannels } from '../fakes/connection.js';
import { Peer } from '../sdk/maitred.js';

/**
 * Two peers and the line between them, which the test can hold up and cut.
 * @param {{ annPolite?: boolean, kinds?: ('audio' | 'video')[] }} [options]
 */
function pair({ annPolite = true, kinds } = {}) {
  const clock = new FakeClock();
  const line = { cut: false, held: /** @type {(() => unknown)[]} */ ([]), hold: false, offers: 0 };
  /** @type {Peer[]} */
  const peers = [];
  /** The connections of either side, the running one last. @type {FakeConnection[][]} */
  const pcs = [[], []];
  for (const side of [0, 1]) {
    peers[side] = new Peer({
      member: { id: side ? 'ann' : 'bob', name: '' }, polite: side === 0 ? annPolite : !annPolite, clock, ...(kinds && { kinds }),
      createConnection: () => {
        const pc = new FakeConnection();
        pcs[side].push(pc);
        return /** @type {any} */ (pc);
      },
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
  const [[annPc], [bobPc]] = pcs;
  return { clock, line, ann, bob, annPc, bobPc, pcs };
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

test('a patient restart waits for an answer on its way, but not for one that was given up', async () => {
  const { clock, line, ann, annPc, bobPc } = pair();
  line.cut = true;
  ann.start();
  await settled();
  ann.restart({ patient: true });
  await settled();
  assert.equal(line.offers, 1);
  await clock.advance(40_000);
  assert.equal(ann.unanswered, true);
  line.cut = false;
  ann.restart({ patient: true });
  await settled();
  assert.deepEqual([ann.status, ann.unanswered], ['connecting', false]);
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
  const { clock, ann, annPc } = pair({ annPolite: false });
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
  annPc.become('disconnected');
  annPc.become('failed');
  assert.equal(ann.status, 'failed');
  await clock.advance(60_000);
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
  ann.options.tracks.video = /** @type {any} */ ({ kind: 'video', name: 'screen' });
  ann.sync();
  await settled();
  assert.equal(annPc.transceivers[1].sender.track.name, 'screen');
  assert.equal(line.offers, 1);
});

test('video is capped and the cap lifted', async () => {
  const { ann, annPc } = pair();
  ann.start();
  await ann.limitVideo(500_000);
  assert.deepEqual(annPc.transceivers[1].sender.parameters.encodings, [{ maxBitrate: 500_000 }]);
  await ann.limitVideo();
  assert.deepEqual(annPc.transceivers[1].sender.parameters.encodings, [{ maxBitrate: undefined }]);
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

test('more tracks are offered after audio and video, and end when they are taken away', async () => {
  const { line, ann, annPc, bobPc } = pair();
  const [track, stream] = /** @type {any[]} */ ([{ kind: 'video', name: 'screen' }, {}]);
  ann.options.extras.set(track, stream);
  ann.start();
  await settled();
  assert.deepEqual(annPc.transceivers.map(({ sender }) => sender.track?.name ?? null), [null, null, 'screen']);
  assert.equal(line.offers, 1);
  ann.options.extras.delete(track);
  ann.sync();
  assert.equal(annPc.transceivers[2].stopped, true);
  ann.options.extras.set(track, stream);
  ann.sync();
  await settled();
  assert.deepEqual([line.offers, annPc.transceivers.length, annPc.signalingState, bobPc.signalingState], [2, 4, 'stable', 'stable']);
});

test('whoever answers offers the tracks that it has more next', async () => {
  const { line, ann, bob, bobPc } = pair();
  bob.options.extras.set(/** @type {any} */ ({ kind: 'video', name: 'screen' }), /** @type {any} */ ({}));
  bob.sync();
  assert.deepEqual(bobPc.transceivers, [], 'not before the first description');
  ann.start();
  await settled();
  assert.deepEqual(bobPc.getTransceivers().map(({ sender }) => sender.track?.name ?? null), [null, null, 'screen']);
  assert.equal(line.offers, 2);
});

test('without media there are data channels', async () => {
  const both = pair({ kinds: [] });
  both.ann.start();
  await settled();
  assert.deepEqual(both.annPc.transceivers, []);
  assert.equal(both.bobPc.signalingState, 'stable');
});

test('sound and pictures come with the stream that groups them', () => {
  const { ann, annPc } = pair();
  /** @type {any[]} */
  const heard = [];
  ann.on('track', (detail) => heard.push(detail));
  const stream = {};
  annPc.hear('video', [stream]);
  assert.deepEqual(heard, [{ track: { kind: 'video' }, stream }]);
  assert.equal(heard[0].stream, stream);
});

// Connections that are replaced

test('a renewal replaces the connections of both sides, once', async () => {
  const { ann, bob, line, pcs } = pair();
  ann.start();
  await settled();
  ann.renew();
  await settled();
  assert.deepEqual(pcs.map((side) => side.map(({ closed }) => closed)), [[true, false], [true, false]]);
  assert.equal(line.offers, 2);
  assertConnected(pcs[0][1], pcs[1][1]);
  assert.equal(ann.connection, /** @type {any} */ (pcs[0][1]));
  assert.equal(bob.connection, /** @type {any} */ (pcs[1][1]));
});

test('and forgets what was known of the old one', async () => {
  const { ann, annPc, pcs } = pair();
  /** @type {string[]} */
  const told = [];
  ann.start();
  await settled();
  annPc.gather('host');
  annPc.fail(701);
  annPc.become('connected');
  ann.on('status', ({ status }) => told.push(status));
  await ann.limitVideo(100_000);
  ann.renew();
  assert.deepEqual([ann.status, ann.candidateTypes.size, ann.iceErrors.size, ann.unanswered], ['connecting', 0, 0, false]);
  annPc.become('failed');
  assert.deepEqual(told, ['connecting'], 'nor does it hear of it any more');
  await settled();
  assert.deepEqual(pcs[0][1].transceivers[1].sender.parameters.encodings, [{ maxBitrate: 100_000 }]);
});

for (const type of ['answer', 'offer']) {
  test(`what the old connection's other end still says after a renewal is not for the new one: ${type}`, async () => {
    const { ann, bob, bobPc, line, pcs } = pair();
    ann.start();
    await settled();
    line.hold = true;
    const late = { description: { type, sdp: bobPc.localDescription?.sdp } };
    ann.renew();
    await settled();
    await ann.receive(/** @type {any} */ (late));
    assert.equal(pcs[0].length, 2);
    assert.equal(pcs[0][1].signalingState, 'have-local-offer');
    line.hold = false;
    for (const deliver of line.held) await deliver();
    await settled();
    assertConnected(pcs[0][1], pcs[1][1]);
    assert.equal(bob.connection, /** @type {any} */ (pcs[1][1]));
  });
}

test('both renew at once: one of the two connections is made', async () => {
  const { ann, bob, line, pcs } = pair();
  ann.start();
  await settled();
  line.hold = true;
  ann.renew();
  bob.renew();
  await settled();
  line.hold = false;
  for (const deliver of line.held) await deliver();
  await settled();
  const [annPc, bobPc] = pcs.map((side) => side[side.length - 1]);
  assertConnected(annPc, bobPc);
});

test('both make their first offer at once: the polite side answers on a new connection', async () => {
  const { ann, bob, line, pcs } = pair();
  line.hold = true;
  ann.start();
  bob.start();
  await settled();
  line.hold = false;
  for (const deliver of line.held) await deliver();
  await settled();
  assert.deepEqual(pcs.map((side) => side.map(({ closed }) => closed)), [[true, false], [false]]);
  assertConnected(pcs[0][1], pcs[1][0]);
});

test('a peer that is closed is not replaced', async () => {
  const { ann, pcs, line } = pair();
  ann.close();
  ann.renew();
  await ann.receive({ renew: true });
  ann.configure({});
  assert.equal(pcs[0].length, 1);
  assert.equal(line.offers, 0);
});

// Data

/** @param {Peer} peer */
function listen(peer) {
  /** @type {unknown[]} */
  const heard = [];
  peer.on('data', ({ data }) => heard.push(data));
  return heard;
}

test('any JSON value goes over the data channel, as soon as it is open', () => {
  const { ann, bob, annPc, bobPc } = pair();
  const heard = listen(bob);
  assert.equal(ann.send({ early: true }), 'waiting');
  openChannels(annPc, bobPc);
  for (const value of ['text', 7, null, [1]]) assert.equal(ann.send(value), 'sent');
  assert.deepEqual(heard, [{ early: true }, 'text', 7, null, [1]]);
});

test('more than a hundred messages do not wait, and that is told', () => {
  const { ann, bob, annPc, bobPc } = pair();
  const told = Array.from({ length: 102 }, (_, i) => ann.send(i));
  assert.deepEqual([told[99], told[100], told[101]], ['waiting', 'lost', 'lost']);
  const heard = listen(bob);
  openChannels(annPc, bobPc);
  assert.equal(heard.length, 100);
});

test('what waits goes over the connection that takes the place of this one', () => {
  const { ann, bob, pcs, line } = pair();
  line.cut = true;
  const heard = listen(bob);
  ann.send('hello');
  ann.renew();
  void bob.receive({ renew: true });
  openChannels(pcs[0][1], pcs[1][1]);
  assert.deepEqual(heard, ['hello']);
});

test('a data channel that closes with its connection comes back with the next', () => {
  const { ann, bob, annPc, bobPc, pcs, line } = pair();
  line.cut = true;
  const heard = listen(bob);
  openChannels(annPc, bobPc);
  ann.renew();
  assert.equal(bob.send('too late'), 'waiting', 'the end of the old connection came before the word of the new one');
  assert.equal(ann.send('early'), 'waiting');
  void bob.receive({ renew: true });
  const heardToo = listen(ann);
  openChannels(pcs[0][1], pcs[1][1]);
  assert.deepEqual([heard, heardToo], [['early'], ['too late']]);
});

test('what is no JSON is no message', () => {
  const { bob, annPc, bobPc } = pair();
  const heard = listen(bob);
  openChannels(annPc, bobPc);
  for (const junk of ['', '{', 'undefined']) annPc.channels[0].send(junk);
  assert.deepEqual(heard, []);
});

test('what the browser does not take is lost, and told', () => {
  const { ann, annPc } = pair();
  const refused = new Error('too large');
  /** @type {unknown[]} */
  const errors = [];
  annPc.channels[0].open();
  annPc.channels[0].send = () => {
    throw refused;
  };
  const other = new Peer({ ...ann.options, createConnection: () => /** @type {any} */ (annPc) });
  other.on('error', ({ error }) => errors.push(error));
  const [channel] = annPc.channels.slice(-1);
  channel.open();
  channel.send = annPc.channels[0].send;
  assert.equal(other.send('x'), 'lost');
  assert.deepEqual(errors, [refused]);
});

/**
 * @param {import('../sdk/maitred.js').Channel} channel
 * @returns {unknown[]}
 */
function overhear(channel) {
  /** @type {unknown[]} */
  const heard = [];
  channel.on('message', ({ data }) => heard.push(data));
  channel.on('open', () => heard.push('open'));
  channel.on('close', () => heard.push('close'));
  return heard;
}

test('a channel of one\'s own arrives at the other end, open and with its messages', () => {
  const { ann, bob, annPc, bobPc } = pair();
  /** @type {unknown[]} */
  let heard = [];
  bob.on('channel', ({ channel }) => {
    assert.equal(channel.label, 'files');
    heard = overhear(channel);
  });
  const files = ann.channel('files', { ordered: false });
  assert.deepEqual(annPc.channels[1].options, { ordered: false });
  assert.equal(ann.channel('files'), files, 'there is one of a label');
  assert.equal(files.send('first'), 'waiting');
  openChannels(annPc, bobPc);
  assert.equal(files.send('second'), 'sent');
  assert.deepEqual(heard.filter((it) => it !== 'open'), ['first', 'second']);
  assert.equal(bob.channel('files').send('back'), 'sent');
  assert.equal(annPc.channels[1].binaryType, 'arraybuffer');
});

test('both ends open it at once: it is one channel', () => {
  const { ann, bob, annPc, bobPc } = pair();
  bob.on('channel', () => assert.fail('it is there already'));
  const [one, other] = [ann.channel('files'), bob.channel('files')];
  const [heard, heardToo] = [overhear(one), overhear(other)];
  openChannels(annPc, bobPc);
  one.send('to bob');
  other.send('to ann');
  one.send('and again');
  assert.deepEqual([heard.filter((it) => it !== 'open'), heardToo.filter((it) => it !== 'open')], [['to ann'], ['to bob', 'and again']]);
});

test('it opens again on another connection', () => {
  const { ann, bob, annPc, bobPc, pcs, line } = pair();
  line.cut = true;
  let arrived = 0;
  bob.on('channel', () => arrived++);
  const files = ann.channel('files', { ordered: false });
  openChannels(annPc, bobPc);
  ann.renew();
  void bob.receive({ renew: true });
  assert.equal(files.send('early'), 'waiting');
  assert.deepEqual(pcs[0][1].channels[1].options, { ordered: false });
  openChannels(pcs[0][1], pcs[1][1]);
  assert.deepEqual([arrived, files.send('late')], [2, 'sent']);
});

test('and can be opened again after either end has closed it', () => {
  const { ann, bob, annPc, bobPc } = pair();
  const files = ann.channel('files');
  openChannels(annPc, bobPc);
  const heard = overhear(files);
  bob.channel('files').close();
  assert.deepEqual(heard, ['close']);
  assert.equal(ann.channel('files'), files);
  openChannels(annPc, bobPc);
  assert.equal(files.send('x'), 'sent');
  files.close();
  assert.equal(files.send('x'), 'lost');
  assert.notEqual(ann.channel('files'), files);
});

test('the end of a peer is the end of its channels', () => {
  const { ann, bob, annPc, bobPc } = pair();
  const files = ann.channel('files');
  openChannels(annPc, bobPc);
  const heard = overhear(bob.channel('files'));
  ann.close();
  assert.deepEqual([files.send('x'), ann.send('x'), heard], ['lost', 'lost', ['close']]);
});
