// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { Reach } from '../static/app/reach.js';

/** @param {{answers?: boolean | Error}} [server] */
function start({ answers = true } = {}) {
  const clock = new FakeClock();
  /** @type {(string | undefined)[]} */
  const said = [];
  const probes = { count: 0 };
  const reach = new Reach({
    clock, say: (words) => said.push(words?.key),
    probe: async () => {
      probes.count++;
      if (answers instanceof Error) throw answers;
      return answers;
    },
  });
  let opened = false;
  /**
   * What the room tells.
   * @param {string} [code] of a failure
   */
  const tell = async (code) => {
    reach.changed({ state: 'connecting', cause: code ? { code } : null, delay: code ? 500 : 0, opened });
    await settled();
  };
  const open = () => {
    opened = true;
    return tell();
  };
  void tell();
  return { clock, said, probes, reach, tell, open };
}

test('one failure is a server that does not answer', async () => {
  const { said, probes, tell } = start();
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.retrying');
  assert.equal(probes.count, 0);
});

test('after the second, a server that answers plain HTTP says that WebSockets are blocked', async () => {
  const { said, probes, tell } = start();
  await tell('connection_lost');
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.blocked');
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.blocked', 'and it stays');
  assert.equal(probes.count, 1);
});

for (const answers of [false, new Error('no network')]) {
  test(`a server that does not answer either is just away (${answers})`, async () => {
    const { said, probes, tell } = start({ answers });
    await tell('connection_lost');
    await tell('connection_lost');
    assert.equal(said.at(-1), 'join.retrying');
    assert.equal(probes.count, 1);
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
  const { clock, said, probes, tell, open } = start();
  await open();
  await clock.advance(4_000);
  await tell('connection_lost');
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.retrying');
  assert.equal(probes.count, 0);
});

test('whoever waits to be let in is not told that the server is slow', async () => {
  const { clock, said, reach } = start();
  reach.changed({ state: 'waiting', cause: null, delay: 0, opened: true });
  await clock.advance(60_000);
  assert.deepEqual(said, [undefined, undefined]);
});

test('an answer that comes when nobody waits any more is not told', async () => {
  const { clock, said, reach, tell } = start();
  await tell('connection_lost');
  const asked = tell('connection_lost');
  reach.close();
  await asked;
  await clock.advance(60_000);
  assert.equal(said.at(-1), 'join.retrying');
});

const REFUSALS = [['rate_limited', 'join.busy'], ['too_many_rooms', 'join.noRoom'], ['server_draining', 'join.restarting'], ['going_away', 'join.restarting']];
for (const [code, key] of REFUSALS) {
  test(`${code}: ${key}`, async () => {
    const { said, tell, open } = start();
    await open();
    await tell(code);
    assert.equal(said.at(-1), key);
  });
}
