// @ts-check
import { h, show } from './dom.js';
import { SELF } from './hands.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { RoomControls, confirmKick } from './moderation.js';
import { hueOf, initials } from './names.js';
import { Panel } from './panels.js';
import { readState } from './presence.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Room} Room */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./hands.js').Hands} Hands */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./presence.js').MemberState} MemberState */
/**
 * @typedef {object} Person what the list says of somebody
 * @property {string} key the member's id, SELF for oneself
 * @property {Member} member
 * @property {MemberState} state
 * @property {boolean} moderator
 * @property {number} hand 1 for whoever raised theirs first; 0 while it is down
 * @property {string} path of the connection, 'unknown' while there is none
 * @property {boolean} canMute whether we may ask them to mute, and they are not
 * @property {boolean} canRemove
 */

/** @type {Record<string, Key>} */
const PATH_TEXTS = {
  direct: 'path.direct', 'relay-udp': 'path.relayUDP', 'relay-tcp': 'path.relayTCP', 'relay-tls': 'path.relayTLS',
};

/**
 * Everybody who is in the room, oneself first, then in the order in which they came.
 * @param {Pick<Room, 'self' | 'members'>} room
 * @param {{state: MemberState, hands: Pick<Hands, 'place'>, pathOf: (id: string) => string}} more the own state, and what is not of the room
 * @returns {Person[]}
 */
export function describePeople({ self, members }, { state, hands, pathOf }) {
  const moderates = self?.role === 'moderator';
  /** @type {(key: string, member: Member, state: MemberState) => Person} */
  const describe = (key, member, own) => ({
    key, member, state: own, moderator: member.role === 'moderator', hand: hands.place(key), path: key === SELF ? 'unknown' : pathOf(key),
    canMute: moderates && key !== SELF && own.audio !== false, canRemove: moderates && key !== SELF,
  });
  const others = [...members].map(([id, member]) => describe(id, member, readState(member.state)));
  return self ? [describe(SELF, self, state), ...others] : others;
}

/** Somebody in the list. It stays the same element, so that the focus stays where it is. */
class Row {
  #i18n;
  #name = h('span', { class: 'person-name' });
  #role;
  #path = h('span');
  #hand = h('span', { class: 'person-hand', role: 'img' });
  #place = h('span', {});
  #states;
  #mute;
  #remove;
  #avatar = h('span', { class: 'person-avatar', 'aria-hidden': 'true' });
  element;

  /**
   * @param {I18n} i18n
   * @param {{mute: () => void, remove: () => void}} actions
   */
  constructor(i18n, { mute, remove }) {
    this.#i18n = i18n;
    this.#role = i18n.label('people.moderator', 'person-role');
    this.#states = {
      mic: h('span', { class: 'person-icon', role: 'img' }), camera: h('span', { class: 'person-icon', role: 'img' }),
      screen: i18n.put(h('span', { class: 'person-icon sharing', role: 'img' }, icon('screen')), text('tile.screen'), 'aria-label'),
    };
    this.#mute = h('button', { class: 'quiet mute-person', type: 'button', onclick: mute }, icon('micOff'));
    this.#remove = h('button', { class: 'quiet remove-person', type: 'button', onclick: remove }, icon('personOff'));
    this.#hand.append(icon('hand'), this.#place);
    this.element = h('li', { class: 'person' }, this.#avatar,
      h('div', { class: 'person-words' }, this.#name,
        h('span', { class: 'person-detail' }, this.#states.mic, this.#states.camera, this.#states.screen, this.#role, this.#path)),
      this.#hand, this.#mute, this.#remove);
  }

  /** @param {Person} person */
  update({ key, member, state, moderator, hand, path, canMute, canRemove }) {
    const i18n = this.#i18n;
    const { name } = member;
    this.element.dataset.member = member.id;
    this.#avatar.style.setProperty('--hue', String(hueOf(member.id)));
    this.#avatar.textContent = initials(name);
    if (key === SELF) i18n.put(this.#name, text('call.you', { name }));
    else this.#name.textContent = name;
    this.#name.title = name;
    const { mic, camera, screen } = this.#states;
    this.#showSwitch(mic, state.audio, ['mic', 'micOff'], ['people.micOn', 'tile.muted']);
    this.#showSwitch(camera, state.video, ['camera', 'cameraOff'], ['people.cameraOn', 'tile.cameraOff']);
    show(screen, state.screen === true);
    show(this.#role, moderator);
    show(this.#path, Object.hasOwn(PATH_TEXTS, path));
    if (Object.hasOwn(PATH_TEXTS, path)) i18n.put(this.#path, text(PATH_TEXTS[path]));
    show(this.#hand, hand > 0);
    this.#place.textContent = String(hand);
    i18n.put(this.#hand, text('people.hand', { place: hand }), 'aria-label');
    i18n.put(this.#hand, text('people.hand', { place: hand }), 'title');
    show(this.#mute, canMute);
    show(this.#remove, canRemove);
    for (const attribute of ['aria-label', 'title']) {
      i18n.put(this.#mute, text('moderate.muteTitle', { name }), attribute);
      i18n.put(this.#remove, text('moderate.kickButton', { name }), attribute);
    }
  }

  /**
   * @param {HTMLElement} element
   * @param {boolean | undefined} on undefined for clients that say nothing of it
   * @param {[import('./icons.js').IconName, import('./icons.js').IconName]} icons on, off
   * @param {[Key, Key]} labels
   */
  #showSwitch(element, on, icons, labels) {
    show(element, on !== undefined);
    element.classList.toggle('off', on === false);
    element.replaceChildren(icon(icons[on ? 0 : 1]));
    this.#i18n.put(element, text(labels[on ? 0 : 1]), 'aria-label');
  }
}

/** Those who wait at the door, for moderators, as in the notes over the call. */
class DoorList {
  #i18n;
  #room;
  #list = h('ul', { class: 'person-list' });
  element;

  /** @param {Pick<CallContext, 'i18n' | 'room'>} context */
  constructor({ i18n, room }) {
    this.#i18n = i18n;
    this.#room = room;
    this.element = h('section', { class: 'people-door' }, i18n.put(h('h3'), text('knock.list')), this.#list);
    this.refresh();
  }

  refresh() {
    const { knocking } = this.#room;
    show(this.element, knocking.size > 0);
    const known = new Map(/** @type {HTMLElement[]} */ ([...this.#list.children]).map((row) => [row.dataset.member, row]));
    for (const [id, row] of known) if (!knocking.has(id ?? '')) row.remove();
    for (const [id, member] of knocking) if (!known.has(id)) this.#list.append(this.#row(member));
  }

  /** @param {Member} member */
  #row(member) {
    const { name, id } = member;
    const i18n = this.#i18n;
    const admit = button(i18n, { icon: 'people', label: 'knock.admit', className: 'small primary admit', onclick: () => this.#room.admit(member) });
    const deny = h('button', { class: 'quiet deny', type: 'button', onclick: () => this.#room.deny(member) }, icon('close'));
    i18n.put(admit, text('knock.admitTitle', { name }), 'aria-label');
    i18n.put(deny, text('knock.denyTitle', { name }), 'aria-label');
    i18n.put(deny, text('knock.denyTitle', { name }), 'title');
    return h('li', { class: 'person', 'data-member': id }, h('span', { class: 'person-words' }, h('span', { class: 'person-name', title: name }, name)), admit, deny);
  }
}

/** The panel with everybody in the call, and what moderators can do. */
export class PeopleFeature {
  #context;
  #hands;
  #panel;
  #door;
  #controls;
  /** @type {import('./dialog.js').Dialog | null} */
  #asking = null;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #list = h('ul', { id: 'people-list', class: 'person-list' });
  /** The tiles say how media goes. */
  #observer = new MutationObserver(() => this.#refresh());
  #undo;

  /**
   * @param {CallContext} context
   * @param {Hands} hands
   */
  constructor(context, hands) {
    const { i18n, room, bar, panels, presence, media, shortcuts } = context;
    this.#context = context;
    this.#hands = hands;
    this.#door = new DoorList(context);
    this.#controls = new RoomControls(context);
    this.#panel = new Panel(i18n, {
      id: 'people-panel', title: 'people.title', close: 'people.close',
      content: [h('div', { class: 'people-body', tabindex: 0 }, this.#door.element, this.#list, this.#controls.element)],
    });
    const toggle = () => panels.toggle(this.#panel);
    const toggleButton = bar.button({ id: 'people-toggle', icon: 'people', label: 'people.button', title: 'people.toggle', shortcut: 'P', onclick: toggle });
    bar.add(toggleButton, 50);
    panels.add(this.#panel, toggleButton);
    shortcuts.set('p', toggle);
    this.#panel.on('change', ({ open }) => this.#opened(open));
    const refresh = () => this.#refresh();
    const refreshDoor = () => this.#door.refresh();
    this.#undo = [
      room.on('member-joined', refresh), room.on('member-updated', refresh), room.on('member-left', refresh), room.on('joined', refresh),
      room.on('knock', refreshDoor), room.on('knock-ended', refreshDoor),
      presence.on('change', refresh), media.on('change', refresh), hands.on('change', refresh),
    ];
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#observer.disconnect();
    this.#controls.close();
    this.#asking?.close();
  }

  /** @param {boolean} open */
  #opened(open) {
    this.#observer.disconnect();
    if (!open) return;
    this.#observer.observe(this.#context.grid.element, { attributes: true, attributeFilter: ['data-path'], subtree: true });
    this.#refresh();
  }

  #refresh() {
    if (!this.#panel.open) return;
    const { room, presence, media, grid } = this.#context;
    const people = describePeople(room, {
      state: { ...presence.state, ...media.state }, hands: this.#hands, pathOf: (id) => grid.tiles.get(id)?.element.dataset.path ?? 'unknown',
    });
    const here = new Set(people.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (here.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    for (const person of people) this.#row(person.key).update(person);
  }

  /** @param {string} key */
  #row(key) {
    const known = this.#rows.get(key);
    if (known) return known;
    const row = new Row(this.#context.i18n, { mute: () => this.#ask(key), remove: () => this.#remove(key) });
    this.#rows.set(key, row);
    this.#list.append(row.element);
    return row;
  }

  /** @param {string} id */
  #ask(id) {
    const peer = this.#context.room.peers.get(id);
    if (!peer) return;
    const sent = peer.send({ type: 'mute-please' });
    this.#context.toasts.show(text(sent === 'lost' ? 'moderate.notAsked' : 'moderate.asked', { name: peer.member.name }));
  }

  /** @param {string} id */
  #remove(id) {
    const member = this.#context.room.members.get(id);
    if (member) this.#asking = confirmKick(this.#context, member);
  }
}
