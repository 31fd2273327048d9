// @ts-check
// Numbers out of getStats. Browsers leave out different things: what is not there is null here, and never a guess.

/** @typedef {'audio' | 'video' | 'screen'} Role */
/** @typedef {'in' | 'out'} Way */
/** @typedef {Map<string, Role>} Roles by the id of a track and by the mid of its transceiver */
/** @typedef {{width: number, height: number, rate: number | null}} Picture `rate` in frames a second */
/**
 * What one stream of media has come to.
 * @typedef {object} Stream
 * @property {Way} way
 * @property {Role} role
 * @property {number} at milliseconds
 * @property {number | null} bytes since the beginning, as all that follows
 * @property {number | null} packets
 * @property {number | null} lost packets
 * @property {number | null} fraction of the packets that was lost in the last interval of the other end's report, 0 to 1
 * @property {number | null} frames
 * @property {number | null} jitter in milliseconds
 * @property {number | null} width in pixels
 * @property {number | null} height
 * @property {number | null} rate in frames a second, as the browser tells it
 * @property {string | null} codec
 * @property {string | null} limitation what keeps the quality down: 'cpu', 'bandwidth', 'other' or 'none'
 */
/** @typedef {{streams: Map<string, Stream>, roundTrip: number | null}} Snapshot by id of the stream; `roundTrip` in milliseconds */
/**
 * @typedef {object} Flow one direction, or one kind of media in it
 * @property {number | null} bitrate in bits a second
 * @property {string | null} codec
 * @property {Picture | null} picture
 * @property {string | null} limitation
 */
/**
 * @typedef {object} Side what comes in or goes out
 * @property {number | null} bitrate in bits a second
 * @property {number | null} loss 0 to 1
 * @property {number | null} jitter in milliseconds
 * @property {Partial<Record<Role, Flow>>} flows that there are
 */
/** @typedef {{in: Side, out: Side, roundTrip: number | null}} Numbers `roundTrip` in milliseconds */
/** @typedef {RTCStatsReport | Map<string, any>} Report */

/** @type {readonly Role[]} */
export const ROLES = ['audio', 'video', 'screen'];

/**
 * The candidate pair in use.
 * @param {Report} report
 * @returns {any}
 */
export function selectedPair(report) {
  let marked = null;
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) return report.get(entry.selectedCandidatePairId);
    // Browsers that name no pair in "transport" mark it on the pair; of those nominated there may be several.
    if (entry.type === 'candidate-pair' && (entry.selected ?? (entry.nominated && entry.state === 'succeeded'))) marked = entry;
  }
  return marked;
}

/**
 * Which track is what: the SDK keeps a transceiver each for microphone and camera, and adds others for a screen and its sound.
 * @param {Pick<RTCRtpTransceiver, 'mid' | 'sender' | 'receiver'>[]} transceivers
 * @returns {Roles}
 */
export function rolesOf(transceivers) {
  /** @type {Roles} */
  const roles = new Map();
  const met = new Set();
  for (const { mid, sender, receiver } of transceivers) {
    const { kind } = receiver.track;
    const role = met.has(kind) ? 'screen' : /** @type {Role} */ (kind);
    met.add(kind);
    for (const id of [mid, receiver.track.id, sender.track?.id]) if (id) roles.set(id, role);
  }
  return roles;
}

/**
 * @param {Report} report
 * @param {Roles} roles
 * @returns {Snapshot}
 */
export function readReport(report, roles) {
  /** @type {Snapshot['streams']} */
  const streams = new Map();
  const remote = new Map([...report.values()].filter(({ type }) => type === 'remote-inbound-rtp').map((entry) => [entry.localId, entry]));
  for (const entry of report.values()) {
    const way = /** @type {Record<string, Way>} */ ({ 'inbound-rtp': 'in', 'outbound-rtp': 'out' })[entry.type];
    // An RTP stream of FEC or the like has neither kind nor a transceiver.
    if (way && (entry.kind ?? entry.mediaType)) streams.set(entry.id, readStream(report, entry, way, roleOf(report, entry, roles), remote.get(entry.id)));
  }
  const pair = selectedPair(report);
  const times = [pair?.currentRoundTripTime, ...[...remote.values()].map(({ roundTripTime }) => roundTripTime)];
  return { streams, roundTrip: milliseconds(times.find((it) => number(it) !== null)) };
}

/**
 * @param {Report} report
 * @param {any} entry
 * @param {Roles} roles
 * @returns {Role}
 */
function roleOf(report, entry, roles) {
  const track = entry.trackIdentifier ?? report.get(entry.mediaSourceId)?.trackIdentifier;
  return roles.get(entry.mid) ?? roles.get(track) ?? entry.kind ?? entry.mediaType;
}

/**
 * @param {Report} report
 * @param {any} entry
 * @param {Way} way
 * @param {Role} role
 * @param {any} [remote] what the other end has reported of it
 * @returns {Stream}
 */
function readStream(report, entry, way, role, remote) {
  const incoming = way === 'in';
  const heard = incoming ? entry : remote;
  return {
    way, role, at: entry.timestamp,
    bytes: number(incoming ? entry.bytesReceived : entry.bytesSent),
    packets: number(incoming ? entry.packetsReceived : entry.packetsSent),
    lost: number(heard?.packetsLost),
    fraction: incoming ? null : number(remote?.fractionLost),
    frames: number(incoming ? entry.framesDecoded : entry.framesEncoded),
    jitter: milliseconds(heard?.jitter),
    width: number(entry.frameWidth), height: number(entry.frameHeight), rate: number(entry.framesPerSecond),
    codec: codecName(report.get(entry.codecId)?.mimeType),
    limitation: entry.qualityLimitationReason ?? null,
  };
}

/**
 * What has happened between two reports of the same connection.
 * @param {Snapshot} before
 * @param {Snapshot} after
 * @returns {Numbers}
 */
export function compare(before, after) {
  return { in: side(before, after, 'in'), out: side(before, after, 'out'), roundTrip: after.roundTrip };
}

/**
 * @param {Snapshot} before
 * @param {Snapshot} after
 * @param {Way} way
 * @returns {Side}
 */
function side(before, after, way) {
  const pairs = [...after.streams].filter(([, now]) => now.way === way).map(([id, now]) => ({ now, then: before.streams.get(id) }));
  /** @type {Side['flows']} */
  const flows = {};
  for (const role of ROLES) {
    const own = pairs.filter(({ now }) => now.role === role);
    if (own.length > 0) flows[role] = flow(own);
  }
  return {
    bitrate: sum(Object.values(flows).map(({ bitrate }) => bitrate)),
    loss: largest(pairs.map(({ now }) => now.fraction)) ?? lossOf(pairs, way),
    jitter: largest(pairs.map(({ now }) => now.jitter)),
    flows,
  };
}

/**
 * @param {{now: Stream, then: Stream | undefined}[]} pairs
 * @returns {Flow}
 */
function flow(pairs) {
  const pictured = pairs.filter(({ now }) => now.width !== null && now.height !== null);
  // What carries the picture now says most about it: a stream that has ended stays in the report.
  const [main] = [...(pictured.length > 0 ? pictured : pairs)].sort((a, b) => (bitrateOf(b) ?? -1) - (bitrateOf(a) ?? -1));
  const { width, height, rate, codec, limitation } = main.now;
  return {
    bitrate: sum(pairs.map(bitrateOf)),
    codec, limitation,
    picture: width !== null && height !== null ? { width, height, rate: rate ?? perSecond(main, 'frames') } : null,
  };
}

/** @param {{now: Stream, then: Stream | undefined}} pair */
function bitrateOf(pair) {
  const bytes = perSecond(pair, 'bytes');
  return bytes === null ? null : bytes * 8;
}

/**
 * @param {{now: Stream, then: Stream | undefined}} pair
 * @param {'bytes' | 'frames'} what
 */
function perSecond({ now, then }, what) {
  const seconds = then ? (now.at - then.at) / 1000 : 0;
  const grown = growth({ now, then }, what);
  return grown === null || !(seconds > 0) ? null : grown / seconds;
}

/**
 * @param {{now: Stream, then: Stream | undefined}[]} pairs
 * @param {Way} way
 * @returns {number | null} 0 to 1
 */
function lossOf(pairs, way) {
  const told = pairs.filter((pair) => growth(pair, 'lost', true) !== null);
  const lost = sum(told.map((pair) => growth(pair, 'lost', true)));
  const packets = sum(told.map((pair) => growth(pair, 'packets')));
  if (lost === null || packets === null) return null;
  // Those that were sent are all; those that came are not.
  const all = way === 'in' ? packets + lost : packets;
  return all > 0 ? Math.min(1, Math.max(0, lost / all)) : null;
}

/**
 * @param {{now: Stream, then: Stream | undefined}} pair
 * @param {'bytes' | 'packets' | 'lost' | 'frames'} what
 * @param {boolean} [shrinks] packets that were lost may still come
 * @returns {number | null} null where the counter began anew, too
 */
function growth({ now, then }, what, shrinks = false) {
  const [after, earlier] = [now[what], then?.[what]];
  if (after === null || earlier === null || earlier === undefined) return null;
  return after >= earlier || shrinks ? after - earlier : null;
}

/** @param {unknown} value */
function number(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** @param {unknown} seconds */
function milliseconds(seconds) {
  const value = number(seconds);
  return value === null ? null : value * 1000;
}

/** @param {unknown} mimeType such as video/VP8 */
function codecName(mimeType) {
  return typeof mimeType === 'string' ? mimeType.replace(/^\w+\//, '') : null;
}

/**
 * Of those that are known.
 * @param {(number | null)[]} values
 */
export function sum(values) {
  const known = values.filter((it) => it !== null);
  return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
}

/** @param {(number | null)[]} values */
function largest(values) {
  const known = values.filter((it) => it !== null);
  return known.length > 0 ? Math.max(...known) : null;
}
