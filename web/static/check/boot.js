// @ts-check
// The boot script of /check.
import { systemClock } from '../app/clock.js';
import { I18n, chooseLanguage, dictionaries } from '../app/i18n.js';
import { Memory } from '../app/memory.js';
import { tokenOfHash } from '../app/names.js';
import { check as en } from '../app/text/en/check.js';
import { check as zh } from '../app/text/zh/check.js';
import { CheckPage } from './page.js';
import { TabStore } from './tabstore.js';

const query = new URLSearchParams(location.search);
const memory = new Memory(() => localStorage, () => sessionStorage);
const store = new TabStore(() => sessionStorage);
const texts = { en: { ...dictionaries.en, ...en }, zh: { ...dictionaries.zh, ...zh } };
const i18n = new I18n(chooseLanguage([query.get('lang'), memory.language, ...navigator.languages]), texts);

/** Out of the address bar: it is for this tab, not for whoever looks over a shoulder or copies the address. */
function takeToken() {
  const token = tokenOfHash(location.hash);
  if (!token) return false;
  store.token = token;
  history.replaceState(null, '', location.pathname + location.search);
  return true;
}

takeToken();
const page = new CheckPage({
  root: /** @type {HTMLElement} */ (document.getElementById('app')), toasts: /** @type {HTMLElement} */ (document.getElementById('toasts')), i18n, store,
  token: () => store.token || memory.key?.token || '',
  fetch: (input, init) => fetch(input, init),
  // Round trips of a local network are fractions of a millisecond.
  clock: { now: () => performance.now(), after: systemClock.after },
  createConnection: typeof RTCPeerConnection === 'function' ? (configuration) => new RTCPeerConnection(configuration) : null,
});
i18n.on('change', ({ language }) => {
  memory.language = language;
});
addEventListener('hashchange', () => takeToken() && page.checkOwn());
if (query.get('server') === 'custom') page.showCustom();
else page.checkOwn();
