// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Chart } from './chart.js';
import { systemClock } from './clock.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { Panel } from './panels.js';
import { describeLeg } from './paths.js';
import { ROLES, compare, readReport, rolesOf, sum } from './stats.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./paths.js').Route} Route */
/** @typedef {import('./stats.js').Flow} Flow */
/** @typedef {import('./stats.js').Numbers} Numbers */
/** @typedef {import('./stats.js').Role} Role */
/** @typedef {import('./stats.js').Snapshot} Snapshot */

const INTERVAL = 1_000;
const NONE = '–';
/** @type {Record<Role, Key>} */
const ROLE_TEXTS = { audio: 'numbers.audio', video: 'numbers.video', screen: 'numbers.screen' };
/** @type {Record<string, Key>} */
const LIMITATIONS = { none: 'numbers.limitNone', cpu: 'numbers.limitCpu', bandwidth: 'numbers.limitBandwidth', other: 'numbers.limitOther' };

/** Numbers with their units, as people write them. What is not known is a dash. */
export class Units {
  #i18n;
  /** @type {Map<string, Intl.NumberFormat>} */
  #formats = new Map();

  /** @param {Pick<I18n, 'tag'>} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
  }

  /** @param {number | null} bits a second */
  bitrate = (bits) => {
    if (bits === null) return NONE;
    return bits < 999_500 ? this.#write(bits / 1000, 'kilobit-per-second', 0) : this.#write(bits / 1_000_000, 'megabit-per-second', 1);
  };

  /** @param {number | null} ms */
  time = (ms) => (ms === null ? NONE : this.#write(ms, 'millisecond', ms < 10 ? 1 : 0));

  /** @param {number | null} part 0 to 1 */
  share = (part) => (part === null ? NONE : this.#write(part * 100, 'percent', 1));

  /** @param {number | null} rate */
  whole = (rate) => (rate === null ? NONE : String(Math.round(rate)));

  /**
   * @param {number} value
   * @param {string} unit
   * @param {number} digits
   */
  #write(value, unit, digits) {
    const { tag } = this.#i18n;
    const key = `${tag} ${unit} ${digits}`;
    const format = this.#formats.get(key) ?? new Intl.NumberFormat(tag, { style: 'unit', unit, maximumFractionDigits: digits });
    this.#formats.set(key, format);
    return format.format(value);
  }
}

/** One member's numbers. */
class NumbersCard {
  #i18n;
  #units;
  #name;
  #route = h('p', { class: 'numbers-route' });
  #charts;
  /** @type {Record<Role, {row: HTMLElement, in: HTMLElement, out: HTMLElement}>} */
  #flows;
  #loss = { in: h('td'), out: h('td') };
  #jitter = { in: h('td'), out: h('td') };
  #limitation = h('td', { colspan: 2 });
  #roundTrip = h('td', { colspan: 2 });
  element;

  /**
   * @param {I18n} i18n
   * @param {Units} units
   * @param {Member} member
   */
  constructor(i18n, units, member) {
    this.#i18n = i18n;
    this.#units = units;
    this.#name = member.name;
    this.#charts = {
      bitrate: new Chart(i18n, {
        title: 'numbers.bitrate', alt: 'numbers.bitrateAlt', format: units.bitrate, join: ([down, up]) => `↓ ${down}  ↑ ${up}`, least: 100_000,
        lines: [{ colour: '--accent-ink', filled: true }, { colour: '--ok-ink', filled: false }],
      }),
      roundTrip: new Chart(i18n, {
        title: 'numbers.roundTrip', alt: 'numbers.roundTripAlt', format: units.time, least: 20, lines: [{ colour: '--accent-ink', filled: true }],
      }),
      loss: new Chart(i18n, {
        title: 'numbers.loss', alt: 'numbers.lossAlt', format: units.share, join: ([down, up]) => `↓ ${down}  ↑ ${up}`, least: 0.05,
        lines: [{ colour: '--accent-ink', filled: true }, { colour: '--ok-ink', filled: false }],
      }),
    };
    const flow = (/** @type {Role} */ role) => {
      const cells = { in: h('td'), out: h('td') };
      return { ...cells, row: h('tr', {}, i18n.put(h('th', { scope: 'row' }), text(ROLE_TEXTS[role])), cells.in, cells.out) };
    };
    this.#flows = { audio: flow('audio'), video: flow('video'), screen: flow('screen') };
    this.element = h('section', { class: 'numbers-card', 'data-member': member.id }, h('h3', {}, member.name), this.#route,
      h('div', { class: 'numbers-charts' }, ...Object.values(this.#charts).map(({ element }) => element)), this.#table());
  }

  /**
   * @param {number} at
   * @param {Numbers | null} numbers null where nothing was measured yet
   * @param {Route} route
   */
  update(at, numbers, route) {
    this.#showRoute(route);
    if (!numbers) return;
    const units = this.#units;
    this.#charts.bitrate.push({ at, values: [numbers.in.bitrate, numbers.out.bitrate] });
    this.#charts.roundTrip.push({ at, values: [numbers.roundTrip] });
    this.#charts.loss.push({ at, values: [numbers.in.loss, numbers.out.loss] });
    for (const role of ROLES) this.#showFlow(role, numbers.in.flows[role], numbers.out.flows[role]);
    for (const way of /** @type {const} */ (['in', 'out'])) {
      this.#loss[way].textContent = units.share(numbers[way].loss);
      this.#jitter[way].textContent = units.time(numbers[way].jitter);
    }
    this.#roundTrip.textContent = units.time(numbers.roundTrip);
    const { screen, video } = numbers.out.flows;
    const limitation = (screen?.bitrate ? screen : video)?.limitation ?? '';
    if (Object.hasOwn(LIMITATIONS, limitation)) this.#i18n.put(this.#limitation, text(LIMITATIONS[limitation]));
    else this.#limitation.textContent = NONE;
  }

  close() {
    for (const chart of Object.values(this.#charts)) chart.close();
    this.element.remove();
  }

  #table() {
    const i18n = this.#i18n;
    /** @type {(key: Key, ...cells: HTMLElement[]) => HTMLElement} */
    const row = (key, ...cells) => h('tr', {}, i18n.put(h('th', { scope: 'row' }), text(key)), ...cells);
    const head = (/** @type {Key} */ key) => i18n.put(h('th', { scope: 'col' }), text(key));
    show(this.#flows.screen.row, false);
    return h('table', { class: 'numbers-table' },
      i18n.put(h('caption', { class: 'visually-hidden' }), text('numbers.of', { name: this.#name })),
      h('thead', {}, h('tr', {}, h('td'), head('numbers.received'), head('numbers.sent'))),
      h('tbody', {}, ...ROLES.map((role) => this.#flows[role].row), row('numbers.loss', this.#loss.in, this.#loss.out),
        row('numbers.jitter', this.#jitter.in, this.#jitter.out), row('numbers.roundTrip', this.#roundTrip), row('numbers.limitedBy', this.#limitation)));
  }

  /** @param {Route} route */
  #showRoute({ path, legs }) {
    /** @type {import('./i18n.js').Text[]} */
    const lines = legs.map((leg) => describeLeg(leg, this.#name));
    if (lines.length === 0) lines.push(text(path === 'direct' ? 'path.directTitle' : 'numbers.noPath'));
    const shown = JSON.stringify(lines);
    if (this.#route.dataset.shown === shown) return;
    this.#route.dataset.shown = shown;
    this.#route.replaceChildren(...lines.map((line) => this.#i18n.put(h('span'), line)));
  }

  /**
   * @param {Role} role
   * @param {Flow | undefined} incoming
   * @param {Flow | undefined} outgoing
   */
  #showFlow(role, incoming, outgoing) {
    const { row, ...cells } = this.#flows[role];
    show(row, role !== 'screen' || !!incoming?.bitrate || !!outgoing?.bitrate);
    for (const [cell, flow] of /** @type {const} */ ([[cells.in, incoming], [cells.out, outgoing]])) {
      cell.replaceChildren(...this.#flowLines(flow).map((line) => h('span', {}, line)));
    }
  }

  /** @param {Flow | undefined} flow */
  #flowLines(flow) {
    if (!flow) return [NONE];
    const { bitrate, codec, picture } = flow;
    const { bitrate: write, whole } = this.#units;
    const lines = [codec ? `${write(bitrate)} · ${codec}` : write(bitrate)];
    if (picture) lines.push(this.#i18n.t('numbers.picture', { width: picture.width, height: picture.height, rate: whole(picture.rate) }));
    return lines;
  }
}

/**
 * Measures all connections once a second, while it is on and the page is seen.
 * @extends {Emitter<{numbers: {at: number, all: Map<Peer, Numbers | null>}}>}
 */
export class Meter extends Emitter {
  #room;
  #clock;
  #page;
  #on = false;
  /** What each connection's numbers were last. @type {WeakMap<RTCPeerConnection, Snapshot>} */
  #before = new WeakMap();
  #stop = () => {};
  /** Counts the starts, so that a measurement that was under way does not go on beside a later one. */
  #run = 0;
  #resume = () => this.#begin();

  /**
   * @param {Pick<import('../../sdk/maitred.js').Room, 'peers'>} room
   * @param {Clock} [clock]
   * @param {Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>} [page]
   */
  constructor(room, clock = systemClock, page = document) {
    super();
    this.#room = room;
    this.#clock = clock;
    this.#page = page;
    page.addEventListener('visibilitychange', this.#resume);
  }

  /** @param {boolean} on */
  switch(on) {
    this.#on = on;
    this.#begin();
  }

  close() {
    this.#page.removeEventListener('visibilitychange', this.#resume);
    this.switch(false);
  }

  #begin() {
    this.#run++;
    this.#stop();
    // The time that nobody looked is no interval to measure.
    this.#before = new WeakMap();
    if (this.#on && !this.#page.hidden) void this.#measure(this.#run);
  }

  /** @param {number} run */
  async #measure(run) {
    const peers = [...this.#room.peers.values()];
    const all = await Promise.all(peers.map(async (peer) => /** @type {[Peer, Numbers | null]} */ ([peer, await this.#read(peer)])));
    if (run !== this.#run) return;
    this.emit('numbers', { at: this.#clock.now(), all: new Map(all.filter(([{ member }]) => this.#room.peers.has(member.id))) });
    this.#stop = this.#clock.after(INTERVAL, () => void this.#measure(run));
  }

  /**
   * @param {Peer} peer
   * @returns {Promise<Numbers | null>} null for the first look at a connection
   */
  async #read({ connection, member }) {
    try {
      const before = this.#before.get(connection);
      const now = readReport(await connection.getStats(), rolesOf(connection.getTransceivers()));
      this.#before.set(connection, now);
      return before ? compare(before, now) : null;
    } catch (error) {
      console.warn('maitred: numbers', member.id, error);
      return null;
    }
  }
}

/** The panel with what goes over the wires. */
export class NumbersFeature {
  #context;
  #routeOf;
  #units;
  #meter;
  #total = h('p', { class: 'numbers-total' });
  #cards = h('div', { class: 'numbers-cards' });
  #nobody;
  /** By member id. @type {Map<string, NumbersCard>} */
  #shown = new Map();
  #undo;

  /**
   * @param {CallContext} context
   * @param {(peer: Peer) => Route} routeOf
   */
  constructor(context, routeOf) {
    const { i18n, room, bar, panels, shortcuts } = context;
    this.#context = context;
    this.#routeOf = routeOf;
    this.#units = new Units(i18n);
    this.#meter = new Meter(room);
    this.#nobody = i18n.label('numbers.nobody', 'hint');
    const panel = new Panel(i18n, {
      id: 'numbers-panel', title: 'numbers.title', close: 'numbers.close',
      content: [h('div', { class: 'numbers-body', tabindex: 0 }, this.#total, this.#nobody, this.#cards)],
    });
    const toggle = () => panels.toggle(panel);
    const item = bar.menu.add({ id: 'numbers', icon: 'numbers', label: 'numbers.title', shortcut: 'N', onclick: toggle });
    item.setPressed(false);
    panels.add(panel);
    shortcuts.set('n', toggle);
    this.#undo = [
      panel.on('change', ({ open }) => {
        item.setPressed(open);
        this.#meter.switch(open);
      }),
      this.#meter.on('numbers', ({ at, all }) => this.#show(at, all)),
      room.on('member-left', ({ member }) => this.#remove(member.id)),
    ];
    this.#show(0, new Map());
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#meter.close();
    for (const id of [...this.#shown.keys()]) this.#remove(id);
  }

  /**
   * @param {number} at
   * @param {Map<Peer, Numbers | null>} all
   */
  #show(at, all) {
    for (const [peer, numbers] of all) this.#card(peer.member).update(at, numbers, this.#routeOf(peer));
    this.#showNobody();
    const measured = [...all.values()];
    // The first look of all, or after a pause: what was shown before stays for a moment.
    if (measured.length > 0 && measured.every((it) => it === null)) return;
    const total = (/** @type {'in' | 'out'} */ way) => this.#units.bitrate(sum(measured.map((it) => it?.[way].bitrate ?? null)));
    this.#context.i18n.put(this.#total, text('numbers.total', { down: total('in'), up: total('out') }));
  }

  /** @param {Member} member */
  #card(member) {
    const known = this.#shown.get(member.id);
    if (known) return known;
    const card = new NumbersCard(this.#context.i18n, this.#units, member);
    this.#shown.set(member.id, card);
    this.#cards.append(card.element);
    return card;
  }

  /** @param {string} id */
  #remove(id) {
    this.#shown.get(id)?.close();
    this.#shown.delete(id);
    this.#showNobody();
  }

  #showNobody() {
    const nobody = this.#context.room.peers.size === 0;
    show(this.#nobody, nobody);
    show(this.#total, !nobody);
  }
}
