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
    // Where the browser wants a click first there is no level until then.
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

  /** Lets go of the audio context; `listen` may make another one. */
  close() {
    this.#source?.disconnect();
    this.#context?.close().catch(() => {}); // fails where it is closed
    this.#source = this.#analyser = this.#context = this.#track = null;
  }
}

/** Two notes, one after the other: frequency in Hz, start and end in seconds. */
const NOTES = [[523, 0, 0.35], [784, 0.3, 0.8]];

/** A computer without any sound device plays for ever and never ends. */
const TONE_LIMIT = 4_000;

/**
 * Plays a short sound on a speaker, to find out whether one hears it. Rejects where nothing is played.
 * @param {(element: HTMLAudioElement) => Promise<boolean>} place has the element play on the speaker
 * @returns {Promise<boolean>} what `place` gave
 */
export async function playTone(place) {
  const context = new AudioContext();
  let timer = 0;
  const late = new Promise((_, reject) => {
    timer = window.setTimeout(() => reject(new Error('no sound came out in time')), TONE_LIMIT);
  });
  try {
    return await Promise.race([playNotes(context, place), late]);
  } finally {
    clearTimeout(timer);
    await context.close();
  }
}

/**
 * @param {AudioContext} context
 * @param {(element: HTMLAudioElement) => Promise<boolean>} place
 */
async function playNotes(context, place) {
  const output = new MediaStreamAudioDestinationNode(context);
  const element = new Audio();
  element.srcObject = output.stream;
  const placed = await place(element);
  if (context.state === 'suspended') await context.resume();
  await element.play();
  const begin = context.currentTime + 0.05;
  await Promise.all(NOTES.map(([frequency, from, to]) => playNote(context, output, { frequency, from: begin + from, to: begin + to })));
  element.srcObject = null;
  return placed;
}

/**
 * @param {AudioContext} context
 * @param {AudioNode} output
 * @param {{frequency: number, from: number, to: number}} note in Hz, and in seconds of the context
 * @returns {Promise<void>} when it is over
 */
function playNote(context, output, { frequency, from, to }) {
  const note = new OscillatorNode(context, { frequency });
  const volume = new GainNode(context, { gain: 0 });
  // Soft at both ends, or it would click.
  volume.gain.setValueAtTime(0, from);
  volume.gain.linearRampToValueAtTime(0.25, from + 0.03);
  volume.gain.linearRampToValueAtTime(0, to);
  note.connect(volume);
  volume.connect(output);
  note.start(from);
  note.stop(to);
  return new Promise((resolve) => note.addEventListener('ended', () => resolve()));
}
