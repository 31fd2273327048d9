// @ts-check
import { Dialog } from './dialog.js';
import { h } from './dom.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */

/** @type {Record<string, Key>} */
const TEXTS = {
  'm': 'stage.keyMute', 'v': 'stage.keyCamera', 's': 'stage.keyScreen', 'c': 'stage.keyChat', 'p': 'stage.keyPeople', 'h': 'stage.keyHand',
  'r': 'stage.keyReact', 'g': 'stage.keyView', 'o': 'stage.keySelf', 'i': 'stage.keyPip', 'f': 'stage.keyFull', 'n': 'numbers.key', 'escape': 'stage.keyEscape',
  '?': 'stage.keyKeys',
};

/** Tells which keys mean what. */
export class ShortcutsDialog {
  #i18n;
  #shortcuts;
  /** @type {Dialog | null} */
  #dialog = null;

  /**
   * @param {I18n} i18n
   * @param {ReadonlyMap<string, unknown>} shortcuts that there are
   */
  constructor(i18n, shortcuts) {
    this.#i18n = i18n;
    this.#shortcuts = shortcuts;
  }

  show() {
    const i18n = this.#i18n;
    const rows = Object.entries(TEXTS).filter(([key]) => this.#shortcuts.has(key)).map(([key, label]) => (
      h('div', {}, h('dt', {}, h('kbd', {}, key === 'escape' ? 'Esc' : key.toUpperCase())), i18n.put(h('dd'), { key: label, params: {} }))));
    this.#dialog = new Dialog(i18n, {
      id: 'shortcuts', title: 'stage.keys', content: [h('dl', { class: 'keys' }, ...rows), i18n.label('stage.keyArrows', 'hint')],
    });
    this.#dialog.show();
  }

  close() {
    this.#dialog?.close();
  }
}
