// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareBandwidth, videoBitrate } from '../static/app/bandwidth.js';

test('more people, less video for each', () => {
  assert.deepEqual([1, 2, 4, 7].map(videoBitrate), [2_500_000, 1_000_000, 500_000, 500_000]);
});

test('and the same for all', () => {
  /** @type {number[]} */
  const limits = [];
  const peer = { limitVideo: (/** @type {number} */ bitrate) => limits.push(bitrate) };
  shareBandwidth(/** @type {any} */ ({ peers: new Map([['bob', peer], ['cay', peer]]) }));
  assert.deepEqual(limits, [1_000_000, 1_000_000]);
});
