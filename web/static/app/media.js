// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('../../sdk/maitred.js').Kind} Kind */
/** @typedef {{name: string, message?: string}} DeviceError */
/** @typedef {{devices: 'both' | 'audio' | 'video', error: DeviceError}} DeviceProblem */
/** @typedef {'high' | 'low'} Quality */

/** @type {Record<Quality, MediaTrackConstraints>} */
const VIDEO = {
  high: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 }, facingMode: 'user' },
  low: { width: { ideal: 320 }, height: { ideal: 240 }, frameRate: { ideal: 10, max: 15 } },
};
/** @type {MediaTrackConstraints} */
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * The own microphone, camera and screen. A muted microphone stays open, silent, so that unmuting is instant; a camera that is
 * off is closed, so that its light goes out.
 * @extends {Emitter<{change: {}}>}
 */
export class LocalMedia extends Emitter {
  #devices;
  #quality;
  /** @type {MediaStreamTrack | null} */
  #audio = null;
  /** @type {MediaStreamTrack | null} */
  #camera = null;
  /** @type {MediaStreamTrack | null} */
  #screen = null;
  /** What the person wants; what there is may be less. */
  #wantsAudio = true;
  #wantsVideo = true;
  #opening = false;
  /** @type {DeviceProblem | null} */
  #problem = null;
  /** Counts the times of `close`: what was asked for before one and is answered after it belongs to nobody. */
  #generation = 0;
  /** Serialises requests: browsers answer overlapping ones in any order. */
  #queue = Promise.resolve();

  /**
   * @param {MediaDevices | undefined} devices undefined in an insecure context
   * @param {Quality} [quality]
   */
  constructor(devices, quality = 'high') {
    super();
    this.#devices = devices;
    this.#quality = quality;
  }

  /** The microphone's track, also while muted. */
  get audioTrack() {
    return this.#audio;
  }

  /** What the others see: the screen while it is shared, else the camera. */
  get videoTrack() {
    return this.#screen ?? this.#camera;
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
    return typeof this.#devices?.getDisplayMedia === 'function';
  }

  /** Opens what is wanted and not open yet. Never rejects: what fails is in `problem`. */
  open() {
    const generation = this.#generation;
    this.#queue = this.#queue.then(() => this.#open(generation));
    return this.#queue;
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

  /** Rejects with what getDisplayMedia rejected with; a screen chosen after `close` is let go at once. */
  async startScreen() {
    if (!this.#devices || !this.canShareScreen) throw named('UnsupportedError');
    const generation = this.#generation;
    const stream = await this.#devices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
    if (generation !== this.#generation) {
      stop(stream);
      return;
    }
    const [track] = stream.getVideoTracks();
    track.contentHint = 'detail';
    track.addEventListener('ended', () => this.stopScreen());
    this.#screen?.stop();
    this.#screen = track;
    this.#changed();
  }

  stopScreen() {
    if (!this.#screen) return;
    this.#screen.stop();
    this.#screen = null;
    this.#changed();
  }

  /** Lets go of everything, also of what the browser is still asking about. A later `open` starts anew. */
  close() {
    this.#generation++;
    this.#opening = false;
    this.#problem = null;
    for (const track of [this.#audio, this.#camera, this.#screen]) track?.stop();
    this.#audio = this.#camera = this.#screen = null;
    this.#changed();
  }

  /** @param {number} generation */
  async #open(generation) {
    if (generation !== this.#generation) return;
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
   * @param {boolean} audio
   * @param {boolean} video
   * @param {number} generation
   * @returns {Promise<DeviceError | null>}
   */
  async #get(audio, video, generation) {
    if (!this.#devices) return named('InsecureContextError');
    if (generation !== this.#generation) return null;
    try {
      const stream = await this.#devices.getUserMedia({ audio: audio && AUDIO, video: video && VIDEO[this.#quality] });
      if (generation === this.#generation) for (const track of stream.getTracks()) this.#take(track);
      else stop(stream);
      return null;
    } catch (error) {
      return /** @type {DeviceError} */ (error);
    }
  }

  /** @param {MediaStreamTrack} track */
  #take(track) {
    if (track.kind === 'audio') {
      track.enabled = this.#wantsAudio;
      this.#audio = track;
    } else if (this.#wantsVideo) {
      this.#camera = track;
    } else {
      track.stop(); // switched off while the browser was asking
      return;
    }
    // "ended" comes for unplugging and revoking, not for our own stop().
    track.addEventListener('ended', () => this.#lost(track));
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

  #changed() {
    this.emit('change', {});
  }
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
