// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionMaker, firstBitrate, withFirstBitrate } from '../static/app/connection.js';

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

test('a connection begins with what fits the room as it is when the other end answers', async (t) => {
  /** @type {string[]} */
  const set = [];
  const before = globalThis.RTCPeerConnection;
  t.after(() => {
    globalThis.RTCPeerConnection = before;
  });
  globalThis.RTCPeerConnection = /** @type {any} */ (class {
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
  const media = /** @type {{quality: any}} */ ({ quality: 'auto' });
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
