// @ts-check

/** @typedef {{room: string, name: string, audio: boolean, video: boolean}} Seat what a reload of the call page needs */
/** @typedef {{room: string, token?: string, password?: string}} Key what opens a room */

/**
 * What the browser remembers: the name and the language for good, the running call and what opens its room for this tab.
 * Browsers may forbid storage; then nothing is remembered.
 */
export class Memory {
  #lasting;
  #tab;

  /**
   * @param {() => Storage} lasting reading the storage may throw, so both are functions
   * @param {() => Storage} tab
   */
  constructor(lasting, tab) {
    this.#lasting = lasting;
    this.#tab = tab;
  }

  get name() {
    return this.#read(this.#lasting, 'maitred.name');
  }

  set name(name) {
    this.#write(this.#lasting, 'maitred.name', name);
  }

  get language() {
    return this.#read(this.#lasting, 'maitred.lang');
  }

  set language(language) {
    this.#write(this.#lasting, 'maitred.lang', language);
  }

  /** @returns {Seat | null} */
  get seat() {
    const seat = this.#readObject('maitred.seat');
    return typeof seat?.room === 'string' && typeof seat.name === 'string' ? seat : null;
  }

  set seat(seat) {
    this.#write(this.#tab, 'maitred.seat', seat ? JSON.stringify(seat) : '');
  }

  /** @returns {Key | null} */
  get key() {
    const key = this.#readObject('maitred.key');
    return typeof key?.room === 'string' ? key : null;
  }

  set key(key) {
    this.#write(this.#tab, 'maitred.key', key ? JSON.stringify(key) : '');
  }

  /**
   * @param {string} name
   * @returns {any}
   */
  #readObject(name) {
    try {
      return JSON.parse(this.#read(this.#tab, name));
    } catch {
      return null;
    }
  }

  /**
   * @param {() => Storage} storage
   * @param {string} key
   */
  #read(storage, key) {
    try {
      return storage().getItem(key) ?? '';
    } catch {
      return '';
    }
  }

  /**
   * @param {() => Storage} storage
   * @param {string} key
   * @param {string} value
   */
  #write(storage, key, value) {
    try {
      if (value) storage().setItem(key, value);
      else storage().removeItem(key);
    } catch {
      // Nothing is remembered then.
    }
  }
}
