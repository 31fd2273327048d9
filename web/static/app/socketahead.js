// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */

/** In milliseconds: servers close a connection that does not join, after 10 s if nothing else is set. */
const KEPT = 8_000;

/**
 * A WebSocket that is opened when somebody is about to join, so that a click finds it open: a few round trips of a network. There is one at a time, and it is
 * closed when nobody takes it.
 */
export class SocketAhead {
  #make;
  #clock;
  /** @type {WebSocket | null} */
  #socket = null;
  #address = '';
  #until = 0;
  #cancel = () => {};

  /**
   * @param {(url: string, protocol: string) => WebSocket} make
   * @param {Clock} clock
   */
  constructor(make, clock) {
    this.#make = make;
    this.#clock = clock;
  }

  /**
   * @param {string} url
   * @param {string} protocol
   */
  open(url, protocol) {
    if (this.#socket && this.#socket.readyState < 2) return;
    this.#release();
    this.#socket = this.#make(url, protocol);
    this.#address = `${url} ${protocol}`;
    this.#until = this.#clock.now() + KEPT;
    this.#cancel = this.#clock.after(KEPT, () => this.#release()?.close(1000));
  }

  /**
   * The one that is open, or another. Whoever takes it hears of its opening.
   * @param {string} url
   * @param {string} protocol
   */
  take(url, protocol) {
    // Timers stand still while a computer sleeps.
    const fits = this.#address === `${url} ${protocol}` && this.#clock.now() < this.#until;
    const socket = this.#release();
    if (fits && socket?.readyState === 0) return socket;
    if (fits && socket?.readyState === 1) {
      queueMicrotask(() => socket.dispatchEvent(new Event('open')));
      return socket;
    }
    socket?.close(1000);
    return this.#make(url, protocol);
  }

  #release() {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancel();
    return socket;
  }
}
