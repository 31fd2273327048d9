// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Emitter } from '../sdk/maitred.js';
import { FakeClock } from '../fakes/clock.js';
import { Bandwidth } from '../static/app/bandwidth.js';

class FakeSender {
  /** @type {any[]} every parameters that were set */
  set = [];
  parameters = { transactionId: '', encodings: [{}], codecs: [{ mimeType: 'video/VP9', clockRate: 90_000, payloadType: 98 }] };
  /** @type {(parameters: any) => void} */
  check = () => {};

  /** @param {any} track */
  constructor(track) {
    this.track = track;
  }

  getParameters() {
    return structuredClone(this.parameters);
  }

  /** @param {any} parameters */
  async setParameters(parameters) {
    this.check(parameters);
    this.set.push(parameters.encodings[0]);
    this.parameters = parameters;
  }
}

/** @param {number} height */
const track = (height) => ({ kind: 'video', getSettings: () => ({ width: height * 2, height }) });

class FakePeer {
  videoBitrate = 0;
  /** @type {FakeSender[]} */
  senders;

  /**
   * @param {string} id
   * @param {any} camera
   */
  constructor(id, camera) {
    this.member = { id, name: id, state: {} };
    this.senders = [new FakeSender(camera)];
    this.connection = Object.assign(new EventTarget(), {
      signalingState: 'stable', connectionState: 'connected', getTransceivers: () => [{ receiver: { track: { kind: 'audio' } }, sender: new FakeSender(null) },
        ...this.senders.map((sender) => ({ receiver: { track: { kind: 'video' } }, sender }))],
    });
  }

  /** @param {number} bitrate */
  async limitVideo(bitrate) {
    this.videoBitrate = bitrate;
  }
}

/** @param {number} count of peers */
function start(count) {
  const camera = track(720);
  const peers = new Map(Array.from({ length: count }, (_, index) => [`p${index}`, new FakePeer(`p${index}`, camera)]));
  const room = Object.assign(new Emitter(), { peers });
  const media = Object.assign(/** @type {Emitter<any>} */ (new Emitter()), {
    cameraTrack: /** @type {any} */ (camera), screenTrack: /** @type {any} */ (null), quality: 'auto', screenContent: 'text',
  });
  const clock = new FakeClock();
  const bandwidth = new Bandwidth(/** @type {any} */ ({ room, media }), clock);
  const quiet = () => clock.advance(1_000);
  return { clock, quiet, room: /** @type {any} */ (room), media, peers, bandwidth, first: /** @type {FakePeer} */ (peers.get('p0')) };
}

test('everybody gets the same share, and a smaller one when somebody comes', async () => {
  const { quiet, room, peers } = start(2);
  await quiet();
  assert.deepEqual([...peers.values()].map((peer) => [peer.videoBitrate, peer.senders[0].set.at(-1).maxFramerate]), [[1_200_000, 30], [1_200_000, 30]]);
  for (const id of ['p2', 'p3', 'p4']) peers.set(id, new FakePeer(id, track(720)));
  room.emit('member-joined', {});
  await quiet();
  assert.deepEqual([...peers.values()].map((peer) => peer.videoBitrate), Array(5).fill(400_000));
  assert.deepEqual(peers.get('p0')?.senders[0].set.at(-1), { maxBitrate: 400_000, maxFramerate: 20, scaleResolutionDownBy: 2.67 });
});

test('a new connection sends as it began for a second, and changes come soon from then on', async () => {
  const { clock, media, first } = start(1);
  await clock.advance(900);
  media.emit('change', {});
  await clock.advance(99);
  assert.equal(first.senders[0].set.length, 0);
  await clock.advance(1);
  assert.equal(first.senders[0].set.length, 1);
  media.quality = 'saver';
  media.emit('change', {});
  await clock.advance(100);
  assert.equal(first.videoBitrate, 200_000);
});

test('a connection that is on its way is left alone, however long that takes', async () => {
  const { clock, room, peers } = start(0);
  const peer = new FakePeer('p0', track(720));
  const { connection } = peer;
  connection.connectionState = 'connecting';
  peers.set('p0', peer);
  room.emit('member-joined', {});
  await clock.advance(5_000);
  connection.connectionState = 'connected';
  connection.dispatchEvent(new Event('connectionstatechange'));
  await clock.advance(999);
  assert.equal(peer.senders[0].set.length, 0);
  await clock.advance(1);
  assert.equal(peer.senders[0].set.length, 1);
});

test('whoever saves data is sent little, the others are not', async () => {
  const { quiet, room, peers, first } = start(2);
  first.member.state = { saver: true };
  room.emit('member-updated', {});
  await quiet();
  assert.deepEqual([...peers.values()].map((peer) => peer.videoBitrate), [200_000, 1_200_000]);
});

test('the own wish to save data is followed', async () => {
  const { quiet, media, first } = start(1);
  media.quality = 'saver';
  media.emit('change', {});
  await quiet();
  assert.equal(first.videoBitrate, 200_000);
});

test('a screen beside the camera keeps its lines', async () => {
  const { quiet, media, first } = start(1);
  media.screenTrack = track(1080);
  const screen = new FakeSender(media.screenTrack);
  first.senders.push(screen);
  first.connection.dispatchEvent(new Event('signalingstatechange'));
  await quiet();
  assert.equal(first.videoBitrate, 2_500_000);
  const [{ codec, maxBitrate, scaleResolutionDownBy }] = screen.set;
  assert.deepEqual([codec?.mimeType, maxBitrate, scaleResolutionDownBy], ['video/VP9', 3_000_000, 1]);
});

test('a screen in place of the camera, too', async () => {
  const { quiet, media, first } = start(1);
  await quiet();
  media.screenTrack = first.senders[0].track = track(1080);
  media.emit('change', {});
  await quiet();
  assert.deepEqual([first.videoBitrate, first.senders[0].set.at(-1).maxFramerate], [3_000_000, 15]);
});

test('a codec that the browser refuses is left out', async () => {
  const { quiet, media, first } = start(1);
  media.screenTrack = first.senders[0].track = track(1080);
  first.senders[0].check = ({ encodings }) => {
    if (encodings[0].codec) throw Object.assign(new Error('no'), { name: 'InvalidModificationError' });
  };
  media.emit('change', {});
  await quiet();
  assert.deepEqual(first.senders[0].set.at(-1), { maxBitrate: 3_000_000, maxFramerate: 15, scaleResolutionDownBy: 1 });
});

test('a connection made anew is told again, an old one is not heard any more', async () => {
  const { quiet, room, first } = start(1);
  await quiet();
  const old = first.connection;
  const fresh = new FakePeer('p0', first.senders[0].track);
  fresh.senders[0].parameters.encodings = [];
  first.connection = fresh.connection;
  room.emit('status', { peer: first, status: 'connecting' });
  await quiet();
  assert.equal(fresh.senders[0].set.length, 0, 'nothing to set before it has negotiated');
  fresh.senders[0].parameters.encodings = [{}];
  old.dispatchEvent(new Event('signalingstatechange'));
  await quiet();
  assert.equal(fresh.senders[0].set.length, 0);
  fresh.connection.dispatchEvent(new Event('signalingstatechange'));
  await quiet();
  assert.equal(fresh.senders[0].set.length, 1);
});

test('whoever has left meanwhile is left alone', async () => {
  const { quiet, peers, first } = start(1);
  peers.clear();
  await quiet();
  assert.deepEqual([first.videoBitrate, first.senders[0].set], [0, []]);
});

test('what happens in one moment is one change', async () => {
  const { clock, quiet, room, media, first } = start(1);
  for (const quality of ['high', 'saver', 'auto']) {
    media.quality = quality;
    media.emit('change', {});
    await clock.advance(50);
  }
  room.emit('status', { peer: first, status: 'connected' });
  assert.equal(first.senders[0].set.length, 0);
  await quiet();
  assert.deepEqual(first.senders[0].set.map(({ maxBitrate }) => maxBitrate), [2_500_000]);
});

test('parameters are left alone while a negotiation is under way', async () => {
  const { quiet, first } = start(1);
  first.connection.signalingState = 'have-local-offer';
  await quiet();
  assert.equal(first.senders[0].set.length, 0);
  first.connection.signalingState = 'stable';
  first.connection.dispatchEvent(new Event('signalingstatechange'));
  await quiet();
  assert.equal(first.senders[0].set.length, 1);
});

test('after the end nothing is set', async () => {
  const { clock, quiet, room, media, first, bandwidth } = start(1);
  await quiet();
  const before = first.senders[0].set.length;
  media.emit('change', {});
  bandwidth.close();
  assert.deepEqual(clock.pending, []);
  media.quality = 'high';
  media.emit('change', {});
  room.emit('member-joined', {});
  first.connection.dispatchEvent(new Event('signalingstatechange'));
  await quiet();
  assert.equal(first.senders[0].set.length, before);
});
