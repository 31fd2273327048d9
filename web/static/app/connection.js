// @ts-check
import { cameraPlan } from './quality.js';
import { noteAnnounced } from './safetyexchange.js';

/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */

/**
 * What all first pictures together may use of one's upload, and one of them at most, in bits per second. Browsers begin with 300 kbit/s, at
 * which Chromium drops frames until one is small enough; for 720 lines it wants 900 kbit/s beside the sound. What is too much for a
 * network, their congestion control takes back.
 */
const FIRST_UPLOAD = 1_600_000;
const MOST_FIRST = 1_200_000;
/** Where browsers begin by themselves. */
const USUAL = 300_000;
/** The shorter side of the first pictures at most, in pixels: a whole picture of 720 lines takes a third of a second to send at that rate. */
const FIRST_LINES = 360;

/**
 * How much to send to somebody before anything is known of the network.
 * @param {number} peers that there are
 * @param {number} limit what the camera may use towards each of them, in bits per second
 * @returns {number} in bits per second; 0 for the browser's choice
 */
export function firstBitrate(peers, limit) {
  const bitrate = Math.min(MOST_FIRST, limit, FIRST_UPLOAD / Math.max(1, peers));
  return bitrate > USUAL ? Math.round(bitrate) : 0;
}

/**
 * Adds to a description of the other end what Chromium and Safari begin to send video with; others do not know the parameter.
 * @param {string} sdp
 * @param {number} bitrate in bits per second
 */
export function withFirstBitrate(sdp, bitrate) {
  const parameter = `x-google-start-bitrate=${Math.round(bitrate / 1_000)}`;
  return sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith('m=video')) return section;
    return section.replace(/^a=rtpmap:(\d+) (?!rtx\/|red\/|ulpfec\/|flexfec)[^\r\n]+/gm, (line, type) => (
      section.includes(`\na=fmtp:${type} `) ? line : `${line}\r\na=fmtp:${type} ${parameter}`))
      .replace(/^(a=fmtp:\d+ )(?!apt=|x-google-start-bitrate=)/gm, `$1${parameter};`);
  }).join('');
}

/**
 * How many times smaller than the camera's the first pictures are.
 * @param {MediaTrackSettings} size of the camera's
 * @param {number} lines that the plan has for later
 */
export function firstScale({ width = 0, height = 0 }, lines) {
  return Math.max(1, Math.round(100 * Math.min(width, height) / Math.min(FIRST_LINES, lines)) / 100);
}

/**
 * Makes connections that begin to send video as fits the room, and with a small picture. Bandwidth goes on from there.
 * @param {() => Pick<Room, 'peers'> | null} room that they are for, once it is joined
 * @param {Pick<LocalMedia, 'quality' | 'cameraTrack'>} media
 * @returns {(configuration: RTCConfiguration) => RTCPeerConnection}
 */
export function connectionMaker(room, media) {
  const peers = () => room()?.peers.size ?? 1;
  const plan = () => cameraPlan(peers(), media.quality);
  const scale = () => firstScale(media.cameraTrack?.getSettings() ?? {}, plan().lines);
  class Connection extends RTCPeerConnection {
    /**
     * @param {MediaStreamTrack | string} track
     * @param {RTCRtpTransceiverInit} [init]
     */
    addTransceiver(track, init) {
      if (track !== media.cameraTrack || scale() === 1) return super.addTransceiver(track, init);
      return super.addTransceiver(track, { ...init, sendEncodings: [{ scaleResolutionDownBy: scale(), maxFramerate: plan().frameRate }] });
    }

    /** @param {RTCSessionDescriptionInit} description */
    async setRemoteDescription({ type, sdp = '' }) {
      const first = !this.remoteDescription && type === 'offer';
      const bitrate = firstBitrate(peers(), plan().bitrate);
      await super.setRemoteDescription({ type, sdp: bitrate ? withFirstBitrate(sdp, bitrate) : sdp });
      noteAnnounced(this);
      // The answer need not wait for it.
      if (first && scale() > 1) beginSmall(this, { scaleResolutionDownBy: scale(), maxFramerate: plan().frameRate });
    }
  }
  return (configuration) => new Connection(configuration);
}

/**
 * The offered video is what the camera will answer with.
 * @param {RTCPeerConnection} connection
 * @param {RTCRtpEncodingParameters} as
 */
function beginSmall(connection, as) {
  const sender = connection.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video')?.sender;
  const parameters = sender?.getParameters();
  // Some browsers list encodings only when all is negotiated: there the first picture is a whole one.
  if (!sender || !parameters?.encodings?.length) return;
  for (const encoding of parameters.encodings) Object.assign(encoding, as);
  sender.setParameters(parameters).catch((error) => console.warn('maitred: first picture', error));
}
