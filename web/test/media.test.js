// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../fakes/clock.js';
import { LocalMedia } from '../static/app/media.js';

class FakeTrack extends EventTarget {
  enabled = true;
  stopped = false;
  contentHint = '';

  /** @param {string} kind */
  constructor(kind) {
    super();
    this.kind = kind;
  }

  stop() {
    this.stopped = true;
  }
}

/** @param {FakeTrack[]} tracks */
const stream = (...tracks) => ({ getTracks: () => tracks, getVideoTracks: () => tracks.filter(({ kind }) => kind === 'video') });

/**
 * @param {Record<string, string>} failures what is asked for ("audio+video", "audio", "video", "screen") -> error name
 * @param {Promise<unknown>} [answered] when the person has answered the browser's question
 */
function devices(failures = {}, answered) {
  /** @type {string[]} */
  const asked = [];
  /** @type {FakeTrack[]} */
  const tracks = [];
  /** @param {string[]} kinds */
  const give = async (...kinds) => {
    const what = kinds.join('+');
    asked.push(what);
    if (answered) await answered;
    if (failures[what]) throw Object.assign(new Error(), { name: failures[what] });
    const made = kinds.map((kind) => new FakeTrack(kind === 'screen' ? 'video' : kind));
    tracks.push(...made);
    return stream(...made);
  };
  const fake = {
    getUserMedia: (/** @type {any} */ { audio, video }) => give(...[audio && 'audio', video && 'video'].filter(Boolean)),
    getDisplayMedia: () => give('screen'),
  };
  return { asked, tracks, media: new LocalMedia(/** @type {any} */ (fake)) };
}

test('camera and microphone are asked for together', async () => {
  const { asked, media } = devices();
  await media.open();
  assert.deepEqual(asked, ['audio+video']);
  assert.deepEqual(media.state, { audio: true, video: true, screen: false });
  assert.equal(media.problem, null);
});

test('a missing camera leaves the microphone', async () => {
  const { asked, media } = devices({ 'audio+video': 'NotFoundError', video: 'NotFoundError' });
  await media.open();
  assert.deepEqual(asked, ['audio+video', 'audio', 'video']);
  assert.deepEqual(media.state, { audio: true, video: false, screen: false });
  assert.equal(media.problem?.devices, 'video');
});

test('a refusal is not followed by more questions', async () => {
  const { asked, media } = devices({ 'audio+video': 'NotAllowedError' });
  await media.open();
  assert.deepEqual(asked, ['audio+video']);
  assert.deepEqual([media.problem?.devices, media.problem?.error.name], ['both', 'NotAllowedError']);
});

test('trying again clears the problem', async () => {
  const failures = /** @type {Record<string, string>} */ ({ 'audio+video': 'NotAllowedError' });
  const { media } = devices(failures);
  await media.open();
  delete failures['audio+video'];
  await media.open();
  assert.equal(media.problem, null);
  assert.equal(media.state.video, true);
});

test('without secure context there are no devices and a reason', async () => {
  const media = new LocalMedia(undefined);
  await media.open();
  assert.equal(media.problem?.error.name, 'InsecureContextError');
  assert.equal(media.canShareScreen, false);
  await assert.rejects(media.startScreen(), { name: 'UnsupportedError' });
});

test('mute keeps the microphone open, camera off closes the camera', async () => {
  const { tracks, media } = devices();
  await media.open();
  await media.setAudio(false);
  await media.setVideo(false);
  assert.deepEqual(tracks.map(({ kind, enabled, stopped }) => [kind, enabled, stopped]), [['audio', false, false], ['video', true, true]]);
  assert.equal(media.videoTrack, null);
  await media.setVideo(true);
  await media.setAudio(true);
  assert.deepEqual(media.state, { audio: true, video: true, screen: false });
});

test('a microphone opened while muted is silent', async () => {
  const { tracks, media } = devices();
  await media.setAudio(false);
  await media.open();
  assert.deepEqual(tracks.map(({ kind }) => kind), ['video']);
});

test('a camera switched off while the browser asks does not come on', async () => {
  const { tracks, media } = devices();
  const asking = new Promise((resolve) => media.on('change', resolve));
  const opened = media.open();
  await asking;
  await media.setVideo(false);
  await opened;
  assert.equal(media.state.video, false);
  assert.equal(tracks[1].stopped, true);
});

test('requests do not overlap', async () => {
  const { asked, media } = devices();
  await Promise.all([media.open(), media.open(), media.open()]);
  assert.deepEqual(asked, ['audio+video']);
});

test('the screen stands in for the camera until it ends', async () => {
  const { tracks, media } = devices();
  await media.open();
  const camera = media.videoTrack;
  await media.startScreen();
  assert.notEqual(media.videoTrack, camera);
  assert.equal(media.state.screen, true);
  tracks[2].dispatchEvent(new Event('ended'));
  assert.equal(media.videoTrack, camera);
  assert.equal(media.state.screen, false);
});

test('an unplugged camera is told', async () => {
  const { tracks, media } = devices();
  await media.open();
  tracks[1].dispatchEvent(new Event('ended'));
  assert.deepEqual([media.state.video, media.problem?.error.name, media.problem?.devices], [false, 'DeviceLostError', 'video']);
});

test('close lets go of everything', async () => {
  const { tracks, media } = devices();
  await media.open();
  await media.startScreen();
  media.close();
  assert.ok(tracks.every(({ stopped }) => stopped));
});

/** @param {Record<string, string>} [failures] */
function slowDevices(failures) {
  let answer = () => {};
  const all = devices(failures, new Promise((resolve) => {
    answer = () => resolve(undefined);
  }));
  return { ...all, answer };
}

test('what the browser gives after close is stopped at once', async () => {
  const { tracks, media, answer, asked } = slowDevices();
  const opened = media.open();
  await settled();
  assert.equal(media.opening, true);
  media.close();
  assert.equal(media.opening, false);
  answer();
  await opened;
  assert.deepEqual(asked, ['audio+video']);
  assert.deepEqual(tracks.map(({ stopped }) => stopped), [true, true]);
  assert.deepEqual(media.state, { audio: false, video: false, screen: false });
});

test('a screen picked after close is stopped at once', async () => {
  const { tracks, media, answer } = slowDevices();
  const started = media.startScreen();
  media.close();
  answer();
  await started;
  assert.deepEqual(tracks.map(({ stopped }) => stopped), [true]);
  assert.equal(media.videoTrack, null);
});

test('a failure after close is no problem and asks for nothing more', async () => {
  const { asked, media, answer } = slowDevices({ 'audio+video': 'NotFoundError' });
  const opened = media.open();
  await settled();
  media.close();
  answer();
  await opened;
  assert.deepEqual(asked, ['audio+video']);
  assert.equal(media.problem, null);
});

test('a request that waits in line is not made after close', async () => {
  const { asked, media, answer } = slowDevices();
  const all = Promise.all([media.open(), media.open()]);
  await settled();
  media.close();
  answer();
  await all;
  assert.equal(asked.length, 1);
});

test('whoever joins again after close has devices of the new call only', async () => {
  const { tracks, media, answer } = slowDevices();
  const first = media.open();
  await settled();
  media.close();
  const second = media.open();
  answer();
  await Promise.all([first, second]);
  assert.deepEqual(tracks.map(({ stopped }) => stopped), [true, true, false, false]);
  assert.deepEqual(media.state, { audio: true, video: true, screen: false });
});
