// @ts-check
import { TRANSPORT_NAMES, rounded, words } from './words.js';

/** @typedef {import('./api.js').Heard} Heard */
/** @typedef {import('./api.js').Listener} Listener */
/** @typedef {import('./api.js').ServerSide} ServerSide */
/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./words.js').Text} Text */
/** @typedef {'good' | 'bad' | 'info'} Tone */
/** @typedef {{name: string, tone: Tone, text: Text}} Sentence `name`: the port that it is about */

/** The port that a path leads to. @param {Path} path */
function portName({ target }) {
  return `${TRANSPORT_NAMES[target.transport]} ${target.port}`;
}

/**
 * What both ends know, put together: one sentence for each of the server's ports.
 * @param {Listener[]} listeners
 * @param {ServerSide} server
 * @param {Path[]} paths
 * @returns {Sentence[]}
 */
export function tellStory(listeners, server, paths) {
  /** @type {Map<string, {transport: Listener['transport'], port: number, heard: Heard | null}>} */
  const ports = new Map();
  for (const { transport, port } of listeners) ports.set(`${transport} ${port}`, { transport, port, heard: null });
  for (const heard of server.transports) ports.set(`${heard.transport} ${heard.port}`, { transport: heard.transport, port: heard.port, heard });
  return [...ports.values()].map(({ transport, port, heard }) => ({
    name: `${TRANSPORT_NAMES[transport] ?? transport} ${port}`, ...tellPort(heard, pathsTo(paths, transport, port, [...ports.values()])),
  }));
}

/**
 * The paths that lead to a port. Behind a proxy or a NAT the ports differ; then the transport has to do.
 * @param {Path[]} paths
 * @param {string} transport
 * @param {number} port
 * @param {{transport: string, port: number}[]} ports
 */
function pathsTo(paths, transport, port, ports) {
  const over = paths.filter(({ target }) => target.transport === transport);
  return over.filter(({ target }) => target.port === port || !ports.some((it) => it.transport === transport && it.port === target.port));
}

/**
 * @param {Heard | null} heard
 * @param {Path[]} paths
 * @returns {{tone: Tone, text: Text}}
 */
function tellPort(heard, paths) {
  const tested = paths.filter(({ gathering }) => !['unsupported', 'invalid', 'stopped'].includes(gathering.outcome));
  if (tested.length === 0) return { tone: 'info', text: words('check.storyUntested') };
  if (tested.some(({ gathering }) => gathering.outcome === 'running')) return { tone: 'info', text: words('check.storyRunning') };
  const [{ target }] = tested;
  const name = portName(tested[0]);
  const relays = tested.filter((path) => path.target.kind === 'turn');
  const answered = (relays.length > 0 ? relays : tested).every(({ gathering }) => gathering.outcome === 'answered');
  if (!heard?.heard) {
    if (answered) return { tone: 'info', text: words('check.storyElsewhere', { name }) };
    return { tone: 'bad', text: words(target.transport === 'udp' ? 'check.storyNeverUDP' : 'check.storyNeverTCP', { name }) };
  }
  const ms = rounded(heard.first_ms);
  if (answered) {
    const text = heard.allocations > 0 ? words('check.storyGood', { name, ms, count: heard.allocations }) : words('check.storyHeard', { name, ms });
    return { tone: 'good', text };
  }
  return { tone: 'bad', text: tellFailure(heard, name, ms) };
}

/**
 * @param {Heard} heard
 * @param {string} name
 * @param {number} ms
 * @returns {Text}
 */
function tellFailure({ transport, requests, allocations }, name, ms) {
  const refusals = requests.filter(({ method, code }) => code !== 0 && method !== 'connect');
  // The first 401 is no refusal: with it the server tells how to sign (RFC 8489 section 9.2).
  const [refusal] = [...refusals].sort((a, b) => Number(a.code === 401) - Number(b.code === 401) || b.count - a.count);
  const asked = requests.some(({ method }) => method !== 'connect');
  if (refusal && refusal.code !== 401) return words('check.storyRefused', { name, ms, method: refusal.method, code: refusal.code });
  if (allocations > 0) return words('check.storyAnswerLost', { name, ms });
  if (!asked) return words(transport === 'tls' ? 'check.storyTLS' : 'check.storyMute', { name, ms });
  if (refusal && refusal.count > 1) return words('check.storyUnsigned', { name, ms, count: refusal.count });
  return words('check.storyAnswerLost', { name, ms });
}
