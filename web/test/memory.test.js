// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from '../static/app/memory.js';

/** @returns {any} */
function storage() {
  const items = new Map();
  return {
    items, getItem: (/** @type {string} */ name) => items.get(name) ?? null,
    setItem: (/** @type {string} */ name, /** @type {string} */ value) => items.set(name, value),
    removeItem: (/** @type {string} */ name) => items.delete(name),
  };
}

test('what opens a room is kept for the tab only, and forgotten', () => {
  const [lasting, tab] = [storage(), storage()];
  const memory = new Memory(() => lasting, () => tab);
  assert.equal(memory.key, null);
  memory.key = { room: 'tea', token: 't', password: 'p' };
  assert.deepEqual(memory.key, { room: 'tea', token: 't', password: 'p' });
  assert.deepEqual([lasting.items.size, tab.items.size], [0, 1]);
  memory.key = null;
  assert.equal(tab.items.size, 0);
});

for (const junk of ['{', 'null', '7', '{"room":7}']) {
  test(`${junk} is no key and no seat`, () => {
    const tab = storage();
    tab.items.set('maitred.key', junk);
    tab.items.set('maitred.seat', junk);
    const memory = new Memory(storage, () => tab);
    assert.deepEqual([memory.key, memory.seat], [null, null]);
  });
}

test('a browser that forbids storage remembers nothing', () => {
  const forbidden = () => {
    throw new Error('no');
  };
  const memory = new Memory(forbidden, forbidden);
  memory.key = { room: 'tea' };
  memory.name = 'Ann';
  assert.deepEqual([memory.key, memory.seat, memory.name, memory.language], [null, null, '', '']);
});

test('settings last, and go when they are emptied', () => {
  const lasting = storage();
  const memory = new Memory(() => lasting, storage);
  assert.equal(memory.setting('camera'), '');
  memory.setSetting('camera', 'c1');
  assert.equal(new Memory(() => lasting, storage).setting('camera'), 'c1');
  memory.setSetting('camera', '');
  assert.equal(lasting.items.size, 0);
});

test('the last five rooms are remembered, each once, the newest first', () => {
  const lasting = storage();
  const memory = new Memory(() => lasting, storage);
  assert.deepEqual(memory.recent, []);
  for (const room of ['a', 'b', 'c', 'a', 'd', 'e', 'f']) memory.addRecent(room);
  assert.deepEqual(memory.recent, ['f', 'e', 'd', 'a', 'c']);
  memory.removeRecent('d');
  assert.deepEqual(memory.recent, ['f', 'e', 'a', 'c']);
  for (const room of memory.recent) memory.removeRecent(room);
  assert.equal(lasting.items.size, 0);
});

for (const [junk, rooms] of /** @type {[string, string[]][]} */ ([['{', []], ['{"a":1}', []], ['["tea",7,"<b>",""]', ['tea']]])) {
  test(`of ${junk} the rooms are ${rooms}`, () => {
    const lasting = storage();
    lasting.items.set('maitred.recent', junk);
    assert.deepEqual(new Memory(() => lasting, storage).recent, rooms);
  });
}
