// @ts-check
import { systemClock } from './clock.js';
import { cameraPlan, planParameters, screenPlan } from './quality.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./quality.js').Plan} Plan */
/** @typedef {Pick<import('./media.js').LocalMedia, 'cameraTrack' | 'screenTrack' | 'quality' | 'screenContent'>} Media */

/** People come together, and the SDK sets parameters at the same moments: one change at a time, when it is quiet for so long. */
const QUIET = 100;
/** A new connection begins with a small picture, which comes soon, and is left alone for so long: an encoder begins anew with another size. */
const FIRST_PICTURE = 1_000;

/**
 * Fits the video for each of the others to how many they are, to what the person wants, and to those who save data. What the network
 * does not carry beyond that, browsers find out and send less by themselves.
 */
export class Bandwidth {
  #context;
  /** Connections that tell when they have negotiated. @type {WeakSet<RTCPeerConnection>} */
  #heard = new WeakSet();
  /** When a connection was first seen connected. @type {WeakMap<RTCPeerConnection, number>} */
  #since = new WeakMap();
  /** What is about to be done. @type {Map<Peer, () => void>} */
  #due = new Map();
  /** What is being done. @type {WeakMap<Peer, Promise<void>>} */
  #doing = new WeakMap();
  #clock;
  #over = new AbortController();
  /** @type {(() => void)[]} */
  #cleanup;

  /**
   * @param {Pick<CallContext, 'room' | 'media'>} context
   * @param {Clock} [clock]
   */
  constructor(context, clock = systemClock) {
    this.#context = context;
    this.#clock = clock;
    const { room, media } = context;
    const share = () => this.#share();
    this.#cleanup = [
      room.on('member-joined', share), room.on('member-left', share), room.on('member-updated', share), media.on('change', share),
      room.on('status', ({ peer }) => this.#fit(peer)),
    ];
    share();
  }

  close() {
    for (const undo of [...this.#cleanup, ...this.#due.values()]) undo();
    this.#over.abort();
  }

  #share() {
    const { room } = this.#context;
    for (const peer of room.peers.values()) this.#fit(peer);
  }

  /** @param {Peer} peer */
  #fit(peer) {
    this.#hear(peer);
    const since = this.#since.get(peer.connection);
    if (since === undefined) return;
    this.#due.get(peer)?.();
    this.#due.set(peer, this.#clock.after(Math.max(QUIET, since + FIRST_PICTURE - this.#clock.now()), () => this.#begin(peer)));
  }

  /** @param {Peer} peer */
  #begin(peer) {
    const { room, media } = this.#context;
    this.#due.delete(peer);
    if (room.peers.get(peer.member.id) !== peer) return;
    const before = this.#doing.get(peer) ?? Promise.resolve();
    this.#doing.set(peer, before.then(() => fitPeer(peer, room.peers.size, media))
      .catch((error) => console.warn('maitred: bandwidth', peer.member.id, error)));
  }

  /**
   * A sender knows its codecs when it is negotiated; a connection made anew has senders that know nothing of all this, and nothing to send before it
   * is connected.
   * @param {Peer} peer
   */
  #hear(peer) {
    const { connection } = peer;
    if (this.#heard.has(connection)) return;
    this.#heard.add(connection);
    const { signal } = this.#over;
    const connected = () => {
      if (connection.connectionState !== 'connected' || this.#since.has(connection)) return false;
      this.#since.set(connection, this.#clock.now());
      return true;
    };
    connected();
    connection.addEventListener('connectionstatechange', () => connected() && connection === peer.connection && this.#fit(peer), { signal });
    connection.addEventListener('signalingstatechange', () => {
      if (connection.signalingState === 'stable' && connection === peer.connection) this.#fit(peer);
    }, { signal });
  }
}

/**
 * @param {Peer} peer
 * @param {number} peers
 * @param {Media} media
 */
async function fitPeer(peer, peers, media) {
  const quality = peer.member.state?.saver === true ? 'saver' : media.quality;
  const camera = cameraPlan(peers, quality);
  const screen = screenPlan(peers, quality, media.screenContent);
  /** @param {RTCRtpSender} sender */
  const isScreen = ({ track }) => track !== null && track === media.screenTrack;
  // Parameters change with every step of a negotiation; its end brings us here again.
  if (peer.connection.signalingState !== 'stable') return;
  const [main, ...beside] = peer.connection.getTransceivers().filter(({ receiver }) => receiver.track.kind === 'video').map(({ sender }) => sender);
  const { bitrate } = main && isScreen(main) ? screen : camera;
  // The SDK sets this one again whenever it negotiates.
  if (peer.videoBitrate !== bitrate) await peer.limitVideo(bitrate);
  for (const sender of [main, ...beside.filter(({ track }) => track !== null)]) {
    // Replacing a camera's track takes a moment: it is the new one's size that counts.
    if (sender && isScreen(sender)) await apply(sender, screen, media.screenTrack);
    else if (sender) await apply(sender, camera, media.cameraTrack);
  }
}

/**
 * @param {RTCRtpSender} sender
 * @param {Plan} plan
 * @param {MediaStreamTrack | null} track
 */
async function apply(sender, plan, track) {
  const size = track?.getSettings() ?? {};
  // The browser may not take the codec; and parameters that were read while a negotiation ended are stale.
  await set(sender, plan, size).catch(() => set(sender, { ...plan, codec: '' }, size));
}

/**
 * @param {RTCRtpSender} sender
 * @param {Plan} plan
 * @param {{width?: number, height?: number}} size
 */
async function set(sender, plan, size) {
  const parameters = sender.getParameters();
  // Empty before the first negotiation, which brings us here again.
  if (parameters.encodings?.length && planParameters(parameters, plan, size)) await sender.setParameters(parameters);
}
