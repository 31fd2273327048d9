// @ts-check
import { NumbersFeature } from './numbers.js';
import { PathsFeature } from './paths.js';
import { SafetyFeature } from './safety.js';

/**
 * What tells whom one talks to, and how it gets there.
 * @param {import('./context.js').CallContext} context
 * @returns {import('./context.js').Feature[]}
 */
export function makeTrust(context) {
  const paths = new PathsFeature(context);
  return [paths, new SafetyFeature(context), new NumbersFeature(context, (peer) => paths.routeOf(peer))];
}
