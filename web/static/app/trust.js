// @ts-check
import { NumbersFeature } from './numbers.js';
import { PathsFeature } from './paths.js';
import { SafetyFeature } from './safety.js';

/**
 * What tells whom one talks to, and how it gets there.
 * @param {import('./context.js').CallContext} context
 * @returns {Generator<import('./context.js').Feature, void>} one by one
 */
export function* makeTrust(context) {
  const paths = new PathsFeature(context);
  yield paths;
  yield new SafetyFeature(context);
  yield new NumbersFeature(context, (peer) => paths.routeOf(peer));
}
