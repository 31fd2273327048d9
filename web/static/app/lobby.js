// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { explainDevice } from './errors.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { LevelMeter } from './level.js';
import { isRoomName, memberName, roomName, suggestRoom } from './names.js';
import { verdictText } from './precheck.js';
import { QRCode } from './qr.js';
import { RecentRooms } from './recent.js';
import { Settings, absentText } from './settings.js';
import { brand, button, copyLink, languageButton } from './widgets.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./precheck.js').Precheck} Precheck */
/** @typedef {import('./widgets.js').Toasts} Toasts */
/**
 * @typedef {object} LobbyOptions
 * @property {I18n} i18n
 * @property {LocalMedia} media
 * @property {Memory} memory
 * @property {Precheck} precheck not started; the lobby closes it
 * @property {Toasts} toasts
 * @property {string} room the room of the link; '' on the start page
 * @property {string} name
 * @property {boolean} relay
 * @property {(room: string) => string} linkTo
 */

const METER_BARS = 5;

/**
 * The page before the call: how one looks, who one is, where to go.
 * `near`: the pointer, or a finger, is on the button that joins.
 * @extends {Emitter<{join: {room: string, name: string, relay: boolean}, near: {}}>}
 */
export class Lobby extends Emitter {
  #options;
  #i18n;
  #media;
  #meter = new LevelMeter();
  #frame = 0;
  /** @type {(() => void)[]} */
  #cleanup = [];
  /** While it is unfolded. @type {Settings | null} */
  #settings = null;

  #video = h('video', { class: 'mirrored', autoplay: true, playsinline: true });
  #cover = h('div', { class: 'preview-cover' });
  #coverText = h('p');
  #bars = Array.from({ length: METER_BARS }, () => h('i'));
  #levels = h('div', { class: 'meter', role: 'img' });
  #mute = h('button', { id: 'mute', class: 'round', type: 'button', 'aria-keyshortcuts': 'M' });
  #camera = h('button', { id: 'camera', class: 'round', type: 'button', 'aria-keyshortcuts': 'V' });
  #problem = h('div', { class: 'notice', role: 'alert' });
  #problemText = h('p');
  #name = h('input', { id: 'name', type: 'text', autocomplete: 'name', maxlength: 256, spellcheck: 'false' });
  #room = h('input', { id: 'room', type: 'text', autocomplete: 'off', autocapitalize: 'none', maxlength: 80, spellcheck: 'false' });
  #roomHint = h('p', { id: 'room-hint', class: 'hint', role: 'status' });
  #roomError = h('p', { id: 'room-error', class: 'field-error', role: 'alert' });
  #relay = h('input', { id: 'force-relay', type: 'checkbox', role: 'switch', 'aria-describedby': 'relay-hint' });
  #saver = h('span', { class: 'badge saver' });
  #settingsToggle = h('button', { id: 'settings-toggle', class: 'button small', type: 'button', 'aria-controls': 'settings', 'aria-expanded': 'false' });
  #settingsRegion = h('section', { id: 'settings', class: 'lobby-settings' });
  #verdict = h('p', { id: 'precheck', class: 'precheck', role: 'status' });
  #qr;
  element;

  /** @param {LobbyOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#i18n = options.i18n;
    this.#media = options.media;
    this.#name.value = options.name;
    this.#room.value = options.room || suggestRoom();
    this.#room.readOnly = options.room !== '';
    this.#relay.checked = options.relay;
    // As a property: the attribute does not silence an element made by script.
    this.#video.muted = true;
    this.#qr = new QRCode(options.i18n, () => this.#chosenRoom(), options.linkTo);
    this.element = this.#build();
    this.#cleanup.push(
      this.#media.on('change', () => this.#refresh()),
      this.#media.on('absent', ({ role }) => options.toasts.show(absentText(role))),
      options.precheck.on('verdict', ({ verdict }) => this.#showVerdict(verdict)),
    );
    this.#refresh();
    this.#readMeter();
    options.precheck.start();
  }

  /** Where the keyboard should be: at the first thing left to fill in. */
  focus() {
    if (matchMedia('(pointer: coarse)').matches) return;
    if (!this.#name.value) this.#name.focus();
    else this.element.querySelector('#join')?.dispatchEvent(new Event('focus-wanted'));
  }

  close() {
    cancelAnimationFrame(this.#frame);
    for (const undo of this.#cleanup) undo();
    this.#options.precheck.close();
    this.#settings?.close();
    this.#qr.close();
    this.#meter.close();
    this.#video.srcObject = null;
  }

  /** @param {'mute' | 'camera'} control */
  toggle(control) {
    const { audio, video } = this.#media.state;
    void (control === 'mute' ? this.#media.setAudio(!audio) : this.#media.setVideo(!video));
  }

  #build() {
    const i18n = this.#i18n;
    return h('div', { class: 'lobby' },
      h('header', { class: 'topbar' }, brand(i18n), i18n.label('app.tagline', 'tagline'), languageButton(i18n)),
      h('main', { class: 'lobby-main' }, this.#buildPreview(), this.#buildForm()));
  }

  #buildPreview() {
    const i18n = this.#i18n;
    this.#cover.append(icon('cameraOff'), this.#coverText);
    this.#mute.addEventListener('click', () => this.toggle('mute'));
    this.#camera.addEventListener('click', () => this.toggle('camera'));
    const retry = button(i18n, { icon: 'refresh', label: 'lobby.tryDevices', className: 'small', onclick: () => void this.#media.open() });
    this.#problem.append(icon('warning'), h('div', {}, this.#problemText, i18n.label('lobby.noDevices', 'notice-more'), retry));
    this.#levels.append(...this.#bars);
    i18n.put(this.#levels, text('lobby.micLevel'), 'aria-label');
    this.#saver.append(i18n.label('lobby.saver'));
    const preview = h('section', { class: 'preview' }, this.#video, this.#cover, this.#saver,
      h('div', { class: 'preview-controls' }, this.#mute, this.#camera), this.#levels);
    return h('div', {}, i18n.put(preview, text('lobby.preview'), 'aria-label'), this.#problem, ...this.#buildSettings());
  }

  #buildSettings() {
    const i18n = this.#i18n;
    this.#settingsToggle.append(icon('settings'), i18n.label('lobby.settings'));
    this.#settingsToggle.addEventListener('click', () => this.#setSettings(this.#settings === null));
    show(this.#settingsRegion, false);
    return [h('div', { class: 'preview-below' }, this.#settingsToggle), i18n.put(this.#settingsRegion, text('lobby.settings'), 'aria-label')];
  }

  /** @param {boolean} open */
  #setSettings(open) {
    this.#settings?.close();
    this.#settings = open ? new Settings(this.#i18n, this.#media) : null;
    this.#settingsRegion.replaceChildren(...(this.#settings ? [this.#settings.element] : []));
    show(this.#settingsRegion, open);
    this.#settingsToggle.setAttribute('aria-expanded', String(open));
  }

  #buildForm() {
    const i18n = this.#i18n;
    const invited = this.#options.room !== '';
    i18n.put(this.#name, text('lobby.namePlaceholder'), 'placeholder');
    this.#room.setAttribute('aria-describedby', 'room-hint room-error');
    this.#room.addEventListener('input', () => this.#roomChanged());
    this.#room.addEventListener('change', () => this.#qr.refresh());
    this.#roomChanged();
    const join = h('button', { id: 'join', class: 'button primary', type: 'submit' }, i18n.label('lobby.join'));
    join.addEventListener('focus-wanted', () => join.focus());
    for (const sign of ['pointerenter', 'pointerdown']) join.addEventListener(sign, () => this.emit('near', {}));
    return h('form', { class: 'card', novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      i18n.put(h('h1'), text(invited ? 'lobby.invited' : 'lobby.title')),
      i18n.put(h('p', { class: 'lead' }), text(invited ? 'lobby.invitedLead' : 'lobby.lead')),
      h('div', { class: 'field' }, i18n.put(h('label', { for: 'name' }), text('lobby.name')), this.#name),
      h('div', { class: 'field' }, i18n.put(h('label', { for: 'room' }), text('lobby.room')),
        h('div', { class: 'input-row' }, this.#room, !invited && this.#suggestButton()),
        this.#roomHint, this.#roomError, !invited && this.#recentRooms()),
      h('label', { class: 'switch-row', for: 'force-relay' }, this.#relay,
        h('span', {}, i18n.label('lobby.relay'), i18n.put(h('small', { id: 'relay-hint' }), text('lobby.relayHint')))),
      h('div', { class: 'form-buttons' }, join,
        button(i18n, { id: 'copy-link', icon: 'link', label: 'lobby.copy', onclick: () => this.#copy() }), this.#qr.element),
      h('div', { class: 'lobby-check' }, this.#verdict, h('a', { href: '/check', target: '_blank' }, i18n.label('lobby.checkLink'))));
  }

  #recentRooms() {
    const recent = new RecentRooms(this.#i18n, this.#options.memory);
    recent.on('choose', ({ room }) => {
      this.#setRoom(room);
      this.focus();
    });
    return recent.element;
  }

  #suggestButton() {
    const suggest = h('button', { id: 'suggest', class: 'inset', type: 'button', onclick: () => this.#setRoom(suggestRoom()) }, icon('refresh'));
    this.#i18n.put(suggest, text('lobby.suggest'), 'title');
    return this.#i18n.put(suggest, text('lobby.suggest'), 'aria-label');
  }

  /** @param {string} room */
  #setRoom(room) {
    this.#setRoomField(room);
    this.#qr.refresh();
  }

  /** @returns {string} '' after telling what is wrong */
  #chosenRoom() {
    const room = this.#options.room || roomName(this.#room.value);
    if (room) this.#setRoomField(room);
    else this.#refuseRoom();
    return room;
  }

  /** @param {string} room */
  #setRoomField(room) {
    this.#room.value = room;
    this.#roomChanged();
  }

  #roomChanged() {
    this.#i18n.put(this.#roomHint, roomHint(this.#room.value));
    this.#showRoomError(null);
  }

  #refuseRoom() {
    const typed = this.#room.value.trim() !== '';
    this.#i18n.put(this.#roomHint, text('lobby.roomHint'));
    this.#showRoomError(text(typed ? 'lobby.roomLetters' : 'lobby.roomEmpty'));
    this.#room.focus();
  }

  /** @param {Text | null} words */
  #showRoomError(words) {
    this.#i18n.put(this.#roomError, words);
    show(this.#roomError, words !== null);
    this.#room.setAttribute('aria-invalid', String(words !== null));
  }

  /** @param {import('./precheck.js').Verdict} verdict */
  #showVerdict(verdict) {
    this.#verdict.dataset.verdict = verdict;
    this.#i18n.put(this.#verdict, verdictText(verdict));
  }

  #copy() {
    const room = this.#chosenRoom();
    if (room) void copyLink(this.#options.linkTo(room), this.#options.toasts);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const room = this.#chosenRoom();
    if (room) this.emit('join', { room, name: memberName(this.#name.value), relay: this.#relay.checked });
  }

  #refresh() {
    const i18n = this.#i18n;
    const { state, opening, problem, videoTrack, audioTrack } = this.#media;
    showMicrophone(i18n, this.#mute, state.audio);
    showCamera(i18n, this.#camera, state.video);
    setVideo(this.#video, videoTrack);
    show(this.#cover, !state.video);
    this.#cover.parentElement?.toggleAttribute('data-opening', opening);
    show(this.#saver, this.#media.quality === 'saver');
    i18n.put(this.#coverText, text(opening ? 'lobby.cameraStarting' : 'lobby.cameraOff'));
    show(this.#problem, problem !== null);
    if (problem) i18n.put(this.#problemText, explainDevice(problem.error, problem.devices));
    this.#meter.listen(audioTrack);
    show(this.#levels, state.audio);
  }

  #readMeter() {
    const level = this.#meter.read() * METER_BARS;
    this.#bars.forEach((bar, index) => bar.classList.toggle('on', level > index + 0.15));
    this.#frame = requestAnimationFrame(() => this.#readMeter());
  }
}

/**
 * What becomes of the room's name as somebody types it.
 * @param {string} typed
 * @returns {Text}
 */
export function roomHint(typed) {
  const trimmed = typed.trim();
  if (trimmed === '' || isRoomName(trimmed)) return text('lobby.roomHint');
  const room = roomName(typed);
  return room ? text('lobby.roomBecomes', { room }) : text('lobby.roomLetters');
}

/**
 * Shows one track, and touches the element only when it is another one: setting the same stream again would flicker.
 * @param {HTMLVideoElement} video
 * @param {MediaStreamTrack | null} track
 */
export function setVideo(video, track) {
  const current = /** @type {MediaStream | null} */ (video.srcObject)?.getVideoTracks()[0] ?? null;
  if (current !== track) video.srcObject = track ? new MediaStream([track]) : null;
}

/** @typedef {{icon: import('./icons.js').IconName, label: import('./i18n.js').Key, title: import('./i18n.js').Key}} Face */

/**
 * A two-state button; off stands out, since that is the state one must notice. Where the label says what a click does, it tells the
 * state by itself; a label that stays needs "pressed" for that. The title begins with the label, so that people who speak to their
 * computer can say what they see.
 * @param {I18n} i18n
 * @param {HTMLButtonElement} control
 * @param {boolean} on
 * @param {{on: Face, off: Face}} faces
 */
export function setToggle(i18n, control, on, faces) {
  const face = on ? faces.on : faces.off;
  control.classList.toggle('off', !on);
  if (faces.on.label === faces.off.label) control.setAttribute('aria-pressed', String(on));
  control.replaceChildren(icon(face.icon), i18n.label(face.label, 'control-label'));
  i18n.put(control, text(face.title), 'title');
  i18n.put(control, text(face.title), 'aria-label');
}

/**
 * @param {I18n} i18n
 * @param {HTMLButtonElement} control
 * @param {boolean} on
 */
export function showMicrophone(i18n, control, on) {
  setToggle(i18n, control, on, {
    on: { icon: 'mic', label: 'control.mute', title: 'control.muteTitle' },
    off: { icon: 'micOff', label: 'control.unmute', title: 'control.unmuteTitle' },
  });
}

/**
 * @param {I18n} i18n
 * @param {HTMLButtonElement} control
 * @param {boolean} on
 */
export function showCamera(i18n, control, on) {
  setToggle(i18n, control, on, {
    on: { icon: 'camera', label: 'control.camera', title: 'control.cameraTitle' },
    off: { icon: 'cameraOff', label: 'control.camera', title: 'control.cameraTitle' },
  });
}
