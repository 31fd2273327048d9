// @ts-check

/** @typedef {import('./i18n.js').Key} Key */

/**
 * What safety codes are written with: signs that look and sound different from each other, each with its name. Their order is part of how a code
 * is made (docs/safety-code.md) and stays as it is.
 * @type {readonly (readonly [string, Key])[]}
 */
export const SIGNS = [
  ['🐘', 'trust.elephant'], ['🐪', 'trust.camel'], ['🐄', 'trust.cow'], ['🐖', 'trust.pig'],
  ['🐈', 'trust.cat'], ['🐕', 'trust.dog'], ['🐁', 'trust.mouse'], ['🦉', 'trust.owl'],
  ['🦆', 'trust.duck'], ['🐧', 'trust.penguin'], ['🐢', 'trust.turtle'], ['🐸', 'trust.frog'],
  ['🐙', 'trust.octopus'], ['🐳', 'trust.whale'], ['🦀', 'trust.crab'], ['🐝', 'trust.bee'],
  ['🦋', 'trust.butterfly'], ['🐌', 'trust.snail'], ['🌵', 'trust.cactus'], ['🌻', 'trust.sunflower'],
  ['🍄', 'trust.mushroom'], ['🍁', 'trust.leaf'], ['🌲', 'trust.tree'], ['🌙', 'trust.moon'],
  ['⭐', 'trust.star'], ['🌈', 'trust.rainbow'], ['⛄', 'trust.snowman'], ['⚡', 'trust.lightning'],
  ['🔥', 'trust.fire'], ['🍎', 'trust.apple'], ['🍌', 'trust.banana'], ['🍇', 'trust.grapes'],
  ['🍓', 'trust.strawberry'], ['🍋', 'trust.lemon'], ['🥕', 'trust.carrot'], ['🌽', 'trust.corn'],
  ['🍞', 'trust.bread'], ['🧀', 'trust.cheese'], ['🍕', 'trust.pizza'], ['🎂', 'trust.cake'],
  ['☕', 'trust.coffee'], ['🎩', 'trust.hat'], ['👓', 'trust.glasses'], ['👑', 'trust.crown'],
  ['🔑', 'trust.key'], ['🔨', 'trust.hammer'], ['☔', 'trust.umbrella'], ['⏰', 'trust.clock'],
  ['💡', 'trust.bulb'], ['📖', 'trust.book'], ['🎁', 'trust.gift'], ['🎈', 'trust.balloon'],
  ['🎸', 'trust.guitar'], ['🥁', 'trust.drum'], ['🔔', 'trust.bell'], ['⚽', 'trust.ball'],
  ['🚀', 'trust.rocket'], ['🚂', 'trust.train'], ['🚲', 'trust.bicycle'], ['🚜', 'trust.tractor'],
  ['⚓', 'trust.anchor'], ['🏠', 'trust.house'], ['⛺', 'trust.tent'], ['🌋', 'trust.volcano'],
];
