// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { systemClock } from './clock.js';
import { text } from './i18n.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./presence.js').Presence} Presence */

/** What one's own hand goes by, as one's own tile. */
export const SELF = 'self';

/** Somebody's hand is told of once in this time, however often it goes up and down. */
const TELL_INTERVAL = 10_000;

/**
 * Whose hand is up, in the order in which this page has heard of it: other clocks decide only between those that it has heard of at once.
 * @extends {Emitter<{change: {}, raised: {member: Member}}>}
 */
export class Hands extends Emitter {
  #room;
  #presence;
  #clock;
  /** By member id. @type {Map<string, {heard: number, raised: number}>} */
  #up = new Map();
  /** When each was told of. @type {Map<string, number>} */
  #told = new Map();
  #undo;

  /**
   * @param {Pick<Room, 'members' | 'on'>} room joined
   * @param {Pick<Presence, 'set'>} presence
   * @param {Clock} [clock]
   */
  constructor(room, presence, clock = systemClock) {
    super();
    this.#room = room;
    this.#presence = presence;
    this.#clock = clock;
    this.#undo = [
      room.on('member-joined', ({ member }) => this.#heard(member)),
      room.on('member-updated', ({ member }) => this.#updated(member)),
      room.on('member-left', ({ member }) => this.#gone(member)),
    ];
    for (const member of room.members.values()) this.#heard(member);
  }

  /** @returns {string[]} member ids, and SELF */
  get order() {
    return [...this.#up].sort(([, a], [, b]) => a.heard - b.heard || a.raised - b.raised).map(([id]) => id);
  }

  /** The own one. */
  get up() {
    return this.#up.has(SELF);
  }

  /**
   * @param {string} id of a member, or SELF
   * @returns {number} 1 for the first; 0 while it is down
   */
  place(id) {
    return this.order.indexOf(id) + 1;
  }

  toggle() {
    const now = this.#clock.now();
    this.#set(SELF, this.up ? 0 : now);
    this.#presence.set({ hand: this.up ? now : 0 });
  }

  close() {
    for (const undo of this.#undo) undo();
  }

  /** @param {Member} member */
  #updated(member) {
    // Of oneself one knows.
    if (!this.#room.members.has(member.id) || !this.#heard(member) || !this.#up.has(member.id)) return;
    const now = this.#clock.now();
    if (now - (this.#told.get(member.id) ?? -Infinity) < TELL_INTERVAL) return;
    this.#told.set(member.id, now);
    this.emit('raised', { member });
  }

  /**
   * @param {Member} member
   * @returns {boolean} whether that was new
   */
  #heard({ id, state }) {
    const raised = Number.isFinite(state?.hand) && state?.hand > 0 ? Number(state?.hand) : 0;
    return this.#set(id, raised);
  }

  /** @param {Member} member */
  #gone({ id }) {
    this.#told.delete(id);
    this.#set(id, 0);
  }

  /**
   * @param {string} id
   * @param {number} raised 0 for down
   */
  #set(id, raised) {
    if (raised > 0 === this.#up.has(id)) return false;
    if (raised > 0) this.#up.set(id, { heard: this.#clock.now(), raised });
    else this.#up.delete(id);
    this.emit('change', {});
    return true;
  }
}

/** The button for one's hand, and a note when somebody else raises theirs. */
export class HandsFeature {
  hands;

  /** @param {import('./context.js').CallContext} context */
  constructor({ room, presence, bar, toasts, shortcuts }) {
    this.hands = new Hands(room, presence);
    const toggle = () => this.hands.toggle();
    const button = bar.button({ id: 'hand', icon: 'hand', label: 'hand.button', title: 'hand.title', shortcut: 'H', onclick: toggle });
    const refresh = () => {
      button.setAttribute('aria-pressed', String(this.hands.up));
      button.classList.toggle('active', this.hands.up);
    };
    bar.add(button, 60);
    shortcuts.set('h', toggle);
    this.hands.on('change', refresh);
    this.hands.on('raised', ({ member }) => toasts.show(text('hand.raised', { name: member.name })));
    refresh();
  }

  close() {
    this.hands.close();
  }
}
