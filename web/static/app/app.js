// @ts-check
import { PROTOCOL, join } from '../../sdk/maitred.js';
import { systemClock } from './clock.js';
import { explainCause } from './errors.js';
import { text } from './i18n.js';
import { Lobby } from './lobby.js';
import { isRoomName, memberName, roomOfPath, tokenOfHash } from './names.js';
import { EndPage, JoiningPage, PasswordPage } from './pages.js';
import { Precheck, checkConnection, whenIdle } from './precheck.js';
import { Reach, serverAnswers } from './reach.js';
import { SocketAhead } from './socketahead.js';
import { Toasts } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./call.js').CallView} CallView */
/** @typedef {import('./errors.js').Cause} Cause */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./memory.js').Key} Key */
/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {'lobby' | 'joining' | 'waiting' | 'password' | 'call' | 'left' | 'error'} Phase */
/** @typedef {{room: string, name: string, relay: boolean}} Wish where somebody wants to go */
/**
 * @typedef {object} AppOptions
 * @property {HTMLElement} root
 * @property {HTMLElement} toasts
 * @property {I18n} i18n
 * @property {LocalMedia} media
 * @property {Memory} memory
 * @property {URLSearchParams} query `lang`, `name`, `relay=1`, `quality=low`
 */

/** Leads from the lobby through the call to its end. Lobby and call are one page, so that the camera stays open in between. */
export class App {
  #root;
  #i18n;
  #media;
  #memory;
  #query;
  #toasts;
  /** @type {Room | null} */
  #room = null;
  /** Gives up the join that is under way. */
  #joining = new AbortController();
  /** What opens a room, held here too: storage may be forbidden. @type {Key | null} */
  #key;
  /** @type {{element: HTMLElement, close(): void} | null} */
  #view = null;
  /** @type {Phase} */
  #phase = 'lobby';
  /** The call's modules, which the lobby does without. @type {Promise<typeof import('./call.js')> | null} */
  #call = null;
  #rehearsed = false;
  #ahead = new SocketAhead((...address) => new WebSocket(...address), systemClock);
  /** Messages of the call that wait to be read. */
  #unread = 0;

  /** @param {AppOptions} options */
  constructor(options) {
    this.#root = options.root;
    this.#i18n = options.i18n;
    this.#media = options.media;
    this.#memory = options.memory;
    this.#query = options.query;
    this.#key = options.memory.key;
    this.#toasts = new Toasts(options.i18n, options.toasts);
  }

  get room() {
    return this.#room;
  }

  start() {
    this.#applyLanguage();
    this.#i18n.on('change', ({ language }) => {
      this.#memory.language = language;
      this.#applyLanguage();
    });
    addEventListener('keydown', (event) => this.#shortcut(event));
    addEventListener('pagehide', () => this.#hide());
    addEventListener('pageshow', ({ persisted }) => persisted && this.#thaw());
    addEventListener('popstate', () => location.reload());
    // Another invitation pasted into this tab.
    addEventListener('hashchange', () => this.#takeToken() && this.#phase !== 'call' && location.reload());
    this.#media.on('change', () => this.#shareMedia());
    this.#takeToken();
    this.#enter(roomOfPath(location.pathname));
  }

  /** @param {string} room of the link, '' on the start page */
  #enter(room) {
    if (typeof RTCPeerConnection !== 'function') return this.#showEnd({ code: 'unsupported' });
    if (room !== '' && !isRoomName(room)) return this.#showEnd({ code: 'bad_room' });
    const name = memberName(this.#query.get('name') ?? this.#memory.name);
    const relay = this.#query.get('relay') === '1';
    const seat = this.#memory.seat;
    if (room && seat?.room === room && reloaded()) {
      void this.#media.setAudio(seat.audio);
      void this.#media.setVideo(seat.video);
      return void this.#join({ room, name: seat.name, relay });
    }
    // Whoever comes back in any other way decides anew: nobody goes on camera by opening a link.
    this.#memory.seat = null;
    this.#showLobby(room, name, relay);
  }

  /** Out of the address bar: it is for this tab, not for whoever looks over a shoulder or copies the address. */
  #takeToken() {
    const token = tokenOfHash(location.hash);
    const room = roomOfPath(location.pathname);
    if (!token || !room) return false;
    this.#remember({ room, token });
    history.replaceState(null, '', location.pathname + location.search);
    return true;
  }

  /** @param {Key | null} key */
  #remember(key) {
    this.#key = key;
    this.#memory.key = key;
  }

  /** The page goes away: the others are told, and the seat is kept, since this may be a reload. */
  #hide() {
    this.#room = null;
    this.#joining.abort();
  }

  /** Back from the browser's cache: the call that is on view has ended, and coming back is no reload. */
  #thaw() {
    this.#memory.seat = null;
    location.reload();
  }

  /**
   * @param {string} room
   * @param {string} name
   * @param {boolean} relay
   */
  #showLobby(room, name, relay) {
    void this.#media.open();
    const lobby = new Lobby({
      i18n: this.#i18n, media: this.#media, memory: this.#memory, toasts: this.#toasts, precheck: this.#makePrecheck(), room, name, relay,
      linkTo: (target) => this.#linkTo(target),
    });
    lobby.on('join', (wish) => {
      this.#memory.name = wish.name;
      void this.#join(wish);
    });
    lobby.on('near', () => this.#ahead.open(signalingURL(), PROTOCOL));
    this.#show('lobby', lobby);
    lobby.focus();
    // Whoever joins asks again, and is told.
    whenIdle(() => void this.#loadCall().then((modules) => whenIdle(() => this.#rehearse(modules)), () => {}));
  }

  #makePrecheck() {
    return new Precheck({
      idle: whenIdle,
      check: (signal) => checkConnection(signal, {
        fetch: (...request) => fetch(...request), load: () => import('../check/quick.js'), clock: systemClock, token: this.#key?.token,
        createConnection: (configuration) => new RTCPeerConnection(configuration),
      }),
    });
  }

  /** @param {typeof import('./call.js')} modules */
  #rehearse({ rehearse }) {
    if (this.#rehearsed || this.#phase !== 'lobby') return;
    this.#rehearsed = true;
    void rehearse({ i18n: this.#i18n, memory: this.#memory });
  }

  /** A failure is not kept: the next one asks again. */
  #loadCall() {
    this.#call ??= import('./call.js').catch((error) => {
      this.#call = null;
      throw error;
    });
    return this.#call;
  }

  /** @param {Wish} wish */
  async #join(wish) {
    this.#goTo(wish);
    void this.#media.open();
    const joining = new JoiningPage(this.#i18n, wish.room, () => this.#cancel(wish));
    const reach = new Reach({ probe: serverAnswers, online: () => navigator.onLine, clock: systemClock, say: (words) => joining.say(words) });
    joining.onclose = () => reach.close();
    this.#show('joining', joining);
    const { signal } = this.#joining = new AbortController();
    const { audioTrack, videoTrack } = this.#media;
    const key = this.#key?.room === wish.room ? this.#key : null;
    let room;
    let call;
    try {
      call = await this.#loadCall();
      room = await join({
        url: signalingURL(), room: wish.room, name: wish.name || this.#i18n.t('lobby.guest'), token: key?.token, password: key?.password,
        stream: new MediaStream([audioTrack, videoTrack].filter((track) => track !== null)), relayOnly: wish.relay, signal,
        createSocket: (...address) => this.#ahead.take(...address),
        createConnection: call.connectionMaker(() => this.#room, this.#media),
        on: { state: (change) => this.#view === joining && this.#showJoining(joining, reach, change) },
      });
    } catch (error) {
      if (!signal.aborted) this.#ended(/** @type {Cause} */ (call ? error : { code: 'connection_lost' }), wish);
      return;
    }
    await this.#enterCall(call, room, wish);
  }

  /**
   * @param {JoiningPage} joining
   * @param {Reach} reach
   * @param {import('../../sdk/maitred.js').StateChange} change
   */
  #showJoining(joining, reach, change) {
    const waiting = change.state === 'waiting';
    reach.changed(change);
    joining.setWaiting(waiting);
    this.#setPhase(waiting ? 'waiting' : 'joining');
  }

  /**
   * @param {typeof import('./call.js')} modules
   * @param {Room} room
   * @param {Wish} wish
   */
  async #enterCall(modules, room, wish) {
    this.#room = room;
    this.#memory.addRecent(wish.room);
    room.on('state', ({ state, cause }) => {
      if (this.#room === room && state === 'closed') this.#ended(cause, wish);
    });
    this.#shareMedia();
    const entrance = new modules.Entrance(room, systemClock);
    await entrance.answered();
    try {
      if (this.#room === room) await this.#showCall(modules, wish, entrance);
    } finally {
      entrance.finish();
    }
  }

  /**
   * First what is needed to see the others, then the rest.
   * @param {typeof import('./call.js')} modules
   * @param {Wish} wish
   * @param {import('./call.js').Entrance} entrance
   */
  async #showCall({ CallView }, wish, { tracks, urgent }) {
    const room = /** @type {Room} */ (this.#room);
    const call = new CallView({
      i18n: this.#i18n, media: this.#media, memory: this.#memory, room, toasts: this.#toasts, roomName: wish.room, link: this.#linkTo(wish.room),
    });
    call.on('leave', () => room.leave());
    call.on('unread', ({ count }) => {
      this.#unread = count;
      document.title = this.#title();
    });
    call.on('relay', ({ on }) => {
      wish.relay = on;
      this.#goTo(wish);
    });
    this.#rememberSeat(wish);
    this.#show('call', call, 'joining');
    try {
      call.receive(tracks);
      // Timers of a page that nobody sees take a second each.
      if (!document.hidden) await Promise.race([call.pictured(), urgent]);
      await call.furnish(() => (document.hidden ? Promise.resolve() : Promise.race([nextTask(), urgent])));
    } finally {
      if (this.#view === call) this.#setPhase('call');
    }
  }

  /** @param {Wish} wish */
  #cancel(wish) {
    this.#room = null;
    this.#joining.abort();
    this.#memory.seat = null;
    this.#showLobby(wish.room, wish.name, wish.relay);
  }

  /**
   * @param {Cause | null} cause
   * @param {Wish} wish
   */
  #ended(cause, wish) {
    this.#memory.seat = null;
    this.#room = null;
    const again = () => void this.#join(wish);
    if (cause?.code === 'wrong_password') return this.#askPassword(wish);
    if (cause?.code !== 'left') return this.#showEnd(cause, again);
    this.#media.close();
    this.#show('left', new EndPage(this.#i18n,
      { title: 'end.left', lead: text('end.leftLead'), again: 'end.rejoin', failed: false }, again));
  }

  /** @param {Wish} wish */
  #askPassword(wish) {
    const { room } = wish;
    const key = this.#key?.room === room ? this.#key : { room };
    const page = new PasswordPage(this.#i18n, { room, wrong: !!key.password });
    page.on('password', ({ password }) => {
      this.#remember({ ...key, password });
      void this.#join(wish);
    });
    page.on('cancel', () => this.#showLobby(room, wish.name, wish.relay));
    this.#show('password', page);
    page.focus();
  }

  /**
   * @param {Cause | null} cause
   * @param {() => void} [again]
   */
  #showEnd(cause, again = () => location.reload()) {
    const title = this.#phase === 'call' ? 'error.endTitle' : 'error.joinTitle';
    // An invitation that has ended must not keep one out of a room that asks for none.
    if (cause?.code === 'unauthorized') this.#remember(null);
    // Here it is the door that did not open.
    const { text: lead, retry, network } = explainCause(cause?.code === 'not_allowed' ? { code: 'denied' } : cause);
    this.#media.close();
    this.#show('error', new EndPage(this.#i18n, { title, lead, again: retry ? 'end.retry' : null, code: cause?.code, failed: true, network }, again));
  }

  /**
   * @param {Phase} phase
   * @param {{element: HTMLElement, close(): void}} view
   * @param {Phase} [told] what the document says, while the view is not complete
   */
  #show(phase, view, told) {
    this.#view?.close();
    this.#view = view;
    this.#unread = 0;
    this.#root.replaceChildren(view.element);
    this.#setPhase(phase, told);
    document.title = this.#title();
    // The heading says where one is now; without this the focus would be lost with the button that led here.
    if (phase === 'left' || phase === 'error') view.element.querySelector('h1')?.focus();
  }

  /**
   * @param {Phase} phase
   * @param {Phase} [told]
   */
  #setPhase(phase, told = phase) {
    this.#phase = phase;
    document.documentElement.dataset.phase = told;
  }

  #shareMedia() {
    const room = this.#room;
    if (!room) return;
    const { audioTrack, cameraTrack } = this.#media;
    room.setTrack('audio', audioTrack);
    room.setTrack('video', cameraTrack);
    const seat = this.#memory.seat;
    if (seat) this.#memory.seat = { ...seat, ...this.#media.wants };
  }

  /** @param {Wish} wish */
  #rememberSeat({ room, name }) {
    this.#memory.seat = { room, name, ...this.#media.wants };
  }

  /**
   * Puts the call's address into the address bar without loading a page.
   * @param {Wish} wish
   */
  #goTo({ room, relay }) {
    const query = new URLSearchParams(location.search);
    if (relay) query.set('relay', '1');
    else query.delete('relay');
    const address = `/r/${room}${query.size ? `?${query}` : ''}`;
    const here = location.pathname + location.search;
    if (address === here) return;
    if (roomOfPath(location.pathname) === room) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
  }

  /** @param {string} room */
  #linkTo(room) {
    return `${location.origin}/r/${room}`;
  }

  #title() {
    const room = roomOfPath(location.pathname);
    const title = room ? this.#i18n.t('title.room', { room }) : this.#i18n.t('title.lobby');
    return this.#unread > 0 ? `(${this.#unread}) ${title}` : title;
  }

  #applyLanguage() {
    document.documentElement.lang = this.#i18n.tag;
    document.title = this.#title();
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const view = this.#view;
    if (document.querySelector('dialog[open]')) return;
    const key = event.key.toLowerCase();
    if (key !== 'escape' && isTyping(event.target)) return;
    // Or the letter would land in the field that opening a panel focuses.
    if (this.#phase === 'call' && /** @type {CallView} */ (view).shortcut(key)) event.preventDefault();
    else if (view instanceof Lobby && (key === 'm' || key === 'v')) view.toggle(key === 'm' ? 'mute' : 'camera');
  }
}

function signalingURL() {
  return `${location.origin.replace(/^http/, 'ws')}/ws`;
}

/** @returns {Promise<void>} */
function nextTask() {
  return new Promise((resolve) => systemClock.after(0, resolve));
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
    || (target instanceof HTMLInputElement && target.type !== 'checkbox');
}

function reloaded() {
  const [navigation] = performance.getEntriesByType('navigation');
  return /** @type {PerformanceNavigationTiming | undefined} */ (navigation)?.type === 'reload';
}
