// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { FakeRoom } from '../fakes/room.js';
import { Chat, splitLinks } from '../static/app/chat.js';

const BOB = { id: 'Bob', name: 'Bob' };

function open(room = new FakeRoom('Bob', 'Cay')) {
  const clock = new FakeClock();
  const chat = new Chat(room, clock);
  /** @type {any[]} */
  const events = [];
  chat.on('message', ({ name, text, own }) => events.push({ name, text, own }));
  chat.on('notice', ({ key, params }) => events.push({ key, ...params }));
  chat.on('unread', ({ count }) => events.push(count));
  chat.on('earlier', ({ messages, before, name }) => events.push({ earlier: messages.map(({ text }) => text), before: before?.text ?? null, name }));
  return { chat, room, clock, events };
}

/** @param {string} id @param {string} text @param {string} [from] */
const told = (id, text, from = 'Bob') => ({ id, from, name: from, text, at: 7 });

test('messages of members are shown and counted', () => {
  const { chat, events } = open();
  chat.receive(BOB, { text: ' hello ' });
  assert.deepEqual(events, [{ name: 'Bob', text: 'hello', own: false }, 1]);
});

test('with the time of our own clock, whatever theirs says', () => {
  const { chat, clock } = open();
  chat.receive(BOB, /** @type {any} */ ({ id: 'Bob.1.x', text: 'hello', at: 5 }));
  assert.equal(chat.messages[0].at, clock.now());
});

test('what is empty or no text is not', () => {
  const { chat, events } = open();
  for (const text of [' \n ', 7, null, undefined, { toString: () => 'x' }]) chat.receive(BOB, { text });
  assert.deepEqual(events, []);
});

test('and what is too long is cut', () => {
  const { chat, events } = open();
  chat.receive(BOB, { text: 'x'.repeat(5_000) });
  assert.equal(events[0].text.length, 4_000);
});

test('a message that comes twice is shown once', () => {
  const { chat } = open();
  for (let i = 0; i < 2; i++) chat.receive(BOB, { id: 'Bob.1.x', text: 'hello' });
  assert.deepEqual(chat.messages.map(({ id }) => id), ['Bob.1.x']);
});

test('nobody takes the id of somebody else\'s message', () => {
  const { chat } = open();
  chat.receive(BOB, { id: 'Cay.1.x', text: 'mine' });
  chat.receive({ id: 'Cay', name: 'Cay' }, { id: 'Cay.1.x', text: 'no, mine' });
  assert.deepEqual(chat.messages.map(({ text }) => text), ['mine', 'no, mine']);
});

test('pages that give no id say the same twice if they want', () => {
  const { chat } = open();
  for (const id of [undefined, 7, 'x y', undefined]) chat.receive(BOB, { id, text: 'hello' });
  assert.equal(new Set(chat.messages.map(({ id }) => id)).size, 4);
});

test('no more than 500 messages are kept', async () => {
  const { chat, clock } = open();
  for (let i = 0; i < 505; i++) {
    chat.receive(BOB, { text: `${i}` });
    await clock.advance(200);
  }
  assert.equal(chat.messages.length, 500);
  assert.equal(chat.messages[0].text, '5');
});

test('who reads has nothing unread', () => {
  const { chat, events } = open();
  chat.receive(BOB, { text: 'one' });
  chat.setReading(true);
  chat.receive(BOB, { text: 'two' });
  assert.equal(chat.unread, 0);
  chat.setReading(false);
  chat.receive(BOB, { text: 'three' });
  assert.deepEqual(events.filter(Number.isInteger), [1, 0, 1]);
});

test('what is sent is shown, each under an id of its own', () => {
  const { chat, room, clock, events } = open();
  assert.equal(chat.send('  hi '), true);
  assert.equal(chat.send('   '), false);
  chat.send('hi');
  const [first, second] = room.peer('Bob').sent;
  assert.deepEqual({ ...first, id: '' }, { type: 'chat', id: '', text: 'hi', at: clock.now() });
  assert.match(first.id, /^ME\.1\.\w+$/);
  assert.notEqual(second.id, first.id);
  assert.deepEqual(events[0], { name: 'Me', text: 'hi', own: true });
});

test('whoever has to wait for it is named', () => {
  const { chat, room, events } = open();
  for (const id of ['Bob', 'Cay']) room.peer(id).result = 'waiting';
  chat.send('hi');
  assert.deepEqual(events.slice(1), [{ key: 'chat.waiting', names: 'Bob, Cay' }]);
});

test('and whoever gets nothing, too', () => {
  const { chat, room, events } = open();
  room.peer('Cay').result = 'lost';
  chat.send('hi');
  assert.deepEqual(events.slice(1), [{ key: 'chat.lost', names: 'Cay' }]);
});

test('being alone is told', () => {
  const { chat, events } = open(new FakeRoom());
  chat.send('hi');
  assert.deepEqual(events.at(-1), { key: 'chat.nobody' });
});

test('what was said before comes before what is said since, and is not unread', () => {
  const { chat, events } = open();
  chat.receive(BOB, { id: 'Bob.3.x', text: 'three' });
  chat.merge(BOB, [told('Bob.1.x', 'one'), told('Bob.2.x', 'two'), told('Bob.3.x', 'three')]);
  assert.deepEqual(chat.messages.map(({ text }) => text), ['one', 'two', 'three']);
  assert.deepEqual(events.at(-1), { earlier: ['one', 'two'], before: 'three', name: 'Bob' });
  assert.equal(chat.unread, 1);
});

test('what was missed comes after what was there before, and what is known is not told again', () => {
  const { chat, events } = open();
  chat.receive(BOB, { id: 'Bob.1.x', text: 'one' });
  chat.takeSeat();
  chat.receive(BOB, { id: 'Bob.3.x', text: 'three' });
  chat.merge(BOB, [told('Bob.1.x', 'one'), told('Bob.2.x', 'two'), told('Bob.3.x', 'three')]);
  assert.deepEqual(chat.messages.map(({ text }) => text), ['one', 'two', 'three']);
  const count = events.length;
  chat.merge(BOB, [told('Bob.1.x', 'one'), told('Bob.2.x', 'two')]);
  assert.equal(events.length, count);
});

test('nobody tells us what we have said', () => {
  const { chat } = open();
  chat.merge(BOB, [told('ME.9.x', 'I owe Bob money', 'ME')]);
  assert.deepEqual(chat.messages, []);
});

test('of a flood by one the surplus is dropped with one notice, which harms nobody else', async () => {
  const { chat, clock, events } = open();
  const flood = () => {
    for (let i = 0; i < 100; i++) chat.receive(BOB, { text: `${i}` });
  };
  const notices = () => events.filter(({ key }) => key === 'chat.flood');
  flood();
  assert.equal(chat.messages.length, 20);
  assert.deepEqual(notices(), [{ key: 'chat.flood', name: 'Bob' }]);
  chat.receive({ id: 'Cay', name: 'Cay' }, { text: 'hello' });
  assert.equal(chat.messages.length, 21);
  await clock.advance(1_000);
  flood();
  assert.deepEqual([chat.messages.length, notices().length], [26, 1]);
  await clock.advance(4_000);
  flood();
  assert.deepEqual([chat.messages.length, notices().length], [46, 2]);
});

test('nothing is kept of those who have left', () => {
  const { chat, room, events } = open();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 21; i++) chat.receive(BOB, { text: `${i}` });
    if (round === 0) room.leave('Bob');
  }
  assert.equal(chat.messages.length, 40);
  assert.equal(events.filter(({ key }) => key === 'chat.flood').length, 2);
});

test('what turns writing around is taken out, here and there', () => {
  const { chat, room } = open();
  chat.receive(BOB, { text: '\u202Ehttps://a.example/\u2066x\u2069' });
  chat.send('\u202Dhi\u202C');
  assert.deepEqual(chat.messages.map(({ text }) => text), ['https://a.example/x', 'hi']);
  assert.equal(room.peer('Bob').sent[0].text, 'hi');
  assert.equal(chat.send('\u202E'), false);
});

const LINKS = [
  { content: 'no link', parts: ['no link'], hrefs: [] },
  { content: 'see https://a.example/b?c=d.', parts: ['see ', 'https://a.example/b?c=d', '.'], hrefs: ['https://a.example/b?c=d'] },
  { content: '(http://a.example)', parts: ['(', 'http://a.example', ')'], hrefs: ['http://a.example/'] },
  { content: 'javascript:alert(1)', parts: ['javascript:alert(1)'], hrefs: [] },
  { content: 'https://[', parts: ['https://['], hrefs: [] },
  { content: 'https://good.example@evil.example/', parts: ['https://good.example@evil.example/'], hrefs: [] },
  { content: 'https://:word@evil.example/', parts: ['https://:word@evil.example/'], hrefs: [] },
  { content: '<https://a.example>', parts: ['<', 'https://a.example', '>'], hrefs: ['https://a.example/'] },
];
for (const { content, parts, hrefs } of LINKS) {
  test(`links in ${content}`, () => {
    const split = splitLinks(content);
    assert.deepEqual(split.map(({ text }) => text), parts);
    assert.deepEqual(split.map(({ href }) => href).filter(Boolean), hrefs);
  });
}
