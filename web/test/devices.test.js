// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../fakes/clock.js';
import { DeviceList, Preferences, applySpeaker, canChooseSpeaker, defaultLabel, sortDevices } from '../static/app/devices.js';

/** @typedef {import('../static/app/devices.js').DeviceInfo} DeviceInfo */

/**
 * @param {MediaDeviceKind} kind
 * @param {string} deviceId
 * @param {string} [label]
 * @param {string} [groupId]
 * @returns {DeviceInfo}
 */
const info = (kind, deviceId, label = '', groupId = '') => ({ kind, deviceId, label, groupId });

const INFOS = [
  info('audioinput', 'default', 'Default - Headset', 'g1'), info('audioinput', 'communications', 'Communications - Headset', 'g1'),
  info('audioinput', 'm1', 'Built-in', 'g2'), info('audioinput', 'm2', 'Headset', 'g1'), info('videoinput', 'c1', 'Camera', 'g3'),
  info('audiooutput', 's1', 'Headset', 'g1'),
];

test('devices are sorted, and what stands for others is left out', () => {
  assert.deepEqual(sortDevices(INFOS), {
    camera: [{ id: 'c1', label: 'Camera' }], microphone: [{ id: 'm1', label: 'Built-in' }, { id: 'm2', label: 'Headset' }], speaker: [{ id: 's1', label: 'Headset' }],
  });
});

test('before permission there is nothing to choose from', () => {
  assert.deepEqual(sortDevices([info('audioinput', ''), info('videoinput', '')]), { camera: [], microphone: [], speaker: [] });
});

test('the default is named where it is known', () => {
  assert.deepEqual([defaultLabel(INFOS, 'microphone'), defaultLabel(INFOS, 'speaker'), defaultLabel(INFOS, 'camera')], ['Headset', '', '']);
});

/** @param {DeviceInfo[]} infos */
function computer(infos) {
  const source = Object.assign(new EventTarget(), { infos, enumerateDevices: async () => source.infos });
  return { source, list: new DeviceList(/** @type {any} */ (source)) };
}

test('devices come and go', async () => {
  const { source, list } = computer([]);
  let changes = 0;
  list.on('change', () => changes++);
  source.infos = INFOS;
  source.dispatchEvent(new Event('devicechange'));
  await settled();
  assert.deepEqual([list.of('camera').length, list.defaultLabel('microphone'), changes], [1, 'Headset', 1]);
  await list.refresh();
  assert.equal(changes, 1, 'nothing new');
  source.infos = [];
  source.dispatchEvent(new Event('devicechange'));
  await settled();
  assert.deepEqual([list.of('camera').length, changes], [0, 2]);
});

test('without devices, or where they cannot be listed, the list is empty', async () => {
  const lists = [new DeviceList(undefined), new DeviceList(/** @type {any} */ ({ enumerateDevices: async () => Promise.reject(new Error('no')) }))];
  for (const list of lists) {
    await list.refresh();
    assert.deepEqual([list.of('camera'), list.asksForSpeakers], [[], false]);
  }
});

test("the browser's own picker for speakers is used where there is one", async () => {
  const { source, list } = computer([]);
  Object.assign(source, { selectAudioOutput: async () => {
    source.infos = INFOS;
    return INFOS[5];
  } });
  assert.equal(list.asksForSpeakers, true);
  assert.equal(await list.askForSpeaker(), 's1');
  assert.equal(list.of('speaker').length, 1);
});

test('an element plays where it is told to, once', async () => {
  /** @type {string[]} */
  const set = [];
  const element = /** @type {any} */ ({ sinkId: '', setSinkId: async (/** @type {string} */ id) => {
    set.push(id);
    if (id === 'gone') throw new Error();
    element.sinkId = id;
  } });
  assert.equal(await applySpeaker(element, ''), true);
  assert.equal(await applySpeaker(element, 's1'), true);
  assert.equal(await applySpeaker(element, 's1'), true);
  assert.equal(await applySpeaker(element, 'gone'), false);
  assert.deepEqual([set, element.sinkId], [['s1', 'gone'], 's1']);
});

test('where speakers cannot be chosen there is the default only', async () => {
  assert.equal(canChooseSpeaker(), false);
  assert.deepEqual([await applySpeaker(/** @type {any} */ ({}), ''), await applySpeaker(/** @type {any} */ ({}), 's1')], [true, false]);
});

/** @param {Record<string, string>} stored */
function remembered(stored) {
  return {
    stored, setting: (/** @type {string} */ name) => stored[name] ?? '',
    setSetting: (/** @type {string} */ name, /** @type {string} */ value) => {
      stored[name] = value;
    },
  };
}

test('choices are kept, defaults are not', () => {
  const memory = remembered({});
  const preferences = new Preferences(memory);
  preferences.set('camera', 'c1');
  preferences.set('quality', 'saver');
  preferences.set('noiseSuppression', 'off');
  assert.deepEqual(memory.stored, { camera: 'c1', quality: 'saver', noiseSuppression: 'off' });
  const again = new Preferences(memory);
  assert.deepEqual([again.get('camera'), again.get('quality'), again.get('noiseSuppression'), again.get('echoCancellation')], ['c1', 'saver', 'off', 'on']);
  again.set('quality', 'auto');
  assert.equal(memory.stored.quality, '');
});

test('what is no choice is not taken from the memory', () => {
  const preferences = new Preferences(remembered({ quality: 'best', screen: 'x', echoCancellation: 'maybe' }));
  assert.deepEqual([preferences.get('quality'), preferences.get('screen'), preferences.get('echoCancellation')], ['auto', 'text', 'on']);
});

test('without a memory choices last as long as the page', () => {
  const preferences = new Preferences(null);
  preferences.set('screen', 'video');
  assert.equal(preferences.get('screen'), 'video');
});
