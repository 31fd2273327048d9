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
 * @returns {{features: import('./context.js').Feature[], hands: import('./hands.js').Hands}} `hands`: whose hand is up, for whoever shows it
 */
export function makeTogether(context) {
  const hand = new HandsFeature(context);
  const { hands } = hand;
  const features = [
    new Knocks(context), new ChatFeature(context), hand, new PeopleFeature(context, hands), new ReactionsFeature(context), new ModerationFeature(context),
    new KeypadFeature(context),
  ];
  return { features, hands };
}
