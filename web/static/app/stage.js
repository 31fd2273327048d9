// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {'grid' | 'speaker'} View */
/** @typedef {string | null} Place key of what is shown large: a member's id, or the key of a screen; null for a grid */

/** Quieter than this is no speech: 0 to 1. */
export const SPEAKING_LEVEL = 0.03;
/** Nobody takes the stage by a cough, in milliseconds. */
const SPEAKING_TIME = 700;
/** And nobody loses it at once. */
const HOLD_TIME = 2_500;

/** Who has the floor. A new speaker has to go on for a moment, and whoever has the floor keeps it for a while. */
export class Floor {
  #clock;
  /** @type {string | null} */
  #holder = null;
  #since = -Infinity;
  /** @type {string | null} */
  #candidate = null;
  #candidateSince = 0;

  /** @param {Pick<Clock, 'now'>} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  get holder() {
    return this.#holder;
  }

  /**
   * @param {Map<string, number>} levels loudness of everybody else now, 0 to 1, by member id
   * @returns {string | null} who has the floor
   */
  hear(levels) {
    const now = this.#clock.now();
    const loudest = loudestOf(levels);
    if (loudest !== this.#candidate) {
      this.#candidate = loudest;
      this.#candidateSince = now;
    }
    const goesOn = now - this.#candidateSince >= SPEAKING_TIME;
    const mayChange = this.#holder === null || now - this.#since >= HOLD_TIME;
    if (loudest === null || loudest === this.#holder) {
      if (loudest) this.#since = now;
    } else if (goesOn && mayChange) {
      this.#holder = loudest;
      this.#since = now;
    }
    return this.#holder;
  }

  /** @param {string} id of somebody who has left */
  remove(id) {
    if (this.#holder === id) this.#holder = null;
    if (this.#candidate === id) this.#candidate = null;
  }
}

/** @param {Map<string, number>} levels */
function loudestOf(levels) {
  let loudest = null;
  let most = SPEAKING_LEVEL;
  for (const [id, level] of levels) {
    if (level <= most) continue;
    most = level;
    loudest = id;
  }
  return loudest;
}

/**
 * What is shown large. What a person has pinned goes first, then what somebody else shares, the latest first, then who speaks; one's own
 * screen only to those who are alone.
 * @extends {Emitter<{change: {}}>}
 */
export class Stage extends Emitter {
  #floor;
  /** @type {View} */
  #view = 'grid';
  /** @type {Place} */
  #pinned = null;
  /** Others, in the order in which they came. @type {string[]} */
  #people = [];
  /** Others' screens, the latest last. @type {string[]} */
  #screens = [];
  /** @type {Place} */
  #ownScreen = null;

  /** @param {Pick<Clock, 'now'>} clock */
  constructor(clock) {
    super();
    this.#floor = new Floor(clock);
  }

  get view() {
    return this.#view;
  }

  get pinned() {
    return this.#pinned;
  }

  /** @returns {Place} */
  get place() {
    if (this.#pinned) return this.#pinned;
    const screen = this.#screens.at(-1);
    if (screen) return screen;
    if (this.#people.length === 0) return this.#ownScreen;
    return this.#view === 'speaker' ? this.speaker : null;
  }

  /** Who speaks, or spoke last; the first of the others while nobody has. @returns {Place} */
  get speaker() {
    return this.#floor.holder ?? this.#people[0] ?? null;
  }

  /** @param {View} view */
  setView(view) {
    this.#change(() => {
      this.#view = view;
    }, true);
  }

  /** @param {string} key pins it, or lets go of it if it is pinned */
  togglePin(key) {
    this.#change(() => {
      this.#pinned = this.#pinned === key ? null : key;
    }, true);
  }

  /** @param {Map<string, number>} levels of the others, by member id */
  hear(levels) {
    this.#change(() => this.#floor.hear(levels));
  }

  /** @param {string} id */
  addPerson(id) {
    this.#change(() => this.#people.push(id));
  }

  /** @param {string} id */
  removePerson(id) {
    this.#change(() => {
      this.#people = this.#people.filter((it) => it !== id);
      this.#floor.remove(id);
      this.#unpin(id);
    });
  }

  /**
   * @param {string} key
   * @param {boolean} own
   */
  addScreen(key, own) {
    this.#change(() => {
      if (own) this.#ownScreen = key;
      else this.#screens = [...this.#screens.filter((it) => it !== key), key];
    });
  }

  /** @param {string} key */
  removeScreen(key) {
    this.#change(() => {
      this.#screens = this.#screens.filter((it) => it !== key);
      if (this.#ownScreen === key) this.#ownScreen = null;
      this.#unpin(key);
    });
  }

  /** @param {string} key */
  #unpin(key) {
    if (this.#pinned === key) this.#pinned = null;
  }

  /**
   * @param {() => void} change
   * @param {boolean} [always] tells of it even if the place stays the same
   */
  #change(change, always = false) {
    const { place, speaker } = this;
    change();
    if (always || place !== this.place || speaker !== this.speaker) this.emit('change', {});
  }
}
