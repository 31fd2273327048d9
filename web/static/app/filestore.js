// @ts-check

/**
 * Where the bytes of one file go.
 * @typedef {object} Sink
 * @property {(position: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>} write in order
 * @property {() => Promise<Blob | null>} finish what is to be saved; null when it is where the person wanted it already
 * @property {() => Promise<void>} discard removes it, finished or not
 */
/** @typedef {Pick<StorageManager, 'estimate' | 'getDirectory'>} Storage */
/** @typedef {Pick<LockManager, 'request' | 'query'>} Locks */

/** Bytes of all files together where there is nothing but memory to keep them in. */
export const MEMORY_LIMIT = 200_000_000;
/** Bytes that are left free on the disk. */
const SPARE = 64 * 2 ** 20;
/** In the origin private file system; a directory for each tab in it, which its lock belongs to. */
const DIRECTORY = 'maitred-files';
/** Browsers that know no type look into the file, and open it in this page's origin if they like what they see. */
const TYPE = 'application/octet-stream';

/** There is not enough room for a file. */
export class SpaceError extends Error {
  /** @param {number} free bytes */
  constructor(free) {
    super(`no room for the file: ${free} bytes are free`);
    this.name = 'SpaceError';
    this.free = free;
  }
}

/**
 * Keeps what comes in until the person has saved it: in the origin private file system, where browsers have a writable one for pages, otherwise in
 * memory. Nothing stays when the page is gone; what a crash has left is removed by the next page that receives a file.
 */
export class FileStore {
  #storage;
  #locks;
  /** This tab's, made with the first file; null when there is only memory. @type {Promise<FileSystemDirectoryHandle | null> | null} */
  #directory = null;
  #release = () => {};
  /** Of the directory, and of its lock. */
  #name = '';
  #files = 0;
  /** Those that are being written. @type {Set<Sink>} */
  #open = new Set();
  /** Bytes in memory, of files that are not complete, too. */
  #held = 0;
  /** Bytes that accepted files will still take on the disk. */
  #promised = 0;

  /**
   * @param {Storage | undefined} storage
   * @param {Locks | undefined} locks
   */
  constructor(storage, locks) {
    this.#storage = storage;
    this.#locks = locks;
  }

  /** This browser gives pages no place on the disk that they can write to. */
  get inMemory() {
    const writable = typeof FileSystemFileHandle !== 'undefined' && 'createWritable' in FileSystemFileHandle.prototype;
    return !this.#storage?.getDirectory || !this.#locks || !writable;
  }

  /**
   * Makes a place for a file.
   * @param {number} size bytes
   * @returns {Promise<Sink>} rejects with SpaceError when there is not enough room
   */
  async open(size) {
    this.#directory ??= this.#prepare().catch(() => null);
    const directory = await this.#directory;
    if (!directory) return this.#openMemory(size);
    const { quota = Infinity, usage = 0 } = await /** @type {Storage} */ (this.#storage).estimate();
    const free = quota - usage - this.#promised - SPARE;
    if (size > free) throw new SpaceError(Math.max(0, free));
    return this.#openFile(directory, size);
  }

  /** Removes everything. Files whose saving has begun may be cut short. */
  async close() {
    const directory = await this.#directory;
    this.#directory = Promise.resolve(null);
    try {
      // Browsers remove no file that is being written.
      await Promise.allSettled([...this.#open].map((sink) => sink.discard()));
      if (directory) await this.#remove(this.#name);
    } finally {
      this.#release();
    }
  }

  /** The directory of this tab, after those of tabs that are gone were removed. */
  async #prepare() {
    const [storage, locks] = [this.#storage, this.#locks];
    if (!storage || !locks || this.inMemory) return null;
    const root = await storage.getDirectory();
    this.#name = `${DIRECTORY}.${crypto.randomUUID()}`;
    await this.#hold(locks);
    const all = await root.getDirectoryHandle(DIRECTORY, { create: true });
    await this.#clean(all, locks);
    return all.getDirectoryHandle(this.#name, { create: true });
  }

  /**
   * Others leave the directory alone for as long as this tab is there.
   * @param {Locks} locks
   */
  #hold(locks) {
    return new Promise((resolve, reject) => {
      locks.request(this.#name, () => new Promise((/** @type {(value?: unknown) => void} */ release) => {
        this.#release = release;
        resolve(undefined);
      })).catch(reject);
    });
  }

  /**
   * @param {FileSystemDirectoryHandle} all
   * @param {Locks} locks
   */
  async #clean(all, locks) {
    const names = [];
    for await (const name of /** @type {any} */ (all).keys()) names.push(name);
    // Asked for after that: who has a directory had its lock before.
    const { held = [] } = await locks.query();
    const dead = names.filter((name) => !held.some((lock) => lock.name === name));
    await Promise.allSettled(dead.map((name) => all.removeEntry(name, { recursive: true })));
  }

  /** @param {string} name */
  async #remove(name) {
    const root = await /** @type {Storage} */ (this.#storage).getDirectory();
    const all = await root.getDirectoryHandle(DIRECTORY);
    await all.removeEntry(name, { recursive: true });
  }

  /**
   * @param {FileSystemDirectoryHandle} directory
   * @param {number} size
   * @returns {Promise<Sink>}
   */
  async #openFile(directory, size) {
    const name = String(++this.#files);
    this.#promised += size;
    let promised = size;
    const settle = (/** @type {number} */ bytes) => {
      this.#promised -= bytes;
      promised -= bytes;
    };
    try {
      const handle = await directory.getFileHandle(name, { create: true });
      const file = await fileSink(handle);
      /** @type {Promise<void> | null} */
      let discarding = null;
      const discard = async () => {
        settle(promised);
        await file.discard();
        this.#open.delete(sink);
        await directory.removeEntry(name);
      };
      /** @type {Sink} */
      const sink = {
        write: async (position, bytes) => {
          await file.write(position, bytes);
          settle(Math.min(bytes.length, promised));
        },
        finish: async () => {
          await file.finish();
          this.#open.delete(sink);
          settle(promised);
          return (await handle.getFile()).slice(0, size, TYPE);
        },
        discard: () => (discarding ??= discard()),
      };
      this.#open.add(sink);
      return sink;
    } catch (error) {
      settle(promised);
      throw error;
    }
  }

  /**
   * @param {number} size
   * @returns {Sink}
   */
  #openMemory(size) {
    const free = MEMORY_LIMIT - this.#held;
    if (size > free) throw new SpaceError(free);
    this.#held += size;
    let held = size;
    /** @type {Blob[]} */
    let parts = [];
    return {
      // A blob for each piece, which the browser may put onto the disk.
      write: async (_, bytes) => {
        parts.push(new Blob([bytes]));
      },
      finish: async () => {
        const file = new Blob(parts, { type: TYPE });
        parts = [];
        return file;
      },
      discard: async () => {
        parts = [];
        this.#held -= held;
        held = 0;
      },
    };
  }
}

/**
 * Writes straight into a file that the person has picked.
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<Sink>}
 */
export async function fileSink(handle) {
  const stream = await handle.createWritable();
  let finished = false;
  return {
    write: (position, data) => stream.write({ type: 'write', position, data }),
    finish: async () => {
      await stream.close();
      finished = true;
      return null;
    },
    // What is finished is the person's.
    discard: async () => {
      if (!finished) await stream.abort();
    },
  };
}
