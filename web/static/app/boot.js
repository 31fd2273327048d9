// @ts-check
// The boot script: the only module here that does something by being imported.
import { App } from './app.js';
import { I18n, chooseLanguage } from './i18n.js';
import { LocalMedia } from './media.js';
import { Memory } from './memory.js';

const query = new URLSearchParams(location.search);
const memory = new Memory(() => localStorage, () => sessionStorage);
const i18n = new I18n(chooseLanguage([query.get('lang'), memory.language, ...navigator.languages]));
const media = new LocalMedia(navigator.mediaDevices, { low: query.get('quality') === 'low', memory });
const root = /** @type {HTMLElement} */ (document.getElementById('app'));
const toasts = /** @type {HTMLElement} */ (document.getElementById('toasts'));
const app = new App({ root, toasts, i18n, media, memory, query });

// The debug handle: the running room and its RTCPeerConnections by member id, for the console and for tests.
Object.defineProperty(window, 'maitred', {
  value: {
    peers: () => new Map([...(app.room?.peers ?? [])].map(([id, peer]) => [id, peer.connection])),
    get room() {
      return app.room;
    },
  },
});

app.start();
