// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { piecesOf } from './filewire.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('./filewire.js').Reason} Reason */
/** @typedef {import('./filewire.js').Saying} Saying */
/**
 * `offered` until the receiver has decided, `waiting` for its turn or until a pause is over, `running`, and then `done` or `ended` for good.
 * @typedef {'offered' | 'waiting' | 'running' | 'done' | 'ended'} Status
 */
/**
 * @typedef {object} TransferOptions
 * @property {number} id the sender's number for it
 * @property {Pick<Member, 'id' | 'name'>} member at the other end
 * @property {string} name of the file
 * @property {number} size bytes
 * @property {(saying: Saying) => void} say tells the other end, if there is a connection
 * @property {Clock} clock
 */

/** The speed is that of the last so many milliseconds. */
const SPEED_SPAN = 8_000;
const SPEED_STEP = 500;

/** How fast something grows. */
export class Speed {
  #clock;
  /** @type {{at: number, moved: number}[]} */
  #samples = [];

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** @param {number} moved in all */
  add(moved) {
    const at = this.#clock.now();
    const last = this.#samples.at(-1);
    if (last && at - last.at < SPEED_STEP) return;
    this.#samples.push({ at, moved });
    while (at - this.#samples[0].at > SPEED_SPAN) this.#samples.shift();
  }

  /** Begins anew, as after a pause. */
  reset() {
    this.#samples = [];
  }

  /** Bytes per second; 0 while it is too early to say. */
  get value() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    return first && last && last.at > first.at ? ((last.moved - first.moved) * 1_000) / (last.at - first.at) : 0;
  }
}

/**
 * One file on its way between two pages; the same at both ends but for who does what.
 * @extends {Emitter<{change: {}}>}
 */
export class Transfer extends Emitter {
  #say;
  #speed;
  /** @type {Status} */
  status = 'offered';
  /** Bytes that the receiver has checked and stored. */
  moved = 0;
  ownPause = false;
  otherPause = false;
  /** Why it has ended. @type {Reason | ''} */
  reason = '';
  /** It was the other end that ended it. */
  endedByOther = false;
  id;
  member;
  name;
  size;

  /** @param {TransferOptions} options */
  constructor({ id, member, name, size, say, clock }) {
    super();
    this.id = id;
    this.member = member;
    this.name = name;
    this.size = size;
    this.#say = say;
    this.#speed = new Speed(clock);
  }

  get pieces() {
    return piecesOf(this.size);
  }

  get paused() {
    return this.ownPause || this.otherPause;
  }

  get finished() {
    return this.status === 'done' || this.status === 'ended';
  }

  /** Bytes per second; 0 for unknown. */
  get speed() {
    return this.#speed.value;
  }

  /** Seconds until all is there; Infinity for unknown. */
  get left() {
    return (this.size - this.moved) / this.speed;
  }

  pause() {
    this.#setOwnPause(true);
  }

  resume() {
    this.#setOwnPause(false);
  }

  cancel() {
    this.end('cancelled');
  }

  /**
   * It will not be complete.
   * @param {Reason} reason
   * @param {{told?: boolean, byOther?: boolean}} [how] told: the other end knows, or cannot be told
   */
  end(reason, { told = false, byOther = false } = {}) {
    if (this.finished) return;
    this.reason = reason;
    this.endedByOther = byOther;
    if (!told) this.say({ type: 'cancel', reason });
    this.setStatus('ended');
  }

  /** @param {Saying} saying */
  say(saying) {
    this.#say(saying);
  }

  /** @param {number} moved */
  setMoved(moved) {
    this.moved = Math.min(moved, this.size);
    this.#speed.add(this.moved);
    this.emit('change', {});
  }

  /** @param {Status} status */
  setStatus(status) {
    if (status !== this.status) this.#speed.reset();
    this.status = status;
    this.emit('change', {});
  }

  /** @param {boolean} paused */
  setOtherPause(paused) {
    if (paused === this.otherPause || this.finished) return;
    this.otherPause = paused;
    this.pauseChanged();
  }

  /** @param {boolean} paused */
  #setOwnPause(paused) {
    if (paused === this.ownPause || this.finished) return;
    this.ownPause = paused;
    this.say({ type: 'pause', paused });
    this.pauseChanged();
  }

  /** What a pause and its end mean here. */
  pauseChanged() {
    if (this.paused && this.status === 'running') this.setStatus('waiting');
    else this.emit('change', {});
  }
}
