// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../fakes/clock.js';
import { LocalMedia } from '../static/app/media.js';

const BOTH = { 'cam-a': 'videoinput', 'cam-b': 'videoinput', 'mic-a': 'audioinput', 'mic-b': 'audioinput' };

class FakeTrack extends EventTarget {
  enabled = true;
  readyState = 'live';
  contentHint = '';
  /** @type {any[]} */
  applied = [];
  refuses = false;
  /** Agrees to everything and does nothing. */
  lazy = false;

  /**
   * @param {string} kind
   * @param {string} id
   * @param {any} constraints
   */
  constructor(kind, id, constraints) {
    super();
    this.kind = kind;
    this.id = id;
    this.settings = { ...constraints };
  }

  getSettings() {
    return this.settings;
  }

  /** @param {any} constraints */
  async applyConstraints(constraints) {
    this.applied.push(constraints);
    if (this.refuses) throw Object.assign(new Error(), { name: 'OverconstrainedError' });
    if (!this.lazy) this.settings = { ...constraints };
  }

  stop() {
    this.readyState = 'ended';
  }

  /** As by unplugging. */
  end() {
    this.readyState = 'ended';
    this.dispatchEvent(new Event('ended'));
  }
}

/** @param {string} name */
const failure = (name) => Object.assign(new Error(), { name });

class FakeDevices extends EventTarget {
  /** @type {FakeTrack[]} */
  tracks = [];
  /** @type {Record<string, string>} id -> error */
  failures = {};
  /** A second open camera is refused. */
  single = false;
  /** @type {any} */
  displayOptions;
  supported = {};

  /** @param {Record<string, string>} plugged */
  constructor(plugged) {
    super();
    this.plugged = plugged;
  }

  async enumerateDevices() {
    return Object.entries(this.plugged).map(([deviceId, kind]) => ({ deviceId, kind, label: deviceId, groupId: '' }));
  }

  /** @param {any} constraints */
  async getUserMedia({ audio, video }) {
    const made = [['audio', audio], ['video', video]].filter(([, wanted]) => wanted).map(([kind, wanted]) => this.#open(kind, wanted));
    this.tracks.push(...made);
    return { getTracks: () => made };
  }

  /**
   * @param {string} kind
   * @param {any} constraints
   */
  #open(kind, constraints) {
    const id = constraints.deviceId?.exact ?? Object.keys(this.plugged).find((it) => this.plugged[it] === `${kind}input`);
    if (!id || !(id in this.plugged)) throw failure('OverconstrainedError');
    if (this.failures[id]) throw failure(this.failures[id]);
    if (this.single && this.tracks.some((it) => it.kind === kind && it.readyState === 'live')) throw failure('NotReadableError');
    return new FakeTrack(kind, id, constraints);
  }

  getSupportedConstraints() {
    return this.supported;
  }

  /** @param {any} options */
  async getDisplayMedia(options) {
    this.displayOptions = options;
    const made = [new FakeTrack('video', 'screen', {}), new FakeTrack('audio', 'screen', {})];
    this.tracks.push(...made);
    return { getTracks: () => made, getVideoTracks: () => made.slice(0, 1) };
  }
}

/**
 * @param {Record<string, string>} [stored]
 * @param {Record<string, string>} [plugged]
 */
function start(stored = {}, plugged = { ...BOTH }) {
  const devices = new FakeDevices(plugged);
  const memory = {
    setting: (/** @type {string} */ name) => stored[name] ?? '',
    setSetting: (/** @type {string} */ name, /** @type {string} */ value) => {
      stored[name] = value;
    },
  };
  const media = new LocalMedia(/** @type {any} */ (devices), { memory });
  /** @type {string[]} */
  const absent = [];
  media.on('absent', ({ role }) => absent.push(role));
  const track = (/** @type {any} */ it) => /** @type {FakeTrack} */ (it);
  return { devices, media, stored, absent, camera: () => track(media.cameraTrack), microphone: () => track(media.audioTrack) };
}

test('remembered devices are opened', async () => {
  const { media, camera, microphone, absent } = start({ camera: 'cam-b', microphone: 'mic-b' });
  await media.open();
  assert.deepEqual([camera().id, microphone().id, absent], ['cam-b', 'mic-b', []]);
});

test('a remembered device that is gone gives way to the default, which is told once, and is used when it is back', async () => {
  const { devices, media, camera, microphone, stored, absent } = start({ camera: 'cam-x', microphone: 'mic-b' });
  await media.open();
  assert.deepEqual([camera().id, microphone().id, absent, media.isAbsent('camera'), media.problem], ['cam-a', 'mic-b', ['camera'], true, null]);
  await media.setVideo(false);
  await media.setVideo(true);
  assert.deepEqual([absent, stored.camera], [['camera'], 'cam-x']);
  devices.plugged['cam-x'] = 'videoinput';
  devices.dispatchEvent(new Event('devicechange'));
  await settled();
  assert.equal(media.isAbsent('camera'), false);
  await media.setVideo(false);
  await media.setVideo(true);
  assert.equal(camera().id, 'cam-x');
});

test('a speaker that is not there is known once there is a list', async () => {
  const { devices, media } = start({ speaker: 'sp-x' });
  await media.devices.refresh();
  assert.equal(media.isAbsent('speaker'), false, 'no speaker is listed at all');
  devices.plugged['sp-a'] = 'audiooutput';
  await media.devices.refresh();
  assert.equal(media.isAbsent('speaker'), true);
});

test('another camera replaces the open one, which is stopped', async () => {
  const { devices, media, camera, stored } = start();
  await media.open();
  const old = camera();
  await media.choose('camera', 'cam-b');
  assert.deepEqual([camera().id, old.readyState, stored.camera, devices.tracks.length], ['cam-b', 'ended', 'cam-b', 3]);
  assert.equal(media.videoTrack, media.cameraTrack);
});

test('another microphone is as mute as the one before', async () => {
  const { media, microphone } = start();
  await media.open();
  await media.setAudio(false);
  const old = microphone();
  await media.choose('microphone', 'mic-b');
  assert.deepEqual([microphone().id, microphone().enabled, old.readyState], ['mic-b', false, 'ended']);
});

test('a camera that is off stays off, and is another one when it comes on', async () => {
  const { devices, media, camera } = start();
  await media.open();
  await media.setVideo(false);
  await media.choose('camera', 'cam-b');
  assert.equal(devices.tracks.length, 2);
  await media.setVideo(true);
  assert.equal(camera().id, 'cam-b');
});

test('where only one camera can be open, the old one is stopped first', async () => {
  const { devices, media, camera } = start();
  await media.open();
  devices.single = true;
  await media.choose('camera', 'cam-b');
  assert.deepEqual([camera().id, media.problem], ['cam-b', null]);
});

test('an old camera that the system ends meanwhile is no loss', async () => {
  const { devices, media, camera } = start();
  await media.open();
  const old = camera();
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints) => {
    old.end();
    return open(constraints);
  };
  await media.choose('camera', 'cam-b');
  assert.deepEqual([camera().id, media.problem, media.wants.video], ['cam-b', null, true]);
});

test('a device that does not open leaves the one before, with a problem', async () => {
  const { devices, media, microphone, stored } = start({ microphone: 'mic-a' });
  await media.open();
  devices.failures['mic-b'] = 'NotAllowedError';
  await media.choose('microphone', 'mic-b');
  assert.deepEqual([microphone().id, microphone().readyState, media.chosen('microphone'), stored.microphone], ['mic-a', 'live', 'mic-a', 'mic-a']);
  assert.deepEqual([media.problem?.devices, media.problem?.error.name], ['audio', 'NotAllowedError']);
});

test('a busy camera leaves none, since the old one had to go', async () => {
  const { devices, media } = start();
  await media.open();
  devices.failures['cam-b'] = 'NotReadableError';
  await media.choose('camera', 'cam-b');
  assert.deepEqual([media.state.video, media.problem?.devices], [false, 'video']);
  await media.choose('camera', 'cam-a');
  assert.deepEqual([media.state.video, media.problem], [true, null]);
});

test('what is chosen while a call ends opens nothing', async () => {
  const { devices, media } = start();
  await media.open();
  const chosen = media.choose('camera', 'cam-b');
  media.close();
  await chosen;
  assert.ok(devices.tracks.every(({ readyState }) => readyState === 'ended'));
  assert.equal(media.cameraTrack, null);
});

test('the speaker is told', async () => {
  const { media } = start();
  /** @type {string[]} */
  const speakers = [];
  media.on('speaker', ({ id }) => speakers.push(id));
  await media.choose('speaker', 'sp-b');
  assert.deepEqual([speakers, media.chosen('speaker')], [['sp-b'], 'sp-b']);
});

test('quality changes in place', async () => {
  const { devices, media, camera } = start();
  await media.open();
  assert.equal(camera().settings.width.ideal, 1280);
  await media.setQuality('saver');
  assert.deepEqual([camera().settings.width.ideal, devices.tracks.length], [320, 2]);
  await media.setQuality('high');
  assert.equal(camera().settings.width.ideal, 1920);
});

test('a camera that cannot change is opened anew', async () => {
  const { media, camera } = start();
  await media.open();
  const old = camera();
  old.refuses = true;
  await media.setQuality('high');
  assert.deepEqual([old.readyState, camera().settings.width.ideal], ['ended', 1920]);
});

test('a link that asks for little is heard until something is chosen', async () => {
  const devices = new FakeDevices({ ...BOTH });
  const media = new LocalMedia(/** @type {any} */ (devices), { low: true });
  await media.open();
  assert.equal(devices.tracks[1].settings.frameRate.ideal, 10);
  await media.setQuality('auto');
  assert.equal(devices.tracks[1].settings.width.ideal, 1280);
});

test('processing changes in place', async () => {
  const { devices, media, microphone } = start();
  await media.open();
  await media.setProcessing('noiseSuppression', false);
  assert.deepEqual([media.processing('noiseSuppression'), microphone().settings.noiseSuppression, microphone().settings.echoCancellation], [false, false, true]);
  assert.equal(devices.tracks.length, 2);
});

test('a browser that agrees and changes nothing gets the microphone opened anew', async () => {
  const { media, microphone } = start();
  await media.open();
  const old = microphone();
  old.lazy = true;
  await media.setProcessing('echoCancellation', false);
  assert.deepEqual([old.readyState, microphone().settings.echoCancellation], ['ended', false]);
});

test('processing that was switched off stays off', async () => {
  const { media, microphone } = start({ autoGainControl: 'off' });
  await media.open();
  assert.equal(microphone().settings.autoGainControl, false);
});

test('the background is blurred where the camera can', async () => {
  const { media, camera } = start();
  await media.open();
  assert.equal(media.canBlur, false);
  Object.assign(camera(), { getCapabilities: () => ({ backgroundBlur: [false, true] }) });
  assert.equal(media.canBlur, true);
  await media.setBlur(true);
  assert.equal(camera().settings.backgroundBlur, true);
  await media.setBlur(false);
  assert.equal(camera().settings.backgroundBlur, false);
});

test('a screen brings its sound, and takes it along', async () => {
  const { devices, media } = start();
  await media.startScreen();
  const [picture, sound] = devices.tracks;
  assert.deepEqual([media.screenTrack, media.screenAudioTrack, picture.contentHint], [picture, sound, 'detail']);
  media.stopScreen();
  assert.deepEqual([picture.readyState, sound.readyState, media.screenTrack, media.screenAudioTrack], ['ended', 'ended', null, null]);
});

test('sound that ends by itself leaves the screen', async () => {
  const { devices, media } = start();
  await media.startScreen();
  devices.tracks[1].end();
  assert.deepEqual([media.screenAudioTrack, media.state.screen], [null, true]);
});

test('another screen takes the place of the first, whose end means nothing any more', async () => {
  const { devices, media } = start();
  await media.startScreen();
  await media.startScreen();
  assert.deepEqual(devices.tracks.map(({ readyState }) => readyState), ['ended', 'ended', 'live', 'live']);
  devices.tracks[0].end();
  assert.equal(media.screenTrack, devices.tracks[2]);
});

for (const [supported, systemAudio] of /** @type {[any, string][]} */ ([[{}, 'exclude'], [{ restrictOwnAudio: true }, 'include']])) {
  test(`with ${JSON.stringify(supported)} the sound of the system is offered: ${systemAudio}`, async () => {
    const { devices, media } = start();
    devices.supported = supported;
    await media.startScreen();
    assert.equal(devices.displayOptions.systemAudio, systemAudio);
  });
}

test('a film is shown as a film, also when one says so later', async () => {
  const { devices, media, stored } = start();
  await media.startScreen();
  assert.equal(devices.displayOptions.video.frameRate.max, 15);
  await media.setScreenContent('video');
  assert.deepEqual([devices.tracks[0].contentHint, devices.tracks[0].settings.frameRate.max, stored.screen], ['motion', 30, 'video']);
});
