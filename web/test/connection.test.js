// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionMaker, firstBitrate, firstScale, withFirstBitrate } from '../static/app/connection.js';

const SHARES = [
  { peers: 0, limit: 2_500_000, bitrate: 1_200_000 },
  { peers: 1, limit: 2_500_000, bitrate: 1_200_000 },
  { peers: 1, limit: 1_000_000, bitrate: 1_000_000 },
  { peers: 1, limit: 200_000, bitrate: 0 },
  { peers: 2, limit: 1_200_000, bitrate: 800_000 },
  { peers: 3, limit: 800_000, bitrate: 533_333 },
  { peers: 6, limit: 400_000, bitrate: 0 },
];
for (const { peers, limit, bitrate } of SHARES) {
  test(`to each of ${peers} at most ${limit} bit/s, ${bitrate || 'as much as browsers like'} at first`, () => assert.equal(firstBitrate(peers, limit), bitrate));
}

/** @param {...string} lines */
const sdp = (...lines) => lines.map((line) => `${line}\r\n`).join('');
const AUDIO = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10'];

test('each video codec gets the parameter, sound and repair do not', () => {
  const video = ['m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 98', 'a=rtpmap:96 VP8/90000', 'a=rtcp-fb:96 nack', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96',
    'a=rtpmap:103 H264/90000', 'a=fmtp:103 profile-level-id=42001f', 'a=rtpmap:98 red/90000', 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel'];
  assert.equal(withFirstBitrate(sdp(...AUDIO, ...video), 1_200_000), sdp(...AUDIO,
    'm=video 9 UDP/TLS/RTP/SAVPF 96 97 103 98', 'a=rtpmap:96 VP8/90000', 'a=fmtp:96 x-google-start-bitrate=1200', 'a=rtcp-fb:96 nack',
    'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:103 H264/90000', 'a=fmtp:103 x-google-start-bitrate=1200;profile-level-id=42001f',
    'a=rtpmap:98 red/90000', 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel'));
});

test('without video nothing changes', () => assert.equal(withFirstBitrate(sdp(...AUDIO), 800_000), sdp(...AUDIO)));

/**
 * @param {import('node:test').TestContext} t
 * @param {any} replacement
 */
function replaceConnection(t, replacement) {
  const before = globalThis.RTCPeerConnection;
  t.after(() => {
    globalThis.RTCPeerConnection = before;
  });
  globalThis.RTCPeerConnection = replacement;
}

test('a connection begins with what fits the room as it is when the other end answers', async (t) => {
  /** @type {string[]} */
  const set = [];
  replaceConnection(t, class {
    /** @param {any} configuration */
    constructor(configuration) {
      this.configuration = configuration;
    }

    /** @param {{sdp: string}} description */
    async setRemoteDescription(description) {
      set.push(/** @type {any} */ (description).sdp.match(/start-bitrate=(\d+)/)?.[1] ?? '');
    }
  });
  /** @type {any} */
  let room = null;
  const media = /** @type {{quality: any, cameraTrack: null}} */ ({ quality: 'auto', cameraTrack: null });
  const connection = connectionMaker(() => room, media)({ iceTransportPolicy: 'relay' });
  assert.deepEqual(/** @type {any} */ (connection).configuration, { iceTransportPolicy: 'relay' });
  const description = { type: /** @type {const} */ ('answer'), sdp: sdp('m=video 9 UDP/TLS/RTP/SAVPF 96', 'a=rtpmap:96 VP8/90000') };
  await connection.setRemoteDescription(description);
  room = { peers: new Map([['a', {}], ['b', {}]]) };
  await connection.setRemoteDescription(description);
  media.quality = 'saver';
  await connection.setRemoteDescription(description);
  assert.deepEqual(set, ['1200', '800', '']);
});

const SCALES = [
  { width: 1280, height: 720, lines: 720, scale: 2 },
  { width: 720, height: 1280, lines: 720, scale: 2 },
  { width: 1920, height: 1080, lines: 180, scale: 6 },
  { width: 640, height: 480, lines: 720, scale: 1.33 },
  { width: 320, height: 240, lines: 720, scale: 1 },
  { lines: 720, scale: 1 },
];
for (const { scale, lines, ...size } of SCALES) {
  test(`of ${JSON.stringify(size)}, for ${lines} lines, the first picture is ${scale} times smaller`, () => assert.equal(firstScale(size, lines), scale));
}

/** A connection that has been offered sound and video. */
class Offered {
  /** @type {any} */
  remoteDescription = null;
  /** @type {any[]} */
  added = [];
  /** @type {any[]} */
  set = [];
  encodings = [{}];
  refuses = false;

  getTransceivers() {
    return ['audio', 'video', 'video'].map((kind, index) => ({
      receiver: { track: { kind } },
      sender: {
        getParameters: () => structuredClone({ encodings: this.encodings }),
        setParameters: async (/** @type {any} */ { encodings }) => {
          if (this.refuses) throw new Error('no');
          this.set.push([index, encodings]);
        },
      },
    }));
  }

  /** @param {any[]} given */
  addTransceiver(...given) {
    this.added.push(given[1]);
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    this.remoteDescription = description;
  }
}

/** @param {import('node:test').TestContext} t */
function offered(t) {
  replaceConnection(t, Offered);
  const camera = /** @type {any} */ ({ kind: 'video', getSettings: () => ({ width: 1280, height: 720 }) });
  const make = connectionMaker(() => null, /** @type {any} */ ({ quality: 'auto', cameraTrack: camera }));
  return { camera, connection: /** @type {any} */ (make({})) };
}

test('who offers begins with a small picture of the camera, and of nothing else', (t) => {
  const { camera, connection } = offered(t);
  connection.addTransceiver({ kind: 'audio' }, { direction: 'sendrecv' });
  connection.addTransceiver(camera, { direction: 'sendrecv' });
  connection.addTransceiver({ kind: 'video' }, { direction: 'sendonly' });
  assert.deepEqual(connection.added, [{ direction: 'sendrecv' }, { direction: 'sendrecv', sendEncodings: [{ scaleResolutionDownBy: 2, maxFramerate: 30 }] }, { direction: 'sendonly' }]);
});

test('who answers does so once, before the answer', async (t) => {
  const { connection } = offered(t);
  await connection.setRemoteDescription({ type: 'offer', sdp: '' });
  await connection.setRemoteDescription({ type: 'offer', sdp: '' });
  assert.deepEqual(connection.set, [[1, [{ scaleResolutionDownBy: 2, maxFramerate: 30 }]]]);
});

test('a browser that lists no encodings yet, or does not want that, begins as it likes', async (t) => {
  const { connection } = offered(t);
  connection.encodings = [];
  await connection.setRemoteDescription({ type: 'offer', sdp: '' });
  assert.deepEqual(connection.set, []);
  t.mock.method(console, 'warn', () => {});
  const another = offered(t).connection;
  another.refuses = true;
  await another.setRemoteDescription({ type: 'offer', sdp: '' });
  assert.equal(another.remoteDescription.type, 'offer');
});

test('a small camera is sent as it is', async (t) => {
  const { camera, connection } = offered(t);
  camera.getSettings = () => ({ width: 320, height: 240 });
  connection.addTransceiver(camera, { direction: 'sendrecv' });
  await connection.setRemoteDescription({ type: 'offer', sdp: '' });
  assert.deepEqual([connection.added, connection.set], [[{ direction: 'sendrecv' }], []]);
});
