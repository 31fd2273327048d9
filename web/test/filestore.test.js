// @ts-check
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FileStore, MEMORY_LIMIT, SpaceError, fileSink } from '../static/app/filestore.js';

const MIB = 1 << 20;

/** A file of an origin private file system, as far as it is used. */
class FakeHandle {
  /** @type {Uint8Array[]} */
  parts = [];
  /** @type {string[]} */
  calls = [];
  full = false;
  writing = false;

  async createWritable() {
    this.writing = true;
    return {
      write: async (/** @type {{data: Uint8Array}} */ { data }) => {
        if (this.full) throw new Error('QuotaExceededError');
        this.parts.push(data);
      },
      close: () => this.#end('close'),
      abort: () => this.#end('abort'),
    };
  }

  /** @param {string} how */
  async #end(how) {
    await Promise.resolve();
    this.writing = false;
    this.calls.push(how);
  }

  async getFile() {
    return new Blob(/** @type {BlobPart[]} */ (this.parts), { type: 'text/html' });
  }
}

class FakeDirectory {
  /** @type {Map<string, any>} */
  entries = new Map();

  /** @param {string} name @param {{create?: boolean}} [options] */
  async getDirectoryHandle(name, { create } = {}) {
    if (!this.entries.has(name)) {
      if (!create) throw new Error('NotFoundError');
      this.entries.set(name, new FakeDirectory());
    }
    return this.entries.get(name);
  }

  /** @param {string} name */
  async getFileHandle(name) {
    this.entries.set(name, new FakeHandle());
    return this.entries.get(name);
  }

  /** @param {string} name */
  async removeEntry(name) {
    // As Chromium does it.
    if (this.entries.get(name)?.writing) throw new Error('NoModificationAllowedError');
    if (!this.entries.delete(name)) throw new Error('NotFoundError');
  }

  /** @returns {boolean} */
  get writing() {
    return [...this.entries.values()].some((entry) => entry.writing);
  }

  async* keys() {
    yield* [...this.entries.keys()];
  }
}

/** A browser with tabs. */
function browser({ quota = 10_000 * MIB, usage = 0 } = {}) {
  const root = new FakeDirectory();
  /** @type {Set<string>} */
  const held = new Set();
  const storage = { getDirectory: async () => root, estimate: async () => ({ quota, usage }) };
  const locks = {
    request: async (/** @type {string} */ name, /** @type {() => Promise<unknown>} */ run) => {
      held.add(name);
      await run();
      held.delete(name);
    },
    query: async () => ({ held: [...held].map((name) => ({ name })) }),
  };
  const tab = () => new FileStore(/** @type {any} */ (storage), /** @type {any} */ (locks));
  const directories = async () => [...(await root.getDirectoryHandle('maitred-files', { create: true })).entries.keys()];
  return { root, held, tab, directories };
}

const globals = /** @type {any} */ (globalThis);

beforeEach(() => {
  globals.FileSystemFileHandle = FakeHandle;
});

afterEach(() => {
  delete globals.FileSystemFileHandle;
});

test('a file is written to the disk, and given as something that no browser opens', async () => {
  const { tab, root, directories } = browser();
  const store = tab();
  assert.equal(store.inMemory, false);
  const sink = await store.open(6);
  await sink.write(0, new Uint8Array([1, 2, 3, 4]));
  await sink.write(4, new Uint8Array([5, 6]));
  const blob = /** @type {Blob} */ (await sink.finish());
  assert.deepEqual([...new Uint8Array(await blob.arrayBuffer())], [1, 2, 3, 4, 5, 6]);
  assert.equal(blob.type, 'application/octet-stream');
  const [own] = await directories();
  const files = root.entries.get('maitred-files').entries.get(own).entries;
  assert.equal(files.size, 1);
  await sink.discard();
  assert.equal(files.size, 0);
});

test('what is not wanted any more is removed before it is complete, too', async () => {
  const { tab, root, directories } = browser();
  const sink = await tab().open(6);
  const [own] = await directories();
  const files = root.entries.get('maitred-files').entries.get(own).entries;
  const [handle] = files.values();
  await sink.write(0, new Uint8Array(3));
  await sink.discard();
  assert.deepEqual(handle.calls, ['abort']);
  assert.equal(files.size, 0);
});

test('the end of the page takes all of it', async () => {
  const { tab, held, directories } = browser();
  const store = tab();
  await store.open(6);
  assert.equal((await directories()).length, 1);
  assert.deepEqual([...held], await directories());
  await store.close();
  assert.deepEqual(await directories(), []);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(held.size, 0);
  await tab().close();
});

test('also of files that are being written, or removed already', async () => {
  const { tab, held, directories } = browser();
  const store = tab();
  const [, finished, removed] = [await store.open(6), await store.open(6), await store.open(6)];
  await finished.finish();
  const removal = removed.discard();
  await store.close();
  await removal;
  assert.deepEqual(await directories(), []);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(held.size, 0);
});

test('what cannot be removed is left to the next tab', async () => {
  const { root, tab, held, directories } = browser();
  const store = tab();
  await store.open(6);
  const all = await root.getDirectoryHandle('maitred-files');
  const { removeEntry } = all;
  all.removeEntry = () => Promise.reject(new Error('NoModificationAllowedError'));
  await assert.rejects(store.close(), /NoModificationAllowed/);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(held.size, 0);
  all.removeEntry = removeEntry;
  await tab().open(6);
  assert.equal((await directories()).length, 1);
});

test('what a crash has left is removed, and what another tab has is not', async () => {
  const { root, tab, held, directories } = browser();
  await tab().open(6);
  const [crashed] = await directories();
  held.delete(crashed);
  for (const file of root.entries.get('maitred-files').entries.get(crashed).entries.values()) file.writing = false;
  await tab().open(6);
  const other = (await directories()).filter((name) => name !== crashed);
  assert.equal(other.length, 1);
  await tab().open(6);
  const now = await directories();
  assert.equal(now.length, 2);
  assert.ok(now.includes(other[0]) && !now.includes(crashed));
});

test('files that do not fit are refused before they start, with those that are on their way in mind', async () => {
  const { tab } = browser({ quota: 1_000 * MIB, usage: 100 * MIB });
  const store = tab();
  const first = await store.open(600 * MIB);
  await assert.rejects(store.open(300 * MIB), (/** @type {any} */ error) => error instanceof SpaceError && error.free === (1_000 - 100 - 600 - 64) * MIB);
  await first.discard();
  await store.open(300 * MIB);
});

test('what is written is not counted twice', async () => {
  const state = { quota: 1_000 * MIB, usage: 0 };
  const root = new FakeDirectory();
  const store = new FileStore(/** @type {any} */ ({ getDirectory: async () => root, estimate: async () => ({ ...state }) }),
    /** @type {any} */ ({ request: async (/** @type {string} */ _, /** @type {() => unknown} */ run) => run(), query: async () => ({}) }));
  const sink = await store.open(500 * MIB);
  for (let piece = 0; piece < 500; piece++) await sink.write(piece * MIB, new Uint8Array(MIB));
  state.usage = 500 * MIB;
  await store.open(400 * MIB);
});

test('without a file system that pages can write to there is memory, up to a limit', async () => {
  delete globals.FileSystemFileHandle;
  const store = browser().tab();
  assert.equal(store.inMemory, true);
  const sink = await store.open(MEMORY_LIMIT - 2);
  await sink.write(0, new Uint8Array([1, 2]));
  await assert.rejects(store.open(3), (/** @type {any} */ error) => error instanceof SpaceError && error.free === 2);
  const blob = /** @type {Blob} */ (await sink.finish());
  assert.deepEqual([blob.size, blob.type], [2, 'application/octet-stream']);
  await sink.discard();
  await sink.discard();
  await store.open(MEMORY_LIMIT);
});

test('so it is where the browser refuses the file system', async () => {
  const store = new FileStore(/** @type {any} */ ({ getDirectory: () => Promise.reject(new Error('SecurityError')) }),
    /** @type {any} */ ({ request: async () => {} }));
  const sink = await store.open(1);
  await sink.write(0, new Uint8Array([7]));
  assert.equal((await sink.finish())?.size, 1);
});

test('a file that the person has picked stays where it is', async () => {
  const handle = new FakeHandle();
  const sink = await fileSink(/** @type {any} */ (handle));
  await sink.write(0, new Uint8Array([1]));
  assert.equal(await sink.finish(), null);
  await sink.discard();
  assert.deepEqual(handle.calls, ['close']);
});
