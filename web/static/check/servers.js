// @ts-check
import { transportOf } from './quick.js';

/** @typedef {import('./quick.js').Transport} Transport */
/** @typedef {import('./words.js').CheckKey} CheckKey */
/**
 * @typedef {object} Target one URL to test
 * @property {string} url
 * @property {'stun' | 'turn'} kind
 * @property {Transport} transport
 * @property {string} host
 * @property {number} port
 * @property {string} [username]
 * @property {string} [credential]
 */

/** More than anybody has, few enough to be tested in a minute or two. */
export const MAX_SERVERS = 12;

const URL_FORM = /^(stuns?|turns?):(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]*)(?::([^?]*))?(?:\?(.*))?$/i;

/**
 * @param {string} url as of RFC 7064 and RFC 7065
 * @returns {{target: Target} | {problem: CheckKey}}
 */
export function parseServerURL(url) {
  if (/^(stun|turn)s?:\/\//i.test(url)) return { problem: 'check.urlSlashes' };
  if (!/^(stun|turn)s?:/i.test(url)) return { problem: 'check.urlScheme' };
  const match = URL_FORM.exec(url);
  if (!match || match[2] === '') return { problem: 'check.urlHost' };
  const [, scheme, host, portText, query] = match;
  const secure = /s$/i.test(scheme);
  const kind = /^turn/i.test(scheme) ? 'turn' : 'stun';
  const port = portText === undefined ? (secure ? 5349 : 3478) : /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) return { problem: 'check.urlPort' };
  if (query !== undefined && kind === 'stun') return { problem: 'check.urlStunQuery' };
  if (query !== undefined && !/^transport=(udp|tcp)$/i.test(query)) return { problem: 'check.urlTransport' };
  return { target: { url, kind, transport: transportOf(url), host: host.replace(/^\[|\]$/g, ''), port } };
}

/**
 * What the person wants tested, one URL a line.
 * @param {string} lines
 * @param {string} username
 * @param {string} credential
 * @returns {{targets: Target[], problem: {key: CheckKey, line: number, url: string} | null, needsCredential: boolean}}
 */
export function parseServers(lines, username, credential) {
  /** @type {Map<string, Target>} */
  const targets = new Map();
  for (const [index, line] of lines.split('\n').entries()) {
    const url = line.trim();
    if (!url) continue;
    const parsed = parseServerURL(url);
    if ('problem' in parsed) return { targets: [], problem: { key: parsed.problem, line: index + 1, url }, needsCredential: false };
    const { target } = parsed;
    targets.set(url, target.kind === 'turn' ? { ...target, username, credential } : target);
  }
  const list = [...targets.values()];
  /** @type {CheckKey | null} */
  const key = list.length === 0 ? 'check.urlNone' : list.length > MAX_SERVERS ? 'check.urlMany' : null;
  if (key) return { targets: [], problem: { key, line: 0, url: '' }, needsCredential: false };
  return { targets: list, problem: null, needsCredential: list.some(({ kind }) => kind === 'turn') && !(username && credential) };
}

/**
 * Every URL of a server's answer as a target. One that is wrong stays, so that the test shows it.
 * @param {RTCIceServer[]} iceServers
 * @returns {Target[]}
 */
export function targetsOf(iceServers) {
  return iceServers.flatMap(({ urls, username, credential }) => [urls].flat().map((url) => {
    const parsed = parseServerURL(url);
    /** @type {Target} */
    const target = 'target' in parsed ? parsed.target : { url, kind: 'turn', transport: transportOf(url), host: '', port: 0 };
    return target.kind === 'turn' ? { ...target, username, credential } : target;
  }));
}

/**
 * @param {Target} target
 * @returns {RTCIceServer}
 */
export function iceServerOf({ url, kind, username, credential }) {
  return kind === 'turn' ? { urls: [url], username, credential } : { urls: [url] };
}
