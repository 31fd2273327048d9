// @ts-check
import { Emitter, Room } from '../../sdk/maitred.js';
import { Bandwidth } from './bandwidth.js';
import { systemClock } from './clock.js';
import { ControlBar } from './controls.js';
import { applySpeaker } from './devices.js';
import { DeviceSettings } from './devicesettings.js';
import { h, show } from './dom.js';
import { explainCause, explainDevice, explainScreen } from './errors.js';
import { Grid } from './grid.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { confirmLeave } from './leave.js';
import { setToggle, showCamera, showMicrophone } from './lobby.js';
import { LocalMedia } from './media.js';
import { Members } from './members.js';
import { Panels } from './panels.js';
import { Presence, describeMedia } from './presence.js';
import { Outage, serverAnswers } from './reach.js';
import { SelfView } from './selfview.js';
import { ScreenSender } from './sharing.js';
import { StageView } from './stageview.js';
import { ScreenTile, Tile } from './tiles.js';
import { makeTogether } from './together.js';
import { Transfers } from './transfers.js';
import { makeTrust } from './trust.js';
import { Wake } from './wake.js';
import { Toasts, brand, button, copyLink, languageButton } from './widgets.js';

export { connectionMaker } from './connection.js';
export { Entrance } from './entrance.js';

/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./context.js').Feature} Feature */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/**
 * @typedef {object} CallOptions
 * @property {I18n} i18n
 * @property {LocalMedia} media
 * @property {import('./memory.js').Memory} memory
 * @property {Room} room joined
 * @property {Toasts} toasts
 * @property {string} roomName
 * @property {string} link
 */

/**
 * Builds a call that nobody is in, and takes it down again. Browsers compile what runs for the first time, and that is better done in the lobby than when
 * somebody waits for a picture. It has no devices, and its toasts go nowhere.
 * @param {Pick<CallOptions, 'i18n' | 'memory'>} options
 */
export async function rehearse({ i18n, memory }) {
  const room = Object.assign(new Room({ room: '', name: '' }), { self: { id: '', name: '', role: 'member', state: {} } });
  const toasts = new Toasts(i18n, h('div'));
  const call = new CallView({ i18n, memory, media: new LocalMedia(undefined), toasts, room, roomName: '', link: '' });
  await call.furnish(async () => {});
  call.close();
}

const SELF = 'self';
const OWN_SCREEN = 'self:screen';

/**
 * The running call. `unread`: so many messages wait to be read.
 * @extends {Emitter<{leave: {}, relay: {on: boolean}, unread: {count: number}}>}
 */
export class CallView extends Emitter {
  #options;
  #i18n;
  #media;
  #room;
  #toasts;
  #grid;
  #bar;
  #panels;
  #presence;
  #sender;
  #members;
  #outage;
  #layer = h('div', { class: 'layer' });
  #chatActions = h('div', { class: 'chat-actions' });
  /** @type {Feature[]} */
  #features = [];
  /** @type {Transfers | null} */
  #transfers = null;
  /** @type {import('./dialog.js').Dialog | null} */
  #leaving = null;
  /** By the key that a person presses. @type {Map<string, () => void>} */
  #shortcuts = new Map();
  #self;
  #selfView;
  /** @type {(() => void)[]} */
  #cleanup = [];
  #lastProblem = '';
  #lost = false;
  #closed = false;

  #people = h('span', { class: 'people' });
  #peopleCount = h('span');
  #banner = h('div', { class: 'banner', role: 'status' });
  #soundBanner = h('div', { class: 'banner sound', role: 'alert' });
  #invite = h('div', { class: 'invite' });
  #relay = h('input', { id: 'force-relay', type: 'checkbox', role: 'switch' });
  #mute = h('button', { id: 'mute', class: 'control', type: 'button', 'aria-keyshortcuts': 'M' });
  #camera = h('button', { id: 'camera', class: 'control', type: 'button', 'aria-keyshortcuts': 'V' });
  #screen = h('button', { id: 'screen', class: 'control', type: 'button', 'aria-keyshortcuts': 'S' });
  element;

  /** @param {CallOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    const { i18n, media, room, toasts } = options;
    this.#i18n = i18n;
    this.#media = media;
    this.#room = room;
    this.#toasts = toasts;
    this.#grid = new Grid(i18n);
    this.#bar = new ControlBar(i18n);
    this.#panels = new Panels(this.#bar.menu.button);
    this.#presence = new Presence(room);
    this.#sender = new ScreenSender(room, this.#presence);
    this.#self = new Tile(i18n, /** @type {Member} */ (room.self), true);
    this.element = this.#build();
    this.#grid.add(SELF, this.#self);
    this.#selfView = new SelfView(this.#grid, this.#self, options.memory);
    this.#chooseSpeaker();
    this.#members = new Members({ i18n, room, toasts, grid: this.#grid });
    this.#outage = new Outage({ probe: serverAnswers, online: () => navigator.onLine, network: window, say: (words) => this.#showOutage(words) });
    this.#listen();
    this.#refreshMedia();
    this.#showCount(room.members.size + 1);
  }

  /** Shows what had arrived before. @param {import('../../sdk/maitred.js').RoomEvents['track'][]} tracks */
  receive(tracks) {
    for (const arrival of tracks) this.#members.receive(arrival);
  }

  /** @returns {Promise<void>} when the others are seen, or that takes too long */
  pictured() {
    return this.#members.pictured();
  }

  /**
   * Adds all that a first picture does without.
   * @param {() => Promise<void>} pause between two things, for what else there is to do
   */
  async furnish(pause) {
    if (this.#closed) return;
    for (const feature of this.#makeFeatures()) {
      this.#features.push(feature);
      await pause();
      if (this.#closed) return;
    }
  }

  close() {
    this.#closed = true;
    for (const undo of this.#cleanup) undo();
    this.#leaving?.close();
    for (const feature of this.#features) feature.close();
    this.#members.close();
    this.#selfView.close();
    this.#outage.close();
    this.#bar.close();
    this.#grid.close();
  }

  /**
   * @param {string} key that was pressed
   * @returns {boolean} whether it means something here
   */
  shortcut(key) {
    const run = this.#shortcuts.get(key);
    run?.();
    return !!run;
  }

  /** @returns {Generator<Feature, void>} */
  *#makeFeatures() {
    const { i18n, media, memory, room, toasts, roomName, link } = this.#options;
    /** @type {CallContext} */
    const context = {
      i18n, media, memory, room, toasts, roomName, link,
      presence: this.#presence, bar: this.#bar, panels: this.#panels, grid: this.#grid, selfView: this.#selfView, layer: this.#layer,
      shortcuts: this.#shortcuts, chatActions: this.#chatActions, unread: (count) => this.emit('unread', { count }),
    };
    const hands = yield* makeTogether(context);
    yield new StageView(context, hands, () => this.#leave());
    const transfers = new Transfers(context);
    this.#transfers = transfers;
    this.#chatActions.append(transfers.button);
    yield transfers;
    yield new DeviceSettings(context);
    yield* makeTrust(context);
    yield new Bandwidth(context);
    yield new Wake({ room, clock: systemClock, page: document, lock: navigator.wakeLock });
  }

  // Building

  #build() {
    show(this.#banner, false);
    show(this.#soundBanner, false);
    this.#buildSoundBanner();
    this.#buildInvite();
    return h('div', { class: 'call' }, this.#buildTopbar(), this.#banner, this.#soundBanner,
      h('main', { class: 'call-main' }, h('div', { class: 'grid-area' }, this.#grid.element, this.#layer, this.#invite), this.#panels.element),
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
      for (const frame of this.#grid.frames.values()) frame.play();
    } });
    this.#soundBanner.append(icon('sound'), i18n.label('call.sound'), play);
  }

  #buildControls() {
    const hangup = this.#bar.button({
      id: 'hangup', icon: 'hangup', label: 'control.hangup', title: 'control.hangupTitle', onclick: () => this.#leave(),
    });
    hangup.classList.add('danger');
    const mute = () => void this.#media.setAudio(!this.#media.state.audio);
    const camera = () => void this.#media.setVideo(!this.#media.state.video);
    const screen = () => void this.#toggleScreen();
    this.#mute.addEventListener('click', mute);
    this.#camera.addEventListener('click', camera);
    this.#screen.addEventListener('click', screen);
    this.#shortcuts.set('m', mute).set('v', camera).set('escape', () => this.#panels.hide());
    if (this.#media.canShareScreen) this.#shortcuts.set('s', screen);
    show(this.#screen, this.#media.canShareScreen);
    this.#bar.add(this.#mute, 10);
    this.#bar.add(this.#camera, 20);
    this.#bar.add(this.#screen, 30);
    this.#bar.add(hangup, 90);
    return this.#bar.element;
  }

  #listen() {
    const room = this.#room;
    this.#cleanup.push(
      room.on('joined', ({ self, resumed }) => this.#rejoined(self, resumed)),
      room.on('state', (change) => this.#changed(change)),
      room.on('draining', () => this.#outage.drain()),
      // Nobody has asked for the relay's report but the page itself.
      room.on('error', (cause) => cause.request !== 'relay' && this.#toasts.show(explainCause(cause).text)),
      this.#members.on('count', ({ count }) => this.#showCount(count)),
      this.#members.on('blocked', () => show(this.#soundBanner, true)),
      this.#media.on('change', () => this.#refreshMedia()),
    );
  }

  /** @param {number} count of people in the room */
  #showCount(count) {
    this.#i18n.put(this.#peopleCount, text('call.people', { count }));
    show(this.#invite, count === 1);
    this.element.classList.toggle('alone', count === 1);
  }

  /** Not without a question while there are files that would be lost. */
  #leave() {
    if (!this.#transfers?.busy) this.emit('leave', {});
    else if (!this.#leaving?.open) this.#leaving = confirmLeave(this.#i18n, () => this.emit('leave', {}));
  }

  // Own devices

  /** Before there is anything to hear. */
  #chooseSpeaker() {
    const grid = this.#grid;
    const media = this.#media;
    this.#cleanup.push(
      grid.on('add', ({ frame }) => void applySpeaker(frame.video, media.chosen('speaker'))),
      media.on('speaker', ({ id }) => {
        for (const frame of grid.frames.values()) void applySpeaker(frame.video, id);
      }),
    );
  }

  #refreshMedia() {
    const i18n = this.#i18n;
    const { state, problem, cameraTrack } = this.#media;
    showMicrophone(i18n, this.#mute, state.audio);
    showCamera(i18n, this.#camera, state.video);
    setToggle(i18n, this.#screen, state.screen, {
      on: { icon: 'screen', label: 'control.screenOff', title: 'control.screenStop' },
      off: { icon: 'screen', label: 'control.screen', title: 'control.screenTitle' },
    });
    this.#screen.classList.remove('off');
    this.#screen.classList.toggle('active', state.screen);
    this.#self.setTracks(cameraTrack ? [cameraTrack] : []);
    this.#self.setProblem(problem);
    this.#presence.set(describeMedia(this.#media));
    this.#sender.sync(this.#media);
    this.#self.setState(this.#presence.state);
    this.#showOwnScreen();
    const shown = problem ? `${problem.devices} ${problem.error.name}` : '';
    if (problem && shown !== this.#lastProblem) this.#toasts.show(explainDevice(problem.error, problem.devices));
    this.#lastProblem = shown;
  }

  #showOwnScreen() {
    const { screenTrack } = this.#media;
    const known = this.#grid.screens.get(OWN_SCREEN);
    if (!screenTrack) {
      if (known) this.#grid.remove(OWN_SCREEN);
      return;
    }
    const tile = known ?? new ScreenTile(this.#i18n, /** @type {Member} */ (this.#room.self), () => this.#media.stopScreen());
    if (!known) this.#grid.addScreen(OWN_SCREEN, tile);
    tile.setTracks([screenTrack]);
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

  /** @param {import('../../sdk/maitred.js').StateChange} change */
  #changed(change) {
    // The seat may be gone, and the door closed meanwhile.
    this.#lost ||= change.state === 'reconnecting' || change.state === 'waiting';
    this.#outage.changed(change);
  }

  /** @param {Text | null} words */
  #showOutage(words) {
    if (words) this.#showBanner(words, words.key === 'call.draining' || words.key === 'join.waiting' ? null : () => this.#room.reconnect());
    else show(this.#banner, false);
  }

  /**
   * @param {Member} self
   * @param {boolean} resumed
   */
  #rejoined(self, resumed) {
    if (!resumed) this.#self.setMember(self);
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
}
