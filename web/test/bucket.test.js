// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { Bucket, Buckets } from '../static/app/bucket.js';

/** @param {Bucket} bucket */
function empty(bucket) {
  let taken = 0;
  while (bucket.take()) taken++;
  return taken;
}

test('so many at once, then so many a second, and never more than at first', async () => {
  const clock = new FakeClock();
  const bucket = new Bucket(clock, { burst: 6, rate: 2 });
  assert.ok(bucket.full);
  assert.equal(empty(bucket), 6);
  await clock.advance(499);
  assert.equal(empty(bucket), 0);
  await clock.advance(1);
  assert.equal(empty(bucket), 1);
  await clock.advance(2_999);
  assert.equal(bucket.full, false);
  await clock.advance(3_600_000);
  assert.ok(bucket.full);
  assert.equal(empty(bucket), 6);
});

test('each member has one, until it is deleted', () => {
  const buckets = new Buckets(new FakeClock(), { burst: 1, rate: 1 });
  assert.deepEqual([buckets.of('Bob').take(), buckets.of('Bob').take(), buckets.of('Cay').take()], [true, false, true]);
  buckets.delete('Bob');
  assert.deepEqual([buckets.of('Bob').take(), buckets.of('Cay').take()], [true, false]);
});
