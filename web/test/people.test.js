// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeRoom } from '../fakes/room.js';
import { describePeople } from '../static/app/people.js';

/** @param {FakeRoom} room */
function describe(room) {
  return describePeople(room, {
    state: { audio: true, video: false }, hands: { place: (id) => (id === 'Cay' ? 1 : 0) }, pathOf: (id) => (id === 'Bob' ? 'relay-udp' : 'unknown'),
  });
}

test('oneself comes first, then the others as they came', () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.join('Abe');
  assert.deepEqual(describe(room).map(({ key, member }) => `${key} ${member.name}`), ['self Me', 'Bob Bob', 'Cay Cay', 'Abe Abe']);
});

test('with state, hand, role and path', () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.update('Bob', { role: 'moderator', state: { audio: false } });
  const [self, bob, cay] = describe(room);
  assert.deepEqual([self.state, self.path, self.moderator, self.hand], [{ audio: true, video: false }, 'unknown', false, 0]);
  assert.deepEqual([bob.state, bob.path, bob.moderator, bob.hand], [{ audio: false }, 'relay-udp', true, 0]);
  assert.deepEqual([cay.path, cay.moderator, cay.hand], ['unknown', false, 1]);
});

test('only moderators can mute and remove, nobody themselves, and nobody is muted twice', () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.update('Bob', { state: { audio: false } });
  const rights = () => describe(room).map(({ canMute, canRemove }) => [canMute, canRemove]);
  assert.deepEqual(rights(), [[false, false], [false, false], [false, false]]);
  room.self = { ...room.self, role: 'moderator' };
  assert.deepEqual(rights(), [[false, false], [false, true], [true, true]]);
});

test('members whose client says nothing of its state, or nonsense, are there, too', () => {
  const room = new FakeRoom('Bob');
  room.update('Bob', { state: null });
  assert.deepEqual(describe(room)[1].state, {});
  room.update('Bob', { state: { audio: 'yes', screen: {}, more: 7 } });
  assert.deepEqual(describe(room)[1].state, {});
});
