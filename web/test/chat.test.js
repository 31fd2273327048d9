// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chat, splitLinks } from '../static/app/chat.js';

const BOB = { id: 'bob', name: 'Bob' };

/** @param {[string, import('../sdk/maitred.js').Sent][]} [results] by member id */
function open(results = []) {
  /** @type {any[]} */
  const said = [];
  const room = {
    self: { id: 'ann', name: 'Ann' }, members: new Map([['bob', BOB], ['cay', { id: 'cay', name: 'Cay' }]]),
    send: (/** @type {unknown} */ message) => {
      said.push(message);
      return new Map(results);
    },
  };
  const chat = new Chat(room, () => 7);
  /** @type {any[]} */
  const events = [];
  chat.on('message', ({ name, text, own }) => events.push({ name, text, own }));
  chat.on('notice', ({ key, params }) => events.push({ key, ...params }));
  chat.on('unread', ({ count }) => events.push(count));
  return { chat, said, events };
}

test('messages of members are shown and counted', () => {
  const { chat, events } = open();
  chat.receive(BOB, ' hello ');
  assert.deepEqual(events, [{ name: 'Bob', text: 'hello', own: false }, 1]);
});

test('what is empty or no text is not', () => {
  const { chat, events } = open();
  for (const said of [' \n ', 7, null, undefined, { toString: () => 'x' }]) chat.receive(BOB, said);
  assert.deepEqual(events, []);
});

test('and what is too long is cut', () => {
  const { chat, events } = open();
  chat.receive(BOB, 'x'.repeat(5_000));
  assert.equal(events[0].text.length, 4_000);
});

test('who reads has nothing unread', () => {
  const { chat, events } = open();
  chat.receive(BOB, 'one');
  chat.setReading(true);
  chat.receive(BOB, 'two');
  assert.equal(chat.unread, 0);
  chat.setReading(false);
  chat.receive(BOB, 'three');
  assert.deepEqual(events.filter(Number.isInteger), [1, 0, 1]);
});

test('what is sent is shown', () => {
  const { chat, said, events } = open([['bob', 'sent']]);
  assert.equal(chat.send('  hi '), true);
  assert.equal(chat.send('   '), false);
  assert.deepEqual(said, [{ type: 'chat', text: 'hi', at: 7 }]);
  assert.deepEqual(events, [{ name: 'Ann', text: 'hi', own: true }]);
});

test('whoever has to wait for it is named', () => {
  const { chat, events } = open([['bob', 'waiting'], ['cay', 'waiting']]);
  chat.send('hi');
  assert.deepEqual(events.slice(1), [{ key: 'chat.waiting', names: 'Bob, Cay' }]);
});

test('and whoever gets nothing, too', () => {
  const { chat, events } = open([['bob', 'sent'], ['cay', 'lost']]);
  chat.send('hi');
  assert.deepEqual(events.slice(1), [{ key: 'chat.lost', names: 'Cay' }]);
});

test('being alone is told', () => {
  const { chat, events } = open();
  chat.send('hi');
  assert.deepEqual(events.at(-1), { key: 'chat.nobody' });
});

const LINKS = [
  { content: 'no link', parts: ['no link'], hrefs: [] },
  { content: 'see https://a.example/b?c=d.', parts: ['see ', 'https://a.example/b?c=d', '.'], hrefs: ['https://a.example/b?c=d'] },
  { content: '(http://a.example)', parts: ['(', 'http://a.example', ')'], hrefs: ['http://a.example/'] },
  { content: 'javascript:alert(1)', parts: ['javascript:alert(1)'], hrefs: [] },
  { content: 'https://[', parts: ['https://['], hrefs: [] },
  { content: '<https://a.example>', parts: ['<', 'https://a.example', '>'], hrefs: ['https://a.example/'] },
];
for (const { content, parts, hrefs } of LINKS) {
  test(`links in ${content}`, () => {
    const split = splitLinks(content);
    assert.deepEqual(split.map(({ text }) => text), parts);
    assert.deepEqual(split.map(({ href }) => href).filter(Boolean), hrefs);
  });
}
