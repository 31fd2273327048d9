// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeRoom } from '../fakes/room.js';
import { MuteRequests, doorOf, explainChange, kickReason } from '../static/app/moderation.js';
import { Emitter } from '../sdk/maitred.js';

/** @extends {Emitter<{change: {}}>} */
class FakeMedia extends Emitter {
  state = { audio: true, video: true, screen: false };

  /** @param {boolean} audio */
  async setAudio(audio) {
    this.state = { ...this.state, audio };
    this.emit('change', {});
  }
}

function open() {
  const room = new FakeRoom('Bob', 'Cay');
  room.update('Bob', { role: 'moderator' });
  const media = new FakeMedia();
  const requests = new MuteRequests(room, media);
  /** @type {string[]} */
  const events = [];
  requests.on('muted', ({ name }) => events.push(`muted by ${name}`));
  requests.on('over', () => events.push('over'));
  return { room, media, requests, events };
}

test('a moderator mutes us, and we are told who; one way back ends it', async () => {
  const { room, media, events } = open();
  room.hear('Bob', { type: 'mute-please' });
  assert.equal(media.state.audio, false);
  assert.deepEqual(events, ['muted by Bob']);
  await media.setAudio(true);
  assert.deepEqual(events, ['muted by Bob', 'over']);
});

test('nobody else does', () => {
  const { room, media, events } = open();
  room.hear('Cay', { type: 'mute-please' });
  room.hear('Cay', { type: 'mute-please', role: 'moderator' });
  assert.deepEqual([media.state.audio, events], [true, []]);
});

test('nor somebody who was one', () => {
  const { room, media } = open();
  room.update('Bob', { role: 'member' });
  room.hear('Bob', { type: 'mute-please' });
  assert.equal(media.state.audio, true);
});

test('whoever is mute already hears nothing of it', async () => {
  const { room, media, events } = open();
  await media.setAudio(false);
  room.hear('Bob', { type: 'mute-please' });
  assert.deepEqual(events, []);
});

test('other messages are somebody else\'s', () => {
  const { room, media } = open();
  for (const data of [null, 'mute-please', { type: 'chat' }, {}]) room.hear('Bob', data);
  assert.equal(media.state.audio, true);
});

test('and after it is closed none is heard', () => {
  const { room, media, requests } = open();
  requests.close();
  room.hear('Bob', { type: 'mute-please' });
  assert.equal(media.state.audio, true);
});

test('the door is open, a waiting room, or locked', () => {
  assert.deepEqual([doorOf({ locked: false, knock: false }), doorOf({ locked: true, knock: true }), doorOf({ locked: true, knock: false })],
    ['open', 'waiting', 'locked']);
});

const BEFORE = { id: 'tea', locked: false, knock: false, password: false, maxMembers: 16 };
const CHANGES = [
  { change: {}, keys: [] },
  { change: { locked: true }, keys: ['moderate.nowLocked'] },
  { change: { locked: true, knock: true }, keys: ['moderate.nowWaiting'] },
  { change: { password: true }, keys: ['moderate.nowPassword'] },
  { change: { maxMembers: 4, locked: true }, keys: ['moderate.nowLocked', 'moderate.nowLimit'] },
];
for (const { change, keys } of CHANGES) {
  test(`${JSON.stringify(change)} is told as ${keys.join(' and ') || 'nothing'}`, () => {
    assert.deepEqual(explainChange(BEFORE, { ...BEFORE, ...change }).map(({ key }) => key), keys);
  });
}

test('an open door and a password that goes are told, too', () => {
  assert.deepEqual(explainChange({ ...BEFORE, locked: true, password: true }, BEFORE).map(({ key }) => key), ['moderate.nowOpen', 'moderate.nowNoPassword']);
});

const REASONS = [
  { typed: '  too loud ', reason: 'too loud' }, { typed: 'too\nloud\t!', reason: 'too loud !' }, { typed: 'a\u202eb\u0007', reason: 'ab' }, { typed: ' \u200b ', reason: '' },
  { typed: '茶'.repeat(200), reason: '茶'.repeat(128) },
];
for (const { typed, reason } of REASONS) test(`the reason ${JSON.stringify(typed.slice(0, 12))}`, () => assert.equal(kickReason(typed), reason));
