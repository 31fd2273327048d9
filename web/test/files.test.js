// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../fakes/clock.js';
import { FakeFile, FakeSink, Wire } from '../fakes/files.js';
import { MAX_TRANSFERS } from '../static/app/files.js';
import { SpaceError } from '../static/app/filestore.js';
import { MAX_SIZE, PIECE, WINDOW, toHex, writeFrame } from '../static/app/filewire.js';

/** @typedef {import('../static/app/filereceive.js').Receiving} Receiving */
/** @typedef {import('../static/app/filetransfer.js').Transfer} Transfer */

const LIMIT = { timeout: 60_000 };
const MIB = PIECE;

/**
 * When it is so, looked at with each change of a transfer.
 * @param {Transfer} transfer
 * @param {(it: any) => boolean} is
 */
function reach(transfer, is) {
  return new Promise((resolve, reject) => {
    const undo = transfer.on('change', look);
    function look() {
      if (is(transfer)) resolve(undo());
      else if (transfer.finished) reject(new Error(`${transfer.status} ${transfer.reason}`));
    }
    look();
  });
}

/** When it is so, looked at whenever everything that can go on has. @param {() => boolean} is */
async function until(is) {
  while (!is()) await settled();
}

/** @param {string} status */
const isNow = (status) => (/** @type {Transfer} */ it) => it.status === status;

/** @param {Wire} wire @returns {Promise<Receiving>} the next offer that Bob gets */
function offered(wire) {
  return new Promise((resolve) => {
    const undo = wire.lines[1].on('offer', ({ transfer }) => resolve((undo(), transfer)));
  });
}

/**
 * Ann sends Bob a file, and he has accepted it.
 * @param {number} size
 * @param {{wire?: Wire, sink?: FakeSink, file?: FakeFile}} [parts]
 */
async function send(size, { wire = new Wire(), sink = new FakeSink(), file = new FakeFile('a.bin', size) } = {}) {
  const offer = offered(wire);
  const sending = /** @type {import('../static/app/filesend.js').Sending} */ (wire.lines[0].offer(file));
  const receiving = await offer;
  await receiving.accept(async () => sink);
  return { wire, sink, file, sending, receiving };
}

/** @param {Awaited<ReturnType<typeof send>>} parts */
async function arrives({ sink, file, sending, receiving }) {
  await Promise.all([reach(sending, isNow('done')), reach(receiving, isNow('done'))]);
  assert.equal(sink.written, file.size);
  assert.equal(sink.wrong, 0);
  assert.ok(sink.finished && !sink.discarded);
  assert.equal(sending.moved, file.size);
  assert.equal(receiving.moved, file.size);
  assert.ok(receiving.blob);
}

for (const size of [0, 1, 65_520, 65_521, MIB - 1, MIB, MIB + 1, 6 * MIB + 5]) {
  test(`a file of ${size} bytes arrives`, LIMIT, async () => {
    const parts = await send(size);
    await arrives(parts);
    assert.equal(parts.sink.writes, Math.ceil(size / MIB));
  });
}

test('the offer says what it is, and its name is safe', LIMIT, async () => {
  const wire = new Wire();
  const offer = offered(wire);
  wire.lines[0].offer(new FakeFile('../..\\x\u202efdp.exe', 7));
  const { name, size, member, undecided } = await offer;
  assert.deepEqual({ name, size, member, undecided }, { name: 'xfdp.exe', size: 7, member: { id: 'ann', name: 'ann' }, undecided: true });
});

test('a gigabyte goes through little memory, whether the disk or the network is slow', LIMIT, async () => {
  const sink = new FakeSink();
  const parts = await send(1 << 30, { sink });
  const [raw] = parts.wire.raws;
  let sent = 0;
  let most = 0;
  raw.spoil = (data) => {
    if (typeof data !== 'string') sent += data.length - 16;
    most = Math.max(most, sent - sink.written);
    return data;
  };
  sink.disk = settled;
  await arrives(parts);
  assert.equal(sent, 1 << 30, 'nothing is sent twice');
  assert.ok(raw.mostBuffered <= MIB + 4_096, `${raw.mostBuffered} bytes waited in the channel`);
  assert.ok(most <= WINDOW * MIB, `${most} bytes waited for the disk`);
  assert.equal(parts.file.mostRead, MIB);
});

test('a disk that stands still stops the sender', LIMIT, async () => {
  const sink = new FakeSink();
  let go = /** @type {(value?: unknown) => void} */ (() => {});
  const blocked = new Promise((resolve) => {
    sink.disk = () => (resolve(undefined), new Promise((release) => {
      go = release;
    }));
  });
  const parts = await send(20 * MIB, { sink });
  let frames = 0;
  const full = new Promise((resolve) => {
    parts.wire.raws[0].spoil = (data) => {
      if (typeof data !== 'string') frames += data.length - 16;
      if (frames === WINDOW * MIB) resolve(undefined);
      return data;
    };
  });
  await Promise.all([blocked, full]);
  for (let i = 0; i < 20; i++) await settled();
  assert.equal(frames, WINDOW * MIB);
  sink.disk = () => Promise.resolve();
  go();
  await arrives(parts);
});

test('small messages where the other end takes no larger ones', LIMIT, async () => {
  const wire = new Wire();
  wire.peers[0].connection.sctp.maxMessageSize = 16_384;
  const parts = await send(2 * MIB, { wire });
  let largest = 0;
  wire.raws[0].spoil = (data) => {
    largest = Math.max(largest, data.length);
    return data;
  };
  await arrives(parts);
  assert.equal(largest, 16_384);
});

test('a declined file is not sent', LIMIT, async () => {
  const wire = new Wire();
  const offer = offered(wire);
  const sending = /** @type {Transfer} */ (wire.lines[0].offer(new FakeFile('a', 5)));
  (await offer).decline();
  await reach(sending, isNow('ended'));
  assert.deepEqual([sending.reason, sending.endedByOther], ['declined', true]);
});

for (const [reason, error] of /** @type {[string, Error][]} */ ([['space', new SpaceError(12)], ['storage', new Error('no')]])) {
  test(`without a place for it: ${reason}`, LIMIT, async () => {
    const wire = new Wire();
    const offer = offered(wire);
    const sending = /** @type {Transfer} */ (wire.lines[0].offer(new FakeFile('a', 5)));
    const receiving = await offer;
    await receiving.accept(() => Promise.reject(error));
    await reach(sending, isNow('ended'));
    assert.deepEqual([sending.reason, receiving.reason, receiving.free], [reason, reason, reason === 'space' ? 12 : 0]);
  });
}

test('who closes the file picker can still decide', LIMIT, async () => {
  const wire = new Wire();
  const offer = offered(wire);
  wire.lines[0].offer(new FakeFile('a', 5));
  const receiving = await offer;
  await receiving.accept(() => Promise.reject(null));
  assert.ok(receiving.undecided);
});

for (const side of /** @type {const} */ (['sending', 'receiving'])) {
  test(`paused and resumed by the ${side} end`, LIMIT, async () => {
    const parts = await send(12 * MIB);
    const [own, other] = side === 'sending' ? [parts.sending, parts.receiving] : [parts.receiving, parts.sending];
    const [raw] = parts.wire.raws;
    let sent = 0;
    raw.spoil = (data) => {
      if (typeof data !== 'string') sent += data.length - 16;
      return data;
    };
    await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
    own.pause();
    await reach(other, ({ otherPause }) => otherPause);
    // The pieces that were under way as a whole are stored, and nothing more comes.
    await until(() => raw.bufferedAmount === 0);
    await reach(parts.receiving, ({ moved }) => moved > sent - MIB);
    const paused = sent;
    for (let i = 0; i < 50; i++) await settled();
    assert.equal(sent, paused);
    assert.ok(parts.sink.written < 12 * MIB);
    assert.deepEqual([own.status, own.ownPause, other.status, other.paused], ['waiting', true, 'waiting', true]);
    own.resume();
    await arrives(parts);
  });

  test(`cancelled by the ${side} end`, LIMIT, async () => {
    const parts = await send(12 * MIB);
    const [own, other] = side === 'sending' ? [parts.sending, parts.receiving] : [parts.receiving, parts.sending];
    await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
    own.cancel();
    await reach(other, isNow('ended'));
    assert.deepEqual([own.reason, own.endedByOther, other.reason, other.endedByOther], ['cancelled', false, 'cancelled', true]);
    assert.ok(parts.sink.discarded);
    await arrives(await send(MIB, { wire: parts.wire }));
  });
}

test('a file that cannot be read any more ends in words at both ends', LIMIT, async () => {
  const parts = await send(12 * MIB);
  await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
  parts.file.readable = false;
  await Promise.all([reach(parts.sending, isNow('ended')), reach(parts.receiving, isNow('ended'))]);
  assert.deepEqual([parts.sending.reason, parts.receiving.reason], ['unreadable', 'unreadable']);
  assert.ok(parts.sink.discarded);
});

test('so does a disk that takes no more', LIMIT, async () => {
  const parts = await send(12 * MIB);
  await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
  parts.sink.disk = () => Promise.reject(new Error('QuotaExceededError'));
  await reach(parts.sending, isNow('ended'));
  assert.deepEqual([parts.sending.reason, parts.receiving.reason], ['storage', 'storage']);
});

test('files that were accepted come one after the other, others do not hold them up', LIMIT, async () => {
  const wire = new Wire();
  const offer = offered(wire);
  wire.lines[0].offer(new FakeFile('unanswered', 5));
  await offer;
  const first = await send(6 * MIB, { wire });
  const second = await send(6 * MIB, { wire });
  assert.equal(first.receiving.status, 'running');
  assert.equal(second.receiving.status, 'waiting');
  first.receiving.pause();
  await arrives(second);
  assert.ok(!first.receiving.finished);
  first.receiving.resume();
  await arrives(first);
});

test('both ends send at once', LIMIT, async () => {
  const wire = new Wire();
  const there = await send(6 * MIB, { wire });
  const offer = new Promise((resolve) => {
    wire.lines[0].on('offer', ({ transfer }) => resolve(transfer));
  });
  const file = new FakeFile('back', 6 * MIB);
  const sending = /** @type {any} */ (wire.lines[1].offer(file));
  const receiving = /** @type {Receiving} */ (await offer);
  const sink = new FakeSink();
  await receiving.accept(async () => sink);
  await Promise.all([arrives(there), arrives({ wire, sink, file, sending, receiving })]);
});

test('and when both open the channel in the same moment', LIMIT, async () => {
  const wire = new Wire();
  const offers = wire.lines.map((line) => new Promise((resolve) => {
    line.on('offer', ({ transfer }) => resolve(transfer));
  }));
  const files = [new FakeFile('there', 3 * MIB), new FakeFile('back', 3 * MIB)];
  const sendings = wire.lines.map((line, side) => /** @type {any} */ (line.offer(files[side])));
  await Promise.all([0, 1].map(async (side) => {
    const receiving = /** @type {Receiving} */ (await offers[1 - side]);
    const sink = new FakeSink();
    await receiving.accept(async () => sink);
    await arrives({ wire, sink, file: files[side], sending: sendings[side], receiving });
  }));
});

test('a replaced connection goes on where the receiver is', LIMIT, async () => {
  const parts = await send(24 * MIB);
  let frames = 0;
  parts.wire.spoil[0] = (data) => {
    if (typeof data !== 'string') frames += data.length - 16;
    return data;
  };
  await reach(parts.receiving, ({ moved }) => moved >= 10 * MIB);
  parts.wire.renew();
  await arrives(parts);
  assert.equal(parts.sink.writes, 24);
  assert.ok(frames <= 14 * MIB, `${frames} bytes were sent after it`);
});

test('so does a channel that was closed alone, in a moment', LIMIT, async () => {
  const parts = await send(24 * MIB);
  await reach(parts.receiving, ({ moved }) => moved >= 10 * MIB);
  parts.wire.raws[0].close();
  assert.deepEqual([parts.sending.status, parts.receiving.status], ['waiting', 'waiting']);
  assert.deepEqual(parts.wire.clock.pending, [1_000]);
  await parts.wire.clock.advance(1_000);
  await arrives(parts);
});

test('a channel that does not open is tried less and less often, and again when the connection is back', LIMIT, async () => {
  const parts = await send(24 * MIB);
  await reach(parts.receiving, ({ moved }) => moved >= 10 * MIB);
  const { wire } = parts;
  wire.up = false;
  wire.raws[0].close();
  const pauses = [];
  for (let i = 0; i < 5; i++) {
    pauses.push(wire.clock.pending[0]);
    await wire.clock.advance(wire.clock.pending[0]);
    // It fails at once.
    /** @type {any} */ (wire.peers[0].own).detach();
    wire.peers[0].own?.emit('close', {});
  }
  assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000]);
  assert.deepEqual(wire.clock.pending, []);
  wire.up = true;
  for (const line of wire.lines) line.check();
  await arrives(parts);
});

test('what was decided while there was no connection is told after it', LIMIT, async () => {
  const parts = await send(24 * MIB);
  const other = await send(MIB, { wire: parts.wire });
  await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
  parts.wire.raws[0].close();
  parts.receiving.pause();
  other.receiving.cancel();
  await parts.wire.clock.advance(1_000);
  await reach(other.sending, isNow('ended'));
  await reach(parts.sending, ({ otherPause }) => otherPause);
  assert.equal(other.sending.reason, 'cancelled');
  parts.wire.raws[0].close();
  parts.receiving.resume();
  await parts.wire.clock.advance(1_000);
  await arrives(parts);
});

test('a piece that arrives damaged is asked for again', LIMIT, async () => {
  const parts = await send(8 * MIB);
  let damaged = 0;
  parts.wire.raws[0].spoil = (data) => {
    if (typeof data === 'string' || new DataView(data.buffer).getUint32(8) !== 3 || damaged >= 2) return data;
    damaged++;
    data[data.length - 1] ^= 1;
    return data;
  };
  await arrives(parts);
  assert.equal(damaged, 2);
});

test('but not for ever', LIMIT, async () => {
  const parts = await send(8 * MIB);
  let asked = 0;
  parts.wire.raws[0].spoil = (data) => {
    if (typeof data === 'string') asked += data.includes('"type":"piece"') && data.includes('"piece":3') ? 1 : 0;
    else if (new DataView(data.buffer).getUint32(8) === 3) data[20] ^= 1;
    return data;
  };
  await reach(parts.sending, isNow('ended'));
  assert.deepEqual([parts.sending.reason, parts.receiving.reason], ['damaged', 'damaged']);
  assert.equal(asked, 4);
  assert.equal(parts.sink.written, 3 * MIB);
  assert.ok(parts.sink.discarded);
});

test('frames that come twice, or not at all, are asked for again', LIMIT, async () => {
  for (const lose of [true, false]) {
    const parts = await send(4 * MIB);
    const [raw] = parts.wire.raws;
    let done = false;
    raw.spoil = (data) => {
      if (typeof data === 'string' || done) return data;
      done = true;
      if (!lose) raw.other?.dispatchEvent(Object.assign(new Event('message'), { data: data.slice().buffer }));
      return lose ? null : data;
    };
    await arrives(parts);
    assert.ok(done);
  }
});

test('hashes that do not add up end it', LIMIT, async () => {
  const parts = await send(2 * MIB);
  parts.wire.raws[0].spoil = (data) => (typeof data === 'string' && data.includes('"type":"end"') ? data.replace(/[0-9a-f]{64}/, 'a'.repeat(64)) : data);
  await reach(parts.sending, isNow('ended'));
  assert.equal(parts.sending.reason, 'damaged');
  assert.ok(!parts.sink.finished);
});

test('too many files at once are not taken', LIMIT, async () => {
  const wire = new Wire();
  for (let i = 0; i < MAX_TRANSFERS; i++) assert.ok(wire.lines[0].offer(new FakeFile(`${i}`, 1)));
  assert.equal(wire.lines[0].offer(new FakeFile('one more', 1)), null);
});

test('nor any when the list is full', LIMIT, async () => {
  const wire = new Wire({ refuse: () => 'busy' });
  wire.lines[1].on('offer', () => assert.fail('an offer came through'));
  const sending = /** @type {Transfer} */ (wire.lines[0].offer(new FakeFile('a', 1)));
  await reach(sending, isNow('ended'));
  assert.deepEqual([sending.reason, sending.endedByOther], ['busy', true]);
});

test('who is gone takes what is under way along', LIMIT, async () => {
  const parts = await send(24 * MIB);
  await reach(parts.receiving, ({ moved }) => moved >= 2 * MIB);
  parts.wire.close();
  assert.deepEqual([parts.sending.reason, parts.receiving.reason], ['gone', 'gone']);
  assert.ok(parts.sink.discarded);
  assert.deepEqual(parts.wire.clock.pending, []);
  assert.equal(parts.wire.lines[0].offer(parts.file), null);
});

// Ann's page is not ours in what follows: she says what she likes.

const HASH = 'a'.repeat(64);

/** Bob, with a channel of Ann's that answers go into. */
async function hostile() {
  const wire = new Wire();
  /** @type {Receiving[]} */
  const offers = [];
  wire.lines[1].on('offer', ({ transfer }) => offers.push(transfer));
  const channel = wire.peers[0].channel('files');
  /** @type {any[]} */
  const answers = [];
  channel.on('message', ({ data }) => typeof data === 'string' && answers.push(JSON.parse(data)));
  await new Promise((resolve) => channel.on('open', () => resolve(undefined)));
  const say = async (/** @type {any[]} */ ...all) => {
    for (const it of all) channel.send(typeof it === 'string' || it instanceof Uint8Array ? it : JSON.stringify({ as: 'sender', ...it }));
    // Over, and then handled and answered.
    await until(() => wire.raws[0].bufferedAmount === 0 || wire.raws[0].readyState === 'closed');
    for (let i = 0; i < 10; i++) await settled();
  };
  return { wire, offers, answers, say, channel };
}

const OFFER = { type: 'offer', id: 1, name: 'a', size: 3 * PIECE, paused: false };
/** @param {object} [change] */
const frame = (change) => writeFrame({ id: 1, round: 1, piece: 0, offset: 0, bytes: new Uint8Array(1_000), ...change });

const NONSENSE = [
  '', '{', '[]', 'null', '7', '"x"', '{}', 'x'.repeat(5_000),
  { ...OFFER, as: 'constructor' }, { ...OFFER, type: 'want' }, { ...OFFER, type: '__proto__' },
  { ...OFFER, id: 0 }, { ...OFFER, id: '1' }, { ...OFFER, id: 2 ** 32 }, { ...OFFER, id: 1.5 },
  { ...OFFER, name: 7 }, { ...OFFER, name: 'x'.repeat(256) }, { ...OFFER, name: undefined },
  { ...OFFER, size: -1 }, { ...OFFER, size: MAX_SIZE + 1 }, { ...OFFER, size: 1.5 }, { ...OFFER, size: '3' }, { ...OFFER, paused: 1 },
  { type: 'piece', id: 9, round: 1, piece: 0, hash: HASH }, { type: 'pause', id: 9, paused: true }, { type: 'end', id: 9, round: 1, hash: HASH },
  { as: 'receiver', type: 'want', id: 9, round: 1, from: 0 },
  new Uint8Array(3), new Uint8Array(16), frame({ id: 9 }),
];
for (const [index, nonsense] of NONSENSE.entries()) {
  test(`nonsense ${index} does nothing, and a hundred of it end the line`, LIMIT, async () => {
    const { wire, offers, say, channel } = await hostile();
    await say(...Array.from({ length: 99 }, () => nonsense));
    assert.equal(offers.length, 0);
    await say(OFFER);
    assert.equal(offers.length, 1);
    await say(nonsense);
    assert.deepEqual([offers[0].status, offers[0].reason], ['ended', 'bad']);
    assert.equal(channel.raw, null);
    assert.equal(wire.lines[1].offer(new FakeFile('x', 1)), null);
  });
}

test('offers that are cancelled at once, without end, end the line', LIMIT, async () => {
  const { wire, offers, answers, say, channel } = await hostile();
  let id = 0;
  const offerAndCancel = (/** @type {number} */ times) => Array.from({ length: times }, () => (
    [{ ...OFFER, id: ++id }, { type: 'cancel', id, reason: 'cancelled' }])).flat();
  await say(...offerAndCancel(64));
  assert.deepEqual([offers.length, answers.length], [64, 0]);
  await wire.clock.advance(10_000);
  await say(...offerAndCancel(30));
  assert.deepEqual([offers.length, answers.length], [74, 20]);
  assert.deepEqual(answers.at(-1), { as: 'receiver', id, type: 'cancel', reason: 'busy' });
  assert.ok(channel.raw);
  await say(...offerAndCancel(30));
  assert.equal(offers.length, 74);
  assert.equal(channel.raw, null);
});

/** What ends the transfer of an accepted file, and nothing else. */
const BREACHES = [
  { name: 'a piece that the file does not have', says: [{ type: 'piece', id: 1, round: 1, piece: 3, hash: HASH }] },
  { name: 'a piece beyond the window', size: 9 * PIECE, says: [{ type: 'piece', id: 1, round: 1, piece: WINDOW, hash: HASH }] },
  { name: 'another size the second time', says: [{ ...OFFER, size: 5 }] },
  { name: 'old frames without end', says: Array.from({ length: 110 }, () => frame({ round: 7, bytes: new Uint8Array(60_000) })) },
];
for (const { name, size = OFFER.size, says } of BREACHES) {
  test(`${name} costs the transfer`, LIMIT, async () => {
    const { offers, answers, say, wire } = await hostile();
    await say({ ...OFFER, size }, { ...OFFER, id: 2 });
    const sink = new FakeSink();
    await offers[0].accept(async () => sink);
    await say(...says);
    assert.deepEqual([offers[0].status, offers[0].reason], ['ended', 'bad']);
    assert.deepEqual(answers.at(-1), { as: 'receiver', id: 1, type: 'cancel', reason: 'bad' });
    assert.ok(sink.discarded);
    assert.ok(offers[1].undecided);
    assert.ok(wire.lines[1].connected);
  });
}

/** What is answered by asking again, three times. */
const MISTAKES = [
  { name: 'a frame without an announced piece', says: () => [frame()] },
  { name: 'a piece out of order', says: () => [{ type: 'piece', id: 1, piece: 1, hash: HASH }] },
  { name: 'more bytes than the piece has', says: () => [{ type: 'piece', id: 1, piece: 0, hash: HASH }, ...Array.from({ length: 17 }, (_, index) => frame({ offset: index * 65_000, bytes: new Uint8Array(65_000) }))] },
  { name: 'a frame of another piece', says: () => [{ type: 'piece', id: 1, piece: 0, hash: HASH }, frame({ piece: 1 })] },
  { name: 'an end before its time', says: () => [{ type: 'end', id: 1, hash: HASH }] },
];
for (const { name, says } of MISTAKES) {
  test(`${name} is asked for again, three times`, LIMIT, async () => {
    const { offers, answers, say } = await hostile();
    await say(OFFER);
    const sink = new FakeSink();
    await offers[0].accept(async () => sink);
    for (let round = 1; round <= 4; round++) {
      assert.equal(offers[0].status, 'running');
      await say(...says().map((it) => {
        if (!(it instanceof Uint8Array)) return { ...it, round };
        new DataView(it.buffer).setUint32(4, round);
        return it;
      }));
    }
    assert.deepEqual([offers[0].status, offers[0].reason], ['ended', 'damaged']);
    assert.deepEqual(answers.map(({ type, round }) => [type, round]), [['want', 1], ['want', 2], ['want', 3], ['want', 4], ['cancel', undefined]]);
    assert.equal(sink.writes, 0);
  });
}

test('bytes before the answer cost the offer', LIMIT, async () => {
  for (const early of [frame(), { type: 'piece', id: 1, round: 1, piece: 0, hash: HASH }, { type: 'end', id: 1, round: 1, hash: HASH }]) {
    const { offers, say } = await hostile();
    await say(OFFER, early);
    assert.deepEqual([offers[0].status, offers[0].reason], ['ended', 'bad']);
  }
});

test('more offers than there may be are turned down', LIMIT, async () => {
  const { offers, answers, say } = await hostile();
  await say(...Array.from({ length: 40 }, (_, index) => ({ ...OFFER, id: index + 1 })));
  assert.equal(offers.length, MAX_TRANSFERS);
  assert.deepEqual(answers.map(({ type, reason }) => `${type} ${reason}`), Array(8).fill('cancel busy'));
});

test('an offer that is repeated is one offer, and its end is told again', LIMIT, async () => {
  const { offers, answers, say } = await hostile();
  await say(OFFER, OFFER);
  assert.equal(offers.length, 1);
  offers[0].decline();
  await say(OFFER);
  assert.equal(offers.length, 1);
  assert.deepEqual(answers.map(({ reason }) => reason), ['declined', 'declined']);
});

/** What ends our own file when the receiver says it. */
const LIES = [
  { type: 'done' },
  { type: 'got', pieces: 1 },
  { type: 'want', round: 1, from: 1 },
];
for (const lie of LIES) {
  test(`a receiver that says ${JSON.stringify(lie)} first gets nothing`, LIMIT, async () => {
    const { wire, answers, say } = await hostile();
    const sending = /** @type {Transfer} */ (wire.lines[1].offer(new FakeFile('a', 3 * PIECE)));
    await say({ as: 'receiver', id: 1, ...lie });
    assert.deepEqual([sending.status, sending.reason], ['ended', 'bad']);
    assert.deepEqual(answers.at(-1), { as: 'sender', id: 1, type: 'cancel', reason: 'bad' });
  });
}

test('a receiver that asks the same again and again is served so often and no more', LIMIT, async () => {
  const { wire, answers, say } = await hostile();
  const sending = /** @type {Transfer} */ (wire.lines[1].offer(new FakeFile('a', 0)));
  await say(...Array.from({ length: 1_000 }, (_, index) => ({ as: 'receiver', id: 1, type: 'want', round: index + 1, from: 0 })));
  assert.equal(sending.status, 'running');
  await say({ as: 'receiver', id: 1, type: 'want', round: 1_000, from: 0 });
  assert.equal(sending.reason, 'bad');
  assert.equal(answers.filter(({ type }) => type === 'cancel').length, 1);
});

test('who asks without listening is not answered without end', LIMIT, async () => {
  const { wire, say } = await hostile();
  wire.raws[1].bufferedAmount = 3 * PIECE;
  await say({ as: 'receiver', id: 5, type: 'want', round: 1, from: 0 });
  assert.equal(wire.lines[1].connected, false);
});

test('hex', () => assert.equal(toHex(new Uint8Array([0, 15, 255])), '000fff'));
