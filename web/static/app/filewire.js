// @ts-check
// What two pages say to each other over the data channel `files`: JSON texts, and frames of bytes. See docs/files.md.

/** Bytes of a file that are hashed, acknowledged and asked for as one; the last piece has what is left. */
export const PIECE = 1 << 20;
/** Pieces that may be under way before the receiver has stored the first of them. */
export const WINDOW = 4;
/** Bytes of the largest file. */
export const MAX_SIZE = 16e9;
/** UTF-16 units of a file's name. */
export const MAX_NAME = 255;
/** Bytes of a SHA-256. */
export const HASH = 32;
/** How often the receiver may ask for pieces in one transfer: each pause and each lost connection costs one. */
export const MAX_ROUNDS = 1_000;

/** Bytes before those of the file in a frame. */
export const HEADER = 16;
/** UTF-16 units of a text. */
const MAX_TEXT = 4_096;
/** Numbers on the wire are unsigned and have 32 bits. */
const MAX_NUMBER = 0xffff_ffff;

/**
 * Why a transfer has ended without the file.
 * @typedef {'declined' | 'cancelled' | 'unreadable' | 'space' | 'storage' | 'damaged' | 'busy' | 'unsupported' | 'bad' | 'unknown' | 'gone' | 'lost'} Reason
 */
/** Those that are told to the other end. @type {ReadonlySet<string>} */
const REASONS = new Set(['declined', 'cancelled', 'unreadable', 'space', 'storage', 'damaged', 'busy', 'unsupported', 'bad', 'unknown']);

/**
 * @typedef {(
 *   | {type: 'offer', name: string, size: number, paused: boolean}
 *   | {type: 'piece', round: number, piece: number, hash: string}
 *   | {type: 'end', round: number, hash: string}
 *   | {type: 'want', round: number, from: number}
 *   | {type: 'got', pieces: number}
 *   | {type: 'done'}
 *   | {type: 'pause', paused: boolean}
 *   | {type: 'cancel', reason: Reason}
 * )} Saying what is said of one transfer
 */
/** @typedef {'sender' | 'receiver'} Role */
/** @typedef {Saying & {as: Role, id: number}} Message */
/** @typedef {{id: number, round: number, piece: number, offset: number, bytes: Uint8Array}} Frame */

/** @type {Record<Role, ReadonlySet<string>>} */
const TYPES = {
  sender: new Set(['offer', 'piece', 'end', 'pause', 'cancel']),
  receiver: new Set(['want', 'got', 'done', 'pause', 'cancel']),
};

/** @param {unknown} value @param {number} [min] @param {number} [max] */
function isNumber(value, min = 0, max = MAX_NUMBER) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= min && /** @type {number} */ (value) <= max;
}

/** @param {unknown} value */
function isHash(value) {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** What each type must have. @type {Record<Saying['type'], (it: any) => boolean>} */
const CHECKS = {
  offer: (it) => typeof it.name === 'string' && it.name.length <= MAX_NAME && isNumber(it.size, 0, MAX_SIZE) && typeof it.paused === 'boolean',
  piece: (it) => isNumber(it.round, 1) && isNumber(it.piece) && isHash(it.hash),
  end: (it) => isNumber(it.round, 1) && isHash(it.hash),
  want: (it) => isNumber(it.round, 1, MAX_ROUNDS) && isNumber(it.from),
  got: (it) => isNumber(it.pieces),
  done: () => true,
  pause: (it) => typeof it.paused === 'boolean',
  cancel: (it) => typeof it.reason === 'string',
};

/**
 * @param {string} data as it came
 * @returns {Message | null} null for what is none
 */
export function parseMessage(data) {
  if (data.length > MAX_TEXT) return null;
  let it;
  try {
    it = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof it !== 'object' || it === null || !Object.hasOwn(TYPES, it.as) || !TYPES[/** @type {Role} */ (it.as)].has(it.type)) return null;
  if (!isNumber(it.id, 1) || !CHECKS[/** @type {Saying['type']} */ (it.type)](it)) return null;
  // A newer page may know more of them.
  if (it.type === 'cancel' && !REASONS.has(it.reason)) it.reason = 'cancelled';
  return it;
}

/**
 * @param {ArrayBuffer} data as it came
 * @returns {Frame | null} null for what is none
 */
export function parseFrame(data) {
  if (data.byteLength <= HEADER) return null;
  const view = new DataView(data);
  return {
    id: view.getUint32(0), round: view.getUint32(4), piece: view.getUint32(8), offset: view.getUint32(12), bytes: new Uint8Array(data, HEADER),
  };
}

/**
 * @param {Frame} frame
 * @param {Uint8Array<ArrayBuffer>} [space] where it is written, from the start
 */
export function writeFrame({ id, round, piece, offset, bytes }, space = new Uint8Array(HEADER + bytes.length)) {
  const frame = space.subarray(0, HEADER + bytes.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, id);
  view.setUint32(4, round);
  view.setUint32(8, piece);
  view.setUint32(12, offset);
  frame.set(bytes, HEADER);
  return frame;
}

/**
 * Bytes of the file in one frame, so that it is a message of 64 KiB or what the other end takes.
 * @param {number | undefined} maxMessageSize of the connection's SCTP transport; 0 and Infinity are no limit
 */
export function frameSize(maxMessageSize) {
  return Math.max(1, Math.min(maxMessageSize || Infinity, 1 << 16) - HEADER);
}

/** @param {number} size of a file */
export function piecesOf(size) {
  return Math.ceil(size / PIECE);
}

/**
 * Bytes of one piece.
 * @param {number} size of the file
 * @param {number} piece
 */
export function pieceLength(size, piece) {
  return Math.min(PIECE, size - piece * PIECE);
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** @param {Uint8Array} bytes */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * A file name that is safe to show and to save under, whatever a peer has called it.
 * @param {string} name
 */
export function cleanName(name) {
  const plain = (name.split(/[\\/]/).at(-1) ?? '')
    // Control and format characters, some of which turn the direction of writing around, and halves of characters.
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '')
    // Many blanks in a row put the extension out of sight, and some letters look like blanks.
    .replace(/[\s\u115f\u1160\u2800\u3164\uffa0]+/g, ' ')
    .replace(/[<>:"|?*]/g, '_')
    .replace(/^[\s.]+|[\s.]+$/g, '');
  const [, stem, extension] = /** @type {RegExpExecArray} */ (/^(.*?)(\.[^.]{1,20})?$/su.exec(plain));
  const short = [...stem].slice(0, 120).join('');
  // Windows keeps these for devices, whatever their extension.
  const reserved = /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(short.split('.')[0]);
  return `${reserved ? '_' : ''}${short}${extension ?? ''}` || 'file';
}
