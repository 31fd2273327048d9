// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeRoom } from '../fakes/room.js';
import { Keypad } from '../static/app/keypad.js';

/** Plays nothing: what is inserted stays in the buffer, as of an endless tone. */
class FakeTones {
  toneBuffer = '';
  canInsertDTMF = true;
  /** @type {[number, number][]} */
  times = [];

  /** @param {string} tones @param {number} duration @param {number} gap */
  insertDTMF(tones, duration, gap) {
    this.toneBuffer = tones;
    this.times.push([duration, gap]);
  }
}

/** @param {...string} names */
function open(...names) {
  const room = new FakeRoom(...names);
  /** @type {Record<string, FakeTones>} */
  const tones = {};
  for (const name of names) {
    tones[name] = new FakeTones();
    room.peer(name).connection = { connectionState: 'connected', getSenders: () => [{ dtmf: null }, { dtmf: tones[name] }] };
  }
  const keypad = new Keypad(room);
  /** @type {string[]} */
  const sent = [];
  keypad.on('sent', ({ tone }) => sent.push(tone));
  const played = () => Object.entries(tones).map(([name, { toneBuffer }]) => `${name} ${toneBuffer}`).join(', ');
  return { room, keypad, tones, sent, played };
}

test('tones go to everybody, one after the other', () => {
  const { keypad, sent, played, tones } = open('Bob', 'Cay');
  for (const tone of '10*#') assert.equal(keypad.press(tone), true);
  assert.equal(played(), 'Bob 10*#, Cay 10*#');
  assert.deepEqual(sent, ['1', '0', '*', '#']);
  // RFC 4733 asks for 40 ms at least; machines want more.
  for (const [duration, gap] of tones.Bob.times) assert.ok(duration >= 70 && gap >= 50);
});

test('or to one', () => {
  const { keypad, played } = open('Bob', 'Cay');
  keypad.press('7', 'Cay');
  assert.equal(played(), 'Bob , Cay 7');
});

test('and to nobody who has left', () => {
  const { room, keypad, played, sent } = open('Bob', 'Cay');
  room.leave('Cay');
  assert.equal(keypad.press('7', 'Cay'), false);
  assert.deepEqual([played(), sent], ['Bob , Cay ', []]);
});

test('only those who can get tones are offered', () => {
  const { room, keypad, tones } = open('Bob', 'Cay', 'Dan');
  tones.Bob.canInsertDTMF = false;
  room.peer('Cay').connection.connectionState = 'connecting';
  assert.deepEqual(keypad.targets, [{ id: 'Dan', name: 'Dan' }]);
});

test('alone there is nobody', () => {
  const { keypad } = open();
  assert.deepEqual([keypad.targets, keypad.press('1')], [[], false]);
});

test('what is no key of a telephone is no tone', () => {
  const { keypad, played } = open('Bob');
  for (const tone of ['A', '', '12', ',', '١']) assert.equal(keypad.press(tone), false);
  assert.equal(played(), 'Bob ');
});

test('of an endless row of tones the surplus is dropped', () => {
  const { keypad, tones } = open('Bob');
  for (let i = 0; i < 100; i++) keypad.press('1');
  assert.equal(tones.Bob.toneBuffer.length, 32);
});

test('who comes, goes or gets connected changes what is offered, until it is closed', () => {
  const { room, keypad } = open('Bob');
  let changes = 0;
  keypad.on('change', () => changes++);
  room.become('Bob', 'connected');
  room.join('Cay');
  room.leave('Cay');
  assert.equal(changes, 3);
  keypad.close();
  room.leave('Bob');
  assert.equal(changes, 3);
});
