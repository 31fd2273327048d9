// @ts-check
import { h, show } from '../app/dom.js';
import { icon } from '../app/icons.js';
import { Toasts, brand, button, languageButton, writeClipboard } from '../app/widgets.js';
import { CheckAPI } from './api.js';
import { CustomForm } from './customform.js';
import { pathState } from './describe.js';
import { Check } from './engine.js';
import { PathCard } from './pathcard.js';
import { writeReport } from './report.js';
import { NATCard, ServerCard } from './sidecard.js';
import { judge } from './verdict.js';
import { TRANSPORT_NAMES, words } from './words.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {import('./tabstore.js').TabStore} TabStore */
/** @typedef {import('./verdict.js').Level} Level */
/** @typedef {import('./verdict.js').Verdict} Verdict */
/** @typedef {import('./words.js').CheckKey} CheckKey */
/** @typedef {import('./words.js').Text} Text */
/**
 * @typedef {object} CheckPageOptions
 * @property {HTMLElement} root
 * @property {HTMLElement} toasts
 * @property {I18n} i18n with the texts of this page
 * @property {TabStore} store
 * @property {() => string} token a join token, '' for none
 * @property {typeof fetch} fetch
 * @property {Clock} clock
 * @property {((configuration: RTCConfiguration) => RTCPeerConnection) | null} createConnection null where there is no WebRTC
 */

/** What is measured changes fifty times a second; nobody reads that fast. */
const REDRAW_EVERY = 60;

/** @type {Record<Exclude<import('./engine.js').Phase, 'measuring'>, CheckKey>} */
const PHASES = {
  starting: 'check.phaseStarting', gathering: 'check.phaseGathering', nat: 'check.phaseNat', asking: 'check.phaseAsking', done: 'check.phaseDone',
  stopped: 'check.phaseStopped', failed: 'check.phaseFailed',
};

/** @type {Record<Level, import('../app/icons.js').IconName>} */
const EMBLEMS = { running: 'refresh', good: 'tick', limited: 'warning', broken: 'close', unknown: 'bell' };

/** The page /check: runs checks and shows what they find while they find it. */
export class CheckPage {
  #options;
  #i18n;
  #toasts;
  #form;
  /** @type {Check | null} */
  #check = null;
  /** @type {Target[]} those of the last check, where they were entered by hand */
  #targets = [];
  /** @type {Map<Path, PathCard>} */
  #cards = new Map();
  /** @type {Set<Path>} */
  #changed = new Set();
  #redrawing = false;
  #emblem = h('div', { class: 'emblem' });
  #title = h('h1');
  #words = h('div', { class: 'check-words' });
  #progress = h('p', { class: 'check-progress' });
  #chips = h('ul', { class: 'check-chips' });
  #paths = h('div', { class: 'check-paths' });
  #pathsTitle = h('h2', { class: 'check-heading', hidden: true });
  #sides = h('div', { class: 'check-sides' });
  #run;
  #stop;
  #copy;
  #own;
  #verdictCard;
  /** @type {NATCard} */
  #nat;
  /** @type {ServerCard} */
  #server;

  /** @param {CheckPageOptions} options */
  constructor(options) {
    this.#options = options;
    const { i18n } = options;
    this.#i18n = i18n;
    this.#toasts = new Toasts(i18n, options.toasts);
    this.#form = new CustomForm(i18n, options.store);
    this.#form.on('test', ({ targets }) => this.#start(targets));
    this.#run = button(i18n, { id: 'run', icon: 'refresh', label: words('check.run').key, className: 'primary', onclick: () => this.#again() });
    this.#stop = button(i18n, { id: 'stop', icon: 'close', label: words('check.stop').key, onclick: () => this.#check?.stop() });
    this.#copy = button(i18n, { id: 'copy-report', icon: 'copy', label: words('check.copy').key, onclick: () => void this.#copyReport() });
    this.#own = button(i18n, { id: 'own-run', icon: 'bell', label: words('check.ownRun').key, onclick: () => this.checkOwn() });
    this.#nat = new NATCard(i18n);
    this.#server = new ServerCard(i18n);
    i18n.put(this.#pathsTitle, words('check.paths'));
    this.#verdictCard = h('section', { class: 'card check-verdict', id: 'verdict' }, this.#emblem,
      h('div', {},
        i18n.put(h('p', { class: 'check-eyebrow' }), words('check.title')),
        h('div', { 'aria-live': 'polite' }, this.#title, this.#words, this.#progress), this.#chips,
        h('div', { class: 'check-buttons' }, this.#run, this.#stop, this.#copy, this.#own)));
    options.root.replaceChildren(this.#frame());
    this.#applyLanguage();
    i18n.on('change', () => this.#applyLanguage());
    addEventListener('pagehide', () => this.#check?.stop());
  }

  /** Checks the server that the page is from. */
  checkOwn() {
    this.#start([]);
  }

  /** For those who came to test another server: nothing starts by itself. */
  showCustom() {
    this.#showVerdict();
    show(this.#verdictCard, false);
    this.#form.focus();
  }

  #frame() {
    const i18n = this.#i18n;
    return h('div', { class: 'plain check' },
      h('header', { class: 'topbar' }, brand(i18n), i18n.put(h('span', { class: 'tagline' }), words('check.tagline')), languageButton(i18n)),
      h('main', { class: 'check-main' },
        isSecureContext ? null : h('div', { class: 'notice' }, icon('warning'), i18n.put(h('p'), words('check.insecure'))),
        this.#verdictCard, this.#pathsTitle, this.#paths, this.#sides, this.#form.element));
  }

  #again() {
    this.#start(this.#targets);
  }

  /** @param {Target[]} targets none: the own server */
  #start(targets) {
    const { createConnection, clock, fetch, token } = this.#options;
    this.#check?.stop();
    this.#targets = targets;
    this.#clear();
    if (!createConnection) return this.#showVerdict();
    const check = new Check({ createConnection, clock, api: targets.length > 0 ? null : new CheckAPI(fetch, token()), targets });
    this.#check = check;
    check.on('phase', () => this.#check === check && this.#showPhase(check));
    check.on('path', ({ path }) => this.#check === check && this.#redrawLater(path));
    check.on('nat', () => this.#check === check && check.nat && this.#nat.show(check.nat));
    check.on('server', () => this.#check === check && this.#server.show(check));
    void check.run();
    if (targets.length > 0) this.#verdictCard.scrollIntoView({ block: 'start' });
  }

  #clear() {
    for (const card of this.#cards.values()) card.close();
    this.#cards.clear();
    this.#changed.clear();
    this.#paths.replaceChildren();
    this.#nat = new NATCard(this.#i18n);
    this.#server = new ServerCard(this.#i18n);
    this.#sides.replaceChildren(this.#nat.element, this.#server.element);
    show(this.#pathsTitle, false);
    show(this.#verdictCard, true);
  }

  /** @param {Check} check */
  #showPhase(check) {
    const { paths } = check;
    if (paths.length > 0 && this.#cards.size === 0) {
      for (const path of paths) this.#cards.set(path, new PathCard(this.#i18n, path));
      this.#paths.replaceChildren(...[...this.#cards.values()].map(({ element }) => element));
      show(this.#pathsTitle, true);
    }
    for (const card of this.#cards.values()) card.update(check.over);
    if (check.own && paths.length > 0) this.#server.show(check);
    this.#showVerdict();
  }

  /** @param {Path} path */
  #redrawLater(path) {
    this.#changed.add(path);
    if (this.#redrawing) return;
    this.#redrawing = true;
    this.#options.clock.after(REDRAW_EVERY, () => {
      this.#redrawing = false;
      for (const changed of this.#changed) this.#cards.get(changed)?.update(this.#check?.over ?? true);
      this.#changed.clear();
      this.#showChips();
    });
  }

  #verdict() {
    const check = this.#check;
    return judge({
      supported: this.#options.createConnection !== null, own: check?.own ?? true, phase: check?.phase ?? 'starting', problem: check?.problem ?? null, paths: check?.paths ?? [],
    });
  }

  #showVerdict() {
    const i18n = this.#i18n;
    const check = this.#check;
    const verdict = this.#verdict();
    const over = check?.over ?? true;
    document.documentElement.dataset.phase = check?.phase ?? 'failed';
    this.#verdictCard.dataset.level = verdict.level;
    this.#emblem.replaceChildren(verdict.level === 'running' ? h('span', { class: 'spinner' }) : icon(EMBLEMS[verdict.level]));
    i18n.put(this.#title, verdict.title);
    this.#words.replaceChildren(...this.#verdictWords(verdict));
    i18n.put(this.#progress, check ? this.#phaseWords(check) : words('check.needsWebRTC'));
    this.#showChips();
    const focused = document.activeElement;
    show(this.#run, over && this.#options.createConnection !== null);
    show(this.#stop, !over);
    show(this.#copy, over && this.#cards.size > 0);
    show(this.#own, over && check !== null && !check.own);
    // The button that was pressed gives way to its opposite, with the focus.
    if (focused === this.#run && !over) this.#stop.focus();
    if (focused === this.#stop && over) this.#run.focus();
  }

  /** @param {Verdict} verdict */
  #verdictWords({ meaning, advice, operator }) {
    const i18n = this.#i18n;
    /** @param {string} className @param {Text} it */
    const line = (className, it) => i18n.put(h('p', { class: className }), it);
    return [
      ...meaning.map((it) => line('check-meaning', it)), ...advice.map((it) => line('check-advice', it)),
      ...operator.map((it) => h('p', { class: 'check-operator' }, i18n.put(h('strong'), words('check.operator')), ' ', i18n.put(h('span'), it))),
    ];
  }

  /** @param {Check} check */
  #phaseWords({ phase, current }) {
    if (phase !== 'measuring') return words(PHASES[phase]);
    return words('check.phaseMeasuring', { transport: current ? TRANSPORT_NAMES[current.target.transport] : '' });
  }

  #showChips() {
    const relays = (this.#check?.paths ?? []).filter(({ target }) => target.kind === 'turn');
    this.#chips.replaceChildren(...relays.map((path) => {
      const { tone, text: state } = pathState(path, this.#check?.over ?? true);
      return h('li', { class: 'check-chip', 'data-tone': tone }, h('strong', {}, TRANSPORT_NAMES[path.target.transport]), ' ', this.#i18n.put(h('span'), state));
    }));
    show(this.#chips, relays.length > 0);
  }

  async #copyReport() {
    if (!this.#check) return;
    const report = writeReport(this.#check, this.#verdict(), {
      say: ({ key, params }) => this.#i18n.t(key, params), page: location.origin, browser: navigator.userAgent,
      date: new Intl.DateTimeFormat(this.#i18n.tag, { dateStyle: 'medium', timeStyle: 'long' }).format(new Date()),
    });
    const copied = await writeClipboard(report);
    this.#toasts.show(words(copied ? 'check.copied' : 'check.copyFailed'));
  }

  #applyLanguage() {
    document.documentElement.lang = this.#i18n.tag;
    document.title = this.#i18n.t(words('check.pageTitle').key);
  }
}
