// @ts-check

/** @typedef {import('../app/text/en/check.js').CheckKey} CheckKey */
/** @typedef {import('../app/i18n.js').Text} Text */
/** @typedef {import('../app/i18n.js').Key} Key */
/** @typedef {import('../app/i18n.js').Params} Params */

/**
 * A text of this page, as `text` is for those of the call pages.
 * @param {CheckKey} key
 * @param {Params} [params]
 * @returns {Text}
 */
export function words(key, params = {}) {
  return { key: /** @type {Key} */ (/** @type {string} */ (key)), params };
}

/** How people write the transports, in any language. */
export const TRANSPORT_NAMES = { udp: 'UDP', tcp: 'TCP', tls: 'TLS', dtls: 'DTLS' };

/**
 * A number with few enough digits to be read.
 * @param {number} value
 */
export function rounded(value) {
  return Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}
