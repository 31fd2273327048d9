// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Bucket, Buckets } from './bucket.js';
import { systemClock } from './clock.js';
import { h } from './dom.js';
import { EmojiChoice } from './emoji.js';
import { SELF } from './hands.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {{id: string, name: string, emoji: string}} Reaction by a member's id, or SELF */

/** Nothing else is sent or shown. @type {ReadonlyMap<string, Key>} */
export const REACTIONS = new Map([
  ['👍', 'reaction.up'], ['👎', 'reaction.down'], ['👏', 'reaction.applause'], ['❤️', 'reaction.heart'],
  ['😂', 'reaction.laugh'], ['😮', 'reaction.surprise'], ['🎉', 'reaction.celebrate'], ['🙏', 'reaction.thanks'],
]);

/** What one person can do. */
const LIMIT = { burst: 6, rate: 2 };
/** How many float at the same time, and for how long. */
const MAX_SHOWN = 24;
const SHOWN_TIME = 2_400;
/** Pause between two sentences for screen readers, and how many reactions one of them names. */
const ANNOUNCE_INTERVAL = 1_000;
const MAX_NAMED = 4;

/**
 * Emoji that people throw into the call. Of a flood the surplus is dropped, at both ends.
 * @extends {Emitter<{reaction: Reaction}>}
 */
export class Reactions extends Emitter {
  #room;
  #own;
  #buckets;
  #undo;

  /**
   * @param {Pick<Room, 'self' | 'send' | 'on'>} room joined
   * @param {Clock} [clock]
   */
  constructor(room, clock = systemClock) {
    super();
    this.#room = room;
    this.#own = new Bucket(clock, LIMIT);
    this.#buckets = new Buckets(clock, LIMIT);
    this.#undo = [
      room.on('data', ({ member, data }) => data?.type === 'reaction' && this.#receive(member, data.emoji)),
      room.on('member-left', ({ member }) => this.#buckets.delete(member.id)),
    ];
  }

  /** @param {string} emoji one of REACTIONS */
  send(emoji) {
    if (!REACTIONS.has(emoji) || !this.#own.take()) return;
    this.#room.send({ type: 'reaction', emoji });
    this.emit('reaction', { id: SELF, name: this.#room.self?.name ?? '', emoji });
  }

  close() {
    for (const undo of this.#undo) undo();
  }

  /**
   * @param {Member} member
   * @param {unknown} emoji
   */
  #receive({ id, name }, emoji) {
    if (typeof emoji !== 'string' || !REACTIONS.has(emoji)) return;
    if (this.#buckets.of(id).take()) this.emit('reaction', { id, name, emoji });
  }
}

/** Says things one after the other, and together what comes too fast for that. */
export class Announcer {
  #say;
  #clock;
  /** @type {string[]} */
  #waiting = [];
  /** @type {(() => void) | null} */
  #cancel = null;

  /**
   * @param {(words: string[]) => void} say
   * @param {Clock} [clock]
   */
  constructor(say, clock = systemClock) {
    this.#say = say;
    this.#clock = clock;
  }

  /** @param {string} words */
  add(words) {
    if (this.#waiting.length < MAX_NAMED && !this.#waiting.includes(words)) this.#waiting.push(words);
    if (!this.#cancel) this.#flush();
  }

  close() {
    this.#cancel?.();
  }

  #flush() {
    this.#cancel = null;
    if (this.#waiting.length === 0) return;
    this.#say(this.#waiting.splice(0));
    this.#cancel = this.#clock.after(ANNOUNCE_INTERVAL, () => this.#flush());
  }
}

/** The button with the emoji to throw, and those that float over the tiles of who threw them. */
export class ReactionsFeature {
  #i18n;
  #grid;
  #layer;
  #reactions;
  #choice;
  #announcer;
  /** The way to take each away that floats. @type {Map<HTMLElement, () => void>} */
  #shown = new Map();
  #words = h('div', { class: 'visually-hidden', role: 'status' });

  /** @param {import('./context.js').CallContext} context */
  constructor({ i18n, room, bar, grid, layer, shortcuts }) {
    this.#i18n = i18n;
    this.#grid = grid;
    this.#layer = layer;
    this.#reactions = new Reactions(room);
    this.#announcer = new Announcer((words) => {
      this.#words.textContent = words.join(' · ');
    });
    const toggle = () => this.#choice.toggle();
    const button = bar.button({ id: 'react', icon: 'smile', label: 'reaction.button', title: 'reaction.title', shortcut: 'R', onclick: toggle });
    this.#choice = new EmojiChoice(i18n, {
      id: 'reactions', label: 'reaction.choose', choices: [...REACTIONS].map(([emoji, name]) => ({ emoji, name })), columns: REACTIONS.size,
      toggle: button, fallback: bar.menu.button,
    });
    bar.add(button, 70);
    bar.element.append(this.#choice.element);
    layer.append(this.#words);
    shortcuts.set('r', toggle);
    this.#choice.on('choose', ({ emoji }) => this.#reactions.send(emoji));
    this.#reactions.on('reaction', (reaction) => this.#show(reaction));
  }

  close() {
    this.#reactions.close();
    this.#choice.close();
    this.#announcer.close();
    for (const remove of this.#shown.values()) remove();
  }

  /** @param {Reaction} reaction */
  #show({ id, name, emoji }) {
    const key = REACTIONS.get(emoji);
    if (key && id !== SELF) this.#announcer.add(this.#i18n.t('reaction.said', { name, reaction: this.#i18n.t(key) }));
    if (this.#shown.size >= MAX_SHOWN) return;
    const element = h('div', { class: 'reaction', 'aria-hidden': 'true', 'data-member': id }, h('span', { class: 'reaction-emoji' }, emoji));
    this.#place(element, id, name);
    this.#layer.append(element);
    const cancel = systemClock.after(SHOWN_TIME, () => this.#shown.get(element)?.());
    this.#shown.set(element, () => {
      cancel();
      element.remove();
      this.#shown.delete(element);
    });
  }

  /**
   * Over the tile of who threw it, or with the name at the bottom where that is not to be seen.
   * @param {HTMLElement} element
   * @param {string} id
   * @param {string} name
   */
  #place(element, id, name) {
    const layer = this.#layer.getBoundingClientRect();
    const tile = this.#grid.tiles.get(id)?.element.getBoundingClientRect();
    const seen = tile && tile.width > 0 && tile.bottom > layer.top && tile.top < layer.bottom && tile.right > layer.left && tile.left < layer.right;
    const box = seen ? tile : layer;
    if (!seen) element.append(h('span', { class: 'reaction-name' }, name));
    // Not all on the same spot.
    const across = 0.3 + Math.random() * 0.4;
    element.style.left = `${box.left - layer.left + box.width * across}px`;
    element.style.top = `${box.top - layer.top + box.height * 0.62}px`;
    element.style.setProperty('--rise', `${Math.min(160, box.height * 0.5)}px`);
    element.style.setProperty('--drift', `${Math.round((Math.random() - 0.5) * 50)}px`);
  }
}
