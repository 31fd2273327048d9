// @ts-check

/**
 * Time, as tests give another one.
 * @type {import('../../sdk/maitred.js').Clock}
 */
export const systemClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
