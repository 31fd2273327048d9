// @ts-check

/** @typedef {{left: number, top: number, width: number, height: number}} Box in pixels */

const GAP = 10;
/** Pictures may be cropped into anything between these, width by height; upright only where the screen is. */
const WIDEST = 16 / 9;
const TALLEST = 6 / 5;
const TALLEST_UPRIGHT = 3 / 4;
const STRIP_SHARE = 0.22;
const STRIP_LIMIT = 240;

/**
 * Places tiles: as large as possible in a grid, or a strip of small ones beside a large one.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @param {number} stage index of the tile to show large, -1 for none
 * @returns {Box[]}
 */
export function placeTiles(count, width, height, stage = -1) {
  if (count === 0 || width <= 0 || height <= 0) return [];
  const tallest = width >= height ? TALLEST : TALLEST_UPRIGHT;
  if (stage < 0 || stage >= count || count === 1) return grid(count, { left: 0, top: 0, width, height }, tallest);
  const [main, strip] = split(width, height);
  const boxes = grid(count - 1, strip, TALLEST);
  boxes.splice(stage, 0, main);
  return boxes;
}

/**
 * @param {number} count
 * @param {Box} area
 * @param {number} tallest
 * @returns {Box[]}
 */
function grid(count, area, tallest) {
  let best = { size: -1, columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const tile = fit((area.width - GAP * (columns - 1)) / columns, (area.height - GAP * (rows - 1)) / rows, tallest);
    const size = tile.width * tile.height;
    if (size > best.size) best = { size, columns, ...tile };
  }
  const rows = Math.ceil(count / best.columns);
  const top = area.top + (area.height - rows * best.height - GAP * (rows - 1)) / 2;
  return Array.from({ length: count }, (_, index) => {
    const line = Math.floor(index / best.columns);
    const inLine = Math.min(best.columns, count - line * best.columns);
    const left = area.left + (area.width - inLine * best.width - GAP * (inLine - 1)) / 2;
    return box(left + (index % best.columns) * (best.width + GAP), top + line * (best.height + GAP), best.width, best.height);
  });
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
 * @param {number} width
 * @param {number} height
 * @returns {[Box, Box]} the stage, the strip
 */
function split(width, height) {
  if (width >= height) {
    const strip = Math.min(STRIP_LIMIT, width * STRIP_SHARE);
    return [box(0, 0, width - strip - GAP, height), box(width - strip, 0, strip, height)];
  }
  const strip = Math.min(STRIP_LIMIT, height * STRIP_SHARE);
  return [box(0, 0, width, height - strip - GAP), box(0, height - strip, width, strip)];
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
