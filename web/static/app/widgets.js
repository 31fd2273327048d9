// @ts-check
import { h } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./icons.js').IconName} IconName */

/** A note stays for as long as it takes to read, in milliseconds: at least so long, and so long for each character. */
const TOAST_TIME = 5_000;
const READING_TIME = 70;
const MAX_TOASTS = 3;

/** Short notes that go away by themselves; the container is a live region. */
export class Toasts {
  #i18n;
  #container;

  /**
   * @param {I18n} i18n
   * @param {HTMLElement} container
   */
  constructor(i18n, container) {
    this.#i18n = i18n;
    this.#container = container;
  }

  /**
   * @param {Text} content
   * @param {string} [className] of the note
   */
  show({ key, params }, className = '') {
    // Fixed in the language of the moment: it is gone before anybody switches.
    const words = this.#i18n.t(key, params);
    const toast = h('p', { class: `toast ${className}` }, words);
    this.#container.append(toast);
    while (this.#container.childElementCount > MAX_TOASTS) this.#container.firstElementChild?.remove();
    setTimeout(() => toast.remove(), Math.max(TOAST_TIME, READING_TIME * words.length));
  }
}

/** @param {I18n} i18n */
export function brand(i18n) {
  const link = h('a', { class: 'brand', href: '/' }, icon('bell'), h('span', { class: 'wordmark' }, 'maitred'));
  return i18n.put(link, text('app.home'), 'aria-label');
}

/**
 * Shows the language that one would get.
 * @param {I18n} i18n
 */
export function languageButton(i18n) {
  const button = h('button', {
    id: 'lang', class: 'quiet', type: 'button', onclick: () => i18n.setLanguage(i18n.language === 'en' ? 'zh' : 'en'),
  });
  i18n.put(button, text('lang.other'));
  i18n.put(button, text('lang.switch'), 'aria-label');
  return i18n.put(button, text('lang.switch'), 'title');
}

/**
 * @param {I18n} i18n
 * @param {{id?: string, icon: IconName, label: Key, className?: string, onclick: () => void}} options
 */
export function button(i18n, { id, icon: name, label, className = '', onclick }) {
  return h('button', { id, class: `button ${className}`, type: 'button', onclick }, icon(name), i18n.label(label));
}

/**
 * Leads to the test of the connection, in a tab of its own: the call goes on.
 * @param {I18n} i18n
 * @param {string} className
 */
export function checkLink(i18n, className) {
  return h('a', { class: className, href: '/check', target: '_blank' }, i18n.label('network.check'));
}

/**
 * Puts a link where it can be pasted from.
 * @param {string} url
 * @param {Toasts} toasts
 */
export async function copyLink(url, toasts) {
  const copied = await writeClipboard(url);
  toasts.show(copied ? text('link.copied') : text('link.manual', { url }));
}

/** @param {string} content */
export async function writeClipboard(content) {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch {
    return copyBySelection(content);
  }
}

/** The old way, which also works on plain http. @param {string} content */
function copyBySelection(content) {
  const field = h('textarea', { class: 'visually-hidden', readonly: true, 'aria-hidden': 'true' });
  field.value = content;
  document.body.append(field);
  const focused = document.activeElement;
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
