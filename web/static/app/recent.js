// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./memory.js').Memory} Memory */

/**
 * The rooms that one was in last, to go there again.
 * @extends {Emitter<{choose: {room: string}}>}
 */
export class RecentRooms extends Emitter {
  #i18n;
  #memory;
  #list = h('ul');
  element;

  /**
   * @param {I18n} i18n
   * @param {Pick<Memory, 'recent' | 'removeRecent'>} memory
   */
  constructor(i18n, memory) {
    super();
    this.#i18n = i18n;
    this.#memory = memory;
    const title = i18n.put(h('h2', { id: 'recent-title' }), text('lobby.recent'));
    this.element = h('section', { id: 'recent', class: 'recent', 'aria-labelledby': title.id }, title, this.#list);
    this.#refresh();
  }

  #refresh() {
    const rooms = this.#memory.recent;
    this.#list.replaceChildren(...rooms.map((room) => this.#item(room)));
    show(this.element, rooms.length > 0);
  }

  /** @param {string} room */
  #item(room) {
    const remove = h('button', { class: 'recent-remove', type: 'button', onclick: () => this.#remove(room) }, icon('close'));
    this.#i18n.put(remove, text('lobby.recentRemove', { room }), 'aria-label');
    this.#i18n.put(remove, text('lobby.recentRemove', { room }), 'title');
    const choose = h('button', { class: 'recent-room', type: 'button', onclick: () => this.emit('choose', { room }) }, room);
    return h('li', {}, choose, remove);
  }

  /** @param {string} room */
  #remove(room) {
    const place = this.#memory.recent.indexOf(room);
    this.#memory.removeRecent(room);
    this.#refresh();
    // The focus was on a button that is gone.
    const left = this.#list.querySelectorAll('button.recent-remove');
    /** @type {HTMLElement | undefined} */ (left[Math.min(place, left.length - 1)])?.focus();
  }
}
