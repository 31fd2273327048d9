// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { Meter, Units } from '../static/app/numbers.js';

const AMOUNTS = /** @type {const} */ ([
  ['bitrate', null, '–', '–'], ['bitrate', 0, '0 kb/s', '0 kb/秒'], ['bitrate', 40_400, '40 kb/s', '40 kb/秒'], ['bitrate', 999_499, '999 kb/s', '999 kb/秒'],
  ['bitrate', 999_500, '1 Mb/s', '1 Mb/秒'], ['bitrate', 12_340_000, '12.3 Mb/s', '12.3 Mb/秒'],
  ['time', null, '–', '–'], ['time', 1.26, '1.3 ms', '1.3毫秒'], ['time', 84.6, '85 ms', '85毫秒'],
  ['share', null, '–', '–'], ['share', 0, '0%', '0%'], ['share', 0.0123, '1.2%', '1.2%'], ['share', 1, '100%', '100%'],
  ['whole', null, '–', '–'], ['whole', 19.6, '20', '20'],
]);
for (const [unit, amount, english, chinese] of AMOUNTS) {
  test(`${unit} ${amount}`, () => {
    // Languages differ in the spaces that they put between.
    const write = (/** @type {string} */ tag) => new Units({ tag })[unit](amount).replace(/\s/g, '');
    assert.deepEqual([write('en'), write('zh-CN')], [english, chinese].map((it) => it.replace(/\s/g, '')));
  });
}

test('units follow the language', () => {
  const language = { tag: 'en' };
  const units = new Units(language);
  assert.match(units.time(5), /ms/);
  language.tag = 'zh-CN';
  assert.match(units.time(5), /毫秒/);
});

/** A page, a room with one peer, and a meter for it. */
class Scene {
  clock = new FakeClock();
  page = Object.assign(new EventTarget(), { hidden: false });
  asked = 0;
  bytes = 0;
  /** @type {(() => void)[]} */
  held = [];
  hold = false;
  /** @type {(number | null | undefined)[][]} */
  seen = [];
  connection = {
    getTransceivers: () => [],
    getStats: async () => {
      this.asked++;
      this.bytes += 1_000;
      if (this.hold) await new Promise((resolve) => this.held.push(() => resolve(null)));
      const stream = { id: 's', type: 'inbound-rtp', kind: 'audio', bytesReceived: this.bytes, timestamp: this.clock.now() };
      return new Map([['s', stream]]);
    },
  };
  peers = new Map(/** @type {[string, any][]} */ ([['bob', { connection: this.connection, member: { id: 'bob' } }]]));
  meter = new Meter({ peers: this.peers }, this.clock, this.page);

  constructor() {
    this.meter.on('numbers', ({ all }) => this.seen.push([...all.values()].map((it) => it?.in.bitrate)));
  }

  /** @param {boolean} hidden */
  hide(hidden) {
    this.page.hidden = hidden;
    this.page.dispatchEvent(new Event('visibilitychange'));
  }
}

test('every second one look per peer while it is on, and none after', async () => {
  const scene = new Scene();
  await scene.clock.advance(5_000);
  assert.equal(scene.asked, 0);
  scene.meter.switch(true);
  await settled();
  await scene.clock.advance(3_000);
  assert.deepEqual([scene.asked, scene.seen], [4, [[undefined], [8_000], [8_000], [8_000]]]);
  scene.meter.switch(false);
  await scene.clock.advance(5_000);
  assert.deepEqual([scene.asked, scene.clock.pending], [4, []]);
});

test('a page that is not seen measures nothing, and what passed meanwhile is not taken for a second', async () => {
  const scene = new Scene();
  scene.meter.switch(true);
  await settled();
  await scene.clock.advance(1_000);
  scene.hide(true);
  await scene.clock.advance(60_000);
  assert.deepEqual([scene.asked, scene.clock.pending], [2, []]);
  scene.hide(false);
  await settled();
  await scene.clock.advance(1_000);
  assert.deepEqual(scene.seen.slice(2), [[undefined], [8_000]]);
  scene.meter.close();
  scene.hide(true);
  scene.hide(false);
  await settled();
  assert.deepEqual([scene.asked, scene.clock.pending], [4, []]);
});

test('a slow answer is waited for, and nothing goes on twice when it was switched meanwhile', async () => {
  const scene = new Scene();
  scene.hold = true;
  scene.meter.switch(true);
  await settled();
  await scene.clock.advance(10_000);
  assert.deepEqual([scene.asked, scene.clock.pending], [1, []]);
  scene.meter.switch(false);
  scene.meter.switch(true);
  await settled();
  scene.hold = false;
  for (const release of scene.held) release();
  await settled();
  assert.deepEqual([scene.asked, scene.clock.pending, scene.seen.length], [2, [1_000], 1]);
});

test('one that fails does not keep the others from being measured; one that has left is not shown', async (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const scene = new Scene();
  const broken = { ...scene.connection, getStats: () => Promise.reject(new Error('closed')) };
  scene.peers.set('cay', { connection: broken, member: { id: 'cay' } });
  scene.peers.set('dan', { connection: { ...scene.connection, getStats: async () => new Map() }, member: { id: 'dan' } });
  scene.meter.switch(true);
  scene.peers.delete('dan');
  await settled();
  await scene.clock.advance(1_000);
  assert.deepEqual(scene.seen, [[undefined, undefined], [8_000, undefined]]);
  assert.equal(warn.mock.callCount(), 2);
});
