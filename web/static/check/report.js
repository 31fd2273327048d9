// @ts-check
import { explainCode } from './codes.js';
import { addressOf, gatheringWords, loopWords, pathState, pathTitle } from './describe.js';
import { tellStory } from './story.js';
import { rounded, words } from './words.js';

/** @typedef {import('./engine.js').Check} Check */
/** @typedef {import('./engine.js').Path} Path */
/** @typedef {import('./verdict.js').Verdict} Verdict */
/** @typedef {import('./words.js').Text} Text */

/**
 * All of it, to be sent to somebody who can help. No credential is in it: what is written here is chosen, field by field.
 * @param {Pick<Check, 'paths' | 'nat' | 'listeners' | 'server' | 'own'>} check
 * @param {Verdict} verdict
 * @param {{say: (text: Text) => string, page: string, browser: string, date: string}} how
 * @returns {string}
 */
export function writeReport(check, verdict, { say, page, browser, date }) {
  const lines = [say(words('check.reportTitle', { page, date })), browser, '', say(verdict.title)];
  for (const it of [...verdict.meaning, ...verdict.advice]) lines.push(say(it));
  for (const it of verdict.operator) lines.push(`${say(words('check.operator'))} ${say(it)}`);
  for (const path of check.paths) lines.push('', ...pathLines(path, say));
  if (check.nat) {
    lines.push('', `== ${say(words('check.nat'))}`, say(check.nat.text), ...check.nat.uncertain.map((it) => `  (${say(it)})`));
  }
  if (check.own) lines.push('', `== ${say(words('check.serverSide'))}`, ...serverLines(check, say));
  return `${lines.join('\n')}\n`;
}

/**
 * @param {Path} path
 * @param {(text: Text) => string} say
 */
function pathLines(path, say) {
  const { target, gathering, loop } = path;
  const lines = [`== ${say(pathTitle(target))}: ${target.url}: ${say(pathState(path, true).text)}`];
  const told = gatheringWords(target, gathering);
  if (told) lines.push(say(told));
  for (const it of gathering.candidates) {
    const related = it.relatedPort > 0 ? ` raddr ${addressOf(it.relatedAddress, it.relatedPort)}` : '';
    const relay = it.relayProtocol ? ` relay-protocol ${it.relayProtocol}` : '';
    lines.push(`  ${rounded(it.ms)} ms  ${it.type} ${it.protocol} ${addressOf(it.address, it.port)}${related}${relay} priority ${it.priority}${it.url ? ` ${it.url}` : ''}`);
  }
  for (const { ms, code, text, count } of gathering.errors) {
    lines.push(`  ${rounded(ms)} ms  ${code} ${text} ×${count}`);
    if (code > 0) lines.push(...explainCode(code).map((it) => `    ${say(it)}`));
  }
  const measured = loop && loopWords(loop);
  if (measured) lines.push(say(measured));
  if (loop?.problem) lines.push(`  ${loop.problem}`);
  return lines;
}

/**
 * @param {Pick<Check, 'paths' | 'listeners' | 'server'>} check
 * @param {(text: Text) => string} say
 */
function serverLines({ server, listeners, paths }, say) {
  if (!server) return [say(words('check.serverSilent'))];
  const lines = [say(words('check.serverSees', { client: server.client })), ...tellStory(listeners, server, paths).map(({ name, text }) => `${name}: ${say(text)}`)];
  for (const { at_ms, transport, client, method, code } of server.events) lines.push(`  ${rounded(at_ms)} ms  ${transport} ${client} ${method} ${code || 'ok'}`);
  return lines;
}
