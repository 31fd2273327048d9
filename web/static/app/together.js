// @ts-check
import { ChatFeature } from './chat.js';
import { HandsFeature } from './hands.js';
import { KeypadFeature } from './keypad.js';
import { Knocks } from './knocks.js';
import { ModerationFeature } from './moderation.js';
import { PeopleFeature } from './people.js';
import { ReactionsFeature } from './reactions.js';

/**
 * What people in a call do together.
 * @param {import('./context.js').CallContext} context
 * @returns {Generator<import('./context.js').Feature, import('./hands.js').Hands>} one by one, and in the end whose hand is up, for whoever shows it
 */
export function* makeTogether(context) {
  const hand = new HandsFeature(context);
  const { hands } = hand;
  yield hand;
  yield new Knocks(context);
  yield new ChatFeature(context);
  yield new PeopleFeature(context, hands);
  yield new ReactionsFeature(context);
  yield new ModerationFeature(context);
  yield new KeypadFeature(context);
  return hands;
}
