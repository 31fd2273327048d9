// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { Wake } from '../static/app/wake.js';

class FakePage extends EventTarget {
  visibilityState = 'visible';

  /** @param {'visible' | 'hidden'} state */
  become(state) {
    this.visibilityState = state;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

/** A clock that can stand still: timers that fall due meanwhile run late, once. */
class SleepingClock {
  #clock = new FakeClock();
  #slept = 0;

  now = () => this.#clock.now() + this.#slept;

  after = this.#clock.after;

  get pending() {
    return this.#clock.pending;
  }

  /** @param {number} ms */
  advance(ms) {
    return this.#clock.advance(ms);
  }

  /** @param {number} ms */
  sleep(ms) {
    this.#slept += ms;
  }
}

function open() {
  const clock = new SleepingClock();
  const page = new FakePage();
  /** @type {string[]} */
  const events = [];
  /** @type {Map<string, any>} */
  const peers = new Map();
  /** @type {any[]} */
  const locks = [];
  const lock = {
    request: async () => {
      const sentinel = { released: false, release: async () => void (sentinel.released = true) };
      locks.push(sentinel);
      return /** @type {any} */ (sentinel);
    },
  };
  const room = {
    peers, reconnect: () => void events.push('reconnect'),
    restart: async (/** @type {any} */ id, /** @type {any} */ how) => void events.push(`restart ${id} ${JSON.stringify(how)}`),
  };
  const wake = new Wake({ room, clock, page, lock });
  return { wake, clock, page, events, peers, locks };
}

test('a clock that runs as it should is no reason for anything', async () => {
  const { clock, events, wake } = open();
  await clock.advance(600_000);
  assert.deepEqual(events, []);
  wake.close();
  assert.deepEqual(clock.pending, []);
});

test('one that has jumped is: the computer slept', async () => {
  const { clock, events } = open();
  clock.sleep(20_000);
  await clock.advance(5_000);
  assert.deepEqual(events, ['reconnect']);
  await clock.advance(600_000);
  assert.deepEqual(events, ['reconnect']);
});

test('a small jump is a busy computer', async () => {
  const { clock, events } = open();
  clock.sleep(10_000);
  await clock.advance(60_000);
  assert.deepEqual(events, []);
});

test('connections that turn out to be dead are restarted as if a person had asked, those that live are not', async () => {
  const { clock, events, peers } = open();
  peers.set('bob', { status: 'reconnecting', connection: { connectionState: 'disconnected' } });
  peers.set('cay', { status: 'connected', connection: { connectionState: 'connected' } });
  peers.set('dan', { status: 'failed', connection: { connectionState: 'connecting' } });
  clock.sleep(60_000);
  await clock.advance(5_000);
  await clock.advance(3_000);
  const how = JSON.stringify({ manual: true, patient: true });
  assert.deepEqual(events, ['reconnect', `restart bob ${how}`, `restart dan ${how}`]);
  peers.delete('dan');
  peers.get('bob').connection.connectionState = 'connected';
  await clock.advance(60_000);
  assert.equal(events.length, 3);
});

test('a page that was frozen while it was hidden recovers when it is seen, whether or not its timers come first', async () => {
  for (const timersFirst of [true, false]) {
    const { clock, events, page } = open();
    page.become('hidden');
    clock.sleep(40_000);
    if (timersFirst) await clock.advance(5_000);
    page.become('visible');
    assert.deepEqual(events, ['reconnect'], String(timersFirst));
  }
});

test('late timers of a hidden page are usual', async () => {
  const { clock, events, page } = open();
  page.become('hidden');
  for (let minute = 0; minute < 5; minute++) {
    clock.sleep(55_000);
    await clock.advance(5_000);
  }
  assert.deepEqual(events, []);
  clock.sleep(200_000);
  await clock.advance(5_000);
  assert.deepEqual(events, ['reconnect']);
});

test('a look at another tab is nothing', async () => {
  const { clock, events, page } = open();
  page.become('hidden');
  await clock.advance(120_000);
  page.become('visible');
  assert.deepEqual(events, []);
});

test('waking up is not done twice at once', async () => {
  const { clock, events, page } = open();
  page.become('hidden');
  clock.sleep(200_000);
  await clock.advance(5_000);
  page.become('visible');
  assert.deepEqual(events, ['reconnect']);
});

test('the screen stays on while the page is seen, and may go dark after the call', async () => {
  const { wake, page, locks } = open();
  await settled();
  assert.equal(locks.length, 1);
  // The browser lets go of it when the page is hidden.
  locks[0].released = true;
  page.become('hidden');
  page.become('visible');
  await settled();
  assert.equal(locks.length, 2);
  page.become('visible');
  await settled();
  assert.equal(locks.length, 2);
  wake.close();
  assert.deepEqual(locks.map(({ released }) => released), [true, true]);
});

test('a lock that comes after the end is given back', async () => {
  const { wake, locks } = open();
  wake.close();
  await settled();
  assert.deepEqual(locks.map(({ released }) => released), [true]);
});

test('a browser that refuses the lock, or has none, has a call all the same', async () => {
  const clock = new FakeClock();
  const room = { peers: new Map(), reconnect: () => {}, restart: async () => {} };
  for (const lock of [undefined, { request: async () => { throw new DOMException('low battery', 'NotAllowedError'); } }]) {
    const wake = new Wake({ room, clock, page: new FakePage(), lock });
    await settled();
    wake.close();
  }
  assert.deepEqual(clock.pending, []);
});
