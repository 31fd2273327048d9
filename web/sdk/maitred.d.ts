/**
 * The JavaScript client of maitred: rooms, and WebRTC between their members.
 *
 * ```js
 * import { join } from 'https://call.example.com/sdk/maitred.js';
 * const room = await join({ room: 'kitchen', name: 'Ada', stream: await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) });
 * room.on('track', ({ member, stream }) => show(member, stream));
 * ```
 *
 * `join` is all that an application needs. It gives a {@link Room} with a {@link Peer} per member. Connections are made, negotiated,
 * restarted and given fresh credentials without its help, and a room that has lost its WebSocket comes back by itself and misses nothing.
 * It is left when the page goes away.
 *
 * The parts can be used alone: {@link Signaling} is the room without WebRTC, {@link Peer} is WebRTC over any signaling.
 * What the messages look like is in docs/protocol.md of maitred.
 *
 * @packageDocumentation
 */

/** The WebSocket subprotocol. */
export const PROTOCOL: 'maitred.v1';

/**
 * Joins a room.
 *
 * The promise is fulfilled when one is in. Whoever is in the room already is in {@link Room.peers} by then; the listeners of
 * {@link JoinOptions.on} have heard of them by `member-joined`, others will not any more.
 *
 * It is rejected with a {@link JoinError} when the room does not let one in, and with the reason of `signal` when that is aborted. A server
 * that cannot be reached is tried again and again, with growing pauses (the event `state` tells): pass `AbortSignal.timeout(…)` to end that.
 */
export function join(options: JoinOptions): Promise<Room>;

/** Why `join` has failed. */
export interface JoinError extends Error {
  /** See {@link Cause.code}. */
  code: string;
}

export interface JoinOptions {
  /**
   * The server: `https://call.example.com`, or the address of its WebSocket, `wss://call.example.com/ws`. Without it it is the server that
   * this file was loaded from. A page of another origin must be named in the server's `signaling.allowed_origins`.
   */
  url?: string;
  /** 1 to 64 of `A-Z a-z 0-9 - _`. The first to come makes the room. */
  room: string;
  /** What the others shall call us: 1 to 64 printable characters. A token may have another name, which counts. */
  name: string;
  /** A join token, where the server or the room asks for one. */
  token?: string;
  /** Of the room, where it has one. */
  password?: string;
  /** What the others shall know of us from the start: see {@link Room.update}. */
  state?: State;
  /** The first audio and the first video track of it are sent to everybody: see {@link Room.setTrack}. */
  stream?: MediaStream;
  /** The media that connections are made for, whether or not there is a track: both by default, `[]` for nothing but data. */
  kinds?: readonly Kind[];
  /** Media goes through the relay only, which hides our address from the others. */
  relayOnly?: boolean;
  /** Listeners that miss nothing, because they are there before anything happens. */
  on?: { [Type in keyof RoomEvents]?: (detail: RoomEvents[Type]) => void };
  /** Gives up joining; later it leaves the room. */
  signal?: AbortSignal;
  /** More of what RTCPeerConnection takes. `iceServers` and `iceTransportPolicy` are the room's. */
  rtc?: RTCConfiguration;
  /** Makes the connections, where there is no RTCPeerConnection or another one is wanted. */
  createConnection?: (configuration: RTCConfiguration) => RTCPeerConnection;
  /** Makes the WebSocket, likewise. */
  createSocket?: (url: string, protocol: string) => Socket;
  /** Where `online` and `pagehide` are heard from; the page by default. */
  network?: { addEventListener?(type: string, listener: () => void, options?: { signal?: AbortSignal }): void };
  /** Time, for tests. */
  clock?: Clock;
  /** Chance, for tests: a number in [0, 1). */
  random?: () => number;
}

export type Kind = 'audio' | 'video';
/** What a member tells of itself: an object of at most 4 KiB of JSON. */
export type State = { [key: string]: any };

/** Somebody in a room, as the server tells of them. */
export interface Member {
  /** Made by the server, new with every join that does not take a lost seat back. */
  id: string;
  name: string;
  role?: 'moderator' | 'member';
  state?: State | null;
}

/** What moderators can change about a room. */
export interface RoomSettings {
  /** The room's name. */
  id: string;
  /** Nobody comes in by themselves. */
  locked: boolean;
  /** Whoever comes to the locked room waits until a moderator lets them in. */
  knock: boolean;
  /** There is a password. */
  password: boolean;
  /** How many members the room takes. */
  maxMembers: number;
}

/** What the server's relay does for one member. */
export interface MemberRelay {
  /** Its id. */
  member: string;
  /** The newest first. Empty: media goes the direct way, over another relay, or not at all. */
  allocations: RelayAllocation[];
}

/** An allocation that is alive. Browsers make more than they use. */
export interface RelayAllocation {
  /** Between the member and the relay: `udp`, `tcp`, `tls` or `dtls`. */
  transport: string;
  /** The relayed address, as in candidates: `203.0.113.1:50000`. */
  relayed: string;
  /** Of payload that came through it so far, in both directions; between two allocations of the server with the sender only. */
  bytes: number;
}

/** An EventTarget whose events are CustomEvents: `detail` says what happened. */
export interface Target<Events extends object> extends EventTarget {
  addEventListener<Type extends keyof Events & string>(
    type: Type, listener: ((event: CustomEvent<Events[Type]>) => void) | null, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
declare const Target: new <Events extends object>() => Target<Events>;

/** What everything here extends. */
export class Emitter<Events extends object> extends Target<Events> {
  /** Hears the detail of every event of a type. Returns what ends that. */
  on<Type extends keyof Events & string>(type: Type, listener: (detail: Events[Type]) => void): () => void;
  emit<Type extends keyof Events & string>(type: Type, detail: Events[Type]): void;
}

export interface RoomEvents {
  /** The connection to the server changed. While it is `reconnecting`, calls go on. `closed` is final. */
  state: StateChange;
  /** A moderator has to let us in: `join` waits. */
  waiting: {};
  /**
   * We are in: after `join`, and again after every lost connection. `resumed`: nobody has noticed. Otherwise the seat was gone, `self` has
   * another id, and everybody in the room was told to have left (`reconnected`) and comes by `member-joined` next.
   */
  joined: { self: Member; resumed: boolean };
  /** Somebody came, or was there before us. */
  'member-joined': { member: Member; peer: Peer };
  /** Somebody's `state` or `role` changed, maybe our own. */
  'member-updated': { member: Member };
  /**
   * Somebody is gone for good. `reason` is one of the protocol: `left`, `timeout`, `kicked`, `too_slow`, `bad_message`, `room_closed`; or `reconnected`; or
   * the code of the {@link Cause} that our own membership has ended with.
   */
  'member-left': { member: Member; reason: string };
  /**
   * Sound or picture of a member arrives. `stream` groups what belongs together; it comes twice, with either track, and again when the
   * connection is made anew. Show it in one element per stream.
   */
  track: { member: Member; peer: Peer; track: MediaStreamTrack; stream: MediaStream };
  /** What a member sent with `room.send` or `peer.send`. */
  data: { member: Member; peer: Peer; data: any };
  /** A member has opened a data channel of its own: listen to it at once, so that no message is missed. */
  channel: { member: Member; peer: Peer; channel: Channel };
  /** The connection to a member changed. */
  status: { member: Member; peer: Peer; status: PeerStatus };
  /** What a member sent with `room.signal`, through the server. */
  signal: { member: Member; data: any };
  /** What a member sent with `room.broadcast`, through the server. */
  broadcast: { from: string; member?: Member; data: any };
  /** What the application's own server has to say, by the server API. */
  'server-message': { data: any };
  /** For moderators: somebody waits to be let in. */
  knock: { member: Member };
  /** They wait no longer: `admitted`, `denied`, `left`, `timeout`, or as in `member-left`. */
  'knock-ended': { member: Member; reason: string };
  /** The settings changed. */
  room: { room: RoomSettings };
  /** We are removed from the room; `state` becomes `closed` next. */
  kicked: { reason?: string };
  /** Fresh ICE servers came, and every connection has them. */
  'ice-servers': { iceServers: RTCIceServer[]; ttl: number };
  /** What the server's own relay does for each member, ourselves included: the answer to {@link Room.askRelay}. */
  relay: { members: MemberRelay[] };
  /** The server is about to restart. The room comes back by itself. */
  draining: {};
  /** The server refused a message of the type `request`; the room goes on. */
  error: { code: string; message?: string; request?: string };
}

/** One room. {@link join} makes it. */
export class Room extends Emitter<RoomEvents> {
  /** Joins nothing yet, and so lets one add listeners first; {@link join} is `new Room(options).join()`. */
  constructor(options: JoinOptions);
  /** May be called once. */
  join(): Promise<Room>;
  /** Leaves for good. */
  leave(): void;
  /** Connects to the server anew at once: instead of waiting for the next attempt, or because the connection may be dead. */
  reconnect(): void;

  readonly state: SignalingState;
  /** Ourselves; null before the first `joined`. */
  readonly self: Member | null;
  readonly settings: RoomSettings | null;
  /** The others, by id. */
  readonly members: ReadonlyMap<string, Member>;
  /** The connections to the others, by id. */
  readonly peers: ReadonlyMap<string, Peer>;
  /** For moderators: who waits to be let in, by id. */
  readonly knocking: ReadonlyMap<string, Member>;
  readonly relayOnly: boolean;

  /** Sends this track to everybody from now on in place of the one before, without negotiation; null for nothing. */
  setTrack(kind: Kind, track: MediaStreamTrack | null): void;
  /** Sends one more track, as a screen beside the camera, to everybody, in a stream of its own if none is given. This negotiates. */
  addTrack(track: MediaStreamTrack, stream?: MediaStream): void;
  /** Ends what `addTrack` began. At the others the track ends. */
  removeTrack(track: MediaStreamTrack): void;

  /** Replaces what everybody knows of us: `state` of our {@link Member}. It is kept over lost seats. */
  update(state: State): void;
  /**
   * Sends any JSON value straight to everybody who is here now, over the data channels; it arrives as `data`.
   * Tells for each member's id what {@link Peer.send} tells.
   */
  send(data: unknown): Map<string, Sent>;
  /**
   * Sends any JSON value of at most 64 KiB to one member through the server; it arrives as `signal`. An object with `description`, `candidate` or `renew` is
   * for the member's {@link Peer} instead. False: too much waits to be sent already, or the room is closed.
   */
  signal(to: Member | string, data: unknown): boolean;
  /** Sends any JSON value of at most 64 KiB to everybody else through the server, in one order for all; it arrives as `broadcast`. */
  broadcast(data: unknown): boolean;

  /**
   * Asks the server what its relay does for the members; the answer is the event `relay`. At most once a second: more is answered by
   * the event `error` with `rate_limited`. False: not asked, since there is no connection to the server.
   */
  askRelay(): boolean;

  /** Moderators only, as all of these: what is not allowed is answered by the event `error`. Removes a member. */
  kick(member: Member | string, reason?: string): void;
  /** Locks the room, with a waiting room if `knock`, or opens it, which lets in all who wait. */
  lock(how: { locked: boolean; knock?: boolean }): void;
  /** Lets somebody in who waits. */
  admit(member: Member | string): void;
  /** Turns somebody away who waits. */
  deny(member: Member | string): void;
  /** Without one, or with '', there is none any more. */
  setPassword(password?: string): void;
  /** How many members the room takes; 0 for as many as the server allows. */
  limit(maxMembers?: number): void;

  /** Media through the relay only, or any way. The running connections are replaced. */
  setRelayOnly(relayOnly?: boolean): Promise<void>;
  /** ICE restart with a member, with a fresh credential if the present one is about to end or was refused. */
  restart(member: Member | string, how?: RestartOptions): Promise<void>;
}

/** `sent`; `waiting`: it goes out as soon as the channel is open; `lost`: too much waits already, or it cannot be sent. */
export type Sent = 'sent' | 'waiting' | 'lost';
/** `failed` is final until somebody calls `restart`: nothing came through in spite of several tries, or nobody answers. */
export type PeerStatus = 'connecting' | 'connected' | 'reconnecting' | 'failed';

/** How to restart. */
export interface RestartOptions {
  /** A person wants it: the automatic restarts begin anew. */
  manual?: boolean;
  /** With an offer under way, wait for its answer first. */
  patient?: boolean;
}

/** What peers send each other through the server. `renew`: the sender has thrown its connection away and offers a new one next. */
export interface SignalData {
  description?: RTCSessionDescriptionInit | null;
  candidate?: RTCIceCandidateInit | null;
  renew?: boolean;
}

export interface PeerEvents {
  status: { status: PeerStatus };
  track: { track: MediaStreamTrack; stream: MediaStream };
  data: { data: any };
  channel: { channel: Channel };
  /** The connection needs an ICE restart; whoever has the ICE servers calls `restart`. A room does. */
  'restart-wanted': {};
  /** Something the browser did not take. The connection goes on, or is restarted. */
  error: { error: unknown };
}

export interface PeerOptions {
  member: Member;
  /** Gives way when both offer at once; exactly one side must be. In rooms it is the one with the smaller id. */
  polite: boolean;
  /** Makes a connection with the present ICE servers; again for each renewal. */
  createConnection: () => RTCPeerConnection;
  /** Brings this to the `receive` of the other side. */
  send: (data: SignalData) => void;
  kinds?: readonly Kind[];
  /** What is sent: changed in place, then `sync` is called. */
  tracks?: Partial<Record<Kind, MediaStreamTrack | null>>;
  /** More tracks, each with its stream; likewise. */
  extras?: Map<MediaStreamTrack, MediaStream>;
  /** At most one: it groups the tracks for lip sync. */
  streams?: MediaStream[];
  clock?: Clock;
}

/**
 * The connection to one member. It stays the same for as long as the member is there, while the RTCPeerConnection in it may be
 * replaced: when both made their first offer at once, and by `renew`.
 *
 * Negotiation is perfect negotiation. Audio and video have one transceiver each, made with the first offer whether or not there is a track, so
 * that muting, switching cameras and sharing a screen in place of the camera need none. Offers without an answer are repeated, connections that break get
 * ICE restarts.
 */
export class Peer extends Emitter<PeerEvents> {
  constructor(options: PeerOptions);
  /** As given, and with the defaults. */
  readonly options: Required<PeerOptions>;
  readonly member: Member;
  readonly connection: RTCPeerConnection;
  readonly status: PeerStatus;
  /** It `failed` because the other side has answered none of several offers, whatever the network is like. */
  readonly unanswered: boolean;
  /** Types of the local candidates since the last restart: `host`, `srflx`, `relay`. */
  readonly candidateTypes: ReadonlySet<string>;
  /**
   * STUN error codes met since the last restart: 401 and 403 are a refused credential, 486 a quota that is used up, 508 a relay without
   * room or about to stop, 701 a server that cannot be reached.
   */
  readonly iceErrors: ReadonlySet<number>;
  /** The cap on the video, in bits per second; 0 for none. */
  readonly videoBitrate: number;

  /** Sends any JSON value straight to the member: now, or as soon as the channel is open, a hundred at most. It arrives as `data`. */
  send(data: unknown): Sent;
  /**
   * A data channel of one's own, for text and binary data as they are, opened now, or the one of this label that there is. Both
   * ends may open it, together too: it is one channel all the same. Whoever does not gets the event `channel`. It opens again when the connection is
   * replaced.
   */
  channel(label: string, options?: RTCDataChannelInit): Channel;
  /** Caps what the video may take, in bits per second; 0 lifts the cap. In a room everybody sends one copy to everybody else. */
  limitVideo(bitrate?: number): Promise<void>;
  /** ICE restart: media keeps flowing on the old path until the new one stands. See {@link Room.restart}, which looks after the credential. */
  restart(how?: RestartOptions): void;
  /** Replaces the RTCPeerConnection on both sides. */
  renew(): void;

  /** Makes the first offer; the newcomer's side calls it. Rooms call this and what follows by themselves. */
  start(): void;
  /** Waits for the other's first offer, but not for ever; the side that was there first calls it. */
  expectOffer(): void;
  /** Takes what the other side's `send` was given. */
  receive(data: SignalData): Promise<void>;
  /** Sends what is in `options.tracks` and `options.extras` now. */
  sync(): void;
  /** Sets ICE servers or another policy; it takes effect with the next gathering. */
  configure(configuration: RTCConfiguration): void;
  close(): void;
}

export interface ChannelEvents {
  open: {};
  message: { data: string | ArrayBuffer };
  /** By an end, or with the connection. */
  close: {};
  error: { error: unknown };
}

/** A data channel that outlives its RTCDataChannel: see {@link Peer.channel}. */
export class Channel extends Emitter<ChannelEvents> {
  constructor(label: string, options: RTCDataChannelInit | null);
  readonly label: string;
  /** How it was opened; null when the other end did. */
  readonly options: RTCDataChannelInit | null;
  /** The open RTCDataChannel that messages go over, for `bufferedAmount` and the like. Its `binaryType` is `arraybuffer`. */
  readonly raw: RTCDataChannel | null;
  /** It has an RTCDataChannel, maybe one that is not open yet. */
  readonly attached: boolean;
  /** Sends now, or as soon as the channel is open, a hundred messages at most. */
  send(data: string | Blob | ArrayBuffer | ArrayBufferView): Sent;
  close(): void;
  /** Peers do this: messages go over this one, too. */
  attach(raw: RTCDataChannel): void;
  /** Peers do this: what was attached is heard no more. */
  detach(): void;
}

/**
 * How the connection to the server is: `connecting` until the first `joined`, `waiting` for a moderator, `joined`, `reconnecting` after a lost
 * connection, and `closed` for good.
 */
export type SignalingState = 'idle' | 'connecting' | 'waiting' | 'joined' | 'reconnecting' | 'closed';

/** Why a connection was lost, ended, or could not be made. */
export interface Cause {
  /**
   * An error code of the protocol (`room_full`, `room_locked`, `wrong_password`, `unauthorized`, `not_allowed`, `rate_limited`, …), or one of
   * `kicked`, `replaced` (another connection has taken our seat), `left`, `connection_lost`, `going_away`, `too_slow`, `too_big`.
   */
  code: string;
  /** For people. */
  message?: string;
  closeCode?: number;
}

export interface StateChange {
  state: SignalingState;
  /** Null while all is well. */
  cause: Cause | null;
  /** Milliseconds to the next attempt; 0 if there is none to wait for. */
  delay: number;
  /** A WebSocket has opened at least once; until then the network may be what refuses it. */
  opened: boolean;
}

export interface SignalingEvents {
  state: StateChange;
  /** Everything that the server says, but for the refusal of a join, which is in `state`. */
  message: ServerMessage;
}

export interface SignalingOptions extends Pick<JoinOptions, 'room' | 'name' | 'token' | 'password' | 'createSocket' | 'clock' | 'random'> {
  /** Of the WebSocket: `wss://call.example.com/ws`. */
  url: string;
}

/**
 * One WebSocket joined to one room. A lost connection is made again with growing, jittered pauses and takes its seat back: no message is lost or
 * doubled, in either direction. What is sent goes out no faster than the server takes it.
 */
export class Signaling extends Emitter<SignalingEvents> {
  constructor(options: SignalingOptions);
  readonly state: SignalingState;
  start(): void;
  /** Gives the connection up and makes a new one at once. */
  reconnect(): void;
  /** Sends now, or when there is a connection again. False: too much waits already, or it is closed. */
  send(message: ClientMessage): boolean;
  leave(): void;
}

/** The part of WebSocket that is used. */
export interface Socket extends EventTarget {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Runs once, and returns the way to cancel it. */
  after(ms: number, run: () => void): () => void;
}

/** See docs/protocol.md. */
export interface ClientMessage {
  type: string;
  [field: string]: unknown;
}

export interface JoinedMessage {
  type: 'joined';
  self: Member;
  room: RoomSettings;
  members: Member[];
  iceServers: RTCIceServer[];
  ttl: number;
  resume: string;
  resumed?: boolean;
  received?: number;
}

/** See docs/protocol.md. A newer server may send types that are not here. */
export type ServerMessage =
  | JoinedMessage
  | { type: 'waiting' }
  | { type: 'knock'; member: Member }
  | { type: 'member-joined'; member: Member }
  | { type: 'member-updated'; member: Member }
  | { type: 'member-left'; member: string; reason: string }
  | { type: 'signal'; from: string; data: any }
  | { type: 'broadcast'; from: string; data: any }
  | { type: 'ice-servers'; iceServers: RTCIceServer[]; ttl: number }
  | { type: 'relay'; members: MemberRelay[] }
  | { type: 'room'; room: RoomSettings }
  | { type: 'kicked'; reason?: string }
  | { type: 'server-message'; data: any }
  | { type: 'draining' }
  | { type: 'error'; code: string; message?: string; request?: string };

export {};
