// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeTiles } from '../static/app/layout.js';

/** @typedef {import('../static/app/layout.js').Box} Box */

/**
 * @param {Box} a
 * @param {Box} b
 */
function overlap(a, b) {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
}

for (const [width, height] of [[1240, 640], [370, 700], [300, 430], [820, 250]]) {
  for (let count = 1; count <= 8; count++) {
    for (const stage of [-1, 0, count - 1]) {
      test(`${count} tiles in ${width}x${height}, stage ${stage}: inside, apart, large enough to see`, () => {
        const boxes = placeTiles(count, width, height, stage);
        assert.equal(boxes.length, count);
        for (const [index, box] of boxes.entries()) {
          assert.ok(box.left >= 0 && box.top >= 0 && box.left + box.width <= width + 1 && box.top + box.height <= height + 1, JSON.stringify(box));
          assert.ok(box.width >= 25 && box.height >= 20, JSON.stringify(box));
          for (const other of boxes.slice(index + 1)) assert.ok(!overlap(box, other), JSON.stringify([box, other]));
        }
      });
    }
  }
}

test('two people sit side by side on a desk and one above the other on a phone', () => {
  const [desk, deskOther] = placeTiles(2, 1200, 600);
  assert.equal(desk.top, deskOther.top);
  const [phone, phoneOther] = placeTiles(2, 370, 700);
  assert.equal(phone.left, phoneOther.left);
});

test('the stage has most of the room', () => {
  const [side, stage] = placeTiles(2, 1200, 600, 1);
  assert.ok(stage.width * stage.height > 5 * side.width * side.height);
});

test('no room, no tiles', () => {
  assert.deepEqual(placeTiles(3, 0, 100), []);
  assert.deepEqual(placeTiles(0, 100, 100), []);
});
