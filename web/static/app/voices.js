// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { text } from './i18n.js';
import { LevelMeter } from './level.js';
import { SPEAKING_LEVEL } from './stage.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('./context.js').CallContext} CallContext */

const INTERVAL = 250;
/** The own meter is more sensitive than what browsers tell of the others. */
const OWN_LEVEL = 0.12;
/** So many times in a row somebody talks who is muted. */
const TALKING = 4;
const HINT_PAUSE = 60_000;

/** Whether to tell somebody that they talk while they are muted: at most once a minute, and not for a cough. */
export class MutedTalk {
  #clock;
  #times = 0;
  #told = -Infinity;

  /** @param {Pick<Clock, 'now'>} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * @param {boolean} muted
   * @param {boolean} loud
   * @returns {boolean} whether to tell now
   */
  hear(muted, loud) {
    this.#times = muted && loud ? this.#times + 1 : 0;
    const now = this.#clock.now();
    if (this.#times < TALKING || now - this.#told < HINT_PAUSE) return false;
    this.#told = now;
    return true;
  }
}

/**
 * Hears who speaks.
 * @extends {Emitter<{levels: {levels: Map<string, number>}}>}
 */
export class Voices extends Emitter {
  #context;
  #meter = new LevelMeter();
  #mutedTalk;
  /** A copy that is heard while the microphone is muted: nobody else gets it. @type {MediaStreamTrack | null} */
  #ear = null;
  /** @type {MediaStreamTrack | null} */
  #copied = null;
  #undo;
  #timer;

  /**
   * @param {Pick<CallContext, 'room' | 'grid' | 'media' | 'toasts'>} context
   * @param {Pick<Clock, 'now'>} clock
   */
  constructor(context, clock) {
    super();
    this.#context = context;
    this.#mutedTalk = new MutedTalk(clock);
    this.#undo = context.media.on('change', () => this.#listen());
    this.#timer = setInterval(() => this.#measure(), INTERVAL);
    this.#listen();
  }

  close() {
    clearInterval(this.#timer);
    this.#undo();
    this.#meter.close();
    this.#ear?.stop();
  }

  #listen() {
    const { audioTrack } = this.#context.media;
    if (audioTrack === this.#copied) return;
    this.#ear?.stop();
    this.#copied = audioTrack;
    this.#ear = audioTrack?.clone() ?? null;
    if (this.#ear) this.#ear.enabled = true;
    this.#meter.listen(this.#ear);
  }

  #measure() {
    const { room, grid, media, toasts } = this.#context;
    /** @type {Map<string, number>} */
    const levels = new Map();
    for (const [id, { connection }] of room.peers) {
      const tile = grid.tiles.get(id);
      if (!tile) continue;
      // Not that of a film which is shared.
      const receivers = connection.getReceivers().filter(({ track }) => track.kind === 'audio' && tile.tracks.includes(track));
      const level = Math.max(0, ...receivers.map((it) => it.getSynchronizationSources()[0]?.audioLevel ?? 0));
      levels.set(id, level);
      tile.setSpeaking(level > SPEAKING_LEVEL);
    }
    const loud = this.#meter.read() > OWN_LEVEL;
    const muted = !media.state.audio;
    grid.tiles.get('self')?.setSpeaking(loud && !muted);
    if (this.#mutedTalk.hear(muted && media.audioTrack !== null, loud)) toasts.show(text('stage.talkingMuted'));
    this.emit('levels', { levels });
  }
}
