// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Dialog } from './dialog.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';

/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {{id: string, name: string}} Target */

const KEYS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#'];
/** Milliseconds: long enough for any machine, short enough to type. */
const TONE = 160;
const GAP = 70;
/** How many tones may wait to be played, and how many of those sent are shown. */
const MAX_WAITING = 32;
const MAX_SHOWN = 24;
/** The choice that is no member's id: of somebody who has left. */
const GONE = 'gone';

/**
 * Plays the tones of a telephone's keys to others (RFC 4733), as machines that are in the call understand them.
 * @extends {Emitter<{change: {}, sent: {tone: string}}>}
 */
export class Keypad extends Emitter {
  #room;
  #undo;

  /** @param {Pick<Room, 'peers' | 'on'>} room joined */
  constructor(room) {
    super();
    this.#room = room;
    const changed = () => this.emit('change', {});
    this.#undo = [room.on('member-joined', changed), room.on('member-left', changed), room.on('status', changed)];
  }

  /** Those who can be sent tones now. @returns {Target[]} */
  get targets() {
    return [...this.#room.peers.values()].filter(dtmfOf).map(({ member }) => ({ id: member.id, name: member.name }));
  }

  /**
   * @param {string} tone one of the twelve keys
   * @param {string} [target] a member's id; '' for everybody
   * @returns {boolean} whether anybody gets it
   */
  press(tone, target = '') {
    if (!KEYS.includes(tone)) return false;
    let sent = false;
    for (const [id, peer] of this.#room.peers) {
      const dtmf = !target || target === id ? dtmfOf(peer) : null;
      if (!dtmf || dtmf.toneBuffer.length >= MAX_WAITING) continue;
      // What is given replaces what still waits.
      dtmf.insertDTMF(dtmf.toneBuffer + tone, TONE, GAP);
      sent = true;
    }
    if (sent) this.emit('sent', { tone });
    return sent;
  }

  close() {
    for (const undo of this.#undo) undo();
  }
}

/**
 * @param {Peer} peer
 * @returns {RTCDTMFSender | null} null while tones cannot be sent
 */
function dtmfOf({ connection }) {
  const senders = connection.connectionState === 'connected' ? connection.getSenders() : [];
  return senders.map(({ dtmf }) => dtmf).find((dtmf) => dtmf?.canInsertDTMF) ?? null;
}

/** The keypad in a dialog, behind an entry of the menu. */
export class KeypadFeature {
  #i18n;
  #keypad;
  #dialog;
  #shown = '';
  #target = h('select', { id: 'keypad-target' });
  #sent = h('output', { id: 'keypad-sent', class: 'keypad-sent' });
  #nobody = h('p', { class: 'keypad-nobody', role: 'status' });
  #to;
  #pad = h('div', { class: 'keypad' });

  /** @param {import('./context.js').CallContext} context */
  constructor({ i18n, room, bar }) {
    this.#i18n = i18n;
    this.#to = h('div', { class: 'field keypad-to' }, i18n.put(h('label', { for: 'keypad-target' }), text('keypad.to')), this.#target);
    this.#keypad = new Keypad(room);
    this.#dialog = new Dialog(i18n, { id: 'keypad-dialog', title: 'keypad.title', content: this.#build() });
    this.#keypad.on('change', () => this.#dialog.open && this.#refresh());
    this.#keypad.on('sent', ({ tone }) => this.#showSent(tone));
    this.#dialog.element.addEventListener('keydown', (event) => this.#key(event));
    const entry = bar.menu.add({ id: 'keypad', icon: 'keypad', label: 'keypad.title', order: 80, onclick: () => this.#open() });
    entry.setShown(typeof RTCDTMFSender === 'function');
  }

  close() {
    this.#keypad.close();
    this.#dialog.close();
  }

  #build() {
    const i18n = this.#i18n;
    i18n.put(this.#pad, text('keypad.title'), 'aria-label');
    this.#pad.setAttribute('role', 'group');
    this.#pad.append(...KEYS.map((tone) => h('button', {
      class: 'keypad-key', type: 'button', 'data-tone': tone, onclick: () => this.#keypad.press(tone, this.#target.value),
    }, tone)));
    i18n.put(this.#sent, text('keypad.sent'), 'aria-label');
    i18n.put(this.#nobody, text('keypad.nobody'));
    return [i18n.put(h('p', { class: 'hint' }), text('keypad.lead')), this.#nobody, this.#to, this.#sent, this.#pad];
  }

  #open() {
    this.#shown = '';
    this.#sent.textContent = '';
    this.#refresh();
    this.#dialog.show();
    /** @type {HTMLElement | null} */ (this.#pad.querySelector('button:not(:disabled)'))?.focus();
  }

  #refresh() {
    const { targets } = this.#keypad;
    const chosen = this.#target.value;
    const all = this.#i18n.put(h('option', { value: '' }), text('keypad.everybody'));
    this.#target.replaceChildren(all, ...targets.map(({ id, name }) => h('option', { value: id }, name)));
    // What was for one person goes to nobody else when that one has left.
    const gone = chosen !== '' && !targets.some(({ id }) => id === chosen);
    if (gone) this.#target.append(this.#i18n.put(h('option', { value: GONE }), text('keypad.choose')));
    this.#target.value = gone ? GONE : chosen;
    const usable = targets.length > 0 && !gone;
    for (const key of this.#pad.children) /** @type {HTMLButtonElement} */ (key).disabled = !usable;
    show(this.#to, targets.length > 0);
    show(this.#nobody, targets.length === 0);
  }

  /** @param {string} tone */
  #showSent(tone) {
    this.#shown = (this.#shown + tone).slice(-MAX_SHOWN);
    this.#sent.textContent = this.#shown;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || !KEYS.includes(event.key)) return;
    event.preventDefault();
    this.#keypad.press(event.key, this.#target.value);
  }
}
