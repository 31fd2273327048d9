// @ts-check

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {{burst: number, rate: number}} Limit so many at once, and so many a second */

/** So many at once, refilled at a steady rate. */
export class Bucket {
  #clock;
  #limit;
  #tokens;
  #at;

  /**
   * @param {Clock} clock
   * @param {Limit} limit
   */
  constructor(clock, limit) {
    this.#clock = clock;
    this.#limit = limit;
    this.#tokens = limit.burst;
    this.#at = clock.now();
  }

  /** Nothing was taken for a while. */
  get full() {
    this.#refill();
    return this.#tokens === this.#limit.burst;
  }

  /** @returns {boolean} whether there was one left */
  take() {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #refill() {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#limit.burst, this.#tokens + Math.max(0, now - this.#at) * this.#limit.rate / 1_000);
    this.#at = now;
  }
}

/** A bucket for each member, by id; whoever leaves is to be deleted. */
export class Buckets {
  #clock;
  #limit;
  /** @type {Map<string, Bucket>} */
  #all = new Map();

  /**
   * @param {Clock} clock
   * @param {Limit} limit
   */
  constructor(clock, limit) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** @param {string} id */
  of(id) {
    const bucket = this.#all.get(id) ?? new Bucket(this.#clock, this.#limit);
    this.#all.set(id, bucket);
    return bucket;
  }

  /** @param {string} id */
  delete(id) {
    this.#all.delete(id);
  }
}
