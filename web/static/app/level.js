// @ts-check

/**
 * Loudness of a microphone, for a meter. Browsers without Web Audio, or with a suspended context, give 0.
 */
export class LevelMeter {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #samples = new Float32Array(512);

  /** @param {MediaStreamTrack | null} track */
  listen(track) {
    if (track === this.#track) return;
    this.#source?.disconnect();
    this.#track = track;
    if (!track || typeof AudioContext !== 'function') return;
    this.#context ??= new AudioContext();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: 1024 });
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
    if (this.#context.state === 'suspended') this.#context.resume().catch(() => {});
  }

  /** @returns {number} 0 to 1 */
  read() {
    if (!this.#analyser || !this.#track?.enabled) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.min(1, Math.sqrt(sum / this.#samples.length) * 4);
  }

  close() {
    this.#source?.disconnect();
    this.#track = null;
    this.#context?.close().catch(() => {});
    this.#context = null;
  }
}
