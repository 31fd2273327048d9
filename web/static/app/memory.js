// @ts-check
import { isRoomName } from './names.js';

/** @typedef {{room: string, name: string, audio: boolean, video: boolean}} Seat what a reload of the call page needs */
/** @typedef {{room: string, token?: string, password?: string}} Key what opens a room */

/** How many rooms are offered again. */
const MAX_RECENT = 5;

/**
 * What the browser remembers: name, language, settings and the last rooms for good, the running call and what opens its room for this tab.
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

  /**
   * @param {string} name
   * @returns {string} '' when there is none
   */
  setting(name) {
    return this.#read(this.#lasting, `maitred.setting.${name}`);
  }

  /**
   * @param {string} name
   * @param {string} value '' for none
   */
  setSetting(name, value) {
    this.#write(this.#lasting, `maitred.setting.${name}`, value);
  }

  /**
   * Rooms that one was in, the last one first: at most five.
   * @returns {string[]}
   */
  get recent() {
    const rooms = this.#readObject(this.#lasting, 'maitred.recent');
    return Array.isArray(rooms) ? rooms.filter((room) => typeof room === 'string' && isRoomName(room)).slice(0, MAX_RECENT) : [];
  }

  /** @param {string} room */
  addRecent(room) {
    this.#setRecent([room, ...this.recent.filter((other) => other !== room)].slice(0, MAX_RECENT));
  }

  /** @param {string} room */
  removeRecent(room) {
    this.#setRecent(this.recent.filter((other) => other !== room));
  }

  /** @returns {Seat | null} */
  get seat() {
    const seat = this.#readObject(this.#tab, 'maitred.seat');
    return typeof seat?.room === 'string' && typeof seat.name === 'string' ? seat : null;
  }

  set seat(seat) {
    this.#write(this.#tab, 'maitred.seat', seat ? JSON.stringify(seat) : '');
  }

  /** @returns {Key | null} */
  get key() {
    const key = this.#readObject(this.#tab, 'maitred.key');
    return typeof key?.room === 'string' ? key : null;
  }

  set key(key) {
    this.#write(this.#tab, 'maitred.key', key ? JSON.stringify(key) : '');
  }

  /** @param {string[]} rooms */
  #setRecent(rooms) {
    this.#write(this.#lasting, 'maitred.recent', rooms.length > 0 ? JSON.stringify(rooms) : '');
  }

  /**
   * @param {() => Storage} storage
   * @param {string} name
   * @returns {any}
   */
  #readObject(storage, name) {
    try {
      return JSON.parse(this.#read(storage, name));
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
