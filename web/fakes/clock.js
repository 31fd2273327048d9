// @ts-check

/** A clock that moves only when it is told to. */
export class FakeClock {
  #now = 1_000_000;
  /** @type {{due: number, run: () => void}[]} */
  #timers = [];

  now = () => this.#now;

  /**
   * @param {number} ms
   * @param {() => void} run
   */
  after = (ms, run) => {
    const timer = { due: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((it) => it !== timer);
    };
  };

  /** Milliseconds until each timer that is set, soonest first. */
  get pending() {
    return this.#timers.map(({ due }) => due - this.#now).sort((a, b) => a - b);
  }

  /**
   * Runs what falls due, in order, with everything that it starts in turn.
   * @param {number} ms
   */
  async advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((it) => it !== next);
      this.#now = next.due;
      next.run();
      await settled();
    }
    this.#now = end;
  }
}

/** When all promise reactions have run: immediates come after every microtask. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
