// @ts-check

/** @typedef {'udp' | 'tcp' | 'tls' | 'dtls'} Transport how a client talks to its server */
/** @typedef {import('../../sdk/maitred.js').Clock} Clock */

/**
 * @typedef {object} QuickOptions
 * @property {RTCIceServer[]} iceServers
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {Clock} clock
 * @property {AbortSignal} [signal] ends the check early, with what is known by then
 * @property {number} [timeout] in ms, 5,000 by default
 */
/**
 * @typedef {object} QuickResult
 * @property {boolean} udp the relay gave an address over this transport
 * @property {boolean} tcp
 * @property {boolean} tls
 * @property {boolean} relay over any of them
 * @property {number[]} codes of icecandidateerror, each once
 * @property {number} ms until the first relayed address, or of the whole check where there was none
 */

/**
 * The transport of a STUN or TURN URL (RFC 7064, RFC 7065).
 * @param {string} url
 * @returns {Transport}
 */
export function transportOf(url) {
  const secure = /^(stun|turn)s:/i.test(url);
  const wish = /[?&]transport=(\w+)/i.exec(url)?.[1].toLowerCase();
  if (secure) return wish === 'udp' ? 'dtls' : 'tls';
  return wish === 'tcp' ? 'tcp' : 'udp';
}

/**
 * Asks for a relayed address over every transport at once. It ends as soon as each has answered, in whichever way.
 * @param {QuickOptions} options
 * @returns {Promise<QuickResult>}
 */
export async function quickCheck({ iceServers, createConnection, clock, signal, timeout = 5_000 }) {
  const begin = clock.now();
  /** @type {Set<number>} */
  const codes = new Set();
  let first = -1;
  const over = new AbortController();
  const cancel = clock.after(timeout, () => over.abort());
  const abort = () => over.abort();
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  /** @param {Transport} transport */
  const ask = async (transport) => {
    const servers = serversOver(iceServers, transport);
    if (servers.length === 0) return false;
    const relayed = await gathersRelay(createConnection, servers, over.signal, (code) => codes.add(code));
    if (relayed && first < 0) first = clock.now();
    return relayed;
  };
  const [udp, tcp, tls] = await Promise.all([ask('udp'), ask('tcp'), ask('tls')]);
  cancel();
  signal?.removeEventListener('abort', abort);
  return { udp, tcp, tls, relay: udp || tcp || tls, codes: [...codes], ms: (first < 0 ? clock.now() : first) - begin };
}

/**
 * @param {RTCIceServer[]} iceServers
 * @param {Transport} transport
 * @returns {RTCIceServer[]} the TURN servers among them
 */
function serversOver(iceServers, transport) {
  return iceServers.flatMap((server) => {
    const urls = [server.urls].flat().filter((url) => /^turns?:/i.test(url) && transportOf(url) === transport);
    return urls.length > 0 ? [{ ...server, urls }] : [];
  });
}

/**
 * @param {QuickOptions['createConnection']} createConnection
 * @param {RTCIceServer[]} iceServers
 * @param {AbortSignal} signal
 * @param {(code: number) => void} failed
 * @returns {Promise<boolean>}
 */
function gathersRelay(createConnection, iceServers, signal, failed) {
  return new Promise((resolve) => {
    /** @type {RTCPeerConnection | null} */
    let connection = null;
    /** @param {boolean} relayed */
    const end = (relayed) => {
      signal.removeEventListener('abort', give);
      connection?.close();
      resolve(relayed);
    };
    const give = () => end(false);
    if (signal.aborted) return give();
    signal.addEventListener('abort', give);
    try {
      connection = createConnection({ iceServers, iceTransportPolicy: 'relay' });
      connection.addEventListener('icecandidate', ({ candidate }) => {
        if (candidate?.candidate) end(true);
      });
      connection.addEventListener('icecandidateerror', ({ errorCode }) => {
        failed(errorCode);
        // The server's own word; 701 may be about one of several ways to it.
        if (errorCode < 700) end(false);
      });
      connection.addEventListener('icegatheringstatechange', () => {
        if (connection?.iceGatheringState === 'complete') end(false);
      });
      connection.createDataChannel('check');
      connection.setLocalDescription().catch(give);
    } catch {
      // A URL that this browser does not take gives no relay, either.
      give();
    }
  });
}
