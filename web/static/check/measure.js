// @ts-check

/**
 * @param {number[]} values
 * @param {number} share 0.5 is the median
 * @returns {number} the smallest value that so large a share of them does not exceed; NaN of none
 */
export function percentile(values, share) {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** The interarrival jitter of RFC 3550 section 6.4.1: a running mean of how much the transit time changes, in ms. */
export class Jitter {
  /** @type {number | null} */
  #transit = null;
  value = 0;

  /** @param {number} transit in ms, of one packet */
  add(transit) {
    if (this.#transit !== null) this.value += (Math.abs(transit - this.#transit) - this.value) / 16;
    this.#transit = transit;
  }
}

/**
 * @param {number} bytes
 * @param {number} ms
 * @returns {number} Mbit/s
 */
export function megabits(bytes, ms) {
  return ms > 0 ? (bytes * 8) / (ms * 1000) : 0;
}
