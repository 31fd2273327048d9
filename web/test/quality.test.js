// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cameraConstraints, cameraPlan, planParameters, screenPlan } from '../static/app/quality.js';

const CAMERAS = /** @type {const} */ ([
  ['auto', 1, 2_500_000, 720, 30], ['auto', 3, 800_000, 360, 30], ['auto', 5, 400_000, 270, 20], ['auto', 6, 300_000, 240, 15], ['auto', 15, 200_000, 180, 15],
  ['high', 1, 4_000_000, 1080, 30], ['high', 5, 700_000, 360, 24], ['high', 15, 300_000, 270, 15],
  ['saver', 1, 200_000, 240, 15], ['saver', 5, 120_000, 180, 12], ['saver', 15, 80_000, 180, 10],
]);
for (const [quality, peers, bitrate, lines, frameRate] of CAMERAS) {
  test(`camera, ${quality}, ${peers} others: ${bitrate} bit/s, ${lines} lines, ${frameRate} a second`, () => {
    assert.deepEqual(cameraPlan(peers, quality), { bitrate, lines, frameRate, degradation: 'balanced', codec: '' });
  });
}

test('nobody to send to yet is planned as one', () => {
  assert.deepEqual(cameraPlan(0, 'auto'), cameraPlan(1, 'auto'));
});

for (const quality of /** @type {const} */ (['auto', 'high', 'saver'])) {
  test(`${quality}: more people never get more each, and five together do not take more than 4 Mbit/s of upload`, () => {
    for (let peers = 2; peers <= 16; peers++) {
      const [fewer, more] = [cameraPlan(peers - 1, quality), cameraPlan(peers, quality)];
      assert.ok(more.bitrate <= fewer.bitrate && more.lines <= fewer.lines && more.frameRate <= fewer.frameRate, `${peers}`);
      const [text, screen] = [screenPlan(peers - 1, quality, 'text'), screenPlan(peers, quality, 'text')];
      assert.ok(screen.bitrate <= text.bitrate && screen.frameRate <= text.frameRate, `screen ${peers}`);
      assert.ok(screen.bitrate > more.bitrate, `a screen gets more than a camera, ${peers}`);
    }
    assert.ok(cameraPlan(5, quality).bitrate * 5 <= 4_000_000);
  });
}

const SCREENS = /** @type {const} */ ([
  ['auto', 'text', 1, 3_000_000, 'maintain-resolution', 'video/VP9'], ['auto', 'text', 3, 1_500_000, 'maintain-resolution', ''],
  ['saver', 'text', 1, 1_500_000, 'maintain-resolution', 'video/VP9'], ['high', 'video', 2, 2_000_000, 'balanced', 'video/VP9'],
  ['auto', 'video', 6, 700_000, 'balanced', ''],
]);
for (const [quality, content, peers, bitrate, degradation, codec] of SCREENS) {
  test(`screen, ${quality}, ${content}, ${peers} others`, () => {
    const plan = screenPlan(peers, quality, content);
    assert.deepEqual([plan.bitrate, plan.degradation, plan.codec], [bitrate, degradation, codec]);
  });
}

const VP9 = { mimeType: 'video/VP9', clockRate: 90_000, sdpFmtpLine: 'profile-id=0', payloadType: 98 };
/** @returns {RTCRtpSendParameters} */
const parameters = () => /** @type {any} */ ({
  transactionId: 't', encodings: [{ active: true }],
  codecs: [{ mimeType: 'video/VP8', clockRate: 90_000, payloadType: 96 }, { ...VP9, sdpFmtpLine: 'profile-id=2', payloadType: 100 }, VP9],
});

const SIZES = [
  { size: { width: 1280, height: 720 }, lines: 720, scale: 1 }, { size: { width: 1280, height: 720 }, lines: 270, scale: 2.67 },
  { size: { width: 720, height: 1280 }, lines: 360, scale: 2 }, { size: { width: 320, height: 240 }, lines: 360, scale: 1 }, { size: {}, lines: 180, scale: 1 },
];
for (const { size, lines, scale } of SIZES) {
  test(`${JSON.stringify(size)} to ${lines} lines is scaled down by ${scale}`, () => {
    const it = parameters();
    assert.equal(planParameters(it, { ...cameraPlan(5, 'auto'), lines }, size), true);
    assert.deepEqual(it.encodings, [{ active: true, maxBitrate: 400_000, maxFramerate: 20, scaleResolutionDownBy: scale }]);
  });
}

test('the plain profile of the preferred codec is taken, and then the usual one again', () => {
  const it = parameters();
  planParameters(it, screenPlan(1, 'auto', 'text'), {});
  // As browsers do.
  it.codecs = [VP9, { mimeType: 'video/rtx', clockRate: 90_000, payloadType: 97 }, { mimeType: 'video/VP8', clockRate: 90_000, payloadType: 96 }];
  assert.deepEqual(/** @type {any} */ (it.encodings[0]).codec, { mimeType: 'video/VP9', clockRate: 90_000, sdpFmtpLine: 'profile-id=0' });
  assert.equal(it.degradationPreference, 'maintain-resolution');
  planParameters(it, screenPlan(3, 'auto', 'text'), {});
  assert.deepEqual(/** @type {any} */ (it.encodings[0]).codec, { mimeType: 'video/VP8', clockRate: 90_000 });
  assert.equal(planParameters(it, screenPlan(3, 'auto', 'text'), {}), false, 'and stays');
});

test('a codec that was not negotiated is not asked for', () => {
  const it = parameters();
  it.codecs = [];
  planParameters(it, screenPlan(1, 'auto', 'text'), {});
  assert.equal('codec' in it.encodings[0], false);
});

test('what is so already is not set again', () => {
  const it = parameters();
  const plan = screenPlan(2, 'auto', 'video');
  assert.deepEqual([planParameters(it, plan, {}), planParameters(it, plan, {})], [true, false]);
});

test('a chosen camera is asked for by its id, another one by where it looks', () => {
  assert.deepEqual(cameraConstraints('saver', 'c1').deviceId, { exact: 'c1' });
  assert.equal(cameraConstraints('saver', 'c1').facingMode, undefined);
  assert.equal(cameraConstraints('auto').facingMode, 'user');
});
