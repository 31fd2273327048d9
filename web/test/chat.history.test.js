// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Chat } from '../static/app/chat.js';
import { History, MAX_HISTORY_BYTES, packHistory, unpackHistory } from '../static/app/history.js';

const DAY = 24 * 60 * 60 * 1_000;
const PLEASE = { type: 'history-please' };

/** @param {number} i @param {object} [changes] */
const message = (i, changes) => ({ id: `Bob.${i}.x`, from: 'Bob', name: 'Bob', text: `number ${i}`, at: 1_000 + i, ...changes });
/** @param {number} count @param {object} [changes] */
const many = (count, changes) => Array.from({ length: count }, (_, i) => message(i, changes));

/** @param {...string} names who is here before us */
function open(...names) {
  const room = new FakeRoom(...names);
  const clock = new FakeClock();
  const chat = new Chat(room, clock);
  const history = new History(room, chat, clock);
  const texts = () => chat.messages.map(({ text }) => text);
  /** Who was asked, and how often. */
  const asked = () => [...room.peers].map(([id, peer]) => `${id} ${peer.sent.filter((/** @type {any} */ it) => it.type === PLEASE.type).length}`).join(', ');
  return { room, clock, chat, history, texts, asked };
}

test('the one who has been here longest is asked, and the answer shown', async () => {
  const { room, clock, texts, asked } = open('Bob', 'Cay');
  assert.equal(asked(), 'Bob 1, Cay 0');
  room.hear('Bob', { type: 'history', messages: many(2) });
  assert.deepEqual(texts(), ['number 0', 'number 1']);
  await clock.advance(60_000);
  assert.equal(asked(), 'Bob 1, Cay 0');
  assert.deepEqual(clock.pending, []);
});

test('whoever is alone asks nobody, nor those who come later', async () => {
  const { room, clock, asked } = open();
  room.join('Bob');
  await clock.advance(60_000);
  assert.equal(asked(), 'Bob 0');
});

test('the next one is asked when no answer comes in time, three in all', async () => {
  const { clock, asked } = open('Bob', 'Cay', 'Dan', 'Eve');
  await clock.advance(4_000);
  assert.equal(asked(), 'Bob 1, Cay 1, Dan 0, Eve 0');
  await clock.advance(60_000);
  assert.equal(asked(), 'Bob 1, Cay 1, Dan 1, Eve 0');
});

test('the time for the answer begins when the connection stands', async () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.peer('Bob').result = 'waiting';
  const clock = new FakeClock();
  const history = new History(room, new Chat(room, clock), clock);
  await clock.advance(14_000);
  room.become('Bob', 'connected');
  await clock.advance(3_999);
  assert.deepEqual(room.peer('Cay').sent, []);
  await clock.advance(1);
  assert.deepEqual(room.peer('Cay').sent, [PLEASE]);
  history.close();
  assert.deepEqual(clock.pending, []);
});

for (const [how, happen] of /** @type {[string, (room: FakeRoom) => void][]} */ ([
  ['leaves', (room) => room.leave('Bob')], ['cannot be reached', (room) => room.become('Bob', 'failed')],
])) {
  test(`and at once when the one who was asked ${how}`, () => {
    const { room } = open('Bob', 'Cay');
    happen(room);
    assert.deepEqual(room.peer('Cay').sent, [PLEASE]);
  });
}

test('whoever takes no more is passed over', () => {
  const room = new FakeRoom('Bob', 'Cay');
  room.peer('Bob').result = 'lost';
  new History(room, new Chat(room), new FakeClock());
  assert.deepEqual(room.peer('Cay').sent, [PLEASE]);
});

test('a late answer is taken, too, and nothing comes double', async () => {
  const { room, clock, texts } = open('Bob', 'Cay');
  await clock.advance(4_000);
  room.hear('Cay', { type: 'history', messages: many(2) });
  room.hear('Bob', { type: 'history', messages: many(3) });
  assert.deepEqual(texts(), ['number 0', 'number 1', 'number 2']);
});

test('nobody tells who was not asked, or has told already', () => {
  const { room, texts } = open('Bob', 'Cay');
  room.hear('Cay', { type: 'history', messages: many(1) });
  room.hear('Bob', { type: 'history', messages: [] });
  room.hear('Bob', { type: 'history', messages: many(1) });
  assert.deepEqual(texts(), []);
});

test('after a resume nobody is asked; with a new seat what was missed is', async () => {
  const { room, chat, texts, asked } = open('Bob');
  room.hear('Bob', { type: 'history', messages: many(1) });
  chat.receive({ id: 'Bob', name: 'Bob' }, { id: 'Bob.1.x', text: 'number 1' });
  room.rejoin(true);
  await settled();
  assert.equal(asked(), 'Bob 1');
  room.rejoin(false, 'Bob', 'Cay');
  await settled();
  assert.equal(asked(), 'Bob 1, Cay 0');
  chat.receive({ id: 'Bob', name: 'Bob' }, { id: 'Bob.3.x', text: 'number 3' });
  room.hear('Bob', { type: 'history', messages: many(4) });
  assert.deepEqual(texts(), ['number 0', 'number 1', 'number 2', 'number 3']);
});

test('whoever asks is told once in a while', async () => {
  const { room, clock, chat } = open();
  room.join('Bob');
  chat.send('hello');
  for (let i = 0; i < 3; i++) room.hear('Bob', PLEASE);
  const { sent } = room.peer('Bob');
  assert.deepEqual(sent.map(({ type }) => type), ['chat', 'history']);
  assert.deepEqual(sent[1].messages, [{ id: sent[0].id, from: 'ME', name: 'Me', text: 'hello', at: clock.now() }]);
  await clock.advance(5_000);
  room.hear('Bob', PLEASE);
  assert.equal(sent.length, 3);
});

test('an answer has the newest hundred messages', () => {
  const packed = packHistory(many(150));
  assert.deepEqual([packed.length, packed[0].text, packed.at(-1)?.text], [100, 'number 50', 'number 149']);
});

test('and no more bytes than go out at once, whatever the letters', () => {
  const packed = packHistory(many(100, { text: '茶'.repeat(1_000) }));
  const size = new TextEncoder().encode(JSON.stringify({ type: 'history', messages: packed })).length;
  assert.ok(size <= MAX_HISTORY_BYTES && size > MAX_HISTORY_BYTES - 3_200, `${size} bytes in ${packed.length} messages`);
});

test('an answer that is too big is cut here, too', () => {
  assert.equal(unpackHistory(many(300), DAY).length, 100);
  assert.ok(unpackHistory(many(100, { text: 'x'.repeat(4_000) }), DAY).length <= 10);
});

const BAD = [
  ['no object', null], ['no id', message(1, { id: undefined })], ['a strange id', message(1, { id: 'a b' })], ['an endless id', message(1, { id: 'x'.repeat(65) })],
  ['no sender', message(1, { from: 7 })], ['no name', message(1, { name: '\u200b' })], ['no text', message(1, { text: {} })], ['an empty text', message(1, { text: ' \n' })],
  ['no time', message(1, { at: '12:00' })], ['no number as its time', message(1, { at: NaN })],
];
for (const [what, bad] of BAD) {
  test(`a message with ${what} is left out`, () => {
    assert.deepEqual(unpackHistory([bad, message(2)], DAY).map(({ text }) => text), ['number 2']);
  });
}

test('nor does what somebody tells turn writing around', () => {
  assert.deepEqual(unpackHistory([message(1, { text: '\u202Eone\u2069' }), message(2, { text: '\u202E' })], DAY).map(({ text }) => text), ['one']);
});

test('what is no list is nothing', () => {
  for (const said of [undefined, null, 'x', {}, 7]) assert.deepEqual(unpackHistory(said, DAY), []);
});

test('times are such as can be', () => {
  const now = 10 * DAY;
  const times = [now - 5, now + 3_600_000, now - 5 * DAY].map((at, i) => message(i, { at }));
  assert.deepEqual(unpackHistory(times, now).map(({ at }) => at), [now - 5, now, now - DAY]);
});
