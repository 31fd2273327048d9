// @ts-check
/**
 * The JavaScript client of maitred: signaling, rooms and one peer connection per member. It touches no DOM.
 *
 *     import { joinRoom } from 'https://call.example.com/sdk/maitred.js';
 *     const room = joinRoom({ url: 'wss://call.example.com/ws', room: 'kitchen', name: 'Ada' });
 *     room.on('member-joined', ({ member, peer }) => {
 *       peer.on('track', ({ track }) => play(member, track));
 *     });
 *     room.setTrack('video', cameraTrack);
 *
 * Three layers, each usable alone:
 * - `Signaling` keeps one WebSocket (`maitred.v1`) joined to one room, through lost connections;
 * - `Peer` is one RTCPeerConnection with perfect negotiation, ICE restarts and a data channel;
 * - `Room` connects the two: a `Peer` per member.
 */

export const PROTOCOL = 'maitred.v1';

/** How long a join may take before the connection counts as lost, in milliseconds. */
const JOIN_TIMEOUT = 15_000;
const BACKOFF_BASE = 500;
const BACKOFF_CAP = 15_000;
/** Messages kept until they may go out; they are worthless once the server has forgotten us. */
const OUTBOX_LIMIT = 512;
/**
 * How many messages go out at once, and how many a second after that: one half of what the server takes by default. What is
 * beyond its limit the server drops, and a lost candidate or answer may cost a call.
 */
const SEND_BURST = 100;
const SEND_RATE = 50;
const SEND_PAUSE = 100;

/** An offer without an answer for this long was lost on the way and is made again. */
const ANSWER_TIMEOUT = 10_000;
const MAX_OFFER_REPEATS = 3;
/** The member who was there first waits this long for the newcomer's offer. */
const FIRST_OFFER_TIMEOUT = 6_000;
/** "disconnected" often heals by itself; after this it gets an ICE restart. */
const DISCONNECTED_GRACE = 4_000;
/** Waits before each automatic ICE restart; when they are used up the peer is "failed". */
const RESTART_DELAYS = [0, 3_000, 8_000, 15_000];
/** An `ice` request unanswered for this long means that the WebSocket is dead without knowing it. */
const ICE_REQUEST_TIMEOUT = 5_000;
/** The data channel's stream id; both ends create it, so no message announces it. */
const CHANNEL_ID = 0;
/** Messages kept for a member whose channel is not open yet. */
const CHAT_QUEUE_LIMIT = 100;
/** Longest text accepted in one chat message, in UTF-16 units. */
export const MAX_CHAT_TEXT = 4_000;

/** @typedef {'audio' | 'video'} Kind */
/** @type {readonly Kind[]} */
const KINDS = ['audio', 'video'];

/**
 * @typedef {object} MemberState
 * @property {boolean} [audio]
 * @property {boolean} [video]
 * @property {boolean} [screen]
 */
/** @typedef {{id: string, name: string, role?: string, state?: MemberState | null}} Member */
/** @typedef {{id: string, [setting: string]: unknown}} RoomInfo */
/**
 * What members send each other with `signal`. `renew`: the sender has thrown its connection away and offers a new one next.
 * @typedef {{description?: RTCSessionDescriptionInit | null, candidate?: RTCIceCandidateInit | null, renew?: boolean}} SignalData
 */
/**
 * @typedef {{type: 'joined', self: Member, room: RoomInfo, members: Member[], iceServers: RTCIceServer[], ttl: number, resume: string}
 *   | {type: 'waiting'}
 *   | {type: 'knock', member: Member}
 *   | {type: 'member-joined', member: Member}
 *   | {type: 'member-updated', member: Member}
 *   | {type: 'member-left', member: Member | string, reason?: string}
 *   | {type: 'signal', from: string, data: SignalData}
 *   | {type: 'broadcast', from: string, data: unknown}
 *   | {type: 'ice-servers', iceServers: RTCIceServer[], ttl: number}
 *   | {type: 'room', room?: RoomInfo}
 *   | {type: 'kicked', reason?: string}
 *   | {type: 'draining'}
 *   | {type: 'error', code: string, message?: string, request?: string}} ServerMessage
 */
/** @typedef {{type: string, [field: string]: unknown}} ClientMessage */

/**
 * Time, injected so that tests own it.
 * @typedef {object} Clock
 * @property {() => number} now milliseconds
 * @property {(ms: number, run: () => void) => () => void} after runs once, returns the way to cancel it
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const nothing = () => {};

/**
 * An EventTarget whose events are CustomEvents with a typed detail.
 * @template {Record<string, any>} Events
 */
export class Emitter extends EventTarget {
  /**
   * @template {keyof Events & string} K
   * @param {K} type
   * @param {(detail: Events[K]) => void} listener
   * @returns {() => void} removes the listener
   */
  on(type, listener) {
    const handler = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, handler);
    return () => this.removeEventListener(type, handler);
  }

  /**
   * @template {keyof Events & string} K
   * @param {K} type
   * @param {Events[K]} detail
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Signaling
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Why a connection ended or could not be made: an error code of the protocol, or one of `kicked`, `replaced`, `left`,
 * `connection_lost`, `going_away`, `too_slow`, `too_big`.
 * @typedef {{code: string, message?: string, closeCode?: number}} Cause
 */
/** @typedef {'idle' | 'connecting' | 'waiting' | 'joined' | 'reconnecting' | 'closed'} SignalingState */
/**
 * @typedef {object} SignalingEvents
 * @property {{state: SignalingState, cause: Cause | null, delay: number}} state delay: milliseconds to the next attempt
 * @property {ServerMessage} message
 */
/**
 * The part of WebSocket that is used, so that a fake fits.
 * @typedef {EventTarget & {readyState: number, send(data: string): void, close(code?: number, reason?: string): void}} Socket
 */
/**
 * @typedef {object} SignalingOptions
 * @property {string} url
 * @property {string} room
 * @property {string} name
 * @property {string} [token] join token, where the server asks for one
 * @property {string} [password]
 * @property {(url: string, protocol: string) => Socket} [createSocket]
 * @property {Clock} [clock]
 * @property {() => number} [random] in [0, 1)
 */

/** Close codes after which trying again by itself cannot help. */
const FATAL_CLOSE = new Map([[4000, 'bad_message'], [4001, 'unauthorized'], [4003, 'kicked'], [4009, 'replaced']]);
const PASSING_CLOSE = new Map([[1001, 'going_away'], [1009, 'too_big'], [4008, 'too_slow']]);
/** Refusals of a join that pass by themselves. */
const PASSING_REFUSALS = new Set(['rate_limited', 'server_draining', 'too_many_rooms']);

/**
 * One WebSocket joined to one room. A lost connection is made again with growing, jittered pauses and the resume token;
 * what was sent meanwhile goes out once the server has us back under the same member id, no faster than the server takes it.
 * @extends {Emitter<SignalingEvents>}
 */
export class Signaling extends Emitter {
  #options;
  #createSocket;
  #clock;
  #random;
  /** @type {SignalingState} */
  #state = 'idle';
  /** @type {Cause | null} */
  #cause = null;
  /** @type {Socket | null} */
  #socket = null;
  #selfId = '';
  #resume = '';
  #attempt = 0;
  #cancelTimer = nothing;
  #opened = false;
  /** @type {ClientMessage[]} */
  #outbox = [];
  /** How many messages may go out now, as of a time. */
  #allowance = SEND_BURST;
  #allowanceAt = 0;
  #cancelFlush = nothing;

  /** @param {SignalingOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#createSocket = options.createSocket ?? ((url, protocol) => new WebSocket(url, protocol));
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  get state() {
    return this.#state;
  }

  /** Why the connection is down, or ended. */
  get cause() {
    return this.#cause;
  }

  /** Whether a WebSocket has ever opened; until then the network may be what refuses it. */
  get opened() {
    return this.#opened;
  }

  start() {
    if (this.#state !== 'idle') return;
    this.#setState('connecting');
    this.#connect();
  }

  /** Tries at once instead of waiting for the next attempt; for "the network is back". */
  retryNow() {
    if (this.#socket || (this.#state !== 'reconnecting' && this.#state !== 'connecting')) return;
    this.#connect();
  }

  /** Gives the connection up as dead and makes a new one. */
  reconnect() {
    if (this.#socket && this.#state === 'joined') this.#lose({ code: 'connection_lost' });
  }

  /** @param {ClientMessage} message */
  send(message) {
    if (this.#state === 'closed' || this.#outbox.length >= OUTBOX_LIMIT) return;
    this.#outbox.push(message);
    this.#flush();
  }

  leave() {
    if (this.#state === 'closed') return;
    if (this.#state === 'joined') this.#write({ type: 'leave' });
    this.#finish({ code: 'left' });
  }

  #connect() {
    this.#cancelTimer();
    /** @type {Socket} */
    let socket;
    try {
      socket = this.#createSocket(this.#options.url, PROTOCOL);
    } catch (error) {
      this.#lose({ code: 'connection_lost', message: String(error) });
      return;
    }
    this.#socket = socket;
    /** @param {(event: any) => void} handle */
    const current = (handle) => (/** @type {Event} */ event) => {
      if (this.#socket === socket) handle(event);
    };
    socket.addEventListener('open', current(() => {
      this.#opened = true;
      this.#write(this.#joinMessage());
    }));
    socket.addEventListener('message', current((event) => this.#receive(event.data)));
    socket.addEventListener('close', current((event) => this.#closed(event.code, event.reason)));
    this.#cancelTimer = this.#clock.after(JOIN_TIMEOUT, () => this.#lose({ code: 'connection_lost' }));
  }

  #joinMessage() {
    const { room, name, token, password } = this.#options;
    /** @type {ClientMessage} */
    const join = { type: 'join', room, name };
    if (token) join.token = token;
    if (password) join.password = password;
    if (this.#resume) join.resume = this.#resume;
    return join;
  }

  /** @param {unknown} text */
  #receive(text) {
    const message = parseMessage(text);
    if (!message) return;
    if (message.type === 'joined') this.#joined(message);
    else if (message.type === 'waiting') this.#admissionPending();
    else if (message.type === 'kicked') this.#cause = { code: 'kicked', message: message.reason };
    else if (message.type === 'error' && this.#state !== 'joined') {
      this.#refused({ code: message.code, message: message.message });
      return;
    }
    this.emit('message', message);
  }

  /** @param {Extract<ServerMessage, {type: 'joined'}>} message */
  #joined(message) {
    this.#cancelTimer();
    this.#attempt = 0;
    this.#resume = message.resume ?? '';
    const same = this.#selfId === '' || this.#selfId === message.self.id;
    this.#selfId = message.self.id;
    if (!same) this.#outbox = [];
    this.#cause = null;
    // The server counts for each connection anew.
    this.#allowance = SEND_BURST;
    this.#allowanceAt = this.#clock.now();
    this.#setState('joined');
    this.#flush();
  }

  #admissionPending() {
    this.#cancelTimer();
    this.#setState('waiting');
  }

  /** @param {Cause} cause */
  #refused(cause) {
    if (PASSING_REFUSALS.has(cause.code)) this.#lose(cause);
    // A seat that was taken away while its connection was lost.
    else if (cause.code === 'not_allowed' && this.#resume) this.#finish({ code: 'kicked' });
    else this.#finish(cause);
  }

  /**
   * @param {number} closeCode
   * @param {string} message
   */
  #closed(closeCode, message) {
    this.#socket = null;
    const fatal = FATAL_CLOSE.get(closeCode);
    if (fatal) {
      const told = this.#cause?.code === fatal ? this.#cause.message : undefined;
      this.#finish({ code: fatal, message: told ?? message, closeCode });
      return;
    }
    this.#lose({ code: PASSING_CLOSE.get(closeCode) ?? 'connection_lost', message, closeCode });
  }

  /** @param {Cause} cause */
  #lose(cause) {
    this.#dropSocket();
    const delay = this.#backoff();
    this.#attempt++;
    this.#cause = cause;
    this.#cancelTimer = this.#clock.after(delay, () => this.#connect());
    this.#setState(this.#selfId ? 'reconnecting' : 'connecting', delay);
  }

  #backoff() {
    const full = Math.min(BACKOFF_CAP, BACKOFF_BASE * 2 ** this.#attempt);
    return Math.round(full * (0.5 + 0.5 * this.#random()));
  }

  /** @param {Cause} cause */
  #finish(cause) {
    this.#outbox = [];
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

  /**
   * @param {ClientMessage} message
   * @returns {boolean} whether there was a connection to write it to
   */
  #write(message) {
    const socket = this.#socket;
    if (socket?.readyState !== 1) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  /** Sends what waits, in order, as far as the allowance goes; the rest follows by itself. */
  #flush() {
    this.#cancelFlush();
    if (this.#state !== 'joined') return;
    const now = this.#clock.now();
    this.#allowance = Math.min(SEND_BURST, this.#allowance + (now - this.#allowanceAt) * SEND_RATE / 1000);
    this.#allowanceAt = now;
    while (this.#outbox.length > 0 && this.#allowance >= 1) {
      // A socket that is closing: what waits goes out over the next one.
      if (!this.#write(this.#outbox[0])) return;
      this.#outbox.shift();
      this.#allowance--;
    }
    if (this.#outbox.length > 0) this.#cancelFlush = this.#clock.after(SEND_PAUSE, () => this.#flush());
  }

  /**
   * @param {SignalingState} state
   * @param {number} [delay]
   */
  #setState(state, delay = 0) {
    this.#state = state;
    this.emit('state', { state, cause: this.#cause, delay });
  }
}

/**
 * @param {unknown} text
 * @returns {ServerMessage | null} null for what is no message; a newer server may send types unknown here
 */
function parseMessage(text) {
  if (typeof text !== 'string') return null;
  try {
    const message = JSON.parse(text);
    return typeof message?.type === 'string' ? message : null;
  } catch {
    return null;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Peer
// ---------------------------------------------------------------------------------------------------------------------

/** @typedef {'direct' | 'relay-udp' | 'relay-tcp' | 'relay-tls' | 'unknown'} Path */
/**
 * The state in terms a person cares about. `failed` is final until somebody calls `restart`.
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'failed'} PeerStatus
 */
/**
 * @typedef {object} PeerEvents
 * @property {{status: PeerStatus, connectionState: RTCPeerConnectionState}} status
 * @property {{kind: Kind, track: MediaStreamTrack}} track
 * @property {{open: boolean}} channel
 * @property {{text: string, at: number}} chat
 * @property {{path: Path}} path
 * @property {{}} restart-wanted the connection needs an ICE restart; whoever holds the ICE servers calls `restart`
 * @property {{error: unknown}} error
 */
/**
 * @typedef {object} PeerOptions
 * @property {string} id the other member's id
 * @property {boolean} polite gives way when both offer at once; exactly one side must be
 * @property {RTCPeerConnection} connection
 * @property {(data: SignalData) => void} send
 * @property {Record<Kind, MediaStreamTrack | null>} [tracks]
 * @property {MediaStream | null} [stream] groups the tracks for lip sync
 * @property {Clock} [clock]
 */

/**
 * One RTCPeerConnection with perfect negotiation, but for one case: when both sides make their first offer at once, the
 * polite one should be replaced by a new `Peer` that gets the other's offer, as `Room` does. Rolled back, its own transceivers
 * would stay beside the offered ones, and stopping them makes Chromium negotiate without end. Audio and video have one transceiver each, made with the first offer
 * whether or not there is a track, so that muting, switching cameras and sharing a screen need no negotiation.
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  #id;
  #polite;
  #connection;
  #send;
  #clock;
  #tracks;
  #stream;
  #channel;
  /** @type {Record<Kind, RTCRtpTransceiver | null>} */
  #transceivers = { audio: null, video: null };
  /** @type {Map<Kind, MediaStreamTrack>} */
  #remoteTracks = new Map();

  #mayOffer = false;
  #makingOffer = false;
  #ignoringOffer = false;
  #settingAnswer = false;
  #offerRepeats = 0;
  #unanswered = false;
  #cancelAnswerTimer = nothing;
  #cancelFirstOffer = nothing;

  /** @type {PeerStatus} */
  #status = 'connecting';
  #everConnected = false;
  #restarts = 0;
  #cancelRestart = nothing;
  #closed = false;

  /** @type {Set<string>} */
  #candidateTypes = new Set();
  /** @type {Set<number>} */
  #iceErrors = new Set();
  /** @type {Path} */
  #localPath = 'unknown';
  /** @type {Path} */
  #remotePath = 'unknown';
  #videoBitrate = 0;
  /** @type {{text: string, at: number}[]} */
  #chatQueue = [];

  /** @param {PeerOptions} options */
  constructor(options) {
    super();
    this.#id = options.id;
    this.#polite = options.polite;
    this.#connection = options.connection;
    this.#send = options.send;
    this.#clock = options.clock ?? systemClock;
    this.#tracks = { audio: null, video: null, ...options.tracks };
    this.#stream = options.stream ?? null;
    this.#channel = this.#connection.createDataChannel('chat', { negotiated: true, id: CHANNEL_ID });
    this.#listen();
  }

  get id() {
    return this.#id;
  }

  get connection() {
    return this.#connection;
  }

  get status() {
    return this.#status;
  }

  get polite() {
    return this.#polite;
  }

  /** Has offered, and the other has said nothing yet. */
  get awaitsFirstAnswer() {
    return this.#mayOffer && !this.#connection.remoteDescription;
  }

  /** "failed" because the other side has answered none of several offers, whatever the network is like. */
  get unanswered() {
    return this.#unanswered;
  }

  get remoteTracks() {
    return this.#remoteTracks;
  }

  get channelOpen() {
    return this.#channel.readyState === 'open';
  }

  /** Types of the local candidates gathered so far: "host", "srflx", "relay". */
  get candidateTypes() {
    return this.#candidateTypes;
  }

  /**
   * STUN error codes met while gathering: 401 and 403 are a refused credential, 486 a quota that is used up, 508 a relay without
   * room or about to stop, 701 a server that cannot be reached.
   */
  get iceErrors() {
    return this.#iceErrors;
  }

  /** How the media goes, as far as the two ends know: relayed if either end's side of it is. */
  get path() {
    return this.#localPath.startsWith('relay') || !this.#remotePath.startsWith('relay') ? this.#localPath : this.#remotePath;
  }

  /** Makes the first offer; the newcomer's side calls it. */
  start() {
    this.#cancelFirstOffer();
    if (this.#mayOffer || this.#closed) return;
    this.#mayOffer = true;
    for (const kind of KINDS) this.#transceivers[kind] ??= this.#addTransceiver(kind);
    // The data channel's "negotiationneeded" may have come and gone before offers were allowed, and it does not repeat.
    void this.#offer();
  }

  /** Waits for the other's offer, but not for ever; the side that was there first calls it. */
  expectOffer() {
    this.#cancelFirstOffer = this.#clock.after(FIRST_OFFER_TIMEOUT, () => this.start());
  }

  /**
   * Takes what the other side's `send` was given.
   * @param {SignalData} data
   */
  async receive(data) {
    if (this.#closed || !data) return;
    try {
      if (data.description) await this.#receiveDescription(data.description);
      else if (data.candidate) await this.#receiveCandidate(data.candidate);
    } catch (error) {
      if (!this.#closed) this.emit('error', { error });
    }
  }

  /**
   * Sends this track from now on, or nothing.
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  async setTrack(kind, track) {
    this.#tracks[kind] = track;
    await this.#transceivers[kind]?.sender.replaceTrack(track).catch((error) => this.#report(error));
  }

  /**
   * Caps what the video may take; more members mean more copies to send.
   * @param {number} bitrate bits per second, 0 for no cap
   */
  async limitVideo(bitrate) {
    this.#videoBitrate = bitrate;
    const sender = this.#transceivers.video?.sender;
    const parameters = sender?.getParameters?.();
    if (!sender || !parameters?.encodings?.length) return;
    for (const encoding of parameters.encodings) {
      if (bitrate > 0) encoding.maxBitrate = bitrate;
      else delete encoding.maxBitrate;
    }
    await sender.setParameters(parameters).catch((error) => this.#report(error));
  }

  /**
   * New ICE servers or another policy; takes effect with the next gathering.
   * @param {RTCConfiguration} configuration
   */
  configure(configuration) {
    if (!this.#closed) this.#connection.setConfiguration(configuration);
  }

  /**
   * Starts ICE again; media keeps flowing on the old path until the new one stands.
   * @param {{manual?: boolean}} [how] a person's wish gives the automatic restarts a fresh start
   */
  restart({ manual = false } = {}) {
    if (this.#closed) return;
    this.#cancelRestart();
    if (manual) this.#restarts = 0;
    this.#iceErrors.clear();
    this.#candidateTypes.clear();
    this.#unanswered = false;
    if (this.#status === 'failed') this.#setStatus(this.#everConnected ? 'reconnecting' : 'connecting');
    if (!this.#mayOffer) {
      this.start();
      return;
    }
    this.#offerRepeats = 0;
    this.#connection.restartIce();
    // Outside of "stable" the browser would only offer after an answer that may never come.
    if (this.#connection.signalingState === 'have-local-offer') void this.#offer();
  }

  /**
   * Says something now, or as soon as the channel is open.
   * @param {string} text
   * @param {number} at Unix time in milliseconds
   * @returns {'sent' | 'waiting' | 'lost'} lost: too many are waiting already
   */
  sendChat(text, at) {
    if (this.#sendOnChannel({ type: 'chat', text, at })) return 'sent';
    if (this.#chatQueue.length >= CHAT_QUEUE_LIMIT) return 'lost';
    this.#chatQueue.push({ text, at });
    return 'waiting';
  }

  /** What was said and could not be sent, for the connection that takes this one's place. */
  takeUnsentChat() {
    return this.#chatQueue.splice(0);
  }

  /**
   * Reads the selected candidate pair, tells the other end how this end's side of it goes, and returns the whole path.
   * @returns {Promise<Path>}
   */
  async measurePath() {
    if (this.#closed) return 'unknown';
    const before = this.path;
    const path = selectedPath(await this.#connection.getStats());
    if (path !== this.#localPath) {
      this.#localPath = path;
      this.#sendOnChannel({ type: 'path', path });
    }
    if (this.path !== before) this.emit('path', { path: this.path });
    return this.path;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelAnswerTimer();
    this.#cancelFirstOffer();
    this.#cancelRestart();
    this.#channel.close();
    this.#connection.close();
  }

  #listen() {
    const pc = this.#connection;
    pc.addEventListener('negotiationneeded', () => void this.#offer());
    pc.addEventListener('icecandidate', ({ candidate }) => this.#gathered(candidate));
    pc.addEventListener('icecandidateerror', (event) => {
      this.#iceErrors.add(/** @type {RTCPeerConnectionIceErrorEvent} */ (event).errorCode);
    });
    pc.addEventListener('connectionstatechange', () => this.#connectionChanged());
    pc.addEventListener('signalingstatechange', () => {
      if (pc.signalingState === 'stable') this.#cancelAnswerTimer();
    });
    pc.addEventListener('track', ({ track }) => {
      const kind = /** @type {Kind} */ (track.kind);
      this.#remoteTracks.set(kind, track);
      this.emit('track', { kind, track });
    });
    this.#channel.addEventListener('open', () => {
      if (this.#localPath !== 'unknown') this.#sendOnChannel({ type: 'path', path: this.#localPath });
      for (const { text, at } of this.takeUnsentChat()) this.sendChat(text, at);
      this.emit('channel', { open: true });
    });
    this.#channel.addEventListener('close', () => this.emit('channel', { open: false }));
    this.#channel.addEventListener('message', ({ data }) => this.#receiveOnChannel(data));
  }

  // Negotiation

  async #offer() {
    const pc = this.#connection;
    if (!this.#mayOffer || this.#makingOffer || this.#closed) return;
    if (pc.signalingState !== 'stable' && pc.signalingState !== 'have-local-offer') return;
    this.#makingOffer = true;
    try {
      await pc.setLocalDescription();
      // An answer, not an offer, when the other's offer slipped in between: its own handler sends that one.
      if (pc.localDescription?.type === 'offer' && pc.signalingState === 'have-local-offer') {
        this.#send({ description: pc.localDescription });
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
    this.#cancelAnswerTimer = this.#clock.after(ANSWER_TIMEOUT, () => {
      if (this.#offerRepeats >= MAX_OFFER_REPEATS) {
        this.#giveUpWaiting();
        return;
      }
      this.#offerRepeats++;
      void this.#offer();
    });
  }

  /** Nobody answers. Media that flows all the same, as when only an ICE restart is refused, is left alone. */
  #giveUpWaiting() {
    if (this.#connection.connectionState === 'connected') return;
    this.#cancelRestart();
    this.#unanswered = true;
    this.#setStatus('failed');
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #receiveDescription(description) {
    const pc = this.#connection;
    const ready = !this.#makingOffer && (pc.signalingState === 'stable' || this.#settingAnswer);
    const collision = description.type === 'offer' && !ready;
    this.#ignoringOffer = collision && !this.#polite;
    if (this.#ignoringOffer) return;
    // A late answer to an offer that was rolled back or repeated.
    if (description.type === 'answer' && pc.signalingState === 'stable' && !this.#settingAnswer) return;

    this.#cancelFirstOffer();
    this.#settingAnswer = description.type === 'answer';
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#settingAnswer = false;
    }
    this.#offerRepeats = 0;
    if (this.#unanswered) {
      this.#unanswered = false;
      this.#setStatus(this.#everConnected ? 'reconnecting' : 'connecting');
    }
    if (description.type === 'offer') {
      this.#mayOffer = true;
      for (const kind of KINDS) this.#adoptTransceiver(kind);
      await pc.setLocalDescription();
      this.#send({ description: pc.localDescription });
    }
    await this.limitVideo(this.#videoBitrate);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #receiveCandidate(candidate) {
    try {
      await this.#connection.addIceCandidate(candidate);
    } catch (error) {
      // Candidates of an offer that was ignored, or of a connection that was renewed, have nowhere to go.
      if (!this.#ignoringOffer && this.#connection.remoteDescription) throw error;
    }
  }

  /** @param {Kind} kind */
  #addTransceiver(kind) {
    const streams = this.#stream ? [this.#stream] : [];
    return this.#connection.addTransceiver(this.#tracks[kind] ?? kind, { direction: 'sendrecv', streams });
  }

  /**
   * Answers a first offer with the offered transceiver, so that it carries media both ways.
   * @param {Kind} kind
   */
  #adoptTransceiver(kind) {
    if (this.#transceivers[kind]) return;
    const offered = this.#connection.getTransceivers().find((it) => it.mid && it.receiver.track.kind === kind);
    if (!offered) return;
    offered.direction = 'sendrecv';
    if (this.#stream) offered.sender.setStreams?.(this.#stream);
    void offered.sender.replaceTrack(this.#tracks[kind]).catch((error) => this.#report(error));
    this.#transceivers[kind] = offered;
  }

  /** @param {RTCIceCandidate | null} candidate */
  #gathered(candidate) {
    if (!candidate || this.#closed) return;
    if (candidate.type) this.#candidateTypes.add(candidate.type);
    this.#send({ candidate: candidate.toJSON?.() ?? candidate });
  }

  // Connection state

  #connectionChanged() {
    if (this.#closed) return;
    const state = this.#connection.connectionState;
    if (state === 'connected') {
      this.#everConnected = true;
      this.#restarts = 0;
      this.#cancelRestart();
      this.#setStatus('connected');
      void this.limitVideo(this.#videoBitrate);
    } else if (state === 'failed') {
      this.#restartLater(RESTART_DELAYS[this.#restarts]);
    } else if (state === 'disconnected') {
      // One side's restart is enough; should it not come, "failed" makes the other side act.
      if (!this.#polite) this.#restartLater(DISCONNECTED_GRACE);
      this.#setStatus('reconnecting');
    } else {
      this.#setStatus(this.#everConnected ? 'reconnecting' : 'connecting');
    }
  }

  /** @param {number | undefined} delay undefined: no automatic restart is left */
  #restartLater(delay) {
    this.#cancelRestart();
    if (delay === undefined) {
      this.#setStatus('failed');
      return;
    }
    this.#cancelRestart = this.#clock.after(delay, () => {
      this.#restarts++;
      this.emit('restart-wanted', {});
    });
    this.#setStatus(this.#everConnected ? 'reconnecting' : 'connecting');
  }

  /** @param {PeerStatus} status */
  #setStatus(status) {
    this.#status = status;
    this.emit('status', { status, connectionState: this.#connection.connectionState });
  }

  // Data channel

  /** @param {object} message */
  #sendOnChannel(message) {
    if (this.#channel.readyState !== 'open') return false;
    try {
      this.#channel.send(JSON.stringify(message));
      return true;
    } catch (error) {
      this.#report(error);
      return false;
    }
  }

  /** @param {unknown} data */
  #receiveOnChannel(data) {
    const message = parseChannelMessage(data);
    if (message?.type === 'chat') {
      this.emit('chat', { text: message.text.slice(0, MAX_CHAT_TEXT), at: message.at });
    } else if (message?.type === 'path') {
      const before = this.path;
      this.#remotePath = message.path;
      if (this.path !== before) this.emit('path', { path: this.path });
    }
  }

  /** @param {unknown} error */
  #report(error) {
    if (!this.#closed) this.emit('error', { error });
  }
}

/** @type {ReadonlySet<string>} */
const PATHS = new Set(['direct', 'relay-udp', 'relay-tcp', 'relay-tls']);

/**
 * @param {unknown} data
 * @returns {{type: 'chat', text: string, at: number} | {type: 'path', path: Path} | null}
 */
function parseChannelMessage(data) {
  if (typeof data !== 'string') return null;
  try {
    const { type, text, at, path } = JSON.parse(data);
    if (type === 'chat' && typeof text === 'string') return { type, text, at: Number.isFinite(at) ? at : 0 };
    if (type === 'path' && PATHS.has(path)) return { type, path };
  } catch {
    // What is no JSON is no message of ours.
  }
  return null;
}

/**
 * How this end's media goes, from the selected candidate pair.
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {Path}
 */
export function selectedPath(report) {
  const pair = selectedPair(report);
  const local = pair && report.get(pair.localCandidateId);
  const remote = pair && report.get(pair.remoteCandidateId);
  if (!local) return 'unknown';
  if (local.candidateType === 'relay') {
    const path = `relay-${local.relayProtocol ?? 'udp'}`;
    return PATHS.has(path) ? /** @type {Path} */ (path) : 'relay-udp';
  }
  // The other end's relayed address is reached over UDP; its own leg to the relay is only known there.
  return remote?.candidateType === 'relay' ? 'relay-udp' : 'direct';
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @returns {any}
 */
function selectedPair(report) {
  let nominated = null;
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) return report.get(entry.selectedCandidatePairId);
    // Browsers that name no pair in "transport" mark it on the pair.
    if (entry.type === 'candidate-pair' && (entry.selected || (entry.nominated && entry.state === 'succeeded'))) nominated = entry;
  }
  return nominated;
}

// ---------------------------------------------------------------------------------------------------------------------
// Room
// ---------------------------------------------------------------------------------------------------------------------

/**
 * @typedef {object} RoomEvents
 * @property {{state: SignalingState, cause: Cause | null, delay: number}} state
 * @property {{self: Member, resumed: boolean}} joined
 * @property {{member: Member, peer: Peer}} member-joined also for those who were there before
 * @property {{member: Member, peer: Peer}} peer-renewed a new connection to the same member; the old one is closed
 * @property {{member: Member}} member-updated
 * @property {{member: Member, reason: string}} member-left
 * @property {{from: string, data: unknown}} broadcast
 * @property {{}} draining
 * @property {Cause & {request?: string}} error the server refused a message; the room goes on
 */
/**
 * @typedef {object} RoomOptions
 * @property {Signaling} signaling not started yet
 * @property {boolean} [relayOnly] media through the TURN server only
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} [createConnection]
 * @property {MediaStream | null} [stream] groups the local tracks for lip sync
 * @property {Clock} [clock]
 */

/**
 * One room and a `Peer` to everybody in it.
 * @extends {Emitter<RoomEvents>}
 */
export class Room extends Emitter {
  #signaling;
  #createConnection;
  #clock;
  #stream;
  #relayOnly;
  /** @type {Member | null} */
  #self = null;
  /** @type {RoomInfo | null} */
  #info = null;
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** @type {Record<Kind, MediaStreamTrack | null>} */
  #tracks = { audio: null, video: null };
  /** @type {MemberState | null} */
  #state = null;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #iceTTL = 0;
  #iceExpires = 0;
  /** @type {Promise<void> | null} */
  #iceRequest = null;
  /** @type {() => void} */
  #iceAnswered = nothing;

  /** @param {RoomOptions} options */
  constructor(options) {
    super();
    this.#signaling = options.signaling;
    this.#createConnection = options.createConnection ?? ((configuration) => new RTCPeerConnection(configuration));
    this.#clock = options.clock ?? systemClock;
    this.#stream = options.stream ?? null;
    this.#relayOnly = options.relayOnly ?? false;
    this.#signaling.on('message', (message) => this.#handle(message));
    this.#signaling.on('state', (change) => {
      if (change.state === 'closed') this.#removeAll(change.cause?.code ?? 'left');
      this.emit('state', change);
    });
  }

  get self() {
    return this.#self;
  }

  get info() {
    return this.#info;
  }

  /** The others, by id. @returns {ReadonlyMap<string, Member>} */
  get members() {
    return this.#members;
  }

  /** @returns {ReadonlyMap<string, Peer>} */
  get peers() {
    return this.#peers;
  }

  get relayOnly() {
    return this.#relayOnly;
  }

  get signaling() {
    return this.#signaling;
  }

  join() {
    this.#signaling.start();
  }

  leave() {
    this.#signaling.leave();
  }

  /**
   * The track that everybody gets, now and later; null for nothing.
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  setTrack(kind, track) {
    if (this.#tracks[kind] === track) return;
    this.#tracks[kind] = track;
    for (const peer of this.#peers.values()) void peer.setTrack(kind, track);
  }

  /**
   * What the others shall know of us; sent again after every join.
   * @param {MemberState} state
   */
  setState(state) {
    this.#state = state;
    if (this.#signaling.state === 'joined') this.#signaling.send({ type: 'update', state });
  }

  /**
   * Media through the relay only, or any way. The running connections are made anew: after a mere ICE restart a browser
   * keeps the direct path until a relayed one stands, and its peer, being connected, may gather nothing to make one with.
   * @param {boolean} relayOnly
   */
  async setRelayOnly(relayOnly) {
    if (this.#relayOnly === relayOnly) return;
    this.#relayOnly = relayOnly;
    if (this.#iceIsStale()) await this.#freshIce();
    for (const [id, member] of this.#members) {
      this.#signaling.send({ type: 'signal', to: id, data: { renew: true } });
      this.#renew(member).start();
    }
  }

  /**
   * ICE restart with one member, with a fresh credential where the present one is about to end.
   * @param {string} id
   * @param {{manual?: boolean}} [how]
   */
  async restart(id, how) {
    if (this.#iceIsStale()) await this.#freshIce();
    const peer = this.#peers.get(id);
    if (!peer) return;
    peer.configure(this.#configuration());
    peer.restart(how);
  }

  /**
   * @param {string} text
   * @returns {{sent: Member[], waiting: Member[], lost: Member[]}} waiting: those who get it once their data channel is open;
   *   lost: those for whom too much waits already
   */
  sendChat(text) {
    /** @type {{sent: Member[], waiting: Member[], lost: Member[]}} */
    const result = { sent: [], waiting: [], lost: [] };
    const at = this.#clock.now();
    for (const member of this.#members.values()) result[this.#peers.get(member.id)?.sendChat(text, at) ?? 'lost'].push(member);
    return result;
  }

  /** @param {ServerMessage} message */
  #handle(message) {
    switch (message.type) {
      case 'joined': return this.#onJoined(message);
      case 'member-joined': return this.#onMemberJoined(message.member);
      case 'member-updated': return this.#onMemberUpdated(message.member);
      case 'member-left': return this.#remove(idOf(message.member), message.reason ?? '');
      case 'signal': return this.#onSignal(message.from, message.data);
      case 'broadcast': return this.emit('broadcast', { from: message.from, data: message.data });
      case 'ice-servers': return this.#onIceServers(message);
      case 'draining': return this.emit('draining', {});
      case 'error': return this.#onError(message);
    }
  }

  /** @param {Extract<ServerMessage, {type: 'joined'}>} message */
  #onJoined(message) {
    const resumed = this.#self?.id === message.self.id;
    if (!resumed) this.#removeAll('reconnected');
    this.#self = message.self;
    this.#info = message.room;
    this.#onIceServers(message);
    this.emit('joined', { self: message.self, resumed });
    if (this.#state) this.setState(this.#state);

    const present = new Set(message.members.map(({ id }) => id));
    for (const id of [...this.#members.keys()]) if (!present.has(id)) this.#remove(id, 'left');
    for (const member of message.members) {
      const peer = this.#peers.get(member.id);
      if (!peer) {
        this.#add(member).start();
        continue;
      }
      this.#onMemberUpdated(member);
      if (peer.connection.connectionState !== 'connected') void this.restart(member.id);
    }
  }

  /** @param {Member} member */
  #onMemberJoined(member) {
    if (member.id === this.#self?.id) return;
    if (this.#peers.has(member.id)) this.#onMemberUpdated(member);
    else this.#add(member).expectOffer();
  }

  /** @param {Member} member */
  #onMemberUpdated(member) {
    if (member.id === this.#self?.id) this.#self = member;
    if (!this.#members.has(member.id)) return;
    this.#members.set(member.id, member);
    this.emit('member-updated', { member });
  }

  /**
   * @param {string} from
   * @param {SignalData} data
   */
  #onSignal(from, data) {
    const member = this.#members.get(from);
    const peer = this.#peers.get(from);
    if (!member || !peer) return;
    const first = peer.awaitsFirstAnswer;
    if (data?.renew) {
      // Both renewed at once: the polite side's is dropped, by both.
      if (peer.polite || !first) this.#renew(member).expectOffer();
    } else if (first && peer.polite && data?.description?.type === 'offer') {
      void this.#renew(member).receive(data);
    } else {
      void peer.receive(data);
    }
  }

  /** @param {{iceServers: RTCIceServer[], ttl: number}} message */
  #onIceServers({ iceServers, ttl }) {
    this.#iceServers = iceServers ?? [];
    this.#iceTTL = (ttl ?? 0) * 1000;
    this.#iceExpires = this.#clock.now() + this.#iceTTL;
    this.#iceAnswered();
    for (const peer of this.#peers.values()) peer.configure(this.#configuration());
  }

  /** @param {Extract<ServerMessage, {type: 'error'}>} error */
  #onError({ code, message, request }) {
    // Whoever left a moment ago is no trouble: "member-left" is on its way.
    if (request === 'signal' && code === 'no_such_member') return;
    this.emit('error', { code, message, request });
  }

  /** @param {Member} member */
  #add(member) {
    this.#members.set(member.id, member);
    const peer = this.#connect(member.id);
    this.emit('member-joined', { member, peer });
    return peer;
  }

  /** @param {Member} member */
  #renew(member) {
    const old = this.#peers.get(member.id);
    old?.close();
    const peer = this.#connect(member.id);
    for (const { text, at } of old?.takeUnsentChat() ?? []) peer.sendChat(text, at);
    this.emit('peer-renewed', { member, peer });
    return peer;
  }

  /** @param {string} id */
  #connect(id) {
    const peer = new Peer({
      id,
      polite: (this.#self?.id ?? '') < id,
      connection: this.#createConnection(this.#configuration()),
      send: (data) => this.#signaling.send({ type: 'signal', to: id, data }),
      tracks: this.#tracks,
      stream: this.#stream,
      clock: this.#clock,
    });
    peer.on('restart-wanted', () => void this.restart(id));
    this.#peers.set(id, peer);
    this.#shareBandwidth();
    return peer;
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #remove(id, reason) {
    const member = this.#members.get(id);
    if (!member) return;
    this.#peers.get(id)?.close();
    this.#peers.delete(id);
    this.#members.delete(id);
    this.#shareBandwidth();
    this.emit('member-left', { member, reason });
  }

  /** @param {string} reason */
  #removeAll(reason) {
    for (const id of [...this.#members.keys()]) this.#remove(id, reason);
  }

  /** In a mesh everybody sends one copy to everybody else. */
  #shareBandwidth() {
    const bitrate = videoBitrate(this.#peers.size);
    for (const peer of this.#peers.values()) void peer.limitVideo(bitrate);
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    return {
      iceServers: this.#iceServers,
      iceTransportPolicy: this.#relayOnly ? 'relay' : 'all',
      bundlePolicy: 'max-bundle',
    };
  }

  #iceIsStale() {
    const left = this.#iceExpires - this.#clock.now();
    return left < Math.min(60_000, this.#iceTTL / 5);
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
        this.#signaling.reconnect();
        done();
      });
      this.#iceAnswered = done;
      this.#signaling.send({ type: 'ice' });
    });
    return this.#iceRequest;
  }
}

/** @param {Member | string} member */
function idOf(member) {
  return typeof member === 'string' ? member : member.id;
}

/**
 * @param {number} peers
 * @returns {number} bits per second for the video to each of them
 */
export function videoBitrate(peers) {
  if (peers <= 1) return 2_500_000;
  if (peers <= 3) return 1_000_000;
  return 500_000;
}

/**
 * Joins a room: the short way to a `Room`.
 * @param {SignalingOptions & Omit<RoomOptions, 'signaling'>} options
 */
export function joinRoom(options) {
  const room = new Room({ ...options, signaling: new Signaling(options) });
  // Listeners are added after this returns; the first event comes from the socket, later than that.
  room.join();
  return room;
}
