// @ts-check
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */

/** Those who wait at the door, as a moderator sees them: a note for each, until somebody has decided. */
export class Knocks {
  #i18n;
  #room;
  /** @type {Map<string, HTMLElement>} */
  #notes = new Map();
  #undo;
  element = h('section', { id: 'knocks', class: 'knocks', role: 'status' });

  /** @param {Pick<import('./context.js').CallContext, 'i18n' | 'room' | 'layer'>} context */
  constructor({ i18n, room, layer }) {
    this.#i18n = i18n;
    this.#room = room;
    i18n.put(this.element, text('knock.list'), 'aria-label');
    this.#undo = [
      room.on('knock', ({ member }) => this.#add(member)),
      room.on('knock-ended', ({ member }) => this.#remove(member.id)),
    ];
    show(this.element, false);
    layer.append(this.element);
    for (const member of room.knocking.values()) this.#add(member);
  }

  close() {
    for (const undo of this.#undo) undo();
  }

  /** @param {Member} member */
  #add(member) {
    this.#remove(member.id);
    const i18n = this.#i18n;
    const note = h('div', { class: 'knock', 'data-member': member.id }, icon('bell'),
      i18n.put(h('p'), text('knock.waits', { name: member.name })),
      h('div', { class: 'knock-buttons' },
        this.#decision('admit', member), this.#decision('deny', member)));
    this.#notes.set(member.id, note);
    this.element.append(note);
    show(this.element, true);
  }

  /**
   * The note goes when the server says that it has been done.
   * @param {'admit' | 'deny'} what
   * @param {Member} member
   */
  #decision(what, member) {
    const admit = what === 'admit';
    const decide = button(this.#i18n, {
      icon: admit ? 'people' : 'close', label: admit ? 'knock.admit' : 'knock.deny', className: admit ? 'small primary admit' : 'small deny',
      onclick: () => (admit ? this.#room.admit(member) : this.#room.deny(member)),
    });
    const title = admit ? text('knock.admitTitle', { name: member.name }) : text('knock.denyTitle', { name: member.name });
    return this.#i18n.put(decide, title, 'aria-label');
  }

  /** @param {string} id */
  #remove(id) {
    const focused = this.#notes.get(id)?.contains(document.activeElement);
    this.#notes.get(id)?.remove();
    this.#notes.delete(id);
    show(this.element, this.#notes.size > 0);
    if (focused) this.element.querySelector('button')?.focus();
  }
}
