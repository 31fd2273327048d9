// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { DeviceList, Preferences } from './devices.js';
import { cameraConstraints } from './quality.js';

/** @typedef {import('../../sdk/maitred.js').Kind} Kind */
/** @typedef {import('./devices.js').Processing} Processing */
/** @typedef {import('./devices.js').Quality} Quality */
/** @typedef {import('./devices.js').Role} Role */
/** @typedef {import('./devices.js').ScreenContent} ScreenContent */
/** @typedef {{name: string, message?: string}} DeviceError */
/** @typedef {{devices: 'both' | 'audio' | 'video', error: DeviceError}} DeviceProblem */
/** @typedef {'camera' | 'microphone'} Input */
/**
 * @typedef {object} MediaOptions
 * @property {boolean} [low] a small picture whatever was chosen, until something else is
 * @property {Pick<import('./memory.js').Memory, 'setting' | 'setSetting'>} [memory] where choices are kept
 */

/** What a device that was chosen by id and is gone fails with. */
const GONE = new Set(['OverconstrainedError', 'NotFoundError']);
/** What a device fails with that cannot be open twice, as the camera of many phones. */
const BUSY = new Set(['NotReadableError', 'AbortError']);
/** @type {Processing[]} */
const PROCESSING = ['echoCancellation', 'noiseSuppression', 'autoGainControl'];
/** @type {Record<ScreenContent, {hint: string, frameRate: number}>} */
const SCREENS = { text: { hint: 'detail', frameRate: 15 }, video: { hint: 'motion', frameRate: 30 } };

/**
 * The own microphone, camera and screen, and which of them were chosen. A muted microphone stays open, silent, so that unmuting is
 * instant; a camera that is off is closed, so that its light goes out.
 *
 * `speaker`: sound is to come out elsewhere. `absent`: a device that was chosen is not there, and the default is used instead.
 * @extends {Emitter<{change: {}, speaker: {id: string}, absent: {role: Input}}>}
 */
export class LocalMedia extends Emitter {
  #source;
  #choices;
  #low;
  /** What there is to choose from. */
  devices;
  /** @type {MediaStreamTrack | null} */
  #audio = null;
  /** @type {MediaStreamTrack | null} */
  #camera = null;
  /** @type {MediaStreamTrack | null} */
  #screen = null;
  /** @type {MediaStreamTrack | null} */
  #screenAudio = null;
  /** What the person wants; what there is may be less. */
  #wantsAudio = true;
  #wantsVideo = true;
  #opening = false;
  /** @type {DeviceProblem | null} */
  #problem = null;
  /** Chosen and not there. @type {Set<Input>} */
  #absent = new Set();
  /** About to be replaced: its end is no loss. @type {MediaStreamTrack | null} */
  #leaving = null;
  /** Counts the times of `close`: what was asked for before one and is answered after it belongs to nobody. */
  #generation = 0;
  /** Serialises requests: browsers answer overlapping ones in any order. */
  #queue = Promise.resolve();

  /**
   * @param {MediaDevices | undefined} source undefined in an insecure context
   * @param {MediaOptions} [options]
   */
  constructor(source, { low = false, memory } = {}) {
    super();
    this.#source = source;
    this.#low = low;
    this.#choices = new Preferences(memory ?? null);
    this.devices = new DeviceList(source);
    this.devices.on('change', () => this.#findAbsent());
  }

  /** The microphone's track, also while muted. */
  get audioTrack() {
    return this.#audio;
  }

  /** What the others see: the screen while it is shared, else the camera. */
  get videoTrack() {
    return this.#screen ?? this.#camera;
  }

  get cameraTrack() {
    return this.#camera;
  }

  get screenTrack() {
    return this.#screen;
  }

  /** The sound of what is shared, where browser and person give it. */
  get screenAudioTrack() {
    return this.#screenAudio;
  }

  get state() {
    return { audio: !!this.#audio?.enabled, video: !!this.#camera, screen: !!this.#screen };
  }

  get wants() {
    return { audio: this.#wantsAudio, video: this.#wantsVideo };
  }

  get opening() {
    return this.#opening;
  }

  get problem() {
    return this.#problem;
  }

  get canShareScreen() {
    return typeof this.#source?.getDisplayMedia === 'function';
  }

  /** Opens what is wanted and not open yet. Never rejects: what fails is in `problem`. */
  open() {
    return this.#enqueue((generation) => this.#open(generation));
  }

  /** @param {boolean} on */
  async setAudio(on) {
    this.#wantsAudio = on;
    if (this.#audio) this.#audio.enabled = on;
    this.#changed();
    if (on && !this.#audio) await this.open();
  }

  /** @param {boolean} on */
  async setVideo(on) {
    this.#wantsVideo = on;
    if (!on) {
      this.#camera?.stop();
      this.#camera = null;
    }
    this.#changed();
    if (on && !this.#camera) await this.open();
  }

  // Choices

  /**
   * @param {Role} role
   * @returns {string} the chosen device's id, '' for the default
   */
  chosen(role) {
    return this.#choices.get(role);
  }

  /**
   * Whether the chosen device is not there, so that the default is used.
   * @param {Role} role
   */
  isAbsent(role) {
    if (role !== 'speaker') return this.#absent.has(role);
    return this.chosen(role) !== '' && this.devices.of(role).length > 0 && !this.#isThere(role);
  }

  /**
   * Uses this device from now on. An open one is replaced, and one that could not be opened is tried again; a device that cannot be opened
   * either leaves what is open as it was, with a `problem`.
   * @param {Role} role
   * @param {string} id '' for the default
   */
  async choose(role, id) {
    const before = this.#choices.get(role);
    this.#choices.set(role, id);
    if (role === 'speaker') {
      this.emit('speaker', { id });
      this.#changed();
      return;
    }
    this.#absent.delete(role);
    const kind = role === 'camera' ? 'video' : 'audio';
    const failed = this.#problem?.devices === kind || this.#problem?.devices === 'both';
    if (this.#trackOf(kind)) {
      await this.#enqueue(async (generation) => {
        if (!await this.#replace(kind, generation) && this.#trackOf(kind)) this.#choices.set(role, before);
      });
    } else if (failed) {
      await (kind === 'video' ? this.setVideo(true) : this.setAudio(true));
    }
    this.#changed();
  }

  get quality() {
    return this.#choices.get('quality');
  }

  /** @param {Quality} quality */
  async setQuality(quality) {
    this.#low = false;
    this.#choices.set('quality', quality);
    this.#changed();
    await this.#enqueue((generation) => this.#adjust('video', generation));
  }

  /** @param {Processing} name */
  processing(name) {
    return this.#choices.get(name) === 'on';
  }

  /**
   * @param {Processing} name
   * @param {boolean} on
   */
  async setProcessing(name, on) {
    this.#choices.set(name, on ? 'on' : 'off');
    this.#changed();
    await this.#enqueue((generation) => this.#adjust('audio', generation));
  }

  /** Whether the system blurs what is behind the person, for this camera. */
  get canBlur() {
    return (this.#camera?.getCapabilities?.().backgroundBlur?.length ?? 0) > 1;
  }

  get blur() {
    return this.#choices.get('backgroundBlur') === 'on';
  }

  /** @param {boolean} on */
  async setBlur(on) {
    this.#choices.set('backgroundBlur', on ? 'on' : 'off');
    this.#changed();
    await this.#enqueue((generation) => this.#adjust('video', generation));
  }

  /** Text has to be sharp, a film has to move. */
  get screenContent() {
    return this.#choices.get('screen');
  }

  /** @param {ScreenContent} content */
  async setScreenContent(content) {
    this.#choices.set('screen', content);
    this.#changed();
    const { hint, frameRate } = SCREENS[content];
    if (!this.#screen) return;
    this.#screen.contentHint = hint;
    // What is on the way already goes on as it is where the browser cannot change it.
    await this.#screen.applyConstraints({ frameRate: { max: frameRate } }).catch(() => {});
  }

  // Screen

  /** Rejects with what getDisplayMedia rejected with; a screen chosen after `close` is let go at once. */
  async startScreen() {
    if (!this.#source || !this.canShareScreen) throw named('UnsupportedError');
    const generation = this.#generation;
    const stream = await this.#source.getDisplayMedia(screenOptions(this.#source, this.screenContent));
    if (generation !== this.#generation) {
      stop(stream);
      return;
    }
    const [track] = stream.getVideoTracks();
    track.contentHint = SCREENS[this.screenContent].hint;
    track.addEventListener('ended', () => this.#screen === track && this.stopScreen());
    this.#endScreen();
    this.#screen = track;
    this.#takeScreenAudio(stream.getTracks().find(({ kind }) => kind === 'audio') ?? null);
    this.#changed();
  }

  stopScreen() {
    if (!this.#screen) return;
    this.#endScreen();
    this.#changed();
  }

  /** Lets go of everything, also of what the browser is still asking about. A later `open` starts anew. */
  close() {
    this.#generation++;
    this.#opening = false;
    this.#problem = null;
    this.#endScreen();
    for (const track of [this.#audio, this.#camera]) track?.stop();
    this.#audio = this.#camera = null;
    this.#changed();
  }

  #endScreen() {
    for (const track of [this.#screen, this.#screenAudio]) track?.stop();
    this.#screen = this.#screenAudio = null;
  }

  /** @param {MediaStreamTrack | null} track */
  #takeScreenAudio(track) {
    this.#screenAudio = track;
    track?.addEventListener('ended', () => {
      if (this.#screenAudio !== track) return;
      this.#screenAudio = null;
      this.#changed();
    });
  }

  // Devices

  /** @param {(generation: number) => Promise<void>} work does nothing after a `close` */
  #enqueue(work) {
    const generation = this.#generation;
    this.#queue = this.#queue.then(() => generation === this.#generation ? work(generation) : undefined);
    return this.#queue;
  }

  /** @param {Kind} kind */
  #trackOf(kind) {
    return kind === 'video' ? this.#camera : this.#audio;
  }

  /** @param {number} generation */
  async #open(generation) {
    const audio = this.#wantsAudio && !this.#audio;
    const video = this.#wantsVideo && !this.#camera;
    if (!audio && !video) return;
    this.#opening = true;
    this.#problem = null;
    this.#changed();
    try {
      const problem = await this.#request(audio, video, generation);
      if (generation === this.#generation) this.#problem = problem;
    } finally {
      if (generation === this.#generation) {
        this.#opening = false;
        this.#changed();
      }
    }
  }

  /**
   * @param {boolean} audio
   * @param {boolean} video
   * @param {number} generation
   * @returns {Promise<DeviceProblem | null>}
   */
  async #request(audio, video, generation) {
    const devices = audio && video ? 'both' : audio ? 'audio' : 'video';
    const error = await this.#get(audio, video, generation);
    if (!error || generation !== this.#generation) return null;
    // One missing device fails the whole request, and asking again after a refusal would only annoy.
    if (devices !== 'both' || error.name === 'NotAllowedError' || error.name === 'InsecureContextError') return { devices, error };
    const noAudio = await this.#get(true, false, generation);
    const noVideo = await this.#get(false, true, generation);
    if (noAudio && noVideo) return { devices: 'both', error };
    if (noAudio) return { devices: 'audio', error: noAudio };
    return noVideo && { devices: 'video', error: noVideo };
  }

  /**
   * The open track of this kind gives way to one of what is chosen now.
   * @param {Kind} kind
   * @param {number} generation
   * @returns {Promise<boolean>}
   */
  async #replace(kind, generation) {
    const old = this.#trackOf(kind);
    if (!old) return false;
    this.#leaving = old;
    let error = await this.#get(kind === 'audio', kind === 'video', generation);
    if (error && BUSY.has(error.name) && generation === this.#generation) {
      old.stop();
      error = await this.#get(kind === 'audio', kind === 'video', generation);
    }
    this.#leaving = null;
    if (generation !== this.#generation) return false;
    if (error && old.readyState === 'ended' && this.#trackOf(kind) === old) this.#lost(old);
    if (error) this.#problem = { devices: kind, error };
    else this.#solved(kind);
    this.#changed();
    return !error;
  }

  /**
   * Brings the open track of this kind in line with what is chosen: in place where the browser can, else by opening the device anew.
   * @param {Kind} kind
   * @param {number} generation
   */
  async #adjust(kind, generation) {
    const track = this.#trackOf(kind);
    if (!track) return;
    const constraints = this.#constraints(kind);
    try {
      await track.applyConstraints(constraints);
    } catch {
      await this.#replace(kind, generation);
      return;
    }
    const settings = track.getSettings();
    // Some browsers agree and change nothing.
    const changed = kind === 'video' || PROCESSING.every((name) => settings[name] === undefined || settings[name] === constraints[name]);
    if (!changed && track === this.#trackOf(kind)) await this.#replace(kind, generation);
    else this.#changed();
  }

  /**
   * Like `#ask`, but what was chosen and is gone is left out.
   * @param {boolean} audio
   * @param {boolean} video
   * @param {number} generation
   * @returns {Promise<DeviceError | null>}
   */
  async #get(audio, video, generation) {
    const error = await this.#ask(audio, video, generation);
    if (!error || !GONE.has(error.name)) return error;
    await this.devices.refresh();
    if (generation !== this.#generation) return null;
    /** @type {Input[]} */
    const asked = [...(audio ? [/** @type {const} */ ('microphone')] : []), ...(video ? [/** @type {const} */ ('camera')] : [])];
    const gone = asked.filter((role) => this.#idOf(role) !== '' && !this.#isThere(role));
    if (gone.length === 0) return error;
    for (const role of gone) {
      this.#absent.add(role);
      this.emit('absent', { role });
    }
    return this.#ask(audio, video, generation);
  }

  /**
   * @param {boolean} audio
   * @param {boolean} video
   * @param {number} generation
   * @returns {Promise<DeviceError | null>}
   */
  async #ask(audio, video, generation) {
    // Browsers inside of apps often have none on secure pages either.
    if (!this.#source) return named(globalThis.isSecureContext ? 'UnsupportedError' : 'InsecureContextError');
    if (generation !== this.#generation) return null;
    try {
      const stream = await this.#source.getUserMedia({ audio: audio && this.#constraints('audio'), video: video && this.#constraints('video') });
      if (generation !== this.#generation) {
        stop(stream);
        return null;
      }
      for (const track of stream.getTracks()) this.#take(track);
    } catch (error) {
      return /** @type {DeviceError} */ (error);
    }
    void this.devices.refresh();
    return null;
  }

  /**
   * @param {Kind} kind
   * @returns {MediaTrackConstraints}
   */
  #constraints(kind) {
    if (kind === 'video') {
      const constraints = cameraConstraints(this.#low ? 'low' : this.quality, this.#idOf('camera'));
      return this.blur || this.canBlur ? { ...constraints, backgroundBlur: this.blur } : constraints;
    }
    const id = this.#idOf('microphone');
    const [echoCancellation, noiseSuppression, autoGainControl] = PROCESSING.map((name) => this.processing(name));
    return { echoCancellation, noiseSuppression, autoGainControl, ...(id !== '' && { deviceId: { exact: id } }) };
  }

  /**
   * @param {Input} role
   * @returns {string} of the device to ask for; '' for any
   */
  #idOf(role) {
    return this.#absent.has(role) ? '' : this.chosen(role);
  }

  /** @param {Role} role */
  #isThere(role) {
    return this.devices.of(role).some(({ id }) => id === this.chosen(role));
  }

  /** A device that was missed may be back: the next time, it is used again. */
  #findAbsent() {
    const back = [...this.#absent].filter((role) => this.#isThere(role));
    for (const role of back) this.#absent.delete(role);
    if (back.length > 0) this.#changed();
  }

  /** @param {MediaStreamTrack} track */
  #take(track) {
    if (track.kind === 'audio') {
      track.enabled = this.#wantsAudio;
      this.#audio?.stop();
      this.#audio = track;
    } else if (this.#wantsVideo) {
      this.#camera?.stop();
      this.#camera = track;
    } else {
      track.stop(); // switched off while the browser was asking
      return;
    }
    // "ended" comes for unplugging and revoking, not for our own stop().
    track.addEventListener('ended', () => track !== this.#leaving && this.#lost(track));
  }

  /** @param {MediaStreamTrack} track */
  #lost(track) {
    if (track === this.#audio) this.#audio = null;
    else if (track === this.#camera) this.#camera = null;
    else return;
    const devices = /** @type {Kind} */ (track.kind);
    if (devices === 'video') this.#wantsVideo = false;
    else this.#wantsAudio = false;
    this.#problem = { devices, error: named('DeviceLostError') };
    this.#changed();
  }

  /** @param {Kind} kind of the device that works now */
  #solved(kind) {
    if (this.#problem?.devices === kind) this.#problem = null;
    else if (this.#problem?.devices === 'both') this.#problem = { ...this.#problem, devices: kind === 'video' ? 'audio' : 'video' };
  }

  #changed() {
    this.emit('change', {});
  }
}

/**
 * Sound of the whole computer has the others' voices in it, and sends them back as an echo, unless the browser can leave out its own.
 * @param {MediaDevices} source
 * @param {ScreenContent} content
 * @returns {DisplayMediaStreamOptions}
 */
function screenOptions(source, content) {
  const supported = /** @type {{restrictOwnAudio?: boolean}} */ (source.getSupportedConstraints?.() ?? {});
  /** @type {MediaTrackConstraints & {restrictOwnAudio?: boolean}} music is no noise to be suppressed */
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  if (supported.restrictOwnAudio) audio.restrictOwnAudio = true;
  const options = {
    video: { frameRate: { max: SCREENS[content].frameRate } }, audio,
    systemAudio: supported.restrictOwnAudio ? 'include' : 'exclude', surfaceSwitching: 'include', selfBrowserSurface: 'exclude',
  };
  return options;
}

/**
 * @param {string} name
 * @returns {DeviceError}
 */
function named(name) {
  return { name };
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
