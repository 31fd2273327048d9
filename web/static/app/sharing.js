// @ts-check

/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./presence.js').Presence} Presence */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {{connection: RTCPeerConnection, track: MediaStreamTrack, stream: string}} Arrived a track, and the id of its stream */

/**
 * Sends the screen and its sound beside the camera, so that whoever presents is seen, too. The others are told first which stream it is.
 */
export class ScreenSender {
  #room;
  #presence;
  #makeStream;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {MediaStreamTrack[]} */
  #sent = [];

  /**
   * @param {Pick<Room, 'addTrack' | 'removeTrack'>} room
   * @param {Pick<Presence, 'set'>} presence
   * @param {() => MediaStream} [makeStream]
   */
  constructor(room, presence, makeStream = () => new MediaStream()) {
    this.#room = room;
    this.#presence = presence;
    this.#makeStream = makeStream;
  }

  /** @param {Pick<LocalMedia, 'screenTrack' | 'screenAudioTrack'>} media what is shared now */
  sync({ screenTrack, screenAudioTrack }) {
    const tracks = screenTrack ? [screenTrack, ...(screenAudioTrack ? [screenAudioTrack] : [])] : [];
    for (const track of this.#sent) if (!tracks.includes(track)) this.#room.removeTrack(track);
    if (!screenTrack) this.#stream = null;
    else this.#stream ??= this.#makeStream();
    this.#presence.set({ screen: screenTrack !== null, screenStream: this.#stream?.id });
    for (const track of tracks) {
      if (this.#stream && !this.#sent.includes(track)) this.#room.addTrack(track, this.#stream);
    }
    this.#sent = tracks;
  }
}

/** What arrives from one member, told apart by what the member says of its streams. */
export class ArrivedTracks {
  /** @type {Arrived[]} */
  #arrived = [];
  /** Streams that were told to be a screen: one that is not shared any more is no camera for the moment until it ends. @type {Set<string>} */
  #screens = new Set();

  /** @param {Arrived} arrived a later track of a kind in a stream replaces the earlier, and another connection all of them */
  add(arrived) {
    const { connection, track, stream } = arrived;
    this.#arrived = this.#arrived.filter((it) => (
      it.connection === connection && it.track.readyState !== 'ended' && !(it.stream === stream && it.track.kind === track.kind)));
    this.#arrived.push(arrived);
  }

  /** @param {MediaStreamTrack} track */
  remove(track) {
    this.#arrived = this.#arrived.filter((it) => it.track !== track);
  }

  /**
   * @param {string | undefined} screenStream of the member's state
   * @returns {{person: MediaStreamTrack[], screen: MediaStreamTrack[]}} at most one of a kind each, the latest
   */
  sort(screenStream) {
    const streams = new Set(this.#arrived.map(({ stream }) => stream));
    for (const stream of this.#screens) if (!streams.has(stream)) this.#screens.delete(stream);
    if (screenStream !== undefined) this.#screens.add(screenStream);
    return {
      person: latest(this.#arrived.filter(({ stream }) => !this.#screens.has(stream))),
      screen: latest(this.#arrived.filter(({ stream }) => stream === screenStream)),
    };
  }
}

/** @param {Arrived[]} arrived */
function latest(arrived) {
  return [...new Map(arrived.map(({ track }) => [track.kind, track])).values()];
}
