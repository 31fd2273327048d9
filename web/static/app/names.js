// @ts-check

const ADJECTIVES = ['amber', 'brave', 'calm', 'clever', 'cosy', 'eager', 'fair', 'gentle', 'golden', 'happy', 'jolly', 'keen', 'kind',
  'lively', 'lucky', 'mellow', 'merry', 'nimble', 'quiet', 'rosy', 'silver', 'spry', 'sunny', 'swift', 'tidy', 'warm', 'wild', 'witty'];
const COLOURS = ['azure', 'blue', 'bronze', 'coral', 'crimson', 'green', 'indigo', 'ivory', 'jade', 'lilac', 'olive', 'orange', 'pearl',
  'plum', 'purple', 'red', 'ruby', 'russet', 'saffron', 'scarlet', 'teal', 'violet', 'white', 'yellow'];
const NOUNS = ['badger', 'beaver', 'cedar', 'comet', 'cricket', 'dolphin', 'falcon', 'fern', 'finch', 'fox', 'garden', 'harbour', 'heron',
  'island', 'lantern', 'lark', 'maple', 'meadow', 'otter', 'owl', 'panda', 'pebble', 'river', 'robin', 'sparrow', 'tiger', 'walnut', 'willow'];

const VISIBLE = /[^\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;
const LOOSE_ENDS = /^[\s\u200c\u200d]+|[\s\u200c\u200d]+$/g;

/** Uniform, unlike a remainder of a random number. @param {number} below */
function randomIndex(below) {
  const limit = 2 ** 32 - (2 ** 32 % below);
  const value = new Uint32Array(1);
  do crypto.getRandomValues(value); while (value[0] >= limit);
  return value[0] % below;
}

/**
 * Three words and a number: easy to say on the phone, hard enough to guess for a room that is open while a call lasts.
 * @param {(below: number) => number} [pick] an index below its argument
 */
export function suggestRoom(pick = randomIndex) {
  const words = [ADJECTIVES, COLOURS, NOUNS].map((list) => list[pick(list.length)]);
  return `${words.join('-')}-${100 + pick(900)}`;
}

/**
 * Whether the server takes this as a room's name: 1 to 64 of `A-Z a-z 0-9 - _`.
 * @param {string} name
 */
export function isRoomName(name) {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name);
}

/**
 * What a person typed as a room's name, as the server takes it.
 * @param {string} typed
 * @returns {string} '' when nothing usable is left
 */
export function roomName(typed) {
  const trimmed = typed.trim();
  if (isRoomName(trimmed)) return trimmed;
  return typed.normalize('NFKD').replace(/[\s./]+/g, '-').replace(/[^A-Za-z0-9_-]/g, '').replace(/^-+|-+$/g, '').slice(0, 64);
}

/**
 * A person's name as the server takes it: printable, something to see, at most 64 characters. The joiners U+200C and U+200D are no letters,
 * but Persian names and many emoji are written with them; at the ends they join nothing.
 * @param {string} typed
 * @returns {string} '' when nothing is left
 */
export function memberName(typed) {
  const printable = typed.replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, '').replace(LOOSE_ENDS, '');
  const name = [...printable].slice(0, 64).join('').replace(LOOSE_ENDS, '');
  return VISIBLE.test(name) ? name : '';
}

/**
 * The room in the path of a call page, as it stands there; with a slash after it the server knows no such page.
 * @param {string} pathname
 * @returns {string} '' for other pages
 */
export function roomOfPath(pathname) {
  const match = /^\/r\/([^/]+)$/.exec(pathname);
  try {
    return match ? decodeURIComponent(match[1]) : '';
  } catch {
    return '';
  }
}

/**
 * The join token that an invitation has behind the `#`, where no server sees it.
 * @param {string} hash
 * @returns {string} '' where there is none
 */
export function tokenOfHash(hash) {
  return new URLSearchParams(hash.slice(1)).get('token') ?? '';
}

/** One or two letters for a picture that is not there. @param {string} name */
export function initials(name) {
  const words = name.trim().split(/[\s_-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words.slice(0, 1);
  return letters.map((word) => [...word][0]?.toUpperCase() ?? '').join('') || '?';
}

/** A hue that stays with the member. @param {string} id */
export function hueOf(id) {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return hash;
}
