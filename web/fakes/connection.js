// @ts-check

/** @typedef {{type: string, sdp: string}} Description */

/** The sender's side of a transceiver: remembers its track. */
class FakeSender {
  /** @type {any} */
  track = null;
  parameters = { encodings: [/** @type {{maxBitrate?: number}} */ ({})] };

  /** @param {any} track */
  async replaceTrack(track) {
    this.track = track;
  }

  getParameters() {
    return this.parameters;
  }

  /** @param {any} parameters */
  async setParameters(parameters) {
    this.parameters = parameters;
  }
}

export class FakeTransceiver {
  /** @type {string | null} */
  mid = null;
  /** Part of a finished negotiation, so that a rollback leaves it alone. */
  settled = false;
  sender = new FakeSender();
  stopped = false;

  /**
   * @param {string} kind
   * @param {string} direction
   */
  constructor(kind, direction) {
    this.receiver = { track: { kind } };
    this.direction = direction;
  }

  stop() {
    this.stopped = true;
  }
}

export class FakeChannel extends EventTarget {
  readyState = 'connecting';
  binaryType = 'blob';
  /** @type {FakeChannel | null} */
  other = null;

  /**
   * @param {string} [label]
   * @param {{negotiated?: boolean, id?: number}} [options]
   */
  constructor(label = '', options = {}) {
    super();
    this.label = label;
    this.options = options;
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState !== 'open') throw invalid('channel');
    this.other?.dispatchEvent(Object.assign(new Event('message'), { data }));
  }

  open() {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }

  close() {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.dispatchEvent(new Event('close'));
    this.other?.close();
  }
}

/**
 * Opens what two connections have: negotiated channels of the same number meet, of the others each arrives at the other end.
 * @param {FakeConnection} one
 * @param {FakeConnection} other
 */
export function openChannels(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    for (const channel of from.channels.filter((it) => !it.other)) {
      const { negotiated, id } = channel.options;
      const end = negotiated ? to.channels.find((it) => it.options.negotiated && it.options.id === id) : new FakeChannel(channel.label);
      if (!end) continue;
      channel.other = end;
      end.other = channel;
      if (!negotiated) to.dispatchEvent(Object.assign(new Event('datachannel'), { channel: end }));
      channel.open();
      end.open();
    }
  }
}

let sessions = 0;

/**
 * The negotiation of an RTCPeerConnection without media: signaling states, implicit rollback, the "negotiationneeded" rules
 * and one operation after the other, as the specification has them. Descriptions carry a session id and the ICE generation as their sdp.
 */
export class FakeConnection extends EventTarget {
  signalingState = 'stable';
  connectionState = 'new';
  /** @type {Description | null} */
  localDescription = null;
  /** @type {Description | null} */
  remoteDescription = null;
  /** @type {FakeTransceiver[]} */
  transceivers = [];
  /** @type {any[]} */
  candidates = [];
  /** @type {any[]} */
  configurations = [];
  session = ++sessions;
  iceGeneration = 0;
  rollbacks = 0;
  closed = false;
  /** @type {FakeChannel[]} */
  channels = [];
  stats = new Map();
  #restartWanted = false;
  #negotiationNeeded = false;
  #mids = 0;
  /** @type {Promise<unknown>} */
  #operations = Promise.resolve();

  /** @param {any} [configuration] */
  constructor(configuration) {
    super();
    this.configurations.push(configuration);
  }

  /** @type {(label: string, options?: object) => FakeChannel} */
  createDataChannel(label, options) {
    if (this.channels.length === 0) this.#needNegotiation();
    const channel = new FakeChannel(label, options);
    this.channels.push(channel);
    return channel;
  }

  /**
   * @param {any} trackOrKind
   * @param {{direction: string, streams: any[]}} init
   */
  addTransceiver(trackOrKind, init) {
    const transceiver = new FakeTransceiver(trackOrKind.kind ?? trackOrKind, init.direction);
    transceiver.sender.track = trackOrKind.kind ? trackOrKind : null;
    this.transceivers.push(transceiver);
    this.#needNegotiation();
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers.filter(({ stopped }) => !stopped);
  }

  async getStats() {
    return this.stats;
  }

  /** @param {any} configuration */
  setConfiguration(configuration) {
    this.configurations.push(configuration);
  }

  restartIce() {
    this.#restartWanted = true;
    this.#needNegotiation();
  }

  setLocalDescription() {
    return this.#chain(() => {
      const answering = this.signalingState === 'have-remote-offer';
      if (this.#restartWanted && !answering) this.iceGeneration++;
      if (!answering) {
        this.#restartWanted = false;
        this.#associate();
      }
      this.localDescription = { type: answering ? 'answer' : 'offer', sdp: `v=0\r\no=- ${this.session} ice ${this.iceGeneration}` };
      this.#setSignalingState(answering ? 'stable' : 'have-local-offer');
    });
  }

  /** @param {Description} description */
  setRemoteDescription(description) {
    return this.#chain(() => {
      if (description.type === 'answer' && this.signalingState !== 'have-local-offer') throw invalid('answer');
      if (description.type === 'offer' && this.signalingState === 'have-local-offer') this.#rollBack();
      this.remoteDescription = description;
      if (description.type === 'offer') this.#offerTransceivers();
      this.#setSignalingState(description.type === 'offer' ? 'have-remote-offer' : 'stable');
    });
  }

  /** @param {any} candidate */
  addIceCandidate(candidate) {
    return this.#chain(() => {
      if (!this.remoteDescription) throw invalid('candidate');
      this.candidates.push(candidate);
    });
  }

  /** @param {string} state */
  become(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  /** @param {string} type */
  gather(type) {
    const candidate = { type, toJSON: () => ({ candidate: type }) };
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate }));
  }

  /**
   * @param {string} kind
   * @param {any[]} [streams]
   */
  hear(kind, streams = []) {
    this.dispatchEvent(Object.assign(new Event('track'), { track: { kind }, streams }));
  }

  /** @param {number} errorCode */
  fail(errorCode) {
    this.dispatchEvent(Object.assign(new Event('icecandidateerror'), { errorCode }));
  }

  close() {
    this.closed = true;
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    for (const channel of this.channels) channel.close();
  }

  #rollBack() {
    this.rollbacks++;
    this.localDescription = null;
    for (const transceiver of this.transceivers) if (!transceiver.settled) transceiver.mid = null;
  }

  #offerTransceivers() {
    for (const kind of ['audio', 'video']) {
      if (this.transceivers.some((it) => it.mid && it.receiver.track.kind === kind)) continue;
      const transceiver = new FakeTransceiver(kind, 'recvonly');
      transceiver.mid = String(this.#mids++);
      this.transceivers.push(transceiver);
    }
  }

  #associate() {
    for (const transceiver of this.getTransceivers()) transceiver.mid ??= String(this.#mids++);
  }

  /** @param {string} state */
  #setSignalingState(state) {
    this.signalingState = state;
    this.dispatchEvent(new Event('signalingstatechange'));
    if (state !== 'stable') return;
    for (const transceiver of this.transceivers) transceiver.settled = transceiver.mid !== null;
    const open = this.#restartWanted || this.getTransceivers().some(({ mid }) => mid === null);
    this.#negotiationNeeded = false;
    if (open) this.#needNegotiation();
  }

  #needNegotiation() {
    if (this.#negotiationNeeded) return;
    this.#negotiationNeeded = true;
    void this.#chain(() => {
      if (this.#negotiationNeeded && this.signalingState === 'stable') this.dispatchEvent(new Event('negotiationneeded'));
      else if (this.signalingState !== 'stable') this.#negotiationNeeded = false;
    });
  }

  /** @param {() => void} operation */
  #chain(operation) {
    const result = this.#operations.then(() => {
      if (this.closed) throw invalid('closed');
      operation();
    });
    this.#operations = result.catch(() => {});
    return result.catch((error) => {
      if (!this.closed || error.message !== 'closed') throw error;
    });
  }
}

/** @param {string} message */
function invalid(message) {
  return Object.assign(new Error(message), { name: 'InvalidStateError' });
}
