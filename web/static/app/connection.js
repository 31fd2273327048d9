// @ts-check
import { cameraPlan } from './quality.js';

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
 * Makes connections that begin to send video as fits the room.
 * @param {() => Pick<Room, 'peers'> | null} room that they are for, once it is joined
 * @param {Pick<LocalMedia, 'quality'>} media
 * @returns {(configuration: RTCConfiguration) => RTCPeerConnection}
 */
export function connectionMaker(room, media) {
  class Connection extends RTCPeerConnection {
    /** @param {RTCSessionDescriptionInit} description */
    setRemoteDescription({ type, sdp = '' }) {
      const peers = room()?.peers.size ?? 1;
      const bitrate = firstBitrate(peers, cameraPlan(peers, media.quality).bitrate);
      return super.setRemoteDescription({ type, sdp: bitrate ? withFirstBitrate(sdp, bitrate) : sdp });
    }
  }
  return (configuration) => new Connection(configuration);
}
