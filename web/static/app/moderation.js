// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Dialog } from './dialog.js';
import { h, show } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('../../sdk/maitred.js').RoomSettings} RoomSettings */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {'open' | 'waiting' | 'locked'} Door */

/** Characters that the server takes as the reason of a kick, and that a password needs at most. */
const MAX_REASON = 128;
const MAX_PASSWORD = 200;

/** @type {Record<Door, {title: Key, hint: Key, words: Key, now: Key, how: {locked: boolean, knock?: boolean}}>} */
const DOORS = {
  open: { title: 'moderate.open', hint: 'moderate.openHint', words: 'moderate.isOpen', now: 'moderate.nowOpen', how: { locked: false } },
  waiting: {
    title: 'moderate.waiting', hint: 'moderate.waitingHint', words: 'moderate.isWaiting', now: 'moderate.nowWaiting', how: { locked: true, knock: true },
  },
  locked: { title: 'moderate.locked', hint: 'moderate.lockedHint', words: 'moderate.isLocked', now: 'moderate.nowLocked', how: { locked: true, knock: false } },
};

/**
 * @param {Pick<RoomSettings, 'locked' | 'knock'>} settings
 * @returns {Door}
 */
export function doorOf({ locked, knock }) {
  if (!locked) return 'open';
  return knock ? 'waiting' : 'locked';
}

/**
 * What everybody is told when the settings change.
 * @param {RoomSettings} before
 * @param {RoomSettings} now
 * @returns {Text[]}
 */
export function explainChange(before, now) {
  const changes = [];
  if (doorOf(now) !== doorOf(before)) changes.push(text(DOORS[doorOf(now)].now));
  if (now.password !== before.password) changes.push(text(now.password ? 'moderate.nowPassword' : 'moderate.nowNoPassword'));
  if (now.maxMembers !== before.maxMembers) changes.push(text('moderate.nowLimit', { count: now.maxMembers }));
  return changes;
}

/**
 * What a person typed as a reason, as the server takes it: printable, at most 128 characters.
 * @param {string} typed
 */
export function kickReason(typed) {
  const printable = typed.replace(/\s+/g, ' ').replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, '').trim();
  return [...printable].slice(0, MAX_REASON).join('').trim();
}

/**
 * Moderators may mute us; whether somebody is one the server says. `muted` tells who did; `over` that the microphone is on again.
 * @extends {Emitter<{muted: {name: string}, over: {}}>}
 */
export class MuteRequests extends Emitter {
  #room;
  #media;
  #undo;

  /**
   * @param {Pick<Room, 'members' | 'on'>} room joined
   * @param {Pick<LocalMedia, 'state' | 'setAudio' | 'on'>} media
   */
  constructor(room, media) {
    super();
    this.#room = room;
    this.#media = media;
    this.#undo = [
      room.on('data', ({ member, data }) => data?.type === 'mute-please' && this.#receive(member.id)),
      media.on('change', () => media.state.audio && this.emit('over', {})),
    ];
  }

  close() {
    for (const undo of this.#undo) undo();
  }

  /** @param {string} id */
  #receive(id) {
    const member = this.#room.members.get(id);
    if (member?.role !== 'moderator' || !this.#media.state.audio) return;
    void this.#media.setAudio(false);
    this.emit('muted', { name: member.name });
  }
}

/** What the moderators do to everybody: a note when one is muted, with the way back; words when the room's settings change. */
export class ModerationFeature {
  #i18n;
  #requests;
  #undo;
  #words = h('p');
  #note;

  /** @param {Pick<CallContext, 'i18n' | 'room' | 'media' | 'toasts' | 'layer'>} context */
  constructor({ i18n, room, media, toasts, layer }) {
    this.#i18n = i18n;
    this.#requests = new MuteRequests(room, media);
    this.#note = this.#build(() => void media.setAudio(true));
    layer.append(this.#note);
    this.#requests.on('muted', ({ name }) => {
      i18n.put(this.#words, text('moderate.mutedBy', { name }));
      show(this.#note, true);
    });
    this.#requests.on('over', () => show(this.#note, false));
    let { settings } = room;
    let moderates = room.self?.role === 'moderator';
    const changed = () => {
      if (settings && room.settings) for (const change of explainChange(settings, room.settings)) toasts.show(change);
      settings = room.settings;
    };
    this.#undo = [
      room.on('room', changed),
      room.on('joined', () => {
        settings = room.settings;
        moderates = room.self?.role === 'moderator';
      }),
      room.on('member-updated', () => {
        const promoted = !moderates && room.self?.role === 'moderator';
        moderates = room.self?.role === 'moderator';
        if (promoted) toasts.show(text('moderate.promoted'));
      }),
    ];
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#requests.close();
  }

  /** @param {() => void} unmute */
  #build(unmute) {
    const i18n = this.#i18n;
    const dismiss = h('button', { class: 'quiet', type: 'button', onclick: () => show(this.#note, false) }, icon('close'));
    i18n.put(dismiss, text('call.dismiss'), 'aria-label');
    i18n.put(dismiss, text('call.dismiss'), 'title');
    const note = h('div', { id: 'muted-note', class: 'muted-note', role: 'alert' }, icon('micOff'), this.#words,
      button(i18n, { id: 'unmute', icon: 'mic', label: 'control.unmute', className: 'small primary', onclick: unmute }), dismiss);
    show(note, false);
    return note;
  }
}

/**
 * Asks before somebody is removed, and what to tell them.
 * @param {Pick<CallContext, 'i18n' | 'room'>} context
 * @param {Member} member
 */
export function confirmKick({ i18n, room }, member) {
  const reason = h('input', { id: 'kick-reason', type: 'text', maxlength: MAX_REASON, autocomplete: 'off' });
  const closeDoor = h('input', { id: 'kick-door', type: 'checkbox', role: 'switch' });
  const kick = () => {
    if (closeDoor.checked && !room.settings?.locked) room.lock(DOORS.waiting.how);
    room.kick(member, kickReason(reason.value) || undefined);
    dialog.close();
  };
  const door = h('label', { class: 'switch-row', for: 'kick-door' }, closeDoor,
    h('span', {}, i18n.label('moderate.kickDoor'), i18n.put(h('small'), text('moderate.kickDoorHint'))));
  show(door, room.settings?.locked === false);
  const form = h('form', { onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    kick();
  } },
  i18n.put(h('p', { class: 'lead' }), text('moderate.kickLead', { name: member.name })),
  h('div', { class: 'field' }, i18n.put(h('label', { for: 'kick-reason' }), text('moderate.kickReason')), reason),
  door,
  h('div', { class: 'form-buttons' }, button(i18n, { id: 'kick-cancel', icon: 'close', label: 'moderate.kickCancel', onclick: () => dialog.close() }),
    h('button', { id: 'kick-confirm', class: 'button danger', type: 'submit' }, icon('personOff'), i18n.label('moderate.kick'))));
  const dialog = new Dialog(i18n, { id: 'kick-dialog', title: 'moderate.kickTitle', content: [form] });
  // Whoever leaves meanwhile need not be removed.
  const undo = room.on('member-left', ({ member: { id } }) => id === member.id && dialog.close());
  dialog.on('close', undo);
  dialog.show();
  reason.focus();
  return dialog;
}

/** The room's settings: controls for moderators, words for everybody else. */
export class RoomControls {
  #i18n;
  #room;
  #toasts;
  #undo;
  #words = h('ul', { class: 'room-words' });
  #controls = h('div', { class: 'room-controls' });
  /** @type {Map<Door, HTMLInputElement>} */
  #doors = new Map();
  #password = h('input', { id: 'room-password', type: 'text', maxlength: MAX_PASSWORD, autocomplete: 'off', spellcheck: 'false' });
  #passwordState = h('p', { class: 'hint' });
  #passwordClear;
  /** Whoever types there is not interrupted by what others change. */
  #typing = false;
  #limit = h('input', { id: 'room-limit', type: 'number', min: 1, step: 1, inputmode: 'numeric' });
  #muteAll;
  element;

  /** @param {Pick<CallContext, 'i18n' | 'room' | 'toasts'>} context */
  constructor({ i18n, room, toasts }) {
    this.#i18n = i18n;
    this.#room = room;
    this.#toasts = toasts;
    this.#passwordClear = button(i18n, {
      id: 'room-password-clear', icon: 'close', label: 'moderate.passwordClear', className: 'small', onclick: () => room.setPassword(),
    });
    this.#muteAll = button(i18n, { id: 'mute-all', icon: 'micOff', label: 'moderate.muteAll', className: 'small', onclick: () => this.#askAll() });
    this.#controls.append(this.#muteAll, this.#buildDoors(), this.#buildPassword(), this.#buildLimit());
    this.element = h('section', { id: 'room-settings', class: 'room-settings' }, i18n.put(h('h3'), text('moderate.title')), this.#words, this.#controls);
    i18n.put(this.element, text('moderate.title'), 'aria-label');
    const refresh = () => this.#refresh();
    this.#undo = [
      room.on('room', refresh), room.on('joined', refresh), room.on('member-updated', refresh), room.on('member-joined', refresh), room.on('member-left', refresh),
      // What was refused is as before.
      room.on('error', refresh),
    ];
    refresh();
  }

  close() {
    for (const undo of this.#undo) undo();
  }

  #buildDoors() {
    const i18n = this.#i18n;
    const choices = Object.entries(DOORS).map(([name, { title, hint, how }]) => {
      const door = /** @type {Door} */ (name);
      const radio = h('input', { id: `door-${door}`, type: 'radio', name: 'door', value: door, onchange: () => this.#room.lock(how) });
      this.#doors.set(door, radio);
      return h('label', { class: 'door', for: radio.id }, radio, h('span', {}, i18n.label(title), i18n.put(h('small'), text(hint))));
    });
    return h('fieldset', { class: 'doors' }, i18n.put(h('legend'), text('moderate.door')), ...choices);
  }

  #buildPassword() {
    const i18n = this.#i18n;
    const set = h('button', { id: 'room-password-set', class: 'button small', type: 'submit' }, i18n.label('moderate.passwordSet'));
    return h('form', { class: 'room-field', onsubmit: (/** @type {Event} */ event) => this.#setPassword(event) },
      i18n.put(h('label', { for: 'room-password' }), text('moderate.password')),
      h('div', { class: 'room-row' }, this.#password, set), this.#passwordState, this.#passwordClear);
  }

  #buildLimit() {
    const i18n = this.#i18n;
    this.#limit.addEventListener('input', () => {
      this.#typing = true;
    });
    this.#limit.addEventListener('change', () => this.#room.limit(Math.max(0, Math.floor(Number(this.#limit.value) || 0))));
    for (const end of ['change', 'blur']) {
      this.#limit.addEventListener(end, () => {
        this.#typing = false;
        this.#refresh();
      });
    }
    return h('div', { class: 'room-field room-limit' }, i18n.put(h('label', { for: 'room-limit' }), text('moderate.limit')), this.#limit);
  }

  /** @param {Event} event */
  #setPassword(event) {
    event.preventDefault();
    const password = this.#password.value.trim();
    if (!password) return this.#password.focus();
    // The room tells everybody of a first one, of another one nobody.
    if (this.#room.settings?.password) this.#toasts.show(text('moderate.passwordChanged'));
    this.#room.setPassword(password);
    this.#password.value = '';
  }

  #askAll() {
    for (const peer of this.#room.peers.values()) if (peer.member.state?.audio !== false) peer.send({ type: 'mute-please' });
    this.#toasts.show(text('moderate.askedAll'));
  }

  #refresh() {
    const i18n = this.#i18n;
    const { settings, self } = this.#room;
    const moderator = self?.role === 'moderator';
    show(this.#controls, moderator);
    show(this.#words, !moderator);
    if (!settings) return;
    const door = doorOf(settings);
    for (const [name, radio] of this.#doors) radio.checked = name === door;
    show(this.#passwordClear, settings.password);
    i18n.put(this.#passwordState, text(settings.password ? 'moderate.hasPassword' : 'moderate.noPassword'));
    if (!this.#typing) this.#limit.value = String(settings.maxMembers);
    show(this.#muteAll, this.#room.members.size > 0);
    const words = [text(DOORS[door].words), text(settings.password ? 'moderate.hasPassword' : 'moderate.noPassword'),
      text('moderate.atMost', { count: settings.maxMembers })];
    this.#words.replaceChildren(...words.map((line) => i18n.put(h('li'), line)));
  }
}
