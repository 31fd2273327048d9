// @ts-check
import { h, show } from '../app/dom.js';
import { icon } from '../app/icons.js';
import { tellStory } from './story.js';
import { eventTable } from './tables.js';
import { rounded, words } from './words.js';

/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./engine.js').Check} Check */
/** @typedef {import('./nat.js').NAT} NAT */

/** What one server can tell of the NAT in front of this computer. */
export class NATCard {
  #i18n;
  #content = h('div');
  element;

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
    this.element = h('section', { class: 'card check-side', id: 'nat', hidden: true }, i18n.put(h('h2'), words('check.nat')), this.#content);
  }

  /** @param {NAT} nat */
  show(nat) {
    show(this.element, true);
    this.element.dataset.kind = nat.kind;
    this.#content.replaceChildren(this.#i18n.put(h('p'), nat.text), ...nat.uncertain.map((it) => this.#i18n.put(h('p', { class: 'hint' }), it)));
  }
}

/** The server's side of the story, beside what the browser saw. */
export class ServerCard {
  #i18n;
  #client = h('p');
  #story = h('ul', { class: 'check-story' });
  #relayed = h('p', { class: 'hint' });
  #events = h('div');
  #details = h('details', { class: 'check-details', hidden: true });
  #shown = -1;
  element;

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.#i18n = i18n;
    this.#details.append(i18n.put(h('summary'), words('check.events')), this.#events);
    this.element = h('section', { class: 'card check-side', id: 'server-side', hidden: true },
      i18n.put(h('h2'), words('check.serverSide')), this.#client, this.#story, this.#relayed, this.#details);
  }

  /** @param {Check} check */
  show(check) {
    const i18n = this.#i18n;
    const { server, listeners, paths, over } = check;
    show(this.element, true);
    if (!server) {
      i18n.put(this.#client, words(over ? 'check.serverSilent' : 'check.serverWaiting'));
      return;
    }
    i18n.put(this.#client, words('check.serverSees', { client: server.client }));
    this.#story.replaceChildren(...tellStory(listeners, server, paths).map(({ name, tone, text }) => h('li', { 'data-tone': tone },
      icon(tone === 'good' ? 'tick' : tone === 'bad' ? 'warning' : 'more'), h('div', {}, h('strong', {}, name), ' ', i18n.put(h('span'), text)))));
    const bytes = server.transports.reduce((sum, { relayed }) => sum + (relayed ? relayed.up.bytes + relayed.down.bytes + relayed.short_circuit.bytes : 0), 0);
    i18n.put(this.#relayed, bytes > 0 ? words('check.relayedBytes', { megabytes: rounded(bytes / 1e6) }) : null);
    if (server.events.length === this.#shown) return;
    this.#shown = server.events.length;
    this.#events.replaceChildren(eventTable(i18n, server.events));
    show(this.#details, server.events.length > 0);
  }
}
