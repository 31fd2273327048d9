// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { explainDevice } from './errors.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { LevelMeter } from './level.js';
import { memberName, roomName, suggestRoom } from './names.js';
import { brand, button, copyLink, languageButton } from './widgets.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./widgets.js').Toasts} Toasts */
/**
 * @typedef {object} LobbyOptions
 * @property {I18n} i18n
 * @property {LocalMedia} media
 * @property {Toasts} toasts
 * @property {string} room the room of the link; '' on the start page
 * @property {string} name
 * @property {boolean} relay
 * @property {(room: string) => string} linkTo
 */

const METER_BARS = 5;

/**
 * The page before the call: how one looks, who one is, where to go.
 * @extends {Emitter<{join: {room: string, name: string, relay: boolean}}>}
 */
export class Lobby extends Emitter {
  #options;
  #i18n;
  #media;
  #meter = new LevelMeter();
  #frame = 0;
  #unsubscribe;

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
  #roomError = h('p', { id: 'room-error', class: 'field-error', role: 'alert' });
  #relay = h('input', { id: 'force-relay', type: 'checkbox', role: 'switch', 'aria-describedby': 'relay-hint' });
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
    this.element = this.#build();
    this.#unsubscribe = this.#media.on('change', () => this.#refresh());
    this.#refresh();
    this.#readMeter();
  }

  /** Where the keyboard should be: at the first thing left to fill in. */
  focus() {
    if (matchMedia('(pointer: coarse)').matches) return;
    if (!this.#name.value) this.#name.focus();
    else this.element.querySelector('#join')?.dispatchEvent(new Event('focus-wanted'));
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.#unsubscribe();
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
    const preview = h('section', { class: 'preview' }, this.#video, this.#cover,
      h('div', { class: 'preview-controls' }, this.#mute, this.#camera), this.#levels);
    return h('div', { class: 'preview-column' }, i18n.put(preview, text('lobby.preview'), 'aria-label'), this.#problem);
  }

  #buildForm() {
    const i18n = this.#i18n;
    const invited = this.#options.room !== '';
    i18n.put(this.#name, text('lobby.namePlaceholder'), 'placeholder');
    this.#room.setAttribute('aria-describedby', 'room-hint room-error');
    this.#room.addEventListener('input', () => this.#showRoomError(false));
    show(this.#roomError, false);
    const join = h('button', { id: 'join', class: 'button primary', type: 'submit' }, i18n.label('lobby.join'));
    join.addEventListener('focus-wanted', () => join.focus());
    return h('form', { class: 'card', novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      i18n.put(h('h1'), text(invited ? 'lobby.invited' : 'lobby.title')),
      i18n.put(h('p', { class: 'lead' }), text(invited ? 'lobby.invitedLead' : 'lobby.lead')),
      h('div', { class: 'field' }, i18n.put(h('label', { for: 'name' }), text('lobby.name')), this.#name),
      h('div', { class: 'field' }, i18n.put(h('label', { for: 'room' }), text('lobby.room')),
        h('div', { class: 'input-row' }, this.#room, !invited && this.#suggestButton()),
        i18n.put(h('p', { id: 'room-hint', class: 'hint' }), text('lobby.roomHint')), this.#roomError),
      h('label', { class: 'switch-row', for: 'force-relay' }, this.#relay,
        h('span', {}, i18n.label('lobby.relay'), i18n.put(h('small', { id: 'relay-hint' }), text('lobby.relayHint')))),
      h('div', { class: 'form-buttons' }, join,
        button(i18n, { id: 'copy-link', icon: 'link', label: 'lobby.copy', onclick: () => this.#copy() })));
  }

  #suggestButton() {
    const suggest = h('button', { class: 'inset', type: 'button', onclick: () => {
      this.#room.value = suggestRoom();
      this.#showRoomError(false);
    } }, icon('refresh'));
    this.#i18n.put(suggest, text('lobby.suggest'), 'title');
    return this.#i18n.put(suggest, text('lobby.suggest'), 'aria-label');
  }

  /** @returns {string} '' after telling what is wrong */
  #chosenRoom() {
    const room = this.#options.room || roomName(this.#room.value);
    this.#showRoomError(room === '');
    if (room) this.#room.value = room;
    else this.#room.focus();
    return room;
  }

  /** @param {boolean} shown */
  #showRoomError(shown) {
    this.#i18n.put(this.#roomError, shown ? text('lobby.roomEmpty') : null);
    show(this.#roomError, shown);
    this.#room.setAttribute('aria-invalid', String(shown));
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
