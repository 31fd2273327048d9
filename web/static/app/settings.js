// @ts-check
import { applySpeaker, canChooseSpeaker } from './devices.js';
import { h, show } from './dom.js';
import { explainDevice } from './errors.js';
import { text } from './i18n.js';
import { LevelMeter, playTone } from './level.js';
import { button } from './widgets.js';

/** @typedef {import('./devices.js').Processing} Processing */
/** @typedef {import('./devices.js').Quality} Quality */
/** @typedef {import('./devices.js').Role} Role */
/** @typedef {import('./devices.js').ScreenContent} ScreenContent */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./media.js').LocalMedia} LocalMedia */
/** @typedef {import('./media.js').Input} Input */

/** @type {Record<Role, {label: Key, numbered: Key, absent: Key}>} */
const ROLES = {
  camera: { label: 'settings.camera', numbered: 'settings.cameraNumber', absent: 'settings.cameraAbsent' },
  microphone: { label: 'settings.microphone', numbered: 'settings.microphoneNumber', absent: 'settings.microphoneAbsent' },
  speaker: { label: 'settings.speaker', numbered: 'settings.speakerNumber', absent: 'settings.speakerAbsent' },
};
/** @type {[Processing, Key, Key][]} */
const PROCESSING = [
  ['noiseSuppression', 'settings.noise', 'settings.noiseHint'],
  ['echoCancellation', 'settings.echo', 'settings.echoHint'],
  ['autoGainControl', 'settings.gain', 'settings.gainHint'],
];
/** @type {[Quality, Key, Key][]} */
const QUALITIES = [
  ['auto', 'settings.qualityAuto', 'settings.qualityAutoHint'],
  ['saver', 'settings.qualitySaver', 'settings.qualitySaverHint'],
  ['high', 'settings.qualityHigh', 'settings.qualityHighHint'],
];
/** @type {[ScreenContent, Key, Key][]} */
const SCREENS = [
  ['text', 'settings.screenText', 'settings.screenTextHint'],
  ['video', 'settings.screenVideo', 'settings.screenVideoHint'],
];

/**
 * Words for a device that was chosen and is not there.
 * @param {Input} role
 */
export function absentText(role) {
  return text(ROLES[role].absent);
}

/**
 * Devices, what is done to sound and picture, and how much data it may take. It works from when it is made until `close`; one that is shown
 * again is made anew.
 */
export class Settings {
  #i18n;
  #media;
  #meter = new LevelMeter();
  #frame = 0;
  #closed = false;
  /** @type {(() => void)[]} */
  #cleanup = [];
  /** What the options of each picker were made of. @type {Map<Role, string>} */
  #shown = new Map();

  /** @type {Record<Role, HTMLSelectElement>} */
  #pickers = {
    camera: h('select', { id: 'camera-select' }), microphone: h('select', { id: 'microphone-select' }), speaker: h('select', { id: 'speaker-select' }),
  };
  /** @type {Record<Role, HTMLElement>} */
  #hints = { camera: hint('camera'), microphone: hint('microphone'), speaker: hint('speaker') };
  #problem = h('p', { class: 'field-error settings-problem', role: 'alert' });
  #level = h('div', { class: 'settings-level', role: 'img' }, h('i'));
  #blur = h('input', { id: 'blur', type: 'checkbox', role: 'switch', 'aria-describedby': 'blur-hint' });
  #blurRow = h('fieldset', { class: 'settings-group' });
  element;

  /**
   * @param {I18n} i18n
   * @param {LocalMedia} media
   */
  constructor(i18n, media) {
    this.#i18n = i18n;
    this.#media = media;
    this.element = this.#build();
    this.#cleanup.push(media.on('change', () => this.#refresh()), media.devices.on('change', () => this.#refresh()));
    void media.devices.refresh();
    this.#refresh();
    this.#readMeter();
  }

  close() {
    this.#closed = true;
    cancelAnimationFrame(this.#frame);
    for (const undo of this.#cleanup) undo();
    this.#meter.close();
  }

  // Building

  #build() {
    const i18n = this.#i18n;
    const media = this.#media;
    i18n.put(this.#level, text('lobby.micLevel'), 'aria-label');
    const devices = h('div', { class: 'settings-group' },
      this.#buildPicker('camera'), this.#buildPicker('microphone', this.#level), this.#buildPicker('speaker', ...this.#buildSpeaker()), this.#problem);
    this.#blur.addEventListener('change', () => void media.setBlur(this.#blur.checked));
    this.#blurRow.append(i18n.put(h('legend'), text('settings.picture')), this.#switchRow(this.#blur, 'settings.blur', 'settings.blurHint'));
    return h('div', { class: 'settings' }, devices,
      this.#radios('quality', 'settings.quality', QUALITIES, media.quality, (value) => void media.setQuality(value)),
      this.#blurRow,
      this.#buildProcessing(),
      media.canShareScreen && this.#radios('screen', 'settings.screen', SCREENS, media.screenContent, (value) => void media.setScreenContent(value)));
  }

  /**
   * @param {Role} role
   * @param {...HTMLElement} more beside it
   */
  #buildPicker(role, ...more) {
    const picker = this.#pickers[role];
    picker.setAttribute('aria-describedby', this.#hints[role].id);
    picker.addEventListener('change', () => void this.#media.choose(role, picker.value));
    return h('div', { class: 'settings-field' }, this.#i18n.put(h('label', { for: picker.id }), text(ROLES[role].label)),
      h('div', { class: 'settings-row' }, picker, ...more), this.#hints[role]);
  }

  #buildSpeaker() {
    const i18n = this.#i18n;
    show(this.#pickers.speaker, canChooseSpeaker());
    const test = button(i18n, { id: 'speaker-test', icon: 'sound', label: 'settings.test', onclick: () => void this.#testSpeaker(test) });
    const more = button(i18n, { icon: 'more', label: 'settings.moreSpeakers', onclick: () => void this.#askForSpeaker() });
    return this.#media.devices.asksForSpeakers ? [more, test] : [test];
  }

  #buildProcessing() {
    const rows = PROCESSING.map(([name, label, words]) => {
      const input = h('input', { id: `setting-${name}`, type: 'checkbox', role: 'switch', 'aria-describedby': `setting-${name}-hint` });
      input.checked = this.#media.processing(name);
      input.addEventListener('change', () => void this.#media.setProcessing(name, input.checked));
      return this.#switchRow(input, label, words);
    });
    return h('fieldset', { class: 'settings-group' }, this.#i18n.put(h('legend'), text('settings.sound')), ...rows);
  }

  /**
   * @param {HTMLInputElement} input
   * @param {Key} label
   * @param {Key} words
   */
  #switchRow(input, label, words) {
    return h('label', { class: 'switch-row', for: input.id }, input,
      h('span', {}, this.#i18n.label(label), this.#i18n.put(h('small', { id: `${input.id}-hint` }), text(words))));
  }

  /**
   * @template {string} Value
   * @param {string} name
   * @param {Key} legend
   * @param {[Value, Key, Key][]} choices
   * @param {Value} chosen
   * @param {(value: Value) => void} choose
   */
  #radios(name, legend, choices, chosen, choose) {
    const rows = choices.map(([value, label, words]) => {
      const id = `${name}-${value}`;
      const input = h('input', { id, type: 'radio', name: `setting-${name}`, value, checked: value === chosen, 'aria-describedby': `${id}-hint` });
      input.addEventListener('change', () => choose(value));
      return this.#switchRow(input, label, words);
    });
    return h('fieldset', { class: 'settings-group' }, this.#i18n.put(h('legend'), text(legend)), ...rows);
  }

  // Showing

  #refresh() {
    const i18n = this.#i18n;
    const { problem, audioTrack, canBlur, blur } = this.#media;
    for (const role of /** @type {Role[]} */ (Object.keys(ROLES))) this.#refreshPicker(role);
    i18n.put(this.#problem, problem && explainDevice(problem.error, problem.devices));
    show(this.#problem, problem !== null);
    this.#meter.listen(audioTrack);
    show(this.#blurRow, canBlur);
    this.#blur.checked = blur;
  }

  /** @param {Role} role */
  #refreshPicker(role) {
    const absent = this.#media.isAbsent(role);
    this.#say(role, absent ? text(ROLES[role].absent) : null);
    const picker = this.#pickers[role];
    const devices = this.#media.devices.of(role);
    const usual = this.#media.devices.defaultLabel(role);
    const made = JSON.stringify([devices, usual]);
    // An open list would close if it were made anew.
    if (this.#shown.get(role) !== made) picker.replaceChildren(this.#defaultOption(usual), ...devices.map((device, index) => this.#option(role, device, index + 1)));
    this.#shown.set(role, made);
    picker.value = absent ? '' : this.#media.chosen(role);
    // Chosen, but not in the list before there is permission to use it.
    if (picker.selectedIndex < 0) picker.value = '';
  }

  /** @param {string} label of the device that the default is, where that is known */
  #defaultOption(label) {
    return this.#i18n.put(h('option', { value: '' }), label ? text('settings.defaultNamed', { device: label }) : text('settings.default'));
  }

  /**
   * @param {Role} role
   * @param {import('./devices.js').Device} device
   * @param {number} number
   */
  #option(role, { id, label }, number) {
    if (label) return h('option', { value: id }, label);
    return this.#i18n.put(h('option', { value: id }), text(ROLES[role].numbered, { number }));
  }

  /**
   * @param {Role} role
   * @param {Text | null} words
   */
  #say(role, words) {
    this.#i18n.put(this.#hints[role], words);
    show(this.#hints[role], words !== null);
  }

  #readMeter() {
    this.#level.style.setProperty('--level', String(this.#meter.read()));
    this.#frame = requestAnimationFrame(() => this.#readMeter());
  }

  /** @param {HTMLButtonElement} test */
  async #testSpeaker(test) {
    test.disabled = true;
    const chosen = this.#media.chosen('speaker');
    const heard = await playTone((element) => applySpeaker(element, chosen)).catch(() => null);
    test.disabled = false;
    if (this.#closed || heard === true) return;
    this.#say('speaker', text(heard === null ? 'settings.testFailed' : 'settings.speakerAbsent'));
  }

  async #askForSpeaker() {
    try {
      await this.#media.choose('speaker', await this.#media.devices.askForSpeaker());
    } catch {
      // None was picked: all stays as it is.
    }
  }
}

/** @param {Role} role */
function hint(role) {
  return h('p', { id: `${role}-hint`, class: 'hint', role: 'status' });
}
