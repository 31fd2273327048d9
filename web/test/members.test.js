// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Members } from '../static/app/members.js';

test('a screen is told of, one that flutters once in a while', async () => {
  const room = new FakeRoom();
  const clock = new FakeClock();
  /** @type {string[]} */
  const told = [];
  const tile = {
    state: {}, setTracks() {},
    setMember(/** @type {any} */ { state }) {
      this.state = state;
    },
  };
  const grid = { tiles: new Map([['Bob', tile], ['Cay', { ...tile }]]), screens: new Map(), layout() {}, remove() {} };
  const toasts = { show: (/** @type {any} */ { key, params }) => told.push(`${key} ${params.name}`) };
  const members = new Members(/** @type {any} */ ({ i18n: {}, room, grid, toasts }), clock);
  const flutter = (/** @type {string} */ id) => {
    for (let i = 0; i < 10; i++) room.emit('member-updated', { member: { id, name: id, role: 'member', state: { screen: i % 2 === 0 } } });
  };
  flutter('Bob');
  flutter('Cay');
  assert.deepEqual(told, ['call.sharing Bob', 'call.sharing Cay']);
  await clock.advance(10_000);
  flutter('Bob');
  assert.equal(told.length, 3);
  members.close();
});
