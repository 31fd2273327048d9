// @ts-check

/** @typedef {{urls: string, username: string, password: string}} CustomServers */

/** What this tab remembers and no other place does. Browsers may forbid storage; then it lasts as long as the page. */
export class TabStore {
  #storage;
  /** @type {CustomServers} */
  #servers = { urls: '', username: '', password: '' };
  #token = '';

  /** @param {() => Storage} storage reading it may throw */
  constructor(storage) {
    this.#storage = storage;
    const saved = this.#read('maitred.check');
    for (const field of /** @type {const} */ (['urls', 'username', 'password'])) {
      if (typeof saved?.[field] === 'string') this.#servers[field] = saved[field];
    }
    const token = this.#read('maitred.check.token');
    if (typeof token === 'string') this.#token = token;
  }

  get servers() {
    return this.#servers;
  }

  set servers(servers) {
    this.#servers = servers;
    this.#write('maitred.check', servers);
  }

  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    this.#write('maitred.check.token', token);
  }

  /**
   * @param {string} name
   * @returns {any}
   */
  #read(name) {
    try {
      return JSON.parse(this.#storage().getItem(name) ?? 'null');
    } catch {
      return null;
    }
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  #write(name, value) {
    try {
      this.#storage().setItem(name, JSON.stringify(value));
    } catch {
      // It lasts as long as the page then.
    }
  }
}
