// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArrivedTracks, ScreenSender } from '../static/app/sharing.js';

/**
 * @param {string} kind
 * @param {string} id
 * @returns {any}
 */
function makeTrack(kind, id) {
  return { kind, id, readyState: 'live' };
}

function openSender() {
  /** @type {unknown[]} */
  const events = [];
  let streams = 0;
  const sender = new ScreenSender(
    { addTrack: (track, stream) => events.push(`add ${track.id} ${stream?.id}`), removeTrack: (track) => events.push(`remove ${track.id}`) },
    { set: (state) => events.push({ ...state }) }, () => /** @type {any} */ ({ id: `s${++streams}` }));
  return { sender, events };
}

test('the others hear which stream the screen is before it comes', () => {
  const { sender, events } = openSender();
  const screenTrack = makeTrack('video', 'v');
  const screenAudioTrack = makeTrack('audio', 'a');
  sender.sync({ screenTrack, screenAudioTrack });
  assert.deepEqual(events.splice(0), [{ screen: true, screenStream: 's1' }, 'add v s1', 'add a s1']);
  sender.sync({ screenTrack, screenAudioTrack });
  assert.deepEqual(events.splice(0), [{ screen: true, screenStream: 's1' }]);
  sender.sync({ screenTrack, screenAudioTrack: null });
  assert.deepEqual(events.splice(0), ['remove a', { screen: true, screenStream: 's1' }]);
  sender.sync({ screenTrack: null, screenAudioTrack: null });
  assert.deepEqual(events.splice(0), ['remove v', { screen: false, screenStream: undefined }]);
  sender.sync({ screenTrack, screenAudioTrack: null });
  assert.deepEqual(events, [{ screen: true, screenStream: 's2' }, 'add v s2']);
});

const ONE = /** @type {any} */ ({ name: 'one' });
const OTHER = /** @type {any} */ ({ name: 'other' });

/**
 * @param {ArrivedTracks} arrived
 * @param {string} [screenStream]
 */
function ids(arrived, screenStream) {
  const { person, screen } = arrived.sort(screenStream);
  return { person: person.map(({ id }) => id), screen: screen.map(({ id }) => id) };
}

test('camera and screen are told apart', () => {
  const arrived = new ArrivedTracks();
  for (const [kind, id, stream] of [['audio', 'mic', 'c'], ['video', 'cam', 'c'], ['video', 'scr', 's'], ['audio', 'snd', 's']]) {
    arrived.add({ connection: ONE, track: makeTrack(kind, id), stream });
  }
  assert.deepEqual(ids(arrived, 's'), { person: ['mic', 'cam'], screen: ['scr', 'snd'] });
});

test('a screen that is not shared any more does not become the camera until it ends', () => {
  const arrived = new ArrivedTracks();
  const screen = makeTrack('video', 'scr');
  arrived.add({ connection: ONE, track: makeTrack('video', 'cam'), stream: 'c' });
  arrived.add({ connection: ONE, track: screen, stream: 's' });
  arrived.sort('s');
  assert.deepEqual(ids(arrived), { person: ['cam'], screen: [] });
  arrived.remove(screen);
  assert.deepEqual(ids(arrived), { person: ['cam'], screen: [] });
});

test('clients that say nothing: the latest picture is shown, and the one before when it ends', () => {
  const arrived = new ArrivedTracks();
  const later = makeTrack('video', 'later');
  arrived.add({ connection: ONE, track: makeTrack('video', 'cam'), stream: 'c' });
  arrived.add({ connection: ONE, track: later, stream: 'x' });
  assert.deepEqual(ids(arrived).person, ['later']);
  arrived.remove(later);
  assert.deepEqual(ids(arrived).person, ['cam']);
});

test('a connection made anew replaces all that came over the one before', () => {
  const arrived = new ArrivedTracks();
  arrived.add({ connection: ONE, track: makeTrack('video', 'cam'), stream: 'c' });
  arrived.add({ connection: ONE, track: makeTrack('video', 'scr'), stream: 's' });
  arrived.add({ connection: OTHER, track: makeTrack('video', 'cam2'), stream: 'c' });
  assert.deepEqual(ids(arrived, 's'), { person: ['cam2'], screen: [] });
});
