// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/**
 * @typedef {object} PairOptions
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {[RTCConfiguration, RTCConfiguration]} configurations of the two ends
 * @property {(candidate: RTCIceCandidate, end: 0 | 1) => boolean} [tells] whether the other end is told of an end's candidate
 * @property {Record<string, RTCDataChannelInit>} channels by label
 * @property {Clock} clock
 * @property {AbortSignal} signal
 * @property {number} [timeout] in ms, 10,000 by default
 */
/** @typedef {'open' | 'failed' | 'late' | 'stopped'} PairState */

const CONNECT_TIMEOUT = 10_000;

/** Two connections of this page with each other. */
export class Pair {
  #options;
  #closed = false;
  /** @type {[RTCPeerConnection, RTCPeerConnection]} */
  connections;
  /** @type {[Record<string, RTCDataChannel>, Record<string, RTCDataChannel>]} each end's, by label */
  channels;
  /** What the browser said when it did not negotiate. */
  problem = '';

  /** @param {PairOptions} options */
  constructor(options) {
    this.#options = options;
    const [one, other] = options.configurations;
    const first = options.createConnection(one);
    try {
      this.connections = [first, options.createConnection(other)];
    } catch (error) {
      first.close();
      throw error;
    }
    this.channels = [this.#open(0), this.#open(1)];
  }

  close() {
    this.#closed = true;
    for (const connection of this.connections) connection.close();
  }

  /**
   * Negotiates and waits until every channel is open.
   * @returns {Promise<PairState>} that it is not is no exception, but what the test is for
   */
  connect() {
    const { clock, signal, timeout = CONNECT_TIMEOUT } = this.#options;
    return new Promise((resolve) => {
      const cancelTimeout = clock.after(timeout, () => end('late'));
      const stop = () => end('stopped');
      /** @param {PairState} state */
      const end = (state) => {
        cancelTimeout();
        signal.removeEventListener('abort', stop);
        resolve(state);
      };
      signal.addEventListener('abort', stop);
      if (signal.aborted) return stop();
      const all = this.channels.flatMap((channels) => Object.values(channels));
      for (const channel of all) {
        channel.addEventListener('open', () => all.every(({ readyState }) => readyState === 'open') && end('open'));
      }
      for (const connection of this.connections) {
        connection.addEventListener('connectionstatechange', () => connection.connectionState === 'failed' && end('failed'));
      }
      this.#negotiate().catch((error) => {
        if (!this.#closed) this.problem = String(error);
        end('failed');
      });
    });
  }

  /** @param {0 | 1} end */
  #open(end) {
    const { channels } = this.#options;
    return Object.fromEntries(Object.entries(channels).map(([label, init], id) => {
      const channel = this.connections[end].createDataChannel(label, { ...init, negotiated: true, id });
      channel.binaryType = 'arraybuffer';
      return [label, channel];
    }));
  }

  async #negotiate() {
    const [one, other] = this.connections;
    const tellOther = this.#trickle(0);
    const tellOne = this.#trickle(1);
    await one.setLocalDescription();
    await other.setRemoteDescription(/** @type {RTCSessionDescription} */ (one.localDescription));
    const offered = tellOther();
    await other.setLocalDescription();
    await one.setRemoteDescription(/** @type {RTCSessionDescription} */ (other.localDescription));
    await Promise.all([offered, tellOne()]);
  }

  /**
   * Holds back an end's candidates until the other end knows whose they are.
   * @param {0 | 1} end
   * @returns {() => Promise<void>} lets them through; settles with those that were held back
   */
  #trickle(end) {
    const { tells = () => true } = this.#options;
    const to = this.connections[1 - end];
    /** @type {RTCIceCandidate[] | null} */
    let held = [];
    /** @param {RTCIceCandidate} candidate */
    const add = (candidate) => to.addIceCandidate(candidate);
    this.connections[end].addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate?.candidate || !tells(candidate, end)) return;
      if (held) held.push(candidate);
      // One that the other end does not take, or no longer, is one way less; the others go on.
      else add(candidate).catch(() => {});
    });
    return async () => {
      const waiting = held ?? [];
      held = null;
      await Promise.all(waiting.map(add));
    };
  }
}
