// @ts-check
import { Emitter } from '../../sdk/maitred.js';

/** @typedef {import('../../sdk/maitred.js').Room} Room */
/**
 * What members of the page tell of themselves.
 * @typedef {object} MemberState
 * @property {boolean} [audio]
 * @property {boolean} [video]
 * @property {boolean} [screen] is being shared
 * @property {string} [screenStream] id of the stream that brings the screen and its sound; without one the screen comes in place of the camera
 * @property {boolean} [saver] sends little, to save data
 * @property {number} [hand] since when it is up, in milliseconds since 1970 by the own clock; 0 or absent while it is down
 */

const MAX_STREAM_ID = 256;

/**
 * What the others know of us: several parts of the page add to it.
 * @extends {Emitter<{change: {state: MemberState}}>}
 */
export class Presence extends Emitter {
  #room;
  /** @type {MemberState} */
  #state = {};
  #telling = false;

  /** @param {Pick<Room, 'update'>} room */
  constructor(room) {
    super();
    this.#room = room;
  }

  get state() {
    return this.#state;
  }

  /** @param {MemberState} part undefined takes a property away */
  set(part) {
    const entries = /** @type {[keyof MemberState, unknown][]} */ (Object.entries(part));
    if (entries.every(([key, value]) => this.#state[key] === value)) return;
    this.#state = { ...this.#state, ...part };
    this.#tell();
    this.emit('change', { state: this.#state });
  }

  /** At once for all that is said in one task, and before the offer of a track that it is about. */
  #tell() {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      this.#room.update(this.#state);
    });
  }
}

/**
 * What is told of the own devices.
 * @param {Pick<import('./media.js').LocalMedia, 'state' | 'quality'>} media
 * @returns {MemberState}
 */
export function describeMedia({ state, quality }) {
  return { audio: state.audio, video: state.video, saver: quality === 'saver' };
}

/**
 * What somebody else tells, without what makes no sense: any client may be in the room.
 * @param {unknown} said
 * @returns {MemberState}
 */
export function readState(said) {
  const given = /** @type {Record<string, unknown>} */ (typeof said === 'object' && said !== null ? said : {});
  /** @type {MemberState} */
  const state = {};
  for (const key of /** @type {const} */ (['audio', 'video', 'screen', 'saver'])) {
    const value = given[key];
    if (typeof value === 'boolean') state[key] = value;
  }
  const { hand, screenStream } = given;
  if (typeof hand === 'number' && Number.isFinite(hand) && hand > 0) state.hand = hand;
  if (typeof screenStream === 'string' && screenStream !== '' && screenStream.length <= MAX_STREAM_ID) state.screenStream = screenStream;
  return state;
}
