// @ts-check

/** @typedef {{left: number, top: number, width: number, height: number}} Box in pixels */
/**
 * @typedef {object} Wishes
 * @property {number} [ratio] width by height of a large picture that must not be cropped; 0 for one that may be
 * @property {boolean} [upright] the picture of the large or only tile is, so that this may be as upright as there is room
 * @property {number} [smallest] width under which no tile goes: the rest lies beyond the right or the lower edge, to scroll to; 0 for any
 */

const GAP = 10;
/** Pictures may be cropped into anything between these, width by height; upright only where the screen is. */
const WIDEST = 16 / 9;
const TALLEST = 11 / 10;
const TALLEST_UPRIGHT = 3 / 4;
const STRIP_SHARE = 0.22;
const STRIP_LIMIT = 240;
/** Of tiles that one scrolls to. */
const SCROLLED = 4 / 3;
const SCROLLED_UPRIGHT = 1;
/** So much of the next tile is to be seen, or nobody would scroll. */
const PEEK = 0.45;

/**
 * Places tiles: as large as possible in a grid, or small ones beside a large one.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @param {number} stage index of the tile to show large, -1 for none
 * @param {Wishes} [wishes]
 * @returns {Box[]}
 */
export function placeTiles(count, width, height, stage = -1, { ratio = 0, upright = false, smallest = 0 } = {}) {
  if (count === 0 || width <= 0 || height <= 0) return [];
  const area = { left: 0, top: 0, width, height };
  const tallest = width >= height ? TALLEST : upright && count === 1 ? 0.1 : TALLEST_UPRIGHT;
  if (stage < 0 || stage >= count) return grid(count, area, tallest, smallest);
  if (count === 1) return [ratio ? contained(area, ratio) : grid(1, area, tallest, 0)[0]];
  const [main, strip] = split(width, height, ratio, upright ? height : width / TALLEST_UPRIGHT);
  const boxes = grid(count - 1, strip, TALLEST, smallest, width < height ? 'row' : 'column');
  boxes.splice(stage, 0, main);
  return boxes;
}

/**
 * @param {number} count
 * @param {Box} area
 * @param {number} tallest
 * @param {number} smallest
 * @param {'rows' | 'row' | 'column'} [scrolled] what becomes of tiles that would be too small
 * @returns {Box[]}
 */
function grid(count, area, tallest, smallest, scrolled = 'rows') {
  /** @type {Plan | null} */
  let best = null;
  for (let columns = 1; columns <= count; columns++) {
    const plan = planGrid(count, columns, area, tallest);
    if (!best || plan.covered > best.covered) best = plan;
  }
  if (!best) return [];
  if (best.width < smallest || best.height < smallest * 0.7) return scrolledGrid(count, area, smallest, scrolled);
  const { columns, rows, width, height, lastWidth } = best;
  const top = area.top + (area.height - rows * height - GAP * (rows - 1)) / 2;
  return Array.from({ length: count }, (_, index) => {
    const line = Math.floor(index / columns);
    const inLine = Math.min(columns, count - line * columns);
    const own = line === rows - 1 ? lastWidth : width;
    const left = area.left + (area.width - inLine * own - GAP * (inLine - 1)) / 2;
    return box(left + (index % columns) * (own + GAP), top + line * (height + GAP), own, height);
  });
}

/** @typedef {{columns: number, rows: number, width: number, height: number, lastWidth: number, covered: number}} Plan */

/**
 * All tiles are of one size, but for those of a last row that has fewer: they fill it if that crops nothing too much.
 * @param {number} count
 * @param {number} columns
 * @param {Box} area
 * @param {number} tallest
 * @returns {Plan}
 */
function planGrid(count, columns, area, tallest) {
  const rows = Math.ceil(count / columns);
  const { width, height } = fit((area.width - GAP * (columns - 1)) / columns, (area.height - GAP * (rows - 1)) / rows, tallest);
  const inLast = count - columns * (rows - 1);
  const line = columns * width + GAP * (columns - 1);
  const filling = (line - GAP * (inLast - 1)) / inLast;
  const lastWidth = filling <= height * WIDEST ? filling : width;
  return { columns, rows, width, height, lastWidth, covered: ((count - inLast) * width + inLast * lastWidth) * height };
}

/**
 * Larger than the area, from its left and upper edge.
 * @param {number} count
 * @param {Box} area
 * @param {number} smallest
 * @param {'rows' | 'row' | 'column'} direction
 * @returns {Box[]}
 */
function scrolledGrid(count, area, smallest, direction) {
  if (direction === 'row') {
    const width = peeking(area.height * SCROLLED_UPRIGHT, area.width);
    return Array.from({ length: count }, (_, index) => box(area.left + index * (width + GAP), area.top, width, area.height));
  }
  const most = Math.max(1, Math.floor((area.width + GAP) / (smallest + GAP)));
  // In a strip two columns are for those who would scroll far.
  const far = count * (area.width / SCROLLED + GAP) > 2 * area.height;
  const columns = direction === 'rows' ? most : Math.min(most, far ? 2 : 1);
  const width = (area.width - GAP * (columns - 1)) / columns;
  const height = peeking(width / SCROLLED, area.height);
  return Array.from({ length: count }, (_, index) => (
    box(area.left + (index % columns) * (width + GAP), area.top + Math.floor(index / columns) * (height + GAP), width, height)));
}

/**
 * @param {number} size of a tile in the direction that is scrolled
 * @param {number} room
 * @returns {number} the size, or a little less so that the edge cuts a tile
 */
function peeking(size, room) {
  const seen = room / (size + GAP);
  const whole = Math.round(seen);
  return whole > 0 && Math.abs(seen - whole) < PEEK / 2 ? (room - whole * GAP) / (whole + PEEK) : size;
}

/**
 * @param {number} width
 * @param {number} height
 * @param {number} tallest
 */
function fit(width, height, tallest) {
  const w = Math.max(0, Math.min(width, height * WIDEST));
  return { width: w, height: Math.max(0, Math.min(height, w / tallest)) };
}

/**
 * The small tiles get what the large one cannot use.
 * @param {number} width
 * @param {number} height
 * @param {number} ratio
 * @param {number} tall the stage may be, where it has the strip below
 * @returns {[Box, Box]} the stage, the strip
 */
function split(width, height, ratio, tall) {
  if (width >= height) {
    const room = width - Math.min(STRIP_LIMIT, width * STRIP_SHARE) - GAP;
    const main = ratio ? contained({ left: 0, top: 0, width: room, height }, ratio) : box(0, 0, room, height);
    return [{ ...main, left: 0 }, box(main.width + GAP, 0, width - main.width - GAP, height)];
  }
  const room = height - Math.min(STRIP_LIMIT, height * STRIP_SHARE) - GAP;
  const main = ratio ? contained({ left: 0, top: 0, width, height: room }, ratio) : box(0, 0, width, Math.min(room, tall));
  return [{ ...main, top: 0 }, box(0, main.height + GAP, width, height - main.height - GAP)];
}

/**
 * The largest box of a ratio, in the middle of an area.
 * @param {Box} area
 * @param {number} ratio
 */
function contained(area, ratio) {
  const width = Math.min(area.width, area.height * ratio);
  const height = width / ratio;
  return box(area.left + (area.width - width) / 2, area.top + (area.height - height) / 2, width, height);
}

/**
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
function box(left, top, width, height) {
  return { left: Math.round(left), top: Math.round(top), width: Math.floor(width), height: Math.floor(height) };
}
