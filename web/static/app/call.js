// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { shareBandwidth } from './bandwidth.js';
import { Chat, ChatPanel } from './chat.js';
import { h, show } from './dom.js';
import { explainCause, explainDevice, explainScreen } from './errors.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { Knocks } from './knocks.js';
import { setToggle, showCamera, showMicrophone } from './lobby.js';
import { Paths } from './paths.js';
import { Grid, Tile } from './tiles.js';
import { brand, button, copyLink, languageButton } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./widgets.js').Toasts} Toasts */
/**
 * @typedef {object} CallOptions
 * @property {I18n} i18n
 * @property {LocalMedia} media
 * @property {Room} room joined
 * @property {Toasts} toasts
 * @property {string} roomName
 * @property {string} link
 */

const SELF = 'self';
const PATH_INTERVAL = 2_000;
const SPEAKING_INTERVAL = 250;
const SPEAKING_LEVEL = 0.03;

/**
 * The running call.
 * @extends {Emitter<{leave: {}, relay: {on: boolean}}>}
 */
export class CallView extends Emitter {
  #options;
  #i18n;
  #media;
  #room;
  #toasts;
  #grid;
  #chat;
  #chatPanel;
  #knocks;
  #paths = new Paths();
  #self;
  /** @type {(() => void)[]} */
  #cleanup = [];
  #lastProblem = '';
  #lost = false;
  /** Those who were here before us are no news. */
  #settled = true;

  #people = h('span', { class: 'people' });
  #peopleCount = h('span');
  #banner = h('div', { class: 'banner', role: 'status' });
  #soundBanner = h('div', { class: 'banner sound', role: 'alert' });
  #invite = h('div', { class: 'invite' });
  #relay = h('input', { id: 'force-relay', type: 'checkbox', role: 'switch' });
  #mute = h('button', { id: 'mute', class: 'control', type: 'button', 'aria-keyshortcuts': 'M' });
  #camera = h('button', { id: 'camera', class: 'control', type: 'button', 'aria-keyshortcuts': 'V' });
  #screen = h('button', { id: 'screen', class: 'control', type: 'button' });
  #chatToggle = h('button', {
    id: 'chat-toggle', class: 'control', type: 'button', 'aria-keyshortcuts': 'C', 'aria-controls': 'chat', 'aria-expanded': 'false',
  });
  #hangup = h('button', { id: 'hangup', class: 'control danger', type: 'button' });
  element;

  /** @param {CallOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#i18n = options.i18n;
    this.#media = options.media;
    this.#room = options.room;
    this.#toasts = options.toasts;
    this.#grid = new Grid(options.i18n);
    this.#chat = new Chat(options.room);
    this.#chatPanel = new ChatPanel(options.i18n, this.#chat);
    this.#knocks = new Knocks(options.i18n, options.room);
    const self = /** @type {Member} */ (options.room.self);
    this.#self = new Tile(options.i18n, self, true);
    this.element = this.#build();
    this.#grid.add(SELF, this.#self);
    this.#listen();
    this.#refreshMedia();
    this.#settled = false;
    for (const peer of options.room.peers.values()) this.#addMember(peer.member, peer);
    this.#settled = true;
    this.#refreshPeople();
  }

  close() {
    for (const undo of this.#cleanup) undo();
    this.#knocks.close();
    this.#grid.close();
  }

  /** @param {'mute' | 'camera' | 'chat' | 'escape'} action */
  act(action) {
    const { audio, video } = this.#media.state;
    if (action === 'mute') void this.#media.setAudio(!audio);
    else if (action === 'camera') void this.#media.setVideo(!video);
    else if (action === 'chat') this.#setChat(!this.#chatPanel.open);
    else if (this.#chatPanel.open) this.#setChat(false);
  }

  // Building

  #build() {
    show(this.#banner, false);
    show(this.#soundBanner, false);
    this.#buildSoundBanner();
    this.#buildInvite();
    return h('div', { class: 'call' }, this.#buildTopbar(), this.#banner, this.#soundBanner,
      h('main', { class: 'call-main' }, h('div', { class: 'grid-area' }, this.#grid.element, this.#invite, this.#knocks.element), this.#chatPanel.element),
      this.#buildControls());
  }

  #buildTopbar() {
    const i18n = this.#i18n;
    this.#people.append(icon('people'), this.#peopleCount);
    this.#relay.checked = this.#room.relayOnly;
    this.#relay.addEventListener('change', () => this.#setRelay(this.#relay.checked));
    const relay = h('label', { class: 'relay-toggle', for: 'force-relay' }, icon('shield'), i18n.label('control.relay', 'wide-only'), this.#relay);
    i18n.put(relay, text('control.relayTitle'), 'title');
    i18n.put(this.#relay, text('control.relayTitle'), 'aria-label');
    const copy = button(i18n, { id: 'copy-link', icon: 'link', label: 'control.copy', className: 'small', onclick: () => this.#copy() });
    i18n.put(copy, text('control.copy'), 'title');
    return h('header', { class: 'topbar' }, brand(i18n), h('h1', { class: 'room-name' }, this.#options.roomName), this.#people,
      h('span', { class: 'spacer' }), copy, relay, languageButton(i18n));
  }

  #buildInvite() {
    const i18n = this.#i18n;
    this.#invite.append(
      h('div', {}, i18n.put(h('h2'), text('call.alone')), i18n.put(h('p'), text('call.aloneLead'))),
      h('div', { class: 'invite-link' }, h('code', {}, this.#options.link),
        button(i18n, { icon: 'link', label: 'control.copy', className: 'primary', onclick: () => this.#copy() })));
  }

  #buildSoundBanner() {
    const i18n = this.#i18n;
    const play = button(i18n, { icon: 'sound', label: 'call.soundOn', className: 'small primary', onclick: () => {
      show(this.#soundBanner, false);
      for (const tile of this.#grid.tiles.values()) tile.play();
    } });
    this.#soundBanner.append(icon('sound'), i18n.label('call.sound'), play);
  }

  #buildControls() {
    const i18n = this.#i18n;
    this.#hangup.append(icon('hangup'), i18n.label('control.hangup', 'control-label'));
    i18n.put(this.#hangup, text('control.hangupTitle'), 'title');
    i18n.put(this.#hangup, text('control.hangupTitle'), 'aria-label');
    this.#mute.addEventListener('click', () => this.act('mute'));
    this.#camera.addEventListener('click', () => this.act('camera'));
    this.#screen.addEventListener('click', () => void this.#toggleScreen());
    this.#chatToggle.addEventListener('click', () => this.act('chat'));
    this.#hangup.addEventListener('click', () => this.emit('leave', {}));
    show(this.#screen, this.#media.canShareScreen);
    this.#refreshChatToggle(0);
    const controls = h('div', { class: 'controls', role: 'group' }, this.#mute, this.#camera, this.#screen, this.#chatToggle, this.#hangup);
    return h('footer', {}, i18n.put(controls, text('control.bar'), 'aria-label'));
  }

  #listen() {
    const room = this.#room;
    this.#cleanup.push(
      room.on('member-joined', ({ member, peer }) => this.#addMember(member, peer)),
      room.on('track', ({ member, track }) => this.#grid.tiles.get(member.id)?.addTrack(track)),
      room.on('status', ({ peer }) => this.#showConnection(peer)),
      room.on('data', ({ peer, data }) => this.#receive(peer, data)),
      this.#paths.on('path', ({ id, path }) => this.#grid.tiles.get(id)?.setPath(path)),
      room.on('member-updated', ({ member }) => this.#updateMember(member)),
      room.on('member-left', ({ member, reason }) => this.#removeMember(member, reason)),
      room.on('joined', ({ self, resumed }) => this.#rejoined(self, resumed)),
      room.on('state', ({ state }) => this.#showState(state)),
      room.on('draining', () => this.#showBanner(text('call.draining'), null)),
      room.on('error', (cause) => this.#toasts.show(explainCause(cause).text)),
      this.#media.on('change', () => this.#refreshMedia()),
      this.#chat.on('unread', ({ count }) => this.#refreshChatToggle(count)),
      this.#chatPanel.on('close', () => this.#setChat(false)),
    );
    const path = setInterval(() => this.#measurePaths(), PATH_INTERVAL);
    const speaking = setInterval(() => this.#findSpeakers(), SPEAKING_INTERVAL);
    this.#cleanup.push(() => clearInterval(path), () => clearInterval(speaking));
  }

  /** Those whom a new seat meets are announced in the same task. */
  #settle() {
    this.#settled = false;
    queueMicrotask(() => {
      this.#settled = true;
    });
  }

  // People

  /**
   * @param {Member} member
   * @param {Peer} peer
   */
  #addMember(member, peer) {
    const tile = new Tile(this.#i18n, member, false);
    tile.on('retry', () => void this.#room.restart(member, { manual: true }));
    tile.on('blocked', () => show(this.#soundBanner, true));
    peer.on('error', ({ error }) => console.warn('maitred: peer', member.id, error));
    this.#grid.add(member.id, tile);
    this.#showConnection(peer);
    shareBandwidth(this.#room);
    if (this.#settled) this.#toasts.show(text('call.joined', { name: member.name }));
    this.#refreshPeople();
  }

  /** @param {Peer} peer */
  #showConnection(peer) {
    const tile = this.#grid.tiles.get(peer.member.id);
    tile?.setConnection(peer, this.#room.relayOnly);
    tile?.setPath(this.#paths.of(peer));
    if (peer.status === 'connected') this.#measurePath(peer);
  }

  /**
   * What the pages say to each other.
   * @param {Peer} peer
   * @param {any} data
   */
  #receive(peer, data) {
    if (data?.type === 'chat') this.#chat.receive(peer.member, data.text);
    else if (data?.type === 'path') this.#paths.receive(peer, data.path);
  }

  /** @param {Member} member */
  #updateMember(member) {
    const tile = this.#grid.tiles.get(member.id);
    if (!tile) return;
    const shared = tile.sharing;
    tile.setMember(member);
    if (tile.sharing && !shared) this.#toasts.show(text('call.sharing', { name: member.name }));
    if (tile.sharing !== shared) this.#grid.layout();
  }

  /**
   * @param {Member} member
   * @param {string} reason
   */
  #removeMember(member, reason) {
    this.#grid.remove(member.id);
    shareBandwidth(this.#room);
    // After a lost seat everybody is met anew, and when the call is over it is oneself who leaves.
    if (reason !== 'reconnected' && this.#room.state !== 'closed') this.#toasts.show(text('call.left', { name: member.name }));
    this.#refreshPeople();
  }

  #refreshPeople() {
    const count = this.#room.members.size + 1;
    this.#i18n.put(this.#peopleCount, text('call.people', { count }));
    show(this.#invite, count === 1);
    this.element.classList.toggle('alone', count === 1);
  }

  #measurePaths() {
    for (const peer of this.#room.peers.values()) if (peer.status === 'connected') this.#measurePath(peer);
  }

  /** @param {Peer} peer */
  #measurePath(peer) {
    this.#paths.measure(peer).catch((error) => console.warn('maitred: path', peer.member.id, error));
  }

  #findSpeakers() {
    for (const [id, peer] of this.#room.peers) {
      const receivers = peer.connection.getReceivers().filter(({ track }) => track.kind === 'audio');
      const level = Math.max(0, ...receivers.map((it) => it.getSynchronizationSources()[0]?.audioLevel ?? 0));
      this.#grid.tiles.get(id)?.setSpeaking(level > SPEAKING_LEVEL);
    }
  }

  // Own devices

  #refreshMedia() {
    const i18n = this.#i18n;
    const { state, problem, videoTrack } = this.#media;
    showMicrophone(i18n, this.#mute, state.audio);
    showCamera(i18n, this.#camera, state.video);
    setToggle(i18n, this.#screen, state.screen, {
      on: { icon: 'screen', label: 'control.screenOff', title: 'control.screenStop' },
      off: { icon: 'screen', label: 'control.screen', title: 'control.screenTitle' },
    });
    this.#screen.classList.remove('off');
    this.#screen.classList.toggle('active', state.screen);
    this.#self.setOwnTrack(videoTrack);
    this.#self.setState(state);
    this.#self.setProblem(problem);
    this.#grid.layout();
    const shown = problem ? `${problem.devices} ${problem.error.name}` : '';
    if (problem && shown !== this.#lastProblem) this.#toasts.show(explainDevice(problem.error, problem.devices));
    this.#lastProblem = shown;
  }

  async #toggleScreen() {
    if (this.#media.state.screen) {
      this.#media.stopScreen();
      return;
    }
    try {
      await this.#media.startScreen();
    } catch (error) {
      const words = explainScreen(/** @type {Error} */ (error));
      if (words) this.#toasts.show(words);
    }
  }

  // Connection

  /** @param {import('../../sdk/maitred.js').SignalingState} state */
  #showState(state) {
    if (state !== 'reconnecting' && state !== 'waiting') return;
    this.#lost = true;
    // The seat may be gone, and the door closed meanwhile.
    if (state === 'waiting') this.#showBanner(text('join.waiting'), null);
    else this.#showBanner(text('call.reconnecting'), () => this.#room.reconnect());
  }

  /**
   * @param {Member} self
   * @param {boolean} resumed
   */
  #rejoined(self, resumed) {
    if (!resumed) {
      this.#self.setMember(self);
      this.#settle();
    }
    show(this.#banner, false);
    if (this.#lost) this.#toasts.show(text('call.back'));
    this.#lost = false;
  }

  /**
   * @param {Text} words
   * @param {(() => void) | null} retry
   */
  #showBanner(words, retry) {
    const i18n = this.#i18n;
    const again = retry && button(i18n, { icon: 'refresh', label: 'call.reconnectNow', className: 'small', onclick: retry });
    const dismiss = h('button', { class: 'quiet', type: 'button', onclick: () => show(this.#banner, false) }, icon('close'));
    i18n.put(dismiss, text('call.dismiss'), 'aria-label');
    this.#banner.replaceChildren(retry ? h('span', { class: 'spinner' }) : icon('warning'), i18n.put(h('span'), words),
      again ?? dismiss);
    show(this.#banner, true);
  }

  /** @param {boolean} on */
  #setRelay(on) {
    void this.#room.setRelayOnly(on);
    this.#toasts.show(text(on ? 'call.relayOn' : 'call.relayOff'));
    this.emit('relay', { on });
  }

  #copy() {
    void copyLink(this.#options.link, this.#toasts);
  }

  // Chat

  /** @param {boolean} open */
  #setChat(open) {
    const focusWasInside = this.#chatPanel.element.contains(document.activeElement);
    this.#chatPanel.setOpen(open);
    this.element.classList.toggle('with-chat', open);
    this.#chatToggle.setAttribute('aria-expanded', String(open));
    this.#chatToggle.classList.toggle('active', open);
    if (!open && focusWasInside) this.#chatToggle.focus();
  }

  /** @param {number} unread */
  #refreshChatToggle(unread) {
    const i18n = this.#i18n;
    const count = unread > 0 && h('span', { class: 'unread' }, unread > 9 ? '9+' : String(unread));
    this.#chatToggle.replaceChildren(icon('chat'), i18n.label('control.chat', 'control-label'), ...(count ? [count] : []));
    const title = unread > 0 ? text('control.chatUnread', { count: unread }) : text('control.chatTitle');
    i18n.put(this.#chatToggle, title, 'title');
    i18n.put(this.#chatToggle, title, 'aria-label');
  }
}
