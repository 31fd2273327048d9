// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { Floor, Stage } from '../static/app/stage.js';

const STEP = 250;

/**
 * Hears the same for a while, as often as the page does.
 * @param {FakeClock} clock
 * @param {{hear(levels: Map<string, number>): unknown}} listener
 * @param {Record<string, number>} levels
 * @param {number} ms
 */
async function hear(clock, listener, levels, ms) {
  for (let time = 0; time <= ms; time += STEP) {
    listener.hear(new Map(Object.entries(levels)));
    await clock.advance(STEP);
  }
}

const BOB = { bob: 0.3, cay: 0.01 };
const CAY = { bob: 0.01, cay: 0.2 };
const NOBODY = { bob: 0.01, cay: 0 };

test('whoever goes on speaking has the floor; a cough does not count', async () => {
  const clock = new FakeClock();
  const floor = new Floor(clock);
  await hear(clock, floor, BOB, STEP);
  assert.equal(floor.holder, null);
  await hear(clock, floor, NOBODY, STEP);
  await hear(clock, floor, BOB, 1_000);
  assert.equal(floor.holder, 'bob');
});

test('and keeps it through silence, and for a while against others', async () => {
  const clock = new FakeClock();
  const floor = new Floor(clock);
  await hear(clock, floor, BOB, 1_000);
  await hear(clock, floor, NOBODY, 60_000);
  assert.equal(floor.holder, 'bob');
  await hear(clock, floor, BOB, 1_000);
  await hear(clock, floor, CAY, 1_000);
  assert.equal(floor.holder, 'bob');
  await hear(clock, floor, CAY, 2_500);
  assert.equal(floor.holder, 'cay');
});

test('two who talk over each other do not take turns', async () => {
  const clock = new FakeClock();
  const floor = new Floor(clock);
  await hear(clock, floor, BOB, 1_000);
  for (let turn = 0; turn < 20; turn++) await hear(clock, floor, turn % 2 ? BOB : CAY, 0);
  assert.equal(floor.holder, 'bob');
});

test('who has left has no floor', async () => {
  const clock = new FakeClock();
  const floor = new Floor(clock);
  await hear(clock, floor, BOB, 1_000);
  floor.remove('bob');
  assert.equal(floor.holder, null);
});

/** @typedef {(stage: Stage) => void} Step */
/** @type {{name: string, steps: Step[], place: string | null}[]} */
const PLACES = [
  { name: 'a grid at first', steps: [], place: null },
  { name: 'the first of the others while nobody has spoken', steps: [(it) => it.setView('speaker')], place: 'bob' },
  { name: 'a pin in the grid', steps: [(it) => it.togglePin('cay')], place: 'cay' },
  { name: 'one pin', steps: [(it) => it.togglePin('cay'), (it) => it.togglePin('bob')], place: 'bob' },
  { name: 'no pin after the second press', steps: [(it) => it.togglePin('cay'), (it) => it.togglePin('cay')], place: null },
  { name: 'oneself, if one wants it so', steps: [(it) => it.togglePin('self')], place: 'self' },
  { name: 'a screen', steps: [(it) => it.addScreen('bob:screen', false)], place: 'bob:screen' },
  { name: 'the later of two screens', steps: [(it) => it.addScreen('bob:screen', false), (it) => it.addScreen('cay:screen', false)], place: 'cay:screen' },
  { name: 'the earlier one when the later ends',
    steps: [(it) => it.addScreen('bob:screen', false), (it) => it.addScreen('cay:screen', false), (it) => it.removeScreen('cay:screen')], place: 'bob:screen' },
  { name: 'a pin before a screen', steps: [(it) => it.togglePin('cay'), (it) => it.addScreen('bob:screen', false)], place: 'cay' },
  { name: 'not the own screen', steps: [(it) => it.addScreen('self:screen', true)], place: null },
  { name: 'the own screen when it is pinned', steps: [(it) => it.addScreen('self:screen', true), (it) => it.togglePin('self:screen')], place: 'self:screen' },
  { name: 'the own screen for whoever is alone',
    steps: [(it) => it.addScreen('self:screen', true), (it) => it.removePerson('bob'), (it) => it.removePerson('cay')], place: 'self:screen' },
  { name: 'nothing of somebody who was pinned and left', steps: [(it) => it.togglePin('cay'), (it) => it.removePerson('cay')], place: null },
  { name: 'nor of a screen that was', steps: [(it) => it.addScreen('bob:screen', false), (it) => it.togglePin('bob:screen'), (it) => it.removeScreen('bob:screen')], place: null },
];

for (const { name, steps, place } of PLACES) {
  test(`the stage has ${name}`, () => {
    const stage = new Stage(new FakeClock());
    stage.addPerson('bob');
    stage.addPerson('cay');
    for (const step of steps) step(stage);
    assert.equal(stage.place, place);
  });
}

test('the stage tells when somebody else speaks, and is silent while nothing changes', async () => {
  const clock = new FakeClock();
  const stage = new Stage(clock);
  stage.addPerson('bob');
  stage.addPerson('cay');
  stage.setView('speaker');
  /** @type {(string | null)[]} */
  const places = [];
  stage.on('change', () => places.push(stage.place));
  await hear(clock, stage, CAY, 5_000);
  await hear(clock, stage, NOBODY, 5_000);
  assert.deepEqual(places, ['cay']);
});
