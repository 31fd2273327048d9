// @ts-check
import { words } from './words.js';

/** @typedef {import('./words.js').CheckKey} CheckKey */
/** @typedef {import('./words.js').Text} Text */

/**
 * Error codes of STUN (RFC 8489 section 14.8), TURN (RFC 8656 section 18.11 and its predecessors) and of browsers (701: WebRTC section 4.8.1.3):
 * what happened, what to do.
 * @type {Map<number, [CheckKey, CheckKey]>}
 */
const CODES = new Map([
  [300, ['check.code300', 'check.code300Do']],
  [400, ['check.code400', 'check.code400Do']],
  [401, ['check.code401', 'check.code401Do']],
  [403, ['check.code403', 'check.code403Do']],
  [420, ['check.code420', 'check.code400Do']],
  [437, ['check.code437', 'check.codeAgain']],
  [438, ['check.code438', 'check.codeAgain']],
  [440, ['check.code440', 'check.code440Do']],
  [441, ['check.code441', 'check.code441Do']],
  [442, ['check.code442', 'check.code442Do']],
  [443, ['check.code443', 'check.code440Do']],
  [446, ['check.code446', 'check.codeAgain']],
  [447, ['check.code447', 'check.code447Do']],
  [486, ['check.code486', 'check.code486Do']],
  [487, ['check.code487', 'check.codeAgain']],
  [500, ['check.code500', 'check.code500Do']],
  [508, ['check.code508', 'check.code508Do']],
  [600, ['check.code600', 'check.code600Do']],
  [701, ['check.code701', 'check.code701Do']],
]);

/**
 * @param {number} code
 * @returns {[Text, Text]} what happened, what to do
 */
export function explainCode(code) {
  const [what, todo] = CODES.get(code) ?? ['check.codeOther', 'check.codeOtherDo'];
  return [words(what, { code }), words(todo)];
}
