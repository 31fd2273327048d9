// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { FakeSocket } from '../fakes/socket.js';
import { Reach } from '../static/app/reach.js';
import { Signaling } from '../static/sdk/maitred.js';

/** @param {{answers?: boolean | Error}} [server] */
function start({ answers = true } = {}) {
  const clock = new FakeClock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {(string | undefined)[]} */
  const said = [];
  const probes = { count: 0 };
  const signaling = new Signaling({
    url: 'ws://x/ws', room: 'tea', name: 'Ann', clock, random: () => 1,
    createSocket: (url, protocol) => {
      const socket = new FakeSocket(url, protocol);
      sockets.push(socket);
      return socket;
    },
  });
  const reach = new Reach({
    signaling, clock, say: (words) => said.push(words?.key),
    probe: async () => {
      probes.count++;
      if (answers instanceof Error) throw answers;
      return answers;
    },
  });
  signaling.start();
  return { clock, said, probes, reach, signaling, last: () => sockets[sockets.length - 1] };
}

/** @param {ReturnType<typeof start>} all */
async function failTwice({ clock, last }) {
  last().drop(1006);
  await clock.advance(500);
  last().drop(1006);
  await settled();
}

test('one failure is a server that does not answer', async () => {
  const { said, probes, last } = start();
  last().drop(1006);
  await settled();
  assert.equal(said.at(-1), 'join.retrying');
  assert.equal(probes.count, 0);
});

test('after the second, a server that answers plain HTTP says that WebSockets are blocked', async () => {
  const all = start();
  await failTwice(all);
  assert.equal(all.said.at(-1), 'join.blocked');
  await all.clock.advance(1_000);
  all.last().drop(1006);
  await settled();
  assert.equal(all.said.at(-1), 'join.blocked', 'and it stays');
  assert.equal(all.probes.count, 1);
});

for (const answers of [false, new Error('no network')]) {
  test(`a server that does not answer either is just away (${answers})`, async () => {
    const all = start({ answers });
    await failTwice(all);
    assert.equal(all.said.at(-1), 'join.retrying');
    assert.equal(all.probes.count, 1);
  });
}

test('an upgrade that hangs gets words long before it is given up', async () => {
  const { clock, said } = start({ answers: false });
  await clock.advance(3_999);
  assert.equal(said.at(-1), undefined);
  await clock.advance(1);
  assert.equal(said.at(-1), 'join.slow');
});

test('and more of them when the server answers otherwise', async () => {
  const { clock, said } = start();
  await clock.advance(4_000);
  await settled();
  assert.deepEqual(said.slice(-2), ['join.slow', 'join.blocked']);
});

test('a connection that has opened is not blocked, whatever comes later', async () => {
  const all = start();
  all.last().open();
  await all.clock.advance(4_000);
  all.last().drop(1006);
  await all.clock.advance(500);
  all.last().drop(1006);
  await settled();
  assert.equal(all.said.at(-1), 'join.retrying');
  assert.equal(all.probes.count, 0);
});

test('an answer that comes when nobody waits any more is not told', async () => {
  const all = start();
  await failTwice(all);
  all.reach.close();
  const before = all.said.length;
  await all.clock.advance(60_000);
  assert.equal(all.said.length, before);
});

const REFUSALS = [['rate_limited', 'join.busy'], ['too_many_rooms', 'join.noRoom'], ['server_draining', 'join.restarting']];
for (const [code, key] of REFUSALS) {
  test(`${code}: ${key}`, () => {
    const { said, last } = start();
    last().open();
    last().receive({ type: 'error', code, request: 'join' });
    assert.equal(said.at(-1), key);
  });
}
