// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settled } from '../fakes/clock.js';
import { dictionaries } from '../static/app/i18n.js';
import { Outage, Reach } from '../static/app/reach.js';

/** @param {{answers?: boolean | Error, online?: boolean}} [world] */
function start({ answers = true, online = true } = {}) {
  const clock = new FakeClock();
  /** @type {(string | undefined)[]} */
  const said = [];
  const probes = { count: 0 };
  const reach = new Reach({
    clock, online: () => online, say: (words) => said.push(words?.key),
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

test('a device that believes to be offline is told so instead', async () => {
  const { clock, said, tell } = start({ answers: false, online: false });
  await clock.advance(4_000);
  assert.equal(said.at(-1), 'join.offline');
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.offline');
});

test('it may be wrong: a server that answers is there all the same', async () => {
  const { said, tell } = start({ online: false });
  await tell('connection_lost');
  await tell('connection_lost');
  assert.equal(said.at(-1), 'join.blocked');
});

test('nor does a refusal that has come let one believe in it', async () => {
  const { said, tell } = start({ online: false });
  await tell('too_many_rooms');
  assert.equal(said.at(-1), 'join.noRoom');
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

/** A call that has a connection to the server. @param {{answers?: boolean}} [world] */
function call({ answers = false } = {}) {
  /** @type {(string | undefined)[]} */
  const said = [];
  const world = { answers, online: true, probes: 0 };
  const network = new EventTarget();
  const outage = new Outage({
    network, online: () => world.online, say: (words) => said.push(words?.key),
    probe: async () => {
      world.probes++;
      return world.answers;
    },
  });
  /** @param {string} code */
  const lose = async (code, delay = 500) => {
    outage.changed({ state: 'reconnecting', cause: { code }, delay });
    await settled();
  };
  const back = () => outage.changed({ state: 'joined', cause: null, delay: 0 });
  /** @param {boolean} online */
  const become = (online) => {
    world.online = online;
    network.dispatchEvent(new Event(online ? 'online' : 'offline'));
    return settled();
  };
  return { said, world, network, outage, lose, back, become };
}

test('a call that loses the server says so once, and takes it back', async () => {
  const { said, world, lose, back } = call();
  await lose('connection_lost');
  await lose('connection_lost');
  assert.deepEqual(said, ['call.reconnecting']);
  assert.equal(world.probes, 0);
  await lose('connection_lost');
  assert.deepEqual([said.length, world.probes], [1, 1]);
  back();
  assert.deepEqual(said, ['call.reconnecting', undefined]);
});

test('one whose WebSocket alone is blocked says that, until it is back', async () => {
  const { said, world, lose, back } = call({ answers: true });
  for (let failures = 0; failures < 5; failures++) await lose('connection_lost');
  assert.deepEqual(said, ['call.reconnecting', 'call.blocked']);
  assert.equal(world.probes, 1);
  back();
  await lose('connection_lost');
  assert.deepEqual(said.slice(2), [undefined, 'call.reconnecting']);
});

test('a restart is told from its announcement to its end', async () => {
  const { said, outage, lose, back } = call();
  outage.drain();
  await lose('going_away');
  await lose('connection_lost');
  back();
  await lose('connection_lost');
  assert.deepEqual(said, ['call.draining', 'call.restarting', undefined, 'call.reconnecting']);
});

test('a network that goes is told at once, and no longer than it lasts', async () => {
  const { said, lose, back, become } = call();
  await become(false);
  assert.deepEqual(said, ['call.offline']);
  await become(true);
  assert.deepEqual(said, ['call.offline', undefined]);
  await become(false);
  await lose('connection_lost');
  await become(true);
  back();
  assert.deepEqual(said.slice(2), ['call.offline', 'call.reconnecting', undefined]);
});

test('a network that goes while the server is lost is told, too', async () => {
  const { said, lose, become } = call();
  await lose('connection_lost');
  await become(false);
  assert.deepEqual(said, ['call.reconnecting', 'call.offline']);
});

test('the browser may be wrong: what answers counts more', async () => {
  const { said, lose, become } = call({ answers: true });
  await become(false);
  assert.deepEqual(said, []);
  for (let failures = 0; failures < 3; failures++) await lose('connection_lost');
  assert.deepEqual(said, ['call.offline', 'call.blocked']);
});

test('a network that comes and goes does not hide that a restart is due', async () => {
  const { said, outage, become } = call();
  outage.drain();
  await become(false);
  await become(true);
  assert.deepEqual(said, ['call.draining', 'call.offline', 'call.draining']);
});

test('whoever has to be let in again is told what to wait for', async () => {
  const { said, outage, lose } = call();
  await lose('connection_lost');
  outage.changed({ state: 'waiting', cause: null, delay: 0 });
  assert.deepEqual(said, ['call.reconnecting', 'join.waiting']);
});

test('an answer that comes when the connection is back, or the call over, is not told', async () => {
  const { said, lose, back } = call({ answers: true });
  for (let failures = 0; failures < 2; failures++) await lose('connection_lost');
  const asked = lose('connection_lost');
  back();
  await asked;
  assert.deepEqual(said, ['call.reconnecting', undefined]);

  const other = call({ answers: true });
  for (let failures = 0; failures < 2; failures++) await other.lose('connection_lost');
  const last = other.lose('connection_lost');
  other.outage.close();
  await last;
  await other.become(false);
  assert.deepEqual(other.said, ['call.reconnecting']);
});

test('all that is said while waiting tells what to do in both languages', () => {
  /** @type {import('../static/app/i18n.js').Key[]} */
  const keys = ['join.retrying', 'join.slow', 'join.offline', 'join.blocked', 'join.noRoom', 'join.busy', 'join.restarting',
    'call.offline', 'call.restarting', 'call.blocked'];
  for (const key of keys) {
    assert.match(dictionaries.en[key], /\b(wait|connect|look|use)\b|(try )?another network/i, key);
    assert.match(dictionaries.zh[key], /请|可能有帮助/, key);
  }
});
