// @ts-check
import { h, show } from './dom.js';
import { explainPeer } from './errors.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { button, checkLink } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {Omit<import('./errors.js').Circumstances, 'before' | 'relayOffered'>} How */

/** What lies over the picture of somebody to whom there is no connection. */
export class Cover {
  #i18n;
  #retry;
  /** The connection that the rest is about. @type {RTCPeerConnection | null} */
  #connection = null;
  /** It stood once. */
  #before = false;
  /** A try has failed. */
  #again = false;
  /** What is said at length, which stays until there is a connection. @type {Text | null} */
  #words = null;
  element = h('div', { class: 'tile-cover', role: 'status' });

  /**
   * @param {I18n} i18n
   * @param {() => void} retry a person wants it
   */
  constructor(i18n, retry) {
    this.#i18n = i18n;
    this.#retry = retry;
    show(this.element, false);
  }

  /**
   * Takes how the connection is.
   * @param {Peer} peer
   * @param {How} how
   */
  update(peer, how) {
    const { status, connection } = peer;
    if (this.#connection !== connection || status === 'connected') {
      this.#connection = connection;
      this.#again = false;
      this.#words = null;
    }
    this.#before ||= status === 'connected';
    this.#again ||= connection.connectionState === 'failed';
    show(this.element, status !== 'connected');
    if (status === 'failed') this.explain(peer, how);
    else if (!this.#words) this.#wait(status === 'reconnecting');
  }

  /**
   * Says why there is no connection, as far as that is known.
   * @param {Peer} peer
   * @param {How} how
   */
  explain(peer, how) {
    const words = explainPeer(peer, { ...how, before: this.#before, relayOffered: offersRelay(peer.connection) });
    // The same words again would take the focus from the buttons.
    if (this.#words?.key === words.key) return;
    this.#words = words;
    const i18n = this.#i18n;
    this.element.replaceChildren(icon('warning'), i18n.put(h('strong'), text('tile.failed', { name: how.name })), i18n.put(h('p'), words),
      h('span', { class: 'tile-trying' }, h('span', { class: 'spinner' }), i18n.label('tile.keepsTrying')),
      h('div', { class: 'end-buttons' }, button(i18n, { icon: 'refresh', label: 'tile.retry', className: 'small', onclick: this.#retry }),
        checkLink(i18n, 'button small')));
  }

  /** @param {boolean} lost it stood, and broke */
  #wait(lost) {
    const key = lost ? 'tile.reconnecting' : this.#again ? 'tile.again' : 'tile.connecting';
    this.element.replaceChildren(h('span', { class: 'spinner' }), this.#i18n.label(key));
  }
}

/** @param {RTCPeerConnection} connection */
function offersRelay(connection) {
  return (connection.getConfiguration().iceServers ?? []).some(({ urls }) => [urls].flat().some((url) => /^turns?:/i.test(url)));
}
