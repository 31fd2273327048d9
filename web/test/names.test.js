// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initials, isRoomName, memberName, roomName, roomOfPath, suggestRoom, tokenOfHash } from '../static/app/names.js';

const ROOMS = [
  ['tea', 'tea'], ['Tea Room', 'Tea-Room'], ['  a  b  ', 'a-b'], ['café', 'cafe'], ['a_b-c', 'a_b-c'], ['../etc', 'etc'], ['茶室', ''], ['茶室 2', '2'],
  ['-foo', '-foo'], [' _a- ', '_a-'], ['--- foo', 'foo'], ['', ''], ['x'.repeat(90), 'x'.repeat(64)],
];
for (const [typed, room] of ROOMS) {
  test(`room name "${typed.slice(0, 20)}"`, () => assert.equal(roomName(typed), room));
}

for (const [name, valid] of /** @type {[string, boolean][]} */ ([
  ['tea', true], ['-foo', true], ['_', true], ['x'.repeat(64), true], ['x'.repeat(65), false], ['', false], ['a b', false], ['é', false], ['a\n', false],
])) {
  test(`a room may ${valid ? '' : 'not '}be called ${JSON.stringify(name)}`, () => assert.equal(isRoomName(name), valid));
}

test('suggested rooms are valid as they are', () => {
  for (let i = 0; i < 50; i++) {
    const room = suggestRoom();
    assert.equal(roomName(room), room);
    assert.match(room, /^[a-z]+-[a-z]+-[a-z]+-\d{3}$/);
  }
});

const NAMES = [
  [' Ann ', 'Ann'], ['An\u0000n\u202e', 'Ann'], ['李雷', '李雷'], ['👩\u200d🚀'.repeat(70), '👩\u200d🚀'.repeat(21) + '👩'],
  ['👨\u200d👩\u200d👧', '👨\u200d👩\u200d👧'], ['می\u200cنا', 'می\u200cنا'], ['\u200d \u200c', ''], ['\u3164\ufe0f\u2800', ''], ['\ufeffAnn\u200d ', 'Ann'], ['', ''],
];
for (const [typed, name] of NAMES) {
  test(`person's name "${typed.slice(0, 12)}"`, () => assert.equal(memberName(typed), name));
}

const PATHS = [['/', ''], ['/r/tea', 'tea'], ['/r/tea/', ''], ['/r/-tea', '-tea'], ['/r/a%20b', 'a b'], ['/r/', ''], ['/r/a/b', ''], ['/r/%', '']];
for (const [path, room] of PATHS) {
  test(`room of ${path}`, () => assert.equal(roomOfPath(path), room));
}

test('initials', () => {
  assert.deepEqual(['Ann Lee', 'ann', '李雷', 'Ann van der Berg', ' '].map(initials), ['AL', 'A', '李', 'AB', '?']);
});

const HASHES = [['#token=a.b-c_d', 'a.b-c_d'], ['#x=1&token=a', 'a'], ['#token=', ''], ['#token', ''], ['#a', ''], ['', '']];
for (const [hash, token] of HASHES) {
  test(`token of "${hash}"`, () => assert.equal(tokenOfHash(hash), token));
}
