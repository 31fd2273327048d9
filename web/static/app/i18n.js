// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { en } from './text/en.js';
import { zh } from './text/zh.js';

/** @typedef {import('./text/en.js').Key} Key */
/** @typedef {'en' | 'zh'} Language */
/** @typedef {Record<string, string | number>} Params */
/** @typedef {{key: Key, params: Params}} Text a text that is not yet in any language */

/** @type {Record<Language, Record<Key, string>>} */
export const dictionaries = { en, zh };

/** @type {Record<Language, string>} */
const TAGS = { en: 'en', zh: 'zh-CN' };

/** Marks the elements to visit when the language changes, so that nothing has to hold on to those that are gone. */
const MARK = 'data-i18n';

/**
 * @param {Key} key
 * @param {Params} [params]
 * @returns {Text}
 */
export function text(key, params = {}) {
  return { key, params };
}

/**
 * @param {string} template
 * @param {Params} params
 */
export function fill(template, params) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => String(params[name] ?? whole));
}

/**
 * The language of the page: what the link asks for, what was chosen before, what the browser prefers.
 * @param {(string | null | undefined)[]} wishes best first
 * @returns {Language}
 */
export function chooseLanguage(wishes) {
  for (const wish of wishes) {
    const language = wish?.toLowerCase().split('-')[0];
    if (language === 'en' || language === 'zh') return language;
  }
  return 'en';
}

/**
 * Texts in the current language. What `put` and `label` have written follows when the language changes.
 * @extends {Emitter<{change: {language: Language}}>}
 */
export class I18n extends Emitter {
  /** @type {Language} */
  #language;
  #texts;
  /** @type {WeakMap<Element, Map<string, Text>>} element -> attribute ('' is the content) -> text */
  #written = new WeakMap();

  /**
   * @param {Language} language
   * @param {Record<Language, Record<string, string>>} [texts] for pages with more of them
   */
  constructor(language, texts = dictionaries) {
    super();
    this.#language = language;
    this.#texts = texts;
  }

  get language() {
    return this.#language;
  }

  /** For the `lang` attribute. */
  get tag() {
    return TAGS[this.#language];
  }

  /** @param {Language} language */
  setLanguage(language) {
    if (language === this.#language) return;
    this.#language = language;
    for (const element of document.querySelectorAll(`[${MARK}]`)) {
      for (const [attribute, it] of this.#written.get(element) ?? []) this.#write(element, attribute, it);
    }
    this.emit('change', { language });
  }

  /**
   * @param {Key} key
   * @param {Params} [params]
   */
  t(key, params = {}) {
    return fill(this.#texts[this.#language][key], params);
  }

  /**
   * @template {Element} E
   * @param {E} element
   * @param {Text | null} content null for no text
   * @param {string} [attribute] instead of the content
   */
  put(element, content, attribute = '') {
    const texts = this.#written.get(element) ?? new Map();
    if (content) {
      this.#written.set(element, texts.set(attribute, content));
      element.setAttribute(MARK, '');
      this.#write(element, attribute, content);
      return element;
    }
    texts.delete(attribute);
    if (attribute) element.removeAttribute(attribute);
    else element.textContent = '';
    return element;
  }

  /**
   * @param {Key} key
   * @param {string} [className]
   */
  label(key, className = '') {
    const span = document.createElement('span');
    if (className) span.className = className;
    return this.put(span, text(key));
  }

  /**
   * @param {Element} element
   * @param {string} attribute
   * @param {Text} content
   */
  #write(element, attribute, { key, params }) {
    const value = this.t(key, params);
    if (attribute) element.setAttribute(attribute, value);
    else element.textContent = value;
  }
}
