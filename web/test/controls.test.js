// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overflowing } from '../static/app/controls.js';

const [MICROPHONE, CAMERA, SCREEN, CHAT, PEOPLE, HAND, REACTIONS, MENU, LEAVE] = [10, 20, 30, 40, 50, 60, 70, 80, 90];
const ALL = [MICROPHONE, CAMERA, SCREEN, CHAT, PEOPLE, HAND, REACTIONS, MENU, LEAVE];

const BARS = [
  { width: 1280, orders: ALL, gone: [] },
  { width: 844, orders: ALL, gone: [REACTIONS] },
  { width: 700, orders: ALL, gone: [SCREEN, REACTIONS] },
  { width: 430, orders: ALL, gone: [SCREEN, PEOPLE, REACTIONS] },
  { width: 390, orders: ALL, gone: [SCREEN, PEOPLE, REACTIONS] },
  { width: 320, orders: ALL, gone: [SCREEN, PEOPLE, HAND, REACTIONS] },
  { width: 390, orders: ALL.filter((it) => it !== SCREEN), gone: [PEOPLE, REACTIONS] },
  { width: 390, orders: [MICROPHONE, CAMERA, MENU, LEAVE], gone: [] },
  // Whatever happens, one can mute, leave, and open the menu.
  { width: 100, orders: ALL, gone: [SCREEN, CHAT, PEOPLE, HAND, REACTIONS] },
];
for (const { width, orders, gone } of BARS) {
  test(`a bar of ${width} pixels with ${orders.length} buttons puts ${gone.join(', ') || 'nothing'} into the menu`, () => {
    assert.deepEqual([...overflowing(orders, width)].sort((a, b) => a - b), gone);
  });
}
