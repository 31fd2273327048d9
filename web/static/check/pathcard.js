// @ts-check
import { h, show } from '../app/dom.js';
import { gatheringWords, loopWords, pathState, pathTitle } from './describe.js';
import { Plot } from './plot.js';
import { candidateTable, errorList } from './tables.js';
import { rounded, words } from './words.js';

/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./loop.js').Loop} Loop */
/** @typedef {import('./words.js').CheckKey} CheckKey */

/** One way to the server: what was gathered and what was measured. */
export class PathCard {
  #i18n;
  #path;
  #state = h('span', { class: 'check-chip' });
  #told = h('p', { class: 'check-told' });
  #errors = h('div');
  #candidates = h('div');
  #details = h('details', { class: 'check-details' });
  #measured;
  #loopWords = h('p', { class: 'check-told' });
  #figures = { roundTrip: h('dd'), more: h('dd', { class: 'hint' }), jitter: h('dd'), loss: h('dd'), rate: h('dd') };
  /** @type {Plot | null} */
  #plot = null;
  #shown = { candidates: -1, errors: -1 };
  element;

  /**
   * @param {I18n} i18n
   * @param {Path} path
   */
  constructor(i18n, path) {
    this.#i18n = i18n;
    this.#path = path;
    const { target } = path;
    const count = h('summary', {}, i18n.put(h('span'), words('check.candidates')), ' ', h('span', { class: 'count' }));
    this.#details.append(count, this.#candidates);
    this.#measured = h('div', { class: 'check-measured', hidden: true });
    this.element = h('article', { class: 'card check-path', 'data-transport': target.transport, 'data-kind': target.kind },
      h('header', {},
        h('div', {}, i18n.put(h('h3'), pathTitle(target)), h('code', {}, target.url)), this.#state),
      this.#told, this.#errors, this.#measured, this.#details);
    this.update(false);
  }

  close() {
    this.#plot?.close();
  }

  /** @param {boolean} over nothing more will be tested */
  update(over) {
    const { target, gathering, loop } = this.#path;
    const state = pathState(this.#path, over);
    this.element.dataset.tone = state.tone;
    this.element.dataset.outcome = gathering.outcome;
    this.#i18n.put(this.#state, state.text);
    const told = gatheringWords(target, gathering);
    this.#i18n.put(this.#told, told);
    show(this.#told, told !== null);
    const errors = gathering.errors.reduce((sum, { count }) => sum + count, 0);
    if (errors !== this.#shown.errors) {
      this.#errors.replaceChildren(...(errors > 0 ? [errorList(this.#i18n, gathering.errors)] : []));
      this.#shown.errors = errors;
    }
    if (gathering.candidates.length !== this.#shown.candidates) this.#showCandidates();
    if (loop) this.#showLoop(loop);
  }

  #showCandidates() {
    const { candidates } = this.#path.gathering;
    this.#shown.candidates = candidates.length;
    this.#candidates.replaceChildren(candidateTable(this.#i18n, candidates));
    const count = this.#details.querySelector('.count');
    if (count) count.textContent = String(candidates.length);
    show(this.#details, candidates.length > 0);
    if (candidates.length > 0 && !this.#details.dataset.opened) {
      this.#details.dataset.opened = '';
      this.#details.open = true;
    }
  }

  /** @param {Loop} loop */
  #showLoop(loop) {
    const i18n = this.#i18n;
    if (!this.#plot) {
      this.#plot = new Plot(i18n);
      this.#measured.append(i18n.put(h('h4'), words('check.loop')), this.#loopWords, this.#figureList(), this.#plot.element,
        i18n.put(h('p', { class: 'hint' }), words('check.loopHow')));
      show(this.#measured, true);
    }
    this.#measured.dataset.state = loop.state;
    // What was measured stands in figures below; the sentence is for what is going on or went wrong.
    const told = loop.state === 'measured' ? null : loopWords(loop);
    i18n.put(this.#loopWords, told);
    show(this.#loopWords, told !== null);
    const { roundTrip, more, jitter, loss, rate } = this.#figures;
    const pinged = loop.pings.length > 0;
    i18n.put(roundTrip, pinged ? words('check.roundTripValue', { p50: rounded(loop.p50) }) : null);
    i18n.put(more, pinged ? words('check.roundTripMore', { p99: rounded(loop.p99) }) : null);
    i18n.put(jitter, pinged ? words('check.jitterValue', { jitter: rounded(loop.jitter) }) : null);
    i18n.put(loss, pinged ? words('check.lossValue', { loss: rounded(loop.loss * 100) }) : null);
    i18n.put(rate, loop.bytes > 0 ? words('check.rateValue', { mbps: rounded(loop.mbps) }) : null);
    this.#plot.show(loop);
  }

  #figureList() {
    const { roundTrip, more, jitter, loss, rate } = this.#figures;
    /**
     * @param {string} name
     * @param {CheckKey} key
     * @param {...HTMLElement} values
     */
    const figure = (name, key, ...values) => h('div', { 'data-figure': name }, this.#i18n.put(h('dt'), words(key)), ...values);
    return h('dl', { class: 'check-figures' }, figure('round-trip', 'check.roundTrip', roundTrip, more), figure('jitter', 'check.jitter', jitter),
      figure('loss', 'check.loss', loss), figure('rate', 'check.rate', rate));
  }
}
