// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSample, linePieces, topOf } from '../static/app/chart.js';

/** @typedef {import('../static/app/chart.js').Sample} Sample */

for (const [largest, least, top] of [[0, 20, 20], [19, 20, 20], [20.1, 20, 30], [0.051, 0.05, 0.075], [760_000, 100_000, 1_000_000], [1_000_000, 1, 1_000_000], [1_000_001, 1, 1_500_000], [NaN, 5, 5]]) {
  test(`${largest} fits under ${top}`, () => assert.ok(Math.abs(topOf(largest, least) - top) < top / 1e9));
}

test('what is older than a minute goes, and no more is kept than can be seen', () => {
  /** @type {Sample[]} */
  let samples = [];
  for (let second = 0; second < 200; second++) samples = addSample(samples, { at: second * 1000, values: [second] });
  assert.deepEqual([samples.length, samples[0].at, samples.at(-1)?.at], [60, 140_000, 199_000]);
  for (let i = 0; i < 1_000; i++) samples = addSample(samples, { at: 200_000 + i, values: [i] });
  assert.equal(samples.length, 90);
});

test('a clock that was set back does not leave samples of the future', () => {
  assert.deepEqual(addSample([{ at: 90_000, values: [1] }], { at: 10_000, values: [2] }), [{ at: 10_000, values: [2] }]);
});

test('a line goes from a minute ago to now, and breaks where nothing was measured', () => {
  const samples = [[0, 10], [1_000, 20], [20_000, 20], [21_000, null], [22_000, 40], [60_000, 0]]
    .map(([at, value]) => ({ at: Number(at), values: [null, value] }));
  const pieces = linePieces(samples, 1, { width: 60, height: 40, top: 40 });
  assert.deepEqual(pieces.map((piece) => piece.map(({ x, y }) => ({ x: Math.round(x), y: Math.round(y) }))), [
    [{ x: 0, y: 30 }, { x: 1, y: 20 }], [{ x: 20, y: 20 }, { x: 22, y: 0 }], [{ x: 60, y: 40 }],
  ]);
  assert.deepEqual(linePieces(samples, 0, { width: 60, height: 40, top: 40 }), []);
  assert.deepEqual(linePieces([], 0, { width: 60, height: 40, top: 40 }), []);
});
