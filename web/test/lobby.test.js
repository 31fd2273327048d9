// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roomHint } from '../static/app/lobby.js';

const HINTS = [
  { typed: '', hint: ['lobby.roomHint', {}] },
  { typed: 'tea-time', hint: ['lobby.roomHint', {}] },
  { typed: ' tea ', hint: ['lobby.roomHint', {}] },
  { typed: 'tea time', hint: ['lobby.roomBecomes', { room: 'tea-time' }] },
  { typed: 'Café', hint: ['lobby.roomBecomes', { room: 'Cafe' }] },
  { typed: '茶室 3', hint: ['lobby.roomBecomes', { room: '3' }] },
  { typed: '茶室', hint: ['lobby.roomLetters', {}] },
];
for (const { typed, hint } of HINTS) {
  test(`“${typed}”: ${JSON.stringify(hint)}`, () => {
    const { key, params } = roomHint(typed);
    assert.deepEqual([key, params], hint);
  });
}
