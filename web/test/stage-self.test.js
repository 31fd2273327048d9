// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floatBox, moveCorner, nearestCorner, placeSelf } from '../static/app/selfview.js';

/** @typedef {import('../static/app/selfview.js').Corner} Corner */

const PHONE = { width: 370, height: 690 };
const DESK = { width: 1240, height: 640 };
const WHERE = [
  { name: 'two people on a phone', wish: '', call: { others: 1, ...PHONE }, where: 'over' },
  { name: 'two people on a desk', wish: '', call: { others: 1, ...DESK }, where: 'in' },
  { name: 'three on a phone', wish: '', call: { others: 2, ...PHONE }, where: 'in' },
  { name: 'alone', wish: 'float', call: { others: 0, ...DESK }, where: 'in' },
  { name: 'wants it to float', wish: 'float', call: { others: 5, ...DESK }, where: 'over' },
  { name: 'wants it in the grid', wish: 'grid', call: { others: 1, ...PHONE }, where: 'in' },
  { name: 'wants it hidden', wish: 'hidden', call: { others: 0, ...PHONE }, where: 'hidden' },
  { name: 'wants something that nobody knows', wish: 'upside down', call: { others: 1, ...PHONE }, where: 'over' },
];
for (const { name, wish, call, where } of WHERE) {
  test(`one's own picture: ${name}`, () => assert.equal(placeSelf(wish, call), where));
}

/** @type {Corner[]} */
const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right'];
for (const { width, height } of [PHONE, DESK, { width: 824, height: 270 }]) {
  for (const corner of CORNERS) {
    test(`in the corner ${corner} of ${width}x${height} it is inside and small, and dropped there it stays there`, () => {
      const box = floatBox(corner, width, height);
      assert.ok(box.left >= 8 && box.top >= 8 && box.left + box.width <= width - 8 && box.top + box.height <= height - 8, JSON.stringify(box));
      assert.ok(box.width * box.height < width * height / 6);
      assert.equal(nearestCorner(box, width, height), corner);
    });
  }
}

test('arrows move it, other keys do not', () => {
  assert.equal(moveCorner('bottom-right', 'ArrowUp'), 'top-right');
  assert.equal(moveCorner('top-right', 'ArrowLeft'), 'top-left');
  assert.equal(moveCorner('top-left', 'ArrowLeft'), 'top-left');
  assert.equal(moveCorner('top-left', 'ArrowDown'), 'bottom-left');
  assert.equal(moveCorner('bottom-left', 'ArrowRight'), 'bottom-right');
  assert.equal(moveCorner('bottom-left', 'Enter'), null);
});
