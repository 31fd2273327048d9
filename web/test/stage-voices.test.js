// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { MutedTalk } from '../static/app/voices.js';

/**
 * @param {FakeClock} clock
 * @param {MutedTalk} talk
 * @param {{muted: boolean, loud: boolean, ms: number}} what
 * @returns {Promise<number>} how often it is told
 */
async function listen(clock, talk, { muted, loud, ms }) {
  let told = 0;
  for (let time = 0; time < ms; time += 250) {
    if (talk.hear(muted, loud)) told++;
    await clock.advance(250);
  }
  return told;
}

test('whoever talks and is muted is told, once a minute', async () => {
  const clock = new FakeClock();
  const talk = new MutedTalk(clock);
  assert.equal(await listen(clock, talk, { muted: true, loud: true, ms: 500 }), 0);
  assert.equal(await listen(clock, talk, { muted: true, loud: true, ms: 30_000 }), 1);
  assert.equal(await listen(clock, talk, { muted: true, loud: true, ms: 40_000 }), 1);
});

test('nobody is told who is heard, or silent, or coughs', async () => {
  const clock = new FakeClock();
  const talk = new MutedTalk(clock);
  assert.equal(await listen(clock, talk, { muted: false, loud: true, ms: 5_000 }), 0);
  assert.equal(await listen(clock, talk, { muted: true, loud: false, ms: 5_000 }), 0);
  for (let cough = 0; cough < 5; cough++) {
    assert.equal(await listen(clock, talk, { muted: true, loud: true, ms: 500 }), 0);
    assert.equal(await listen(clock, talk, { muted: true, loud: false, ms: 500 }), 0);
  }
});
