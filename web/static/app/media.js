// @ts-check
import { Emitter } from '../sdk/maitred.js';

/** @typedef {import('../sdk/maitred.js').Kind} Kind */
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
    this.#queue = this.#queue.then(() => this.#open());
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

  /** Rejects with what getDisplayMedia rejected with. */
  async startScreen() {
    if (!this.#devices || !this.canShareScreen) throw named('UnsupportedError');
    const stream = await this.#devices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
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

  close() {
    for (const track of [this.#audio, this.#camera, this.#screen]) track?.stop();
    this.#audio = this.#camera = this.#screen = null;
    this.#changed();
  }

  async #open() {
    const audio = this.#wantsAudio && !this.#audio;
    const video = this.#wantsVideo && !this.#camera;
    if (!audio && !video) return;
    this.#opening = true;
    this.#problem = null;
    this.#changed();
    try {
      await this.#request(audio, video);
    } finally {
      this.#opening = false;
      this.#changed();
    }
  }

  /**
   * @param {boolean} audio
   * @param {boolean} video
   */
  async #request(audio, video) {
    const devices = audio && video ? 'both' : audio ? 'audio' : 'video';
    const error = await this.#get(audio, video);
    if (!error) return;
    // One missing device fails the whole request, and asking again after a refusal would only annoy.
    if (devices !== 'both' || error.name === 'NotAllowedError' || error.name === 'InsecureContextError') {
      this.#problem = { devices, error };
      return;
    }
    const [noAudio, noVideo] = [await this.#get(true, false), await this.#get(false, true)];
    if (noAudio && noVideo) this.#problem = { devices: 'both', error };
    else if (noAudio) this.#problem = { devices: 'audio', error: noAudio };
    else if (noVideo) this.#problem = { devices: 'video', error: noVideo };
  }

  /**
   * @param {boolean} audio
   * @param {boolean} video
   * @returns {Promise<DeviceError | null>}
   */
  async #get(audio, video) {
    if (!this.#devices) return named('InsecureContextError');
    try {
      const stream = await this.#devices.getUserMedia({ audio: audio && AUDIO, video: video && VIDEO[this.#quality] });
      for (const track of stream.getTracks()) this.#take(track);
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
