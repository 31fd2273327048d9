// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from '../app/dom.js';
import { parseServers } from './servers.js';
import { words } from './words.js';

/** @typedef {import('../app/i18n.js').I18n} I18n */
/** @typedef {import('./servers.js').Target} Target */
/** @typedef {import('./tabstore.js').TabStore} TabStore */

/**
 * Servers entered by hand.
 * @extends {Emitter<{test: {targets: Target[]}}>}
 */
export class CustomForm extends Emitter {
  #i18n;
  #store;
  #urls = h('textarea', {
    id: 'custom-urls', rows: 3, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', 'aria-describedby': 'custom-urls-error custom-urls-hint',
  });
  #username = h('input', { id: 'custom-username', type: 'text', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'custom-credential-error' });
  #password = h('input', { id: 'custom-password', type: 'password', autocomplete: 'off', 'aria-describedby': 'custom-credential-error' });
  #urlsError = h('p', { id: 'custom-urls-error', class: 'field-error', role: 'alert', hidden: true });
  #credentialError = h('p', { id: 'custom-credential-error', class: 'field-error', role: 'alert', hidden: true });
  element;

  /**
   * @param {I18n} i18n
   * @param {TabStore} store
   */
  constructor(i18n, store) {
    super();
    this.#i18n = i18n;
    this.#store = store;
    const { urls, username, password } = store.servers;
    this.#urls.value = urls;
    this.#username.value = username;
    this.#password.value = password;
    /** @param {string} id @param {import('./words.js').CheckKey} key */
    const label = (id, key) => i18n.put(h('label', { for: id }), words(key));
    this.element = h('section', { class: 'card check-custom', id: 'custom' },
      i18n.put(h('h2'), words('check.custom')), i18n.put(h('p', { class: 'lead' }), words('check.customLead')),
      h('form', { novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        h('div', { class: 'field' }, label('custom-urls', 'check.urls'), this.#urls, this.#urlsError,
          i18n.put(h('p', { id: 'custom-urls-hint', class: 'hint' }), words('check.urlsHint'))),
        h('div', { class: 'check-credential' },
          h('div', { class: 'field' }, label('custom-username', 'check.username'), this.#username),
          h('div', { class: 'field' }, label('custom-password', 'check.password'), this.#password)),
        this.#credentialError,
        h('button', { id: 'custom-run', class: 'button', type: 'submit' }, i18n.put(h('span'), words('check.customRun')))));
  }

  focus() {
    this.#urls.focus();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const urls = this.#urls.value;
    const username = this.#username.value.trim();
    const password = this.#password.value;
    const { targets, problem, needsCredential } = parseServers(urls, username, password);
    this.#tellProblem(problem);
    this.#urls.setAttribute('aria-invalid', String(problem !== null));
    this.#i18n.put(this.#credentialError, needsCredential ? words('check.needsCredential') : null);
    show(this.#credentialError, needsCredential);
    this.#username.setAttribute('aria-invalid', String(needsCredential && !username));
    this.#password.setAttribute('aria-invalid', String(needsCredential && !password));
    if (problem) return this.focus();
    if (needsCredential) return (username ? this.#password : this.#username).focus();
    this.#store.servers = { urls, username, password };
    this.emit('test', { targets });
  }

  /** @param {ReturnType<typeof parseServers>['problem']} problem */
  #tellProblem(problem) {
    show(this.#urlsError, problem !== null);
    if (!problem) return;
    const line = problem.line > 0 ? this.#i18n.put(h('span'), words('check.urlAt', { line: problem.line })) : '';
    this.#urlsError.replaceChildren(line, ' ', this.#i18n.put(h('span'), words(problem.key)));
  }
}
