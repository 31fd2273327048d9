// @ts-check
import { Dialog } from './dialog.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { hueOf, initials } from './names.js';
import { SafetyCodes } from './safetyexchange.js';
import { SIGNS } from './signs.js';
import { Tile } from './tiles.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./safetyexchange.js').Safety} Safety */
/** @typedef {import('./tiles.js').Frame} Frame */
/** @typedef {'waiting' | 'failed' | 'insecure' | 'open' | 'compared' | 'replaced'} Standing where things are, for people */

const SELF = 'self';
/** @type {Record<Standing, Key>} */
const STANDINGS = {
  waiting: 'trust.waiting', failed: 'trust.failed', insecure: 'trust.insecure', open: 'trust.open', compared: 'trust.compared', replaced: 'trust.replaced',
};
/** @type {Partial<Record<Standing, Key>>} what there is to know beyond that */
const REASONS = { waiting: 'trust.waitingWhy', failed: 'trust.failedWhy', insecure: 'trust.insecureWhy', replaced: 'trust.replacedWhy' };

/**
 * @param {Safety} safety
 * @returns {Standing}
 */
export function standingOf({ stage, compared, replaced }) {
  if (stage !== 'ready') return stage;
  if (compared) return 'compared';
  return replaced ? 'replaced' : 'open';
}

/** One member's code, and whether it was compared. */
class SafetyCard {
  #i18n;
  #name;
  #standing = h('span', { class: 'safety-standing' });
  #signs = h('ol', { class: 'safety-code', role: 'list' });
  #reason = h('p', { class: 'hint' });
  #compare;
  #own = h('code');
  #other = h('code');
  #details;
  #shown = '';
  element;

  /**
   * @param {I18n} i18n
   * @param {Member} member
   * @param {(compared: boolean) => void} compare
   */
  constructor(i18n, member, compare) {
    this.#i18n = i18n;
    this.#name = member.name;
    this.#compare = h('button', { class: 'button small safety-compare', type: 'button', onclick: () => compare(this.element.dataset.safety !== 'compared') });
    this.#details = h('details', { class: 'safety-details' }, i18n.put(h('summary'), text('trust.certificates')),
      i18n.put(h('p'), text('trust.ownCertificate')), this.#own, i18n.put(h('p'), text('trust.otherCertificate', { name: member.name })), this.#other);
    const avatar = h('span', { class: 'person-avatar', 'aria-hidden': 'true' }, initials(member.name));
    avatar.style.setProperty('--hue', String(hueOf(member.id)));
    i18n.put(this.#signs, text('trust.codeWith', { name: member.name }), 'aria-label');
    this.element = h('section', { class: 'safety-card', 'data-member': member.id },
      h('div', { class: 'safety-head' }, avatar, h('h3', {}, member.name), this.#standing),
      this.#signs, this.#reason, this.#compare, this.#details);
  }

  /** @param {Safety} safety */
  update(safety) {
    const standing = standingOf(safety);
    const reason = REASONS[standing];
    const ready = safety.stage === 'ready';
    this.element.dataset.safety = standing;
    this.#i18n.put(this.#standing, text(STANDINGS[standing]));
    this.#i18n.put(this.#reason, reason ? text(reason, { name: this.#name }) : null);
    show(this.#reason, reason !== undefined);
    show(this.#signs, ready);
    show(this.#compare, ready);
    show(this.#details, safety.fingerprints.own.length > 0);
    this.#compare.classList.toggle('primary', !safety.compared);
    this.#compare.replaceChildren(icon(safety.compared ? 'close' : 'tick'), this.#i18n.label(safety.compared ? 'trust.takeBack' : 'trust.same'));
    this.#own.textContent = safety.fingerprints.own.join('\n');
    this.#other.textContent = safety.fingerprints.other.join('\n');
    this.#showSigns(safety.code);
  }

  /** @param {readonly number[]} code */
  #showSigns(code) {
    // The same elements for as long as the code is the same, so that a screen reader keeps its place.
    if (this.#shown === String(code)) return;
    this.#shown = String(code);
    this.#signs.replaceChildren(...code.map((index) => {
      const [sign, name] = SIGNS[index];
      return h('li', {}, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), this.#i18n.label(name, 'sign-name'));
    }));
  }
}

/** The codes of one member or of all, with what they are for. */
class SafetyDialog {
  #context;
  #codes;
  /** @type {Dialog | null} */
  #dialog = null;
  /** @type {string | null} one member's id, null for all */
  #only = null;
  /** @type {Map<string, SafetyCard>} */
  #cards = new Map();
  #list = h('div', { class: 'safety-list' });
  #nobody;

  /**
   * @param {Pick<CallContext, 'i18n' | 'room'>} context
   * @param {SafetyCodes} codes
   */
  constructor(context, codes) {
    this.#context = context;
    this.#codes = codes;
    this.#nobody = context.i18n.label('trust.nobody', 'hint');
  }

  /** @param {string | null} id of a member, null for all */
  show(id) {
    this.close();
    this.#only = id;
    this.#cards.clear();
    this.#list.replaceChildren();
    const dialog = new Dialog(this.#context.i18n, {
      id: 'safety', title: 'trust.title', content: [this.#context.i18n.label('trust.explanation', 'safety-explanation'), this.#list, this.#nobody],
    });
    // It is told later, when there may be another one.
    dialog.on('close', () => {
      if (this.#dialog === dialog) this.#dialog = null;
    });
    this.#dialog = dialog;
    this.refresh();
    dialog.show();
  }

  refresh() {
    if (!this.#dialog) return;
    const { i18n, room } = this.#context;
    const members = [...room.members.values()].filter(({ id }) => this.#only === null || this.#only === id);
    const here = new Set(members.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (here.has(id)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
    for (const member of members) {
      const known = this.#cards.get(member.id);
      const card = known ?? new SafetyCard(i18n, member, (compared) => this.#codes.setCompared(member.id, compared));
      if (!known) {
        this.#cards.set(member.id, card);
        this.#list.append(card.element);
      }
      card.update(this.#codes.of(member.id));
    }
    show(this.#nobody, members.length === 0);
  }

  close() {
    this.#dialog?.close();
  }
}

/** Safety codes: on the tiles, in the menu, and in a dialog. */
export class SafetyFeature {
  #context;
  #codes;
  #dialog;
  /** What tells on a tile that its code was compared, or cannot be had. @type {WeakMap<Frame, HTMLElement>} */
  #marks = new WeakMap();
  #undo;

  /** @param {CallContext} context gets `openSafety` */
  constructor(context) {
    const { room, bar, grid, toasts } = context;
    this.#context = context;
    this.#codes = new SafetyCodes(room);
    this.#dialog = new SafetyDialog(context, this.#codes);
    context.openSafety = (id) => this.#dialog.show(id ?? null);
    bar.menu.add({ id: 'safety-codes', icon: 'shield', label: 'trust.title', onclick: () => this.#dialog.show(null) });
    this.#undo = [
      this.#codes.on('change', ({ id }) => this.#changed(id)),
      this.#codes.on('replaced', ({ member }) => toasts.show(text('trust.replacedNote', { name: member.name }))),
      room.on('member-joined', () => this.#dialog.refresh()),
      room.on('member-left', () => this.#dialog.refresh()),
      grid.on('add', ({ key, frame }) => this.#equip(key, frame)),
    ];
    for (const [key, tile] of grid.tiles) this.#equip(key, tile);
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#codes.close();
    this.#dialog.close();
  }

  /**
   * @param {string} key
   * @param {Frame} frame
   */
  #equip(key, frame) {
    if (key === SELF || !(frame instanceof Tile)) return;
    frame.addAction('shield', 'trust.ofTile', () => this.#dialog.show(key), 'tile-safety');
    const mark = h('span', { class: 'tile-compared', role: 'img' });
    frame.bottom.append(mark);
    this.#marks.set(frame, mark);
    this.#changed(key);
  }

  /** @param {string} id */
  #changed(id) {
    const { i18n, grid, toasts } = this.#context;
    const tile = grid.tiles.get(id);
    const mark = tile && this.#marks.get(tile);
    if (tile && mark) {
      const standing = standingOf(this.#codes.of(id));
      const failed = standing === 'failed';
      if (failed && tile.element.dataset.safety !== 'failed') toasts.show(text('trust.failedWhy', { name: tile.name }));
      tile.element.dataset.safety = standing;
      mark.replaceChildren(icon(failed ? 'warning' : 'shield'));
      i18n.put(mark, text(STANDINGS[standing]), 'aria-label');
      show(mark, failed || standing === 'compared');
    }
    this.#dialog.refresh();
  }
}
