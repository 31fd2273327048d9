// @ts-check
import { FakeChannel } from './connection.js';

/** @typedef {{now: () => number, after: (ms: number, run: () => void) => () => void}} Clock */
/**
 * @typedef {object} Answer what a server does, times in ms after the question
 * @property {[number, Record<string, any>][]} [candidates]
 * @property {[number, {errorCode: number, errorText?: string, url?: string}][]} [errors]
 * @property {number} [complete] when gathering ends; without it never
 */

/** Connections whose servers answer as they are told, and whose channels take time and lose what they shall lose. */
export class FakeICE {
  /** @type {FakeICEConnection[]} */
  connections = [];
  /** @type {RTCConfiguration[]} */
  configurations = [];
  /** Between two connections; null: they never connect. @type {number | null} */
  connects = 5;
  /** One way, in ms. */
  delay = 10;
  /** @type {(channel: FakeICEChannel, count: number) => boolean} whether what is sent gets lost */
  loses = () => false;
  /** Bytes in a ms that get out of a channel's queue. */
  drain = 1_000;
  /** @type {Map<string, any>} */
  stats = new Map();
  /** @type {string | null} */
  refuses = null;
  #answers;

  /**
   * @param {Clock} clock
   * @param {Record<string, Answer>} answers by URL
   */
  constructor(clock, answers = {}) {
    this.clock = clock;
    this.#answers = answers;
  }

  /** @type {any} */
  createConnection = (/** @type {RTCConfiguration} */ configuration) => {
    const urls = (configuration.iceServers ?? []).flatMap((server) => [server.urls].flat());
    if (this.refuses && urls.includes(this.refuses)) throw Object.assign(new Error('not a server'), { name: 'SyntaxError' });
    this.configurations.push(configuration);
    const connection = new FakeICEConnection(this, urls.map((url) => this.#answers[url] ?? {}));
    this.connections.push(connection);
    return connection;
  };

  get open() {
    return this.connections.filter(({ closed }) => !closed).length;
  }
}

class FakeICEChannel extends FakeChannel {
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  sent = 0;
  most = 0;
  #ice;

  /**
   * @param {FakeICE} ice
   * @param {string} label
   * @param {any} options
   */
  constructor(ice, label, options) {
    super(label, options);
    this.#ice = ice;
    for (const type of ['message', 'bufferedamountlow', 'close']) {
      this.addEventListener(type, (event) => /** @type {any} */ (this)[`on${type}`]?.(event));
    }
  }

  /** @param {any} data */
  send(data) {
    if (this.readyState !== 'open') throw Object.assign(new Error('channel'), { name: 'InvalidStateError' });
    const { clock, delay, drain } = this.#ice;
    const size = data.byteLength;
    this.bufferedAmount += size;
    this.most = Math.max(this.most, this.bufferedAmount);
    const lost = this.#ice.loses(this, this.sent++);
    clock.after(this.bufferedAmount / drain, () => {
      const before = this.bufferedAmount;
      this.bufferedAmount -= size;
      if (before > this.bufferedAmountLowThreshold && this.bufferedAmount <= this.bufferedAmountLowThreshold) this.dispatchEvent(new Event('bufferedamountlow'));
    });
    if (!lost) clock.after(this.bufferedAmount / drain + delay, () => this.other?.dispatchEvent(Object.assign(new Event('message'), { data })));
  }
}

class FakeICEConnection extends EventTarget {
  iceGatheringState = 'new';
  connectionState = 'new';
  closed = false;
  /** @type {any} */
  localDescription = null;
  /** @type {any[]} */
  told = [];
  /** @type {FakeICEChannel[]} */
  channels = [];
  #ice;
  #answers;

  /**
   * @param {FakeICE} ice
   * @param {Answer[]} answers
   */
  constructor(ice, answers) {
    super();
    this.#ice = ice;
    this.#answers = answers;
  }

  /**
   * @param {string} label
   * @param {any} [options]
   */
  createDataChannel(label, options = {}) {
    const channel = new FakeICEChannel(this.#ice, label, options);
    this.channels.push(channel);
    return channel;
  }

  async setLocalDescription() {
    this.localDescription = { type: 'offer', by: this };
    const { clock } = this.#ice;
    for (const { candidates = [], errors = [] } of this.#answers) {
      for (const [ms, candidate] of candidates) clock.after(ms, () => this.#tell('icecandidate', { candidate: { candidate: 'candidate:1', ...candidate } }));
      for (const [ms, error] of errors) clock.after(ms, () => this.#tell('icecandidateerror', { errorText: '', ...error }));
    }
    const ends = this.#answers.map(({ complete }) => complete ?? Infinity);
    if (ends.every(Number.isFinite)) {
      clock.after(Math.max(0, ...ends), () => {
        this.iceGatheringState = 'complete';
        this.#tell('icegatheringstatechange', {});
      });
    }
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    const { clock, connects } = this.#ice;
    if (connects === null || !this.localDescription) return;
    clock.after(connects, () => this.#meet(description.by));
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    this.told.push(candidate);
  }

  async getStats() {
    return this.#ice.stats;
  }

  /** @param {string} state */
  become(state) {
    this.connectionState = state;
    this.#tell('connectionstatechange', {});
  }

  close() {
    this.closed = true;
    for (const channel of this.channels) channel.close();
  }

  /** @param {FakeICEConnection} other */
  #meet(other) {
    if (this.closed || other.closed) return;
    this.channels.forEach((channel, index) => {
      channel.other = other.channels[index];
      other.channels[index].other = channel;
      channel.open();
      other.channels[index].open();
    });
  }

  /**
   * @param {string} type
   * @param {object} properties
   */
  #tell(type, properties) {
    if (!this.closed) this.dispatchEvent(Object.assign(new Event(type), properties));
  }
}

/**
 * @param {string} address
 * @param {number} port
 * @param {object} [more]
 */
export function relayed(address, port, more = {}) {
  return { type: 'relay', protocol: 'udp', address, port, ...more };
}

/**
 * @param {string} address
 * @param {number} port
 * @param {string} relatedAddress
 * @param {number} relatedPort
 */
export function mapped(address, port, relatedAddress = '192.168.1.5', relatedPort = 50_000) {
  return { type: 'srflx', protocol: 'udp', address, port, relatedAddress, relatedPort };
}
