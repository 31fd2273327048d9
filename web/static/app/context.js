// @ts-check

/**
 * What every part of a call gets.
 * @typedef {object} CallContext
 * @property {import('./i18n.js').I18n} i18n
 * @property {import('./media.js').LocalMedia} media
 * @property {import('./memory.js').Memory} memory
 * @property {import('../../sdk/maitred.js').Room} room joined
 * @property {import('./widgets.js').Toasts} toasts
 * @property {import('./presence.js').Presence} presence
 * @property {import('./controls.js').ControlBar} bar
 * @property {import('./panels.js').Panels} panels
 * @property {import('./grid.js').Grid} grid
 * @property {import('./selfview.js').SelfView} selfView
 * @property {HTMLElement} layer over the grid, for what floats there
 * @property {Map<string, () => void>} shortcuts what a key does, by the lower-case name of the key
 * @property {HTMLElement} chatActions in the form of the chat, for buttons of other parts
 * @property {(count: number) => void} unread how many messages wait to be read
 * @property {(id?: string) => void} [openSafety] shows the safety code with a member, or those with all
 * @property {string} roomName
 * @property {string} link of the room
 */

/** @typedef {{close(): void}} Feature made with a CallContext */

export {};
