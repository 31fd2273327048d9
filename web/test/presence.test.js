// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Presence, describeMedia, readState } from '../static/app/presence.js';

test('parts of the page add to what the others know, and say nothing twice', async () => {
  /** @type {unknown[]} */
  const told = [];
  const presence = new Presence({ update: (state) => told.push(JSON.parse(JSON.stringify(state))) });
  presence.set({ audio: true });
  presence.set({ video: false });
  assert.deepEqual(presence.state, { audio: true, video: false });
  await Promise.resolve();
  presence.set({ screen: true, screenStream: 's' });
  await Promise.resolve();
  presence.set({ audio: true });
  await Promise.resolve();
  presence.set({ screen: false, screenStream: undefined });
  await Promise.resolve();
  assert.deepEqual(told, [
    { audio: true, video: false }, { audio: true, video: false, screen: true, screenStream: 's' }, { audio: true, video: false, screen: false },
  ]);
});

test('the others are told of the devices, and of who saves data', () => {
  const state = { audio: true, video: false, screen: true };
  assert.deepEqual(describeMedia({ state, quality: 'saver' }), { audio: true, video: false, saver: true });
  assert.deepEqual(describeMedia({ state, quality: 'auto' }), { audio: true, video: false, saver: false });
});

const STATES = [
  { said: null, state: {} },
  { said: 'audio', state: {} },
  { said: [true], state: {} },
  { said: { audio: 1, video: 'yes', screen: null, saver: {} }, state: {} },
  { said: { audio: false, video: true, screen: true, saver: false, more: 7 }, state: { audio: false, video: true, screen: true, saver: false } },
  { said: { hand: 1_700_000_000_000 }, state: { hand: 1_700_000_000_000 } },
  { said: { hand: 0 }, state: {} },
  { said: { hand: -1 }, state: {} },
  { said: { hand: '7' }, state: {} },
  { said: { hand: NaN }, state: {} },
  { said: { screenStream: 'abc' }, state: { screenStream: 'abc' } },
  { said: { screenStream: '' }, state: {} },
  { said: { screenStream: 'x'.repeat(300) }, state: {} },
  { said: { screenStream: { toString: () => 'x' } }, state: {} },
];
for (const { said, state } of STATES) {
  test(`of ${JSON.stringify(said)?.slice(0, 60)} is taken ${JSON.stringify(state).slice(0, 60)}`, () => assert.deepEqual(readState(said), state));
}
