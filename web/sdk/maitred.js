// @ts-check
// The JavaScript client of maitred. maitred.d.ts says what it offers.

/** @import * as T from './maitred.d.ts' */

export const PROTOCOL = 'maitred.v1';

// Times are in milliseconds.
const JOIN_TIMEOUT = 15_000;
const BACKOFF_BASE = 500;
const BACKOFF_CAP = 15_000;
const OUTBOX_LIMIT = 512;
const KEPT_LIMIT = 256; // messages that may have to be sent again
// Half of what the server takes by default: it drops the rest.
const SEND_BURST = 100;
const SEND_RATE = 50; // a second
const SEND_PAUSE = 100;

const FIRST_OFFER_TIMEOUT = 6_000; // then the member who was there first makes it
const ANSWER_TIMEOUT = 10_000; // then the offer was lost and is made again
const MAX_OFFER_REPEATS = 3;
const DISCONNECTED_GRACE = 4_000; // it often heals by itself
const RESTART_DELAYS = [0, 3_000, 8_000, 15_000]; // then the peer has failed
const ICE_REQUEST_TIMEOUT = 5_000; // then the WebSocket is dead without knowing it
const CHANNEL_QUEUE_LIMIT = 100;

/** @type {T.Clock} */
const systemClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const nothing = () => {};

const Target = /** @type {new <E extends object>() => T.Target<E>} */ (EventTarget);

/** @template {object} Events @extends {Target<Events>} */
export class Emitter extends Target {
  /** @type {T.Emitter<Events>['on']} */
  on(type, listener) {
    const handler = (/** @type {any} */ event) => listener(event.detail);
    this.addEventListener(type, handler);
    return () => this.removeEventListener(type, handler);
  }

  /** @type {T.Emitter<Events>['emit']} */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const CLOSE_CODES = new Map([
  [1001, 'going_away'], [1009, 'too_big'], [4000, 'bad_message'], [4001, 'unauthorized'], [4003, 'kicked'], [4008, 'too_slow'], [4009, 'replaced'],
]);
// Final.
const FATAL = new Set(['bad_message', 'unauthorized', 'kicked', 'replaced']);
// Passing.
const PASSING = new Set(['rate_limited', 'server_draining', 'too_many_rooms']);
const LOST = { code: 'connection_lost' };

/** @extends {Emitter<T.SignalingEvents>} */
export class Signaling extends Emitter {
  #options;
  #clock;
  /** @type {T.SignalingState} */
  #state = 'idle';
  /** @type {T.Cause | null} */
  #cause = null;
  #opened = false;
  /** @type {T.Socket | null} */
  #socket = null;
  #selfId = '';
  #resume = '';
  #attempt = 0;
  #cancelTimer = nothing;
  /** How many messages have come on this seat since its first `joined`. */
  #received = 0;
  /** What was sent and may have to be sent again and, from `#next` on, what waits. @type {T.ClientMessage[]} */
  #log = [];
  #next = 0;
  /** How many messages went before all those. */
  #forgotten = 0;
  /** How many messages may go out now, as of a time. */
  #allowance = 0;
  #allowanceAt = 0;
  #cancelFlush = nothing;

  /** @param {T.SignalingOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get state() {
    return this.#state;
  }

  start() {
    if (this.#state !== 'idle') return;
    this.#setState('connecting');
    this.#connect();
  }

  reconnect() {
    if (this.#state !== 'idle' && this.#state !== 'closed') this.#lose(this.#cause ?? LOST, 0);
  }

  /** @param {T.ClientMessage} message */
  send(message) {
    if (this.#state === 'closed' || this.#log.length - this.#next >= OUTBOX_LIMIT) return false;
    this.#log.push(message);
    this.#flush();
    return true;
  }

  leave() {
    if (this.#state === 'closed') return;
    this.#write({ type: 'leave' });
    this.#finish({ code: 'left' });
  }

  #connect() {
    this.#cancelTimer();
    const { url, createSocket = (...address) => new WebSocket(...address) } = this.#options;
    /** @type {T.Socket} */
    let socket;
    try {
      socket = createSocket(url, PROTOCOL);
    } catch (error) {
      // As on a secure page with an address that is not.
      this.#finish({ ...LOST, message: String(error) });
      return;
    }
    this.#socket = socket;
    listen(socket, () => this.#socket === socket, {
      open: () => this.#join(),
      message: ({ data }) => this.#receive(data),
      close: ({ code, reason }) => this.#closed(code, reason),
    });
    this.#cancelTimer = this.#clock.after(JOIN_TIMEOUT, () => this.#lose(LOST));
  }

  #join() {
    const { room, name, token, password } = this.#options;
    const seat = this.#resume ? { resume: this.#resume, received: this.#received } : {};
    this.#write({ type: 'join', room, name, token, password, ...seat });
    if (this.#opened) return;
    this.#opened = true;
    this.#setState(this.#state);
  }

  #receive(text = '') {
    if (this.#state === 'joined') this.#received++;
    const message = parse(text);
    if (typeof message?.type !== 'string') return;
    switch (message.type) {
      case 'joined': this.#joined(message); break;
      case 'kicked': this.#cause = { code: 'kicked', message: message.reason }; break;
      case 'waiting':
        this.#cancelTimer();
        this.#setState('waiting');
        break;
      case 'error':
        if (this.#state !== 'joined') return this.#refused(message);
    }
    this.emit('message', message);
  }

  /** @param {T.JoinedMessage} message */
  #joined(message) {
    const { self, resume, received = this.#forgotten + this.#next } = message;
    this.#cancelTimer();
    this.#attempt = 0;
    this.#cause = null;
    this.#resume = resume;
    message.resumed = (message.resumed ?? true) && self.id === this.#selfId;
    if (message.resumed) {
      this.#log.splice(0, Math.max(0, received - this.#forgotten));
      this.#forgotten = received;
    } else {
      // What was for the members of a seat that is gone means nothing on another.
      if (this.#selfId) this.#log = [];
      this.#forgotten = this.#received = 0;
    }
    this.#next = 0;
    this.#selfId = self.id;
    // The server counts for each connection anew.
    this.#allowance = SEND_BURST;
    this.#allowanceAt = this.#clock.now();
    this.#setState('joined');
    this.#flush();
  }

  /** @param {T.Cause} cause */
  #refused({ code, message }) {
    if (PASSING.has(code)) this.#lose({ code, message });
    // A seat that was taken away while its connection was lost.
    else this.#finish(code === 'not_allowed' && this.#resume ? { code: 'kicked' } : { code, message });
  }

  #closed(closeCode = 0, message = '') {
    this.#socket = null;
    const code = CLOSE_CODES.get(closeCode) ?? LOST.code;
    if (!FATAL.has(code)) this.#lose({ code, message, closeCode });
    else this.#finish({ code, message: (this.#cause?.code === code && this.#cause.message) || message, closeCode });
  }

  /** @param {T.Cause} cause */
  #lose(cause, delay = this.#backoff()) {
    this.#dropSocket();
    this.#attempt++;
    this.#cause = cause;
    this.#cancelTimer = this.#clock.after(delay, () => this.#connect());
    this.#setState(this.#selfId ? 'reconnecting' : 'connecting', delay);
  }

  #backoff() {
    const full = Math.min(BACKOFF_CAP, BACKOFF_BASE * 2 ** this.#attempt);
    return Math.round(full * (0.5 + 0.5 * (this.#options.random ?? Math.random)()));
  }

  /** @param {T.Cause} cause */
  #finish(cause) {
    this.#log = [];
    this.#dropSocket();
    this.#cause = cause;
    this.#setState('closed');
  }

  #dropSocket() {
    this.#cancelTimer();
    this.#cancelFlush();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** @param {T.ClientMessage} message */
  #write(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #flush() {
    this.#cancelFlush();
    if (this.#state !== 'joined') return;
    const now = this.#clock.now();
    this.#allowance = Math.min(SEND_BURST, this.#allowance + (now - this.#allowanceAt) * SEND_RATE / 1000);
    this.#allowanceAt = now;
    for (; this.#next < this.#log.length && this.#allowance >= 1; this.#allowance--) {
      // A socket that is closing: what waits goes out over the next one.
      if (!this.#write(this.#log[this.#next])) return;
      this.#next++;
      if (this.#next <= KEPT_LIMIT) continue;
      this.#log.shift();
      this.#next--;
      this.#forgotten++;
    }
    if (this.#next < this.#log.length) this.#cancelFlush = this.#clock.after(SEND_PAUSE, () => this.#flush());
  }

  /** @param {T.SignalingState} state */
  #setState(state, delay = 0) {
    this.#state = state;
    this.emit('state', { state, cause: this.#cause, delay, opened: this.#opened });
  }
}

/**
 * Hears of what is still in use.
 * @param {EventTarget} target @param {() => boolean} inUse @param {Record<string, (event: any) => void>} handlers
 */
function listen(target, inUse, handlers) {
  for (const [type, handle] of Object.entries(handlers)) target.addEventListener(type, (event) => inUse() && handle(event));
}

/** @returns {any} undefined for what is no JSON */
function parse(text = '') {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @extends {Emitter<T.ChannelEvents>} */
export class Channel extends Emitter {
  /** Two, when both ends opened it at the same time: each sends on its own. @type {Set<RTCDataChannel>} */
  #raws = new Set();
  /** @type {any[]} */
  #queue = [];

  /** @param {string} label @param {RTCDataChannelInit | null} options */
  constructor(label, options) {
    super();
    this.label = label;
    this.options = options;
  }

  get attached() {
    return this.#raws.size > 0;
  }

  get raw() {
    return [...this.#raws].find(({ readyState }) => readyState === 'open') ?? null;
  }

  /** @type {T.Channel['send']} */
  send(data) {
    const { raw } = this;
    if (raw) {
      try {
        raw.send(/** @type {any} */ (data));
        return 'sent';
      } catch (error) {
        this.emit('error', { error });
      }
    } else if ((this.options || this.attached) && this.#queue.length < CHANNEL_QUEUE_LIMIT) {
      this.#queue.push(data);
      return 'waiting';
    }
    return 'lost';
  }

  close() {
    this.options = null;
    for (const raw of this.#raws) raw.close();
    this.detach();
    this.emit('close', {});
  }

  /** @type {T.Channel['attach']} */
  attach(raw) {
    this.#raws.add(raw);
    raw.binaryType = 'arraybuffer';
    listen(raw, () => this.#raws.has(raw), {
      open: () => {
        for (const data of this.#queue.splice(0)) this.send(data);
        this.emit('open', {});
      },
      message: ({ data }) => this.emit('message', { data }),
      close: () => {
        this.#raws.delete(raw);
        if (!this.attached) this.emit('close', {});
      },
    });
  }

  detach() {
    this.#raws.clear();
  }
}

/**
 * One RTCPeerConnection. When both sides make their first offer at once, the polite one gets another: rolled back, its transceivers
 * would stay beside the offered ones, and stopping them makes Chromium negotiate without end.
 */
class Link {
  #pc;
  #peer;
  #options;
  /** @type {Partial<Record<T.Kind, RTCRtpTransceiver>>} */
  #transceivers = {};
  /** @type {Map<MediaStreamTrack, RTCRtpTransceiver>} */
  #extras = new Map();
  #mayOffer = false;
  #makingOffer = false;
  #ignoringOffer = false;
  #settingAnswer = false;
  #offerRepeats = 0;
  #cancelAnswerTimer = nothing;
  #cancelFirstOffer = nothing;
  #everConnected = false;
  #restarts = 0;
  #cancelRestart = nothing;
  #closed = false;

  /** @param {RTCPeerConnection} pc @param {Peer} peer */
  constructor(pc, peer) {
    this.#pc = pc;
    this.#peer = peer;
    this.#options = peer.options;
    listen(pc, () => !this.#closed, {
      negotiationneeded: () => this.#offer(),
      icecandidate: ({ candidate }) => this.#gathered(candidate),
      icecandidateerror: ({ errorCode }) => this.#peer.iceErrors.add(errorCode),
      connectionstatechange: () => this.#connectionChanged(),
      signalingstatechange: () => pc.signalingState === 'stable' && this.#cancelAnswerTimer(),
      track: ({ track, streams: [stream = new MediaStream([track])] }) => this.#emit('track', { track, stream }),
    });
  }

  /** Has offered, and the other has said nothing yet. */
  get awaitsFirstAnswer() {
    return this.#mayOffer && !this.#pc.remoteDescription;
  }

  start() {
    this.#cancelFirstOffer();
    if (this.#mayOffer || this.#closed) return;
    this.#mayOffer = true;
    const { kinds, tracks, streams } = this.#options;
    for (const kind of kinds) {
      this.#transceivers[kind] = this.#pc.addTransceiver(tracks[kind] ?? kind, { direction: 'sendrecv', streams });
    }
    this.sync();
    // "negotiationneeded" may have come before offers were allowed, and does not repeat.
    void this.#offer();
  }

  expectOffer() {
    this.#cancelFirstOffer = this.#options.clock.after(FIRST_OFFER_TIMEOUT, () => this.start());
  }

  /** @param {T.SignalData} data */
  async receive({ description, candidate }) {
    if (this.#closed) return;
    try {
      if (description) await this.#receiveDescription(description);
      else if (candidate) await this.#receiveCandidate(candidate);
    } catch (error) {
      this.#report(error);
    }
  }

  /** Extras come after audio and video, which the first description brings. */
  sync() {
    const { kinds, tracks, extras } = this.#options;
    if (!this.#mayOffer || this.#closed) return;
    for (const kind of kinds) {
      this.#transceivers[kind]?.sender.replaceTrack(tracks[kind] ?? null).catch((error) => this.#report(error));
    }
    for (const [track, stream] of extras) {
      if (this.#extras.has(track)) continue;
      this.#extras.set(track, this.#pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] }));
    }
    for (const [track, transceiver] of this.#extras) {
      if (extras.has(track)) continue;
      transceiver.stop();
      this.#extras.delete(track);
    }
  }

  async limitVideo() {
    const sender = this.#transceivers.video?.sender;
    const parameters = sender?.getParameters();
    const maxBitrate = this.#peer.videoBitrate || undefined;
    if (!parameters?.encodings?.some((it) => it.maxBitrate !== maxBitrate)) return;
    for (const encoding of parameters.encodings) encoding.maxBitrate = maxBitrate;
    await sender?.setParameters(parameters).catch((error) => this.#report(error));
  }

  /** @type {T.Peer['restart']} */
  restart({ manual = false, patient = false } = {}) {
    if (this.#closed) return;
    this.#cancelRestart();
    if (manual) this.#restarts = 0;
    const { unanswered } = this.#peer;
    this.#peer.iceErrors.clear();
    this.#peer.candidateTypes.clear();
    this.#peer.unanswered = false;
    if (this.#peer.status === 'failed') this.#setUnconnected();
    if (!this.#mayOffer) {
      if (!patient) this.start();
      return;
    }
    this.#offerRepeats = 0;
    this.#pc.restartIce();
    // Outside of "stable" the browser would only offer after an answer that may never come.
    if ((!patient || unanswered) && this.#pc.signalingState === 'have-local-offer') void this.#offer();
  }

  close() {
    this.#closed = true;
    this.#cancelAnswerTimer();
    this.#cancelFirstOffer();
    this.#cancelRestart();
    this.#pc.close();
  }

  async #offer() {
    const pc = this.#pc;
    if (!this.#mayOffer || this.#makingOffer || this.#closed) return;
    if (pc.signalingState !== 'stable' && pc.signalingState !== 'have-local-offer') return;
    this.#makingOffer = true;
    try {
      await pc.setLocalDescription();
      // An answer, not an offer, when the other's offer slipped in between: its own handler sends that one.
      if (pc.localDescription?.type === 'offer' && pc.signalingState === 'have-local-offer') {
        this.#options.send({ description: pc.localDescription });
        this.#watchForAnswer();
      }
    } catch (error) {
      this.#report(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  #watchForAnswer() {
    this.#cancelAnswerTimer();
    this.#cancelAnswerTimer = this.#options.clock.after(ANSWER_TIMEOUT, () => {
      if (this.#offerRepeats++ < MAX_OFFER_REPEATS) return void this.#offer();
      // Only an ICE restart is refused.
      if (this.#pc.connectionState === 'connected') return;
      this.#cancelRestart();
      this.#peer.unanswered = true;
      this.#setStatus('failed');
    });
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #receiveDescription(description) {
    const pc = this.#pc;
    const offer = description.type === 'offer';
    const ready = !this.#makingOffer && (pc.signalingState === 'stable' || this.#settingAnswer);
    this.#ignoringOffer = offer && !ready && !this.#options.polite;
    if (this.#ignoringOffer) return;
    // A late answer to an offer that was rolled back or repeated.
    if (!offer && pc.signalingState === 'stable' && !this.#settingAnswer) return;

    this.#cancelFirstOffer();
    this.#settingAnswer = !offer;
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#settingAnswer = false;
    }
    this.#offerRepeats = 0;
    if (this.#peer.unanswered) {
      this.#peer.unanswered = false;
      this.#setUnconnected();
    }
    if (offer) {
      this.#mayOffer = true;
      for (const kind of this.#options.kinds) this.#adoptTransceiver(kind);
      this.sync();
      await pc.setLocalDescription();
      this.#options.send({ description: pc.localDescription });
    }
    await this.limitVideo();
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #receiveCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      // Of an offer that was ignored, or a connection that was renewed.
      if (!this.#ignoringOffer && this.#pc.remoteDescription) throw error;
    }
  }

  /** The offered transceiver carries media both ways. @param {T.Kind} kind */
  #adoptTransceiver(kind) {
    if (this.#transceivers[kind]) return;
    const offered = this.#pc.getTransceivers().find((it) => it.mid && it.receiver.track.kind === kind);
    if (!offered) return;
    this.#transceivers[kind] = offered;
    offered.direction = 'sendrecv';
    offered.sender.setStreams?.(...this.#options.streams);
  }

  /** @param {RTCIceCandidate | null} candidate */
  #gathered(candidate) {
    if (!candidate) return;
    if (candidate.type) this.#peer.candidateTypes.add(candidate.type);
    this.#options.send({ candidate: candidate.toJSON() });
  }

  #connectionChanged() {
    const state = this.#pc.connectionState;
    if (state === 'connected') {
      this.#everConnected = true;
      this.#restarts = 0;
      this.#cancelRestart();
      this.#setStatus(state);
      void this.limitVideo();
      return;
    }
    if (state === 'failed' && this.#restarts >= RESTART_DELAYS.length) {
      this.#cancelRestart();
      this.#setStatus(state);
      return;
    }
    if (state === 'failed') this.#restartAfter(RESTART_DELAYS[this.#restarts]);
    // One side's restart is enough; should it not come, "failed" makes the other side act.
    else if (state === 'disconnected' && !this.#options.polite) this.#restartAfter(DISCONNECTED_GRACE);
    this.#setUnconnected();
  }

  #restartAfter(delay = 0) {
    this.#cancelRestart();
    this.#cancelRestart = this.#options.clock.after(delay, () => {
      this.#restarts++;
      this.#emit('restart-wanted', {});
    });
  }

  #setUnconnected() {
    this.#setStatus(this.#everConnected ? 'reconnecting' : 'connecting');
  }

  /** @param {T.PeerStatus} status */
  #setStatus(status) {
    if (this.#closed) return;
    this.#peer.status = status;
    this.#emit('status', { status });
  }

  /** @param {unknown} error */
  #report(error) {
    this.#emit('error', { error });
  }

  /** @type {Peer['emit']} */
  #emit(type, detail) {
    if (!this.#closed) this.#peer.emit(type, detail);
  }
}

/** The session id of the line o= (RFC 8829 section 5.2.1). @param {RTCSessionDescriptionInit | null} [description] */
const sessionOf = (description) => description?.sdp?.split(' ')[1];

/** @extends {Emitter<T.PeerEvents>} */
export class Peer extends Emitter {
  /** @type {T.PeerStatus} */
  status = 'connecting';
  unanswered = false;
  /** @type {Set<string>} */
  candidateTypes = new Set();
  /** @type {Set<number>} */
  iceErrors = new Set();
  videoBitrate = 0;
  #link;
  /** Descriptions of the connection before `renew` that are still on their way. */
  #renewed = '';
  #closed = false;
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** Both ends create it under the same number, so no message announces it. */
  #data = this.#addChannel('', { negotiated: true, id: 0 });

  /** @param {T.PeerOptions} options */
  constructor(options) {
    super();
    this.member = options.member;
    /** @type {Required<T.PeerOptions>} */
    this.options = { kinds: ['audio', 'video'], tracks: {}, extras: new Map(), streams: [], clock: systemClock, ...options };
    this.#data.on('message', ({ data }) => {
      const message = parse(/** @type {string} */ (data));
      if (message !== undefined) this.emit('data', { data: message });
    });
    this.#data.on('error', (detail) => this.emit('error', detail));
    this.connection = options.createConnection();
    this.#link = this.#connect();
  }

  start() {
    this.#link.start();
  }

  expectOffer() {
    this.#link.expectOffer();
  }

  /** @param {T.SignalData} data */
  async receive(data) {
    if (this.#closed || sessionOf(data.description) === this.#renewed) return;
    const first = this.#link.awaitsFirstAnswer;
    if (data.renew) {
      // Both renewed at once: the polite side's is dropped, by both.
      if (this.options.polite || !first) this.#replace().expectOffer();
    } else if (first && this.options.polite && data.description?.type === 'offer') {
      await this.#replace().receive(data);
    } else {
      await this.#link.receive(data);
    }
  }

  renew() {
    if (this.#closed) return;
    this.options.send({ renew: true });
    this.#renewed = sessionOf(this.connection.remoteDescription) ?? '';
    this.#replace().start();
  }

  /** @type {T.Peer['restart']} */
  restart(how) {
    this.#link.restart(how);
  }

  /** @param {RTCConfiguration} configuration */
  configure(configuration) {
    if (!this.#closed) this.connection.setConfiguration(configuration);
  }

  sync() {
    this.#link.sync();
  }

  limitVideo(bitrate = 0) {
    this.videoBitrate = bitrate;
    return this.#link.limitVideo();
  }

  /** @type {T.Peer['send']} */
  send(data) {
    return this.#data.send(JSON.stringify(data));
  }

  /** @type {T.Peer['channel']} */
  channel(label, options = {}) {
    const channel = this.#channels.get(label) ?? this.#addChannel(label, options);
    if (!channel.attached) channel.attach(this.connection.createDataChannel(label, options));
    return channel;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close();
    this.#link.close();
  }

  #replace() {
    this.#link.close();
    this.candidateTypes.clear();
    this.iceErrors.clear();
    this.unanswered = false;
    this.connection = this.options.createConnection();
    this.#link = this.#connect();
    this.emit('status', { status: this.status = 'connecting' });
    return this.#link;
  }

  #connect() {
    const pc = this.connection;
    for (const channel of this.#channels.values()) {
      channel.detach();
      // What the other end has opened it opens again.
      if (channel.options) channel.attach(pc.createDataChannel(channel.label, channel.options));
      else channel.close();
    }
    pc.addEventListener('datachannel', ({ channel: raw }) => {
      const known = this.#channels.get(raw.label);
      const channel = known ?? this.#addChannel(raw.label, null);
      channel.attach(raw);
      if (!known) this.emit('channel', { channel });
    });
    return new Link(pc, this);
  }

  /** @param {string} label @param {RTCDataChannelInit | null} options */
  #addChannel(label, options) {
    const channel = new Channel(label, options);
    channel.on('close', () => !channel.options && this.#channels.delete(label));
    this.#channels.set(label, channel);
    return channel;
  }
}

/** @extends {Emitter<T.RoomEvents>} */
export class Room extends Emitter {
  #options;
  #clock;
  #signaling;
  relayOnly;
  /** @type {T.Member | null} */
  self = null;
  /** @type {T.RoomSettings | null} */
  settings = null;
  /** @type {Map<string, Peer>} */
  peers = new Map();
  /** @type {Map<string, T.Member>} */
  knocking = new Map();
  /** @type {Partial<Record<T.Kind, MediaStreamTrack | null>>} */
  #tracks = {};
  /** @type {Map<MediaStreamTrack, MediaStream>} */
  #extras = new Map();
  #streams;
  /** @type {object | undefined} */
  #state;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #iceStaleAt = 0;
  /** @type {Promise<void> | null} */
  #iceRequest = null;
  #iceAnswered = nothing;
  /** The network is another one than that of the running connections. */
  #moved = false;
  #ended = new AbortController();

  /** @param {T.JoinOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.relayOnly = options.relayOnly ?? false;
    this.#state = options.state;
    this.#streams = options.stream ? [options.stream] : globalThis.MediaStream ? [new MediaStream()] : [];
    for (const track of options.stream?.getTracks() ?? []) this.#tracks[/** @type {T.Kind} */ (track.kind)] ??= track;
    for (const [type, listener] of Object.entries(options.on ?? {})) this.on(/** @type {any} */ (type), /** @type {any} */ (listener));
    this.#signaling = new Signaling({ ...options, url: webSocketURL(options.url) });
    this.#signaling.on('message', (message) => this.#handle(message));
    this.#signaling.on('state', (change) => {
      if (change.state === 'closed') {
        this.#ended.abort();
        this.#iceAnswered();
        this.#removeAll(change.cause?.code);
      }
      this.emit('state', change);
    });
  }

  get members() {
    return new Map([...this.peers].map(([id, { member }]) => [id, member]));
  }

  get state() {
    return this.#signaling.state;
  }

  /** @type {T.Room['join']} */
  join() {
    return new Promise((resolve, reject) => {
      const { signal } = this.#options;
      signal?.throwIfAborted();
      signal?.addEventListener('abort', () => this.leave());
      this.on('joined', () => resolve(this));
      this.on('state', ({ state, cause }) => {
        if (state !== 'closed' || !cause) return;
        reject(signal?.aborted ? signal.reason : Object.assign(new Error(cause.message || cause.code), { code: cause.code }));
      });
      this.#watchNetwork();
      this.#signaling.start();
    });
  }

  leave() {
    this.#signaling.leave();
  }

  reconnect() {
    this.#signaling.reconnect();
  }

  /** @type {T.Room['setTrack']} */
  setTrack(kind, track) {
    this.#tracks[kind] = track;
    this.#sync();
  }

  /** @type {T.Room['addTrack']} */
  addTrack(track, stream = new MediaStream([track])) {
    this.#extras.set(track, stream);
    this.#sync();
  }

  /** @type {T.Room['removeTrack']} */
  removeTrack(track) {
    this.#extras.delete(track);
    this.#sync();
  }

  #sync() {
    for (const peer of this.peers.values()) peer.sync();
  }

  /** @type {T.Room['update']} */
  update(state) {
    this.#state = state;
    if (this.self) this.#send('update', { state });
  }

  /** @type {T.Room['send']} */
  send(data) {
    return new Map([...this.peers].map(([id, peer]) => [id, peer.send(data)]));
  }

  /** @type {T.Room['signal']} */
  signal(to, data) {
    return this.#send('signal', { to: idOf(to), data });
  }

  /** @type {T.Room['broadcast']} */
  broadcast(data) {
    return this.#send('broadcast', { data });
  }

  /** @type {T.Room['kick']} */
  kick(member, reason) {
    this.#send('kick', { member: idOf(member), reason });
  }

  /** @type {T.Room['lock']} */
  lock({ locked, knock }) {
    this.#send('lock', { locked, knock });
  }

  /** @type {T.Room['admit']} */
  admit(member) {
    this.#send('admit', { member: idOf(member) });
  }

  /** @type {T.Room['deny']} */
  deny(member) {
    this.#send('deny', { member: idOf(member) });
  }

  setPassword(password = '') {
    this.#send('password', { password });
  }

  limit(maxMembers = 0) {
    this.#send('limit', { maxMembers });
  }

  askRelay() {
    return this.state === 'joined' && this.#send('relay');
  }

  /** After a mere ICE restart the direct path would stay in use. */
  async setRelayOnly(relayOnly = true) {
    if (this.relayOnly === relayOnly) return;
    this.relayOnly = relayOnly;
    if (this.#iceIsStale()) await this.#freshIce();
    for (const peer of this.peers.values()) peer.renew();
  }

  /** @type {T.Room['restart']} */
  async restart(member, how) {
    const peer = this.peers.get(idOf(member));
    // 401: the relay has refused the credential.
    if (this.#iceIsStale() || peer?.iceErrors.has(401)) await this.#freshIce();
    peer?.restart(how);
  }

  /** @param {T.ServerMessage} message */
  #handle({ type, ...message }) {
    const it = /** @type {any} */ (message);
    switch (type) {
      case 'joined': return this.#joined(it);
      case 'member-joined': return this.#memberJoined(it.member);
      case 'member-updated': return this.#memberUpdated(it.member);
      case 'member-left':
        this.#stopKnocking(it.member, it.reason);
        return this.#remove(it.member, it.reason);
      case 'signal': return this.#signalled(it.from, it.data);
      case 'broadcast':
        it.member = this.peers.get(it.from)?.member;
        break;
      case 'knock':
        this.knocking.set(it.member.id, it.member);
        break;
      case 'room':
        this.settings = it.room;
        break;
      case 'ice-servers':
        this.#setIceServers(it);
        break;
      case 'error':
        // Whoever left a moment ago is no trouble: "member-left" is on its way.
        if (it.request === 'signal' && it.code === 'no_such_member') return;
        break;
      case 'waiting': case 'kicked': case 'draining': case 'server-message': case 'relay': break;
      default: return;
    }
    this.emit(type, it);
  }

  /** @param {T.JoinedMessage} message */
  #joined({ self, room, members, resumed = false, ...ice }) {
    if (!resumed) this.#removeAll('reconnected');
    this.self = self;
    this.settings = room;
    this.#setIceServers(ice);
    this.emit('joined', { self, resumed });
    if (!resumed && this.#state) this.update(this.#state);

    const here = new Set(members.map(({ id }) => id));
    for (const id of [...this.peers.keys()]) if (!here.has(id)) this.#remove(id, 'left');
    for (const member of members) {
      const peer = this.peers.get(member.id);
      if (!peer) {
        this.#add(member).start();
        continue;
      }
      this.#memberUpdated(member);
      // Patiently: what the other has sent meanwhile comes next, an answer maybe.
      if (this.#moved || peer.connection.connectionState !== 'connected') void this.restart(member, { patient: true, manual: this.#moved });
    }
    this.#moved = false;
  }

  /** @param {T.Member} member */
  #memberJoined(member) {
    this.#stopKnocking(member.id, 'admitted');
    if (member.id === this.self?.id || this.peers.has(member.id)) this.#memberUpdated(member);
    else this.#add(member).expectOffer();
  }

  /** @param {T.Member} member */
  #memberUpdated(member) {
    const peer = this.peers.get(member.id);
    if (peer) peer.member = member;
    else if (member.id === this.self?.id) this.self = member;
    else return;
    this.emit('member-updated', { member });
  }

  #stopKnocking(id = '', reason = '') {
    const member = this.knocking.get(id);
    if (this.knocking.delete(id) && member) this.emit('knock-ended', { member, reason });
  }

  /** @param {any} data */
  #signalled(from = '', data) {
    const peer = this.peers.get(from);
    if (!peer) return;
    if (data?.description || data?.candidate || data?.renew) void peer.receive(data);
    else this.emit('signal', { member: peer.member, data });
  }

  /** @param {{iceServers: RTCIceServer[], ttl: number}} message */
  #setIceServers({ iceServers, ttl }) {
    const asked = this.#iceRequest;
    this.#iceServers = iceServers;
    this.#iceStaleAt = this.#clock.now() + ttl * 1000 - Math.min(60_000, ttl * 200);
    this.#iceAnswered();
    for (const peer of this.peers.values()) {
      peer.configure(this.#configuration());
      // Whoever asked restarts by itself, and what works or is on its way needs no restart.
      if (!asked && (peer.status === 'failed' || (peer.status !== 'connected' && peer.iceErrors.has(401)))) peer.restart();
    }
  }

  /** @param {T.Member} member */
  #add(member) {
    const { id } = member;
    const { kinds = ['audio', 'video'], createConnection = (configuration) => new RTCPeerConnection(configuration) } = this.#options;
    const peer = new Peer({
      member, kinds, tracks: this.#tracks, extras: this.#extras, streams: this.#streams, clock: this.#clock,
      polite: (this.self?.id ?? '') < id,
      createConnection: () => createConnection(this.#configuration()),
      send: (data) => this.signal(id, data),
    });
    peer.on('restart-wanted', () => void this.restart(id));
    // Maybe it is our network that is gone, and the WebSocket does not know.
    peer.on('status', ({ status }) => status === 'reconnecting' && this.state === 'joined' && void this.#freshIce());
    for (const type of /** @type {const} */ (['status', 'track', 'data', 'channel'])) {
      peer.on(type, (/** @type {any} */ detail) => this.emit(type, { member: peer.member, peer, ...detail }));
    }
    this.peers.set(id, peer);
    this.emit('member-joined', { member, peer });
    return peer;
  }

  #remove(id = '', reason = '') {
    const peer = this.peers.get(id);
    if (!peer) return;
    peer.close();
    this.peers.delete(id);
    this.emit('member-left', { member: peer.member, reason });
  }

  #removeAll(reason = '') {
    for (const id of [...this.knocking.keys()]) this.#stopKnocking(id, reason);
    for (const id of [...this.peers.keys()]) this.#remove(id, reason);
  }

  /** What ran on another network is dead, whether it knows it or not. */
  #watchNetwork() {
    const { signal } = this.#ended;
    const { network = globalThis } = this.#options;
    const connection = /** @type {any} */ (globalThis.navigator)?.connection;
    let kind = connection?.type;
    const moved = () => {
      kind = connection?.type;
      this.#moved = true;
      this.reconnect();
    };
    network.addEventListener?.('pagehide', () => this.leave(), { signal });
    network.addEventListener?.('online', moved, { signal });
    // Also told for every new estimate of speed.
    connection?.addEventListener?.('change', () => kind !== connection.type && moved(), { signal });
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    return {
      bundlePolicy: 'max-bundle',
      ...this.#options.rtc,
      iceServers: this.#iceServers,
      iceTransportPolicy: this.relayOnly ? 'relay' : 'all',
    };
  }

  #iceIsStale() {
    return this.#clock.now() > this.#iceStaleAt;
  }

  /** Resolves when the server has answered, or has had its time. */
  #freshIce() {
    this.#iceRequest ??= new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#iceRequest = null;
        this.#iceAnswered = nothing;
        resolve();
      };
      const cancel = this.#clock.after(ICE_REQUEST_TIMEOUT, () => {
        if (this.state === 'joined') this.reconnect();
        done();
      });
      this.#iceAnswered = done;
      this.#send('ice');
    });
    return this.#iceRequest;
  }

  /** @param {string} type @param {object} [fields] */
  #send(type, fields) {
    return this.#signaling.send({ type, ...fields });
  }
}

/** @param {T.Member | string} member */
function idOf(member) {
  return typeof member === 'string' ? member : member.id;
}

/** Without an address it is the server that this file came from. */
function webSocketURL(url = '/') {
  const address = new URL(url, import.meta.url);
  address.protocol = address.protocol.replace('http', 'ws');
  if (address.pathname === '/') address.pathname = '/ws';
  return address.href;
}

/** @type {typeof T.join} */
export async function join(options) {
  return new Room(options).join();
}
