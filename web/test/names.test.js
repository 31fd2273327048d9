// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webSocketURL } from '../static/app/app.js';
import { initials, memberName, roomName, roomOfPath, suggestRoom } from '../static/app/names.js';

const ROOMS = [
  ['tea', 'tea'], ['Tea Room', 'Tea-Room'], ['  a  b  ', 'a-b'], ['café', 'cafe'], ['a_b-c', 'a_b-c'], ['../etc', 'etc'], ['茶室', ''], ['茶室 2', '2'],
  ['', ''], ['x'.repeat(90), 'x'.repeat(64)],
];
for (const [typed, room] of ROOMS) {
  test(`room name "${typed.slice(0, 20)}"`, () => assert.equal(roomName(typed), room));
}

test('suggested rooms are valid as they are', () => {
  for (let i = 0; i < 50; i++) {
    const room = suggestRoom();
    assert.equal(roomName(room), room);
    assert.match(room, /^[a-z]+-[a-z]+-[a-z]+-\d{3}$/);
  }
});

const NAMES = [
  [' Ann ', 'Ann'], ['An\u0000n\u202e', 'Ann'], ['李雷', '李雷'], ['👩‍🚀'.repeat(70), '👩🚀'.repeat(32)], ['', ''],
];
for (const [typed, name] of NAMES) {
  test(`person's name "${typed.slice(0, 12)}"`, () => assert.equal(memberName(typed), name));
}

const PATHS = [['/', ''], ['/r/tea', 'tea'], ['/r/tea/', 'tea'], ['/r/a%20b', 'a b'], ['/r/', ''], ['/r/a/b', ''], ['/r/%', '']];
for (const [path, room] of PATHS) {
  test(`room of ${path}`, () => assert.equal(roomOfPath(path), room));
}

test('initials', () => {
  assert.deepEqual(['Ann Lee', 'ann', '李雷', 'Ann van der Berg', ' '].map(initials), ['AL', 'A', '李', 'AB', '?']);
});

test('the WebSocket is as secure as the page', () => {
  assert.equal(webSocketURL({ protocol: 'https:', host: 'a:1' }), 'wss://a:1/ws');
  assert.equal(webSocketURL({ protocol: 'http:', host: 'a' }), 'ws://a/ws');
});
