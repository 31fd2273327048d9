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

const WINDOWS = [
  { window: 'desktop', width: 1240, height: 640 }, { window: 'half a desktop', width: 620, height: 700 }, { window: 'wide', width: 1900, height: 800 },
  { window: 'phone', width: 370, height: 700 }, { window: 'phone on its side', width: 824, height: 280 },
];

/**
 * @param {Box[]} boxes
 * @param {number} width
 * @param {number} height
 */
function coverage(boxes, width, height) {
  return boxes.reduce((sum, box) => sum + box.width * box.height, 0) / (width * height);
}

for (const { window, width, height } of WINDOWS) {
  for (let count = 1; count <= 16; count++) {
    test(`${count} on a ${window}: little is wasted, nobody is tiny or cut to a slice, rows are straight`, () => {
      const boxes = placeTiles(count, width, height, -1, { smallest: 110 });
      assert.equal(boxes.length, count);
      assert.ok(coverage(boxes, width, height) >= 0.6, `covers ${coverage(boxes, width, height)}`);
      for (const [index, box] of boxes.entries()) {
        const shape = box.width / box.height;
        assert.ok(shape > 0.74 && shape < 1.8, `shape ${shape}`);
        assert.ok(box.width >= 100 && box.height >= 75, JSON.stringify(box));
        assert.ok(box.left >= 0 && box.left + box.width <= width && box.top >= 0 && box.top + box.height <= height, JSON.stringify(box));
        for (const other of boxes.slice(index + 1)) assert.ok(!overlap(box, other));
      }
      assert.equal(new Set(boxes.map(({ top, height: tall }) => `${top} ${tall}`)).size, new Set(boxes.map(({ top }) => top)).size);
    });

    test(`a screen of ${count} on a ${window}: whole, and large`, () => {
      const boxes = placeTiles(count + 1, width, height, 0, { ratio: 16 / 9, smallest: 110 });
      const [screen, ...people] = boxes;
      assert.ok(Math.abs(screen.width / screen.height - 16 / 9) < 0.02);
      assert.ok(screen.width >= Math.min(width, height) * 0.95, JSON.stringify(screen));
      for (const [index, box] of people.entries()) {
        assert.ok(box.width >= 100 && box.height >= 70, JSON.stringify(box));
        assert.ok(!overlap(screen, box));
        for (const other of people.slice(index + 1)) assert.ok(!overlap(box, other));
        // What does not fit lies in one direction only, the one that is scrolled.
        assert.ok(width < height ? box.top + box.height <= height + 1 : box.left + box.width <= width + 1, JSON.stringify(box));
      }
    });
  }
}

test('a last row that has fewer fills the width where that crops nothing', () => {
  const phone = placeTiles(5, 370, 700);
  assert.equal(phone[4].width, 370);
  const desk = placeTiles(5, 1240, 640);
  assert.equal(desk[4].width, desk[0].width);
});

test('what one scrolls to is cut by the edge', () => {
  for (const { width, height } of WINDOWS) {
    const boxes = placeTiles(16, width, height, 0, { smallest: 110 });
    const cut = boxes.slice(1).some((box) => (box.top < height - 20 && box.top + box.height > height + 20) || (box.left < width - 20 && box.left + box.width > width + 20));
    const inside = boxes.every((box) => box.left + box.width <= width + 1 && box.top + box.height <= height + 1);
    assert.ok(cut || inside, JSON.stringify({ width, height, boxes }));
  }
});

test('a single upright picture may fill a phone', () => {
  assert.equal(placeTiles(1, 370, 700, -1, { upright: true })[0].height, 700);
  assert.ok(placeTiles(1, 370, 700)[0].height < 500);
});

test('a screen alone keeps its shape, in the middle', () => {
  assert.deepEqual(placeTiles(1, 1600, 700, 0, { ratio: 2 }), [{ left: 100, top: 0, width: 1400, height: 700 }]);
});
