// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { explainDevice, explainPeer } from './errors.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { placeTiles } from './layout.js';
import { setVideo } from './lobby.js';
import { hueOf, initials } from './names.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {{audio?: boolean, video?: boolean, screen?: boolean}} MemberState what members of the page tell of themselves */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./media.js').DeviceProblem} DeviceProblem */
/** @typedef {import('./paths.js').Path} Path */

/** @type {Record<Exclude<Path, 'unknown'>, [Key, Key]>} label, title */
const PATH_TEXTS = {
  direct: ['path.direct', 'path.directTitle'],
  'relay-udp': ['path.relayUDP', 'path.relayTitle'],
  'relay-tcp': ['path.relayTCP', 'path.relayTitle'],
  'relay-tls': ['path.relayTLS', 'path.relayTitle'],
};

/** @type {Record<DeviceProblem['devices'], Key>} */
const PROBLEM_TEXTS = { both: 'tile.noDevices', audio: 'tile.noMicrophone', video: 'tile.noCamera' };

/**
 * One person's picture, name and connection.
 * @extends {Emitter<{retry: {}, blocked: {}}>}
 */
export class Tile extends Emitter {
  #i18n;
  #self;
  /** @type {MemberState} */
  #state = {};
  #name = '';
  #video = h('video', { autoplay: true, playsinline: true });
  #avatar = h('div', { class: 'avatar', role: 'img' });
  #nameLabel = h('span', { class: 'tile-name' });
  #micIcon = h('span', { class: 'tile-mic', role: 'img' }, icon('micOff'));
  #screenIcon = h('span', { class: 'tile-screen', role: 'img' }, icon('screen'));
  #badge = h('span', { class: 'badge' });
  #problemText = h('span');
  #problem = h('span', { class: 'tile-problem' }, icon('warning'), this.#problemText);
  #full = h('button', { class: 'tile-full', type: 'button' }, icon('expand'));
  #cover = h('div', { class: 'tile-cover' });
  element = h('div', { class: 'tile', role: 'group' });

  /**
   * @param {I18n} i18n
   * @param {Member} member
   * @param {boolean} self
   */
  constructor(i18n, member, self) {
    super();
    this.#i18n = i18n;
    this.#self = self;
    this.element.classList.toggle('self', self);
    // As a property: the attribute does not silence an element made by script.
    this.#video.muted = self;
    i18n.put(this.#micIcon, text('tile.muted'), 'aria-label');
    i18n.put(this.#screenIcon, text('tile.screen'), 'aria-label');
    i18n.put(this.#avatar, text('tile.cameraOff'), 'aria-label');
    i18n.put(this.#full, text('tile.full'), 'title');
    i18n.put(this.#full, text('tile.full'), 'aria-label');
    this.#full.addEventListener('click', () => void this.#toggleFullScreen());
    show(this.#badge, false);
    show(this.#problem, false);
    show(this.#cover, false);
    this.element.append(this.#video, this.#avatar, this.#cover,
      h('div', { class: 'tile-top' }, this.#badge, this.#problem, this.#full),
      h('div', { class: 'tile-bottom' }, this.#micIcon, this.#screenIcon, this.#nameLabel));
    if (!self) Object.assign(this.element.dataset, { path: 'unknown', connection: 'new' });
    this.setMember(member);
  }

  get sharing() {
    return this.#state.screen === true;
  }

  /** @param {Member} member */
  setMember(member) {
    this.element.dataset.member = member.id;
    this.element.style.setProperty('--hue', String(hueOf(member.id)));
    this.#name = member.name;
    this.#avatar.textContent = initials(member.name);
    if (this.#self) this.#i18n.put(this.#nameLabel, text('call.you', { name: member.name }));
    else this.#nameLabel.textContent = member.name;
    this.element.setAttribute('aria-label', member.name);
    if (!this.#self) this.setState(member.state ?? {});
  }

  /** @param {MemberState} state */
  setState(state) {
    this.#state = state;
    show(this.#micIcon, state.audio === false);
    this.#showPicture();
  }

  /**
   * The own picture.
   * @param {MediaStreamTrack | null} track
   */
  setOwnTrack(track) {
    setVideo(this.#video, track);
    this.#showPicture();
  }

  /**
   * What the own devices do not give, for as long as it is so.
   * @param {DeviceProblem | null} problem
   */
  setProblem(problem) {
    show(this.#problem, problem !== null);
    if (!problem) return;
    this.#i18n.put(this.#problemText, text(PROBLEM_TEXTS[problem.devices]));
    this.#i18n.put(this.#problem, explainDevice(problem.error, problem.devices), 'title');
  }

  /**
   * Someone else's sound or picture; a later track of a kind replaces the earlier.
   * @param {MediaStreamTrack} track
   */
  addTrack(track) {
    const stream = /** @type {MediaStream | null} */ (this.#video.srcObject) ?? new MediaStream();
    for (const old of stream.getTracks()) if (old.kind === track.kind) stream.removeTrack(old);
    stream.addTrack(track);
    this.#video.srcObject = stream;
    for (const change of ['mute', 'unmute', 'ended']) track.addEventListener(change, () => this.#showPicture());
    this.#showPicture();
    this.play();
  }

  /** Browsers refuse sound until the person has touched the page. */
  play() {
    this.#video.play().catch((error) => {
      if (error.name === 'NotAllowedError') this.emit('blocked', {});
    });
  }

  /** @param {Path} path */
  setPath(path) {
    this.element.dataset.path = path;
    show(this.#badge, path !== 'unknown');
    if (path === 'unknown') return;
    const [label, title] = PATH_TEXTS[path];
    this.#badge.classList.toggle('relayed', path !== 'direct');
    this.#i18n.put(this.#badge, text(label));
    this.#i18n.put(this.#badge, text(title), 'title');
  }

  /**
   * @param {Peer} peer
   * @param {boolean} relayOnly
   */
  setConnection(peer, relayOnly) {
    this.element.dataset.connection = peer.connection.connectionState;
    this.element.dataset.status = peer.status;
    const cover = this.#cover;
    show(cover, peer.status !== 'connected');
    if (peer.status === 'failed') {
      cover.replaceChildren(icon('warning'),
        this.#i18n.put(h('strong'), text('tile.failed', { name: this.#name })),
        this.#i18n.put(h('p'), explainPeer(peer, { name: this.#name, relayOnly })),
        button(this.#i18n, { icon: 'refresh', label: 'tile.retry', className: 'small', onclick: () => this.emit('retry', {}) }));
    } else {
      const key = peer.status === 'reconnecting' ? 'tile.reconnecting' : 'tile.connecting';
      cover.replaceChildren(h('span', { class: 'spinner' }), this.#i18n.label(key));
    }
  }

  /** @param {boolean} speaking */
  setSpeaking(speaking) {
    this.element.classList.toggle('speaking', speaking);
  }

  close() {
    this.#video.srcObject = null;
    this.element.remove();
  }

  #showPicture() {
    const track = /** @type {MediaStream | null} */ (this.#video.srcObject)?.getVideoTracks()[0];
    const { video, screen } = this.#state;
    // Members whose client says nothing of its state: whatever arrives is shown.
    const wanted = video === undefined && screen === undefined ? !track?.muted : video || screen;
    this.element.classList.toggle('no-picture', !(track && wanted));
    this.element.classList.toggle('sharing', this.sharing);
    show(this.#screenIcon, this.sharing);
    show(this.#full, this.sharing && !this.#self);
  }

  async #toggleFullScreen() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await this.element.requestFullscreen();
    } catch {
      // Refused by the browser or not offered, as on iPhones: nothing to do.
    }
  }
}

/** Lays tiles out and lays them out again when the room for them changes. */
export class Grid {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #observer = new ResizeObserver(() => this.layout());
  element;

  /** @param {I18n} i18n */
  constructor(i18n) {
    this.element = i18n.put(h('section', { class: 'grid' }), text('call.grid'), 'aria-label');
    this.#observer.observe(this.element);
  }

  get tiles() {
    return this.#tiles;
  }

  /**
   * @param {string} key
   * @param {Tile} tile
   */
  add(key, tile) {
    this.#tiles.set(key, tile);
    this.element.append(tile.element);
    this.layout();
  }

  /** @param {string} key */
  remove(key) {
    this.#tiles.get(key)?.close();
    this.#tiles.delete(key);
    this.layout();
  }

  layout() {
    const tiles = [...this.#tiles.values()];
    // The others' screens come before one's own, which one sees anyway.
    const others = tiles.findIndex((tile) => tile.sharing && !tile.element.classList.contains('self'));
    const stage = others >= 0 ? others : tiles.findIndex((tile) => tile.sharing);
    const boxes = placeTiles(tiles.length, this.element.clientWidth, this.element.clientHeight, stage);
    boxes.forEach(({ left, top, width, height }, index) => {
      const { element } = tiles[index];
      Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
      element.classList.toggle('tiny', width < 200 || height < 120);
    });
  }

  close() {
    this.#observer.disconnect();
    for (const tile of this.#tiles.values()) tile.close();
  }
}
