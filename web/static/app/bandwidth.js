// @ts-check

/** @typedef {import('../../sdk/maitred.js').Room} Room */

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
 * In a mesh everybody sends one copy to everybody else: the more they are, the less video for each.
 * @param {Pick<Room, 'peers'>} room
 */
export function shareBandwidth({ peers }) {
  for (const peer of peers.values()) void peer.limitVideo(videoBitrate(peers.size));
}
