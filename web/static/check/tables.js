// @ts-check
import { h } from '../app/dom.js';
import { explainCode } from './codes.js';
import { addressOf } from './describe.js';
import { TRANSPORT_NAMES, rounded, words } from './words.js';

/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./api.js').HeardEvent} HeardEvent */
/** @typedef {import('./gather.js').Found} Found */
/** @typedef {import('./gather.js').IceError} IceError */
/** @typedef {import('./words.js').CheckKey} CheckKey */
/** @typedef {import('./words.js').Text} Text */

/** @type {Record<string, CheckKey>} */
const TYPES = { host: 'check.typeHost', srflx: 'check.typeSrflx', prflx: 'check.typePrflx', relay: 'check.typeRelay' };

/**
 * A table that becomes a list of cards on narrow screens; roles are spelled out because `display` would take them away.
 * @param {I18n} i18n
 * @param {CheckKey} caption
 * @param {CheckKey[]} columns
 * @param {(string | Text)[][]} rows
 */
function table(i18n, caption, columns, rows) {
  /** @param {string | Text} it @param {number} column */
  const cell = (it, column) => {
    const content = h('span');
    if (typeof it === 'string') content.textContent = it || '–';
    else i18n.put(content, it);
    return h('td', { role: 'cell', class: it === '' ? 'empty' : null }, i18n.put(h('span', { class: 'cell-name', 'aria-hidden': 'true' }), words(columns[column])), content);
  };
  return h('table', { class: 'check-table', role: 'table' },
    i18n.put(h('caption', { class: 'visually-hidden' }), words(caption)),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...columns.map((key) => i18n.put(h('th', { scope: 'col', role: 'columnheader' }), words(key))))),
    h('tbody', { role: 'rowgroup' }, ...rows.map((row) => h('tr', { role: 'row' }, ...row.map(cell)))));
}

/**
 * @param {I18n} i18n
 * @param {Found[]} candidates
 */
export function candidateTable(i18n, candidates) {
  return table(i18n, 'check.candidates',
    ['check.columnTime', 'check.columnType', 'check.columnTransport', 'check.columnAddress', 'check.columnRelated', 'check.columnPriority', 'check.columnServer'],
    candidates.map((it) => [
      words('check.ms', { ms: rounded(it.ms) }), Object.hasOwn(TYPES, it.type) ? words(TYPES[it.type]) : it.type,
      it.relayProtocol ? `${it.protocol} (${it.relayProtocol})` : it.protocol, addressOf(it.address, it.port), it.relatedPort > 0 ? addressOf(it.relatedAddress, it.relatedPort) : '',
      String(it.priority), it.url,
    ]));
}

/**
 * @param {I18n} i18n
 * @param {HeardEvent[]} events
 */
export function eventTable(i18n, events) {
  return table(i18n, 'check.eventsCaption', ['check.columnTime', 'check.columnTransport', 'check.columnClient', 'check.columnRequest', 'check.columnAnswer'],
    events.map(({ at_ms, transport, client, method, code }) => [
      words('check.ms', { ms: rounded(at_ms) }), TRANSPORT_NAMES[transport] ?? transport, client, method, code === 0 ? words('check.granted') : String(code),
    ]));
}

/**
 * @param {I18n} i18n
 * @param {IceError[]} errors
 */
export function errorList(i18n, errors) {
  return h('ul', { class: 'check-errors' }, ...errors.map(({ ms, code, text, count }) => {
    const [what, todo] = explainCode(code);
    return h('li', {},
      code > 0 && i18n.put(h('p', { class: 'error-what' }), what), code > 0 && i18n.put(h('p'), todo),
      h('p', { class: 'hint' }, text ? i18n.put(h('span'), words('check.browserSays', { text })) : null, ' ',
        count > 1 ? i18n.put(h('span'), words('check.times', { count, ms: rounded(ms) })) : i18n.put(h('span'), words('check.ms', { ms: rounded(ms) }))));
  }));
}
