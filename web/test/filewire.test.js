// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../fakes/clock.js';
import { formatBytes, formatDuration } from '../static/app/filerows.js';
import { Speed } from '../static/app/filetransfer.js';
import { cleanName, frameSize, parseFrame, parseMessage, writeFrame } from '../static/app/filewire.js';

const NAMES = [
  ['photo.jpg', 'photo.jpg'],
  ['年度报告.pdf', '年度报告.pdf'],
  ['/etc/passwd', 'passwd'],
  ['..\\..\\a.txt', 'a.txt'],
  ['..', 'file'],
  ['', 'file'],
  ['.bashrc', 'bashrc'],
  ['a\u0000b\nc.txt', 'abc.txt'],
  ['invoice\u202Efdp.exe', 'invoicefdp.exe'],
  ['\uD800x', 'x'],
  ['what?*<>.txt', 'what____.txt'],
  ['trailing. . ', 'trailing'],
  [`invoice.pdf${' '.repeat(80)}.exe`, 'invoice.pdf .exe'],
  ['a\u3000\u2800\u3164\u00a0b.txt', 'a b.txt'],
  ['CON', '_CON'],
  ['nul.tar.gz', '_nul.tar.gz'],
  ['console.txt', 'console.txt'],
  [`${'x'.repeat(300)}.html`, `${'x'.repeat(120)}.html`],
  [`${'😀'.repeat(200)}.png`, `${'😀'.repeat(120)}.png`],
];
for (const [given, safe] of NAMES) {
  test(`name ${JSON.stringify(given).slice(0, 40)}`, () => assert.equal(cleanName(given), safe));
}

test('frames come back as they were', () => {
  const frame = { id: 7, round: 2, piece: 16_383, offset: 65_520, bytes: new Uint8Array([1, 2, 3]) };
  assert.deepEqual(parseFrame(writeFrame(frame).buffer), frame);
});

test('a message is what the documents say', () => {
  const want = { as: 'receiver', id: 1, type: 'want', round: 1, from: 0 };
  assert.deepEqual(parseMessage(JSON.stringify(want)), want);
  assert.equal(parseMessage(JSON.stringify({ ...want, as: 'sender' })), null);
  // A reason that this page does not know, or may not be told.
  for (const reason of ['tired', 'gone']) {
    assert.equal(/** @type {any} */ (parseMessage(JSON.stringify({ as: 'sender', id: 1, type: 'cancel', reason }))).reason, 'cancelled');
  }
});

const FRAMES = [[undefined, 65_520], [0, 65_520], [Infinity, 65_520], [262_144, 65_520], [16_384, 16_368]];
for (const [maximum, bytes] of FRAMES) {
  test(`frames where messages have at most ${maximum} bytes`, () => assert.equal(frameSize(maximum), bytes));
}

test('the speed is that of the last seconds', async () => {
  const clock = new FakeClock();
  const speed = new Speed(clock);
  assert.equal(speed.value, 0);
  for (let second = 0; second <= 60; second++) {
    speed.add(second < 30 ? second * 1_000 : 30_000 + (second - 30) * 5_000);
    await clock.advance(1_000);
  }
  assert.equal(speed.value, 5_000);
  speed.reset();
  assert.equal(speed.value, 0);
});

const plain = (/** @type {string} */ it) => it.replace(/\u00a0/g, ' ');

const SIZES = /** @type {[number, string, string][]} */ ([
  [0, '0 bytes', '0字节'], [1, '1 byte', '1字节'], [999, '999 bytes', '999字节'], [1_000, '1 kB', '1kB'], [1_550_000, '1.6 MB', '1.6MB'],
  [2 ** 34, '17.2 GB', '17.2GB'],
]);
for (const [bytes, en, zh] of SIZES) {
  test(`${bytes} bytes in words`, () => {
    assert.equal(plain(formatBytes('en', bytes)), en);
    // Whether there is a space differs between versions of ICU.
    assert.equal(plain(formatBytes('zh-CN', bytes)).replace(' ', ''), zh);
  });
}

test('time that is left in words', () => {
  assert.deepEqual([3, 89, 90, 600, 7_200].map((seconds) => plain(formatDuration('en', seconds))), ['3 sec', '89 sec', '2 min', '10 min', '2 hr']);
  assert.equal(plain(formatDuration('zh-CN', 600)).replace(' ', ''), '10分钟');
});
