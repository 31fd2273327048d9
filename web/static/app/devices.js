// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {'camera' | 'microphone' | 'speaker'} Role */
/** @typedef {{id: string, label: string}} Device the label is '' for as long as the browser does not tell it */
/** @typedef {Record<Role, Device[]>} Devices */
/** @typedef {Pick<MediaDeviceInfo, 'kind' | 'deviceId' | 'groupId' | 'label'>} DeviceInfo */
/** @typedef {MediaDevices & {selectAudioOutput?: () => Promise<MediaDeviceInfo>}} Source with what only some browsers have */

/** @type {Record<Role, MediaDeviceKind>} */
const KINDS = { camera: 'videoinput', microphone: 'audioinput', speaker: 'audiooutput' };
const ROLES = /** @type {Role[]} */ (Object.keys(KINDS));
/** Some browsers list these beside the devices that they stand for. */
const STANDINS = new Set(['default', 'communications']);

/**
 * What there is to choose from. The browser's own default is not in the lists: it is chosen by ''.
 * @param {readonly DeviceInfo[]} infos as enumerateDevices gives them; before permission without ids
 * @returns {Devices}
 */
export function sortDevices(infos) {
  /** @param {Role} role */
  const of = (role) => infos.filter(({ kind, deviceId }) => kind === KINDS[role] && deviceId !== '' && !STANDINS.has(deviceId))
    .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { camera: of('camera'), microphone: of('microphone'), speaker: of('speaker') };
}

/**
 * Which device the default is, where the browser tells.
 * @param {readonly DeviceInfo[]} infos
 * @param {Role} role
 * @returns {string} its label, or ''
 */
export function defaultLabel(infos, role) {
  const same = infos.filter(({ kind }) => kind === KINDS[role]);
  const standin = same.find(({ deviceId }) => deviceId === 'default');
  const real = standin && same.find(({ deviceId, groupId }) => !STANDINS.has(deviceId) && groupId !== '' && groupId === standin.groupId);
  return real?.label ?? '';
}

/**
 * The devices of this computer, also as they come and go. It lives as long as the page.
 * @extends {Emitter<{change: {}}>}
 */
export class DeviceList extends Emitter {
  #source;
  /** @type {readonly DeviceInfo[]} */
  #infos = [];
  #devices = sortDevices([]);

  /** @param {Source | undefined} source undefined in an insecure context */
  constructor(source) {
    super();
    this.#source = source;
    source?.addEventListener?.('devicechange', () => void this.refresh());
  }

  /** @param {Role} role */
  of(role) {
    return this.#devices[role];
  }

  /** @param {Role} role */
  defaultLabel(role) {
    return defaultLabel(this.#infos, role);
  }

  /** The browser has a picker of its own for speakers, and lists those only that were picked there. */
  get asksForSpeakers() {
    return typeof this.#source?.selectAudioOutput === 'function';
  }

  /**
   * Rejects where the person picks none.
   * @returns {Promise<string>} the speaker's id
   */
  async askForSpeaker() {
    const info = await this.#source?.selectAudioOutput?.();
    await this.refresh();
    return info?.deviceId ?? '';
  }

  /** Looks again: labels and ids come with the permission to use a device. */
  async refresh() {
    // A browser that does not tell has nothing to choose from.
    this.#infos = await this.#source?.enumerateDevices?.().catch(() => []) ?? [];
    const devices = sortDevices(this.#infos);
    if (JSON.stringify(devices) === JSON.stringify(this.#devices)) return;
    this.#devices = devices;
    this.emit('change', {});
  }
}

/** Whether pages may choose where sound comes out. */
export function canChooseSpeaker() {
  return typeof HTMLMediaElement === 'function' && 'setSinkId' in HTMLMediaElement.prototype;
}

/**
 * Has an element play on the speaker. One that is gone leaves the element where it was.
 * @param {HTMLMediaElement} element
 * @param {string} id '' for the default
 * @returns {Promise<boolean>} false where it does not play there
 */
export async function applySpeaker(element, id) {
  if (typeof element.setSinkId !== 'function') return id === '';
  try {
    if (element.sinkId !== id) await element.setSinkId(id);
    return true;
  } catch {
    return false;
  }
}

/** @typedef {'noiseSuppression' | 'echoCancellation' | 'autoGainControl'} Processing what is done to the microphone's sound */
/** @typedef {'auto' | 'saver' | 'high'} Quality */
/** @typedef {'text' | 'video'} ScreenContent what a shared screen mostly shows */
/**
 * @typedef {Record<Role, string> & Record<Processing | 'backgroundBlur', 'on' | 'off'> & {quality: Quality, screen: ScreenContent}} Choices
 */

/** @type {Readonly<Choices>} */
const DEFAULTS = {
  camera: '', microphone: '', speaker: '', noiseSuppression: 'on', echoCancellation: 'on', autoGainControl: 'on', backgroundBlur: 'off',
  quality: 'auto', screen: 'text',
};
/** @type {Partial<Record<keyof Choices, readonly string[]>>} everything else is 'on' or 'off', or an id */
const VALUES = { quality: ['auto', 'saver', 'high'], screen: ['text', 'video'] };

/** What the person has chosen about their devices, as far as it can be kept for longer than the page. */
export class Preferences {
  #memory;
  /** @type {Choices} */
  #choices = { ...DEFAULTS };

  /** @param {Pick<import('./memory.js').Memory, 'setting' | 'setSetting'> | null} memory */
  constructor(memory) {
    this.#memory = memory;
    for (const name of /** @type {(keyof Choices)[]} */ (Object.keys(DEFAULTS))) {
      const value = memory?.setting(name);
      if (value && isValue(name, value)) Object.assign(this.#choices, { [name]: value });
    }
  }

  /**
   * @template {keyof Choices} Name
   * @param {Name} name
   */
  get(name) {
    return this.#choices[name];
  }

  /**
   * @template {keyof Choices} Name
   * @param {Name} name
   * @param {Choices[Name]} value
   */
  set(name, value) {
    this.#choices[name] = value;
    this.#memory?.setSetting(name, value === DEFAULTS[name] ? '' : value);
  }
}

/**
 * @param {keyof Choices} name
 * @param {string} value
 */
function isValue(name, value) {
  if (/** @type {readonly string[]} */ (ROLES).includes(name)) return true;
  return (VALUES[name] ?? ['on', 'off']).includes(value);
}
