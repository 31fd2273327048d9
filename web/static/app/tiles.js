// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { Cover } from './cover.js';
import { h, show } from './dom.js';
import { explainDevice } from './errors.js';
import { canFullScreen, toggleFullScreen } from './fullscreen.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { hueOf, initials } from './names.js';
import { readState } from './presence.js';

/** @typedef {import('../../sdk/maitred.js').Member} Member */
/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./presence.js').MemberState} MemberState */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./icons.js').IconName} IconName */
/** @typedef {import('./layout.js').Box} Box */
/** @typedef {import('./media.js').DeviceProblem} DeviceProblem */
/** @typedef {import('./paths.js').Path} Path */
/** @typedef {import('./paths.js').Proof} Proof */
/** @typedef {Omit<import('./cover.js').How, 'name'>} Situation */

/** @type {Record<Exclude<Path, 'unknown'>, [Key, Key]>} label, title */
const PATH_TEXTS = {
  direct: ['path.direct', 'path.directTitle'],
  'relay-udp': ['path.relayUDP', 'path.relayTitle'],
  'relay-tcp': ['path.relayTCP', 'path.relayTitle'],
  'relay-tls': ['path.relayTLS', 'path.relayTitle'],
};

/** @type {Record<DeviceProblem['devices'], Key>} */
const PROBLEM_TEXTS = { both: 'tile.noDevices', audio: 'tile.noMicrophone', video: 'tile.noCamera' };
/** So many times wider or narrower than its tile may a picture be and still fill it: more would crop faces. */
const MAX_CROP = 2.5;
const TINY = { width: 200, height: 120 };
const MINI = 150;

/**
 * @typedef {object} FrameEvents
 * @property {{}} pin the person wants it large, or not any more
 * @property {{}} blocked the browser refuses sound until the person has touched the page
 * @property {{}} resize the picture has another shape
 * @property {{}} retry a connection that has failed
 * @property {{}} dock one's own picture goes into the grid, or floats over it
 * @property {{}} hide one's own picture is not to be seen
 */

/**
 * A picture with what one can do about it. The buttons are there while the pointer or the focus is; on touch screens, after a tap.
 * @extends {Emitter<FrameEvents>}
 */
export class Frame extends Emitter {
  #i18n;
  #box = { left: 0, top: 0, width: 0, height: 0 };
  #pin;
  #actions = h('div', { class: 'tile-actions' });
  #stream = new MediaStream();
  video = h('video', { autoplay: true, playsinline: true });
  /** What is told at the upper edge. */
  top = h('div', { class: 'tile-top' });
  /** And at the lower. */
  bottom = h('div', { class: 'tile-bottom' });
  element = h('div', { class: 'tile', role: 'group' });

  /**
   * @param {I18n} i18n
   * @param {boolean} silent without sound
   */
  constructor(i18n, silent) {
    super();
    this.#i18n = i18n;
    // As a property: the attribute does not silence an element made by script.
    this.video.muted = silent;
    this.#pin = this.addAction('pin', 'stage.pin', () => this.emit('pin', {}), 'tile-pin');
    this.setPinned(false);
    if (canFullScreen(this.video)) this.addAction('expand', 'tile.full', () => void toggleFullScreen(this.element, this.video), 'tile-full');
    this.video.addEventListener('resize', () => this.#resized());
    this.element.addEventListener('dblclick', ({ target }) => {
      if (!(target instanceof Element && target.closest('button'))) this.emit('pin', {});
    });
    this.element.addEventListener('pointerup', ({ pointerType, target }) => {
      const inside = target instanceof Element && target.closest('button');
      if (pointerType === 'touch' && !inside) this.element.classList.toggle('touched');
    });
    this.element.append(this.video, this.top, this.bottom);
    this.top.append(this.#actions);
  }

  get tracks() {
    return this.#stream.getTracks();
  }

  /** Width by height of the picture, 0 while there is none. */
  get ratio() {
    const { videoWidth, videoHeight } = this.video;
    return videoHeight > 0 ? videoWidth / videoHeight : 0;
  }

  /**
   * A button on the tile.
   * @param {IconName} name
   * @param {Key} label
   * @param {() => void} onclick
   * @param {string} [className]
   */
  addAction(name, label, onclick, className = '') {
    const action = h('button', { class: `tile-action ${className}`, type: 'button', onclick }, icon(name));
    this.#i18n.put(action, text(label), 'title');
    this.#i18n.put(action, text(label), 'aria-label');
    this.#actions.append(action);
    return action;
  }

  /** @param {boolean} pinned */
  setPinned(pinned) {
    this.element.classList.toggle('pinned', pinned);
    this.#pin.setAttribute('aria-pressed', String(pinned));
    this.#i18n.put(this.#pin, text(pinned ? 'stage.unpin' : 'stage.pin'), 'title');
  }

  /**
   * What is seen and heard here.
   * @param {MediaStreamTrack[]} tracks
   */
  setTracks(tracks) {
    const old = this.#stream.getTracks();
    if (tracks.length === old.length && tracks.every((track) => old.includes(track))) return;
    for (const track of old) if (!tracks.includes(track)) this.#stream.removeTrack(track);
    for (const track of tracks) if (!old.includes(track)) this.#stream.addTrack(track);
    // Browsers notice a track that comes into the same stream, but not all of them one that takes another's place.
    this.video.srcObject = tracks.length > 0 ? this.#stream : null;
    if (tracks.length > 0) this.play();
  }

  /** @returns {Promise<void>} when the next picture is seen */
  pictured() {
    const { video } = this;
    return new Promise((resolve) => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => resolve());
      else video.addEventListener('loadeddata', () => resolve(), { once: true });
    });
  }

  /** Browsers refuse sound until the person has touched the page. */
  play() {
    this.video.play().catch((error) => {
      if (error.name === 'NotAllowedError') this.emit('blocked', {});
    });
  }

  /**
   * @param {Box} box
   * @param {boolean} [fixed] stays where it is while the others are scrolled
   */
  place(box, fixed = false) {
    this.#box = box;
    const { left, top, width, height } = box;
    const { style, classList } = this.element;
    Object.assign(style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    classList.toggle('fixed', fixed);
    classList.toggle('tiny', width < TINY.width || height < TINY.height);
    classList.toggle('mini', width < MINI);
    this.#fit();
  }

  close() {
    this.video.srcObject = null;
    this.element.remove();
  }

  #resized() {
    this.#fit();
    this.emit('resize', {});
  }

  #fit() {
    const { ratio } = this;
    const { width, height } = this.#box;
    const crop = ratio && height ? ratio / (width / height) : 1;
    this.element.classList.toggle('whole', crop > MAX_CROP || crop < 1 / MAX_CROP);
  }
}

/** One person's picture, name and connection. */
export class Tile extends Frame {
  #i18n;
  #self;
  /** @type {MemberState} */
  #state = {};
  #name = '';
  #avatar = h('div', { class: 'avatar', role: 'img' });
  #nameLabel = h('span', { class: 'tile-name' });
  #micIcon = h('span', { class: 'tile-mic', role: 'img' }, icon('micOff'));
  #screenIcon = h('span', { class: 'tile-screen', role: 'img' }, icon('screen'));
  #handNumber = h('span');
  #hand = h('span', { class: 'tile-hand', role: 'img' }, icon('hand'), this.#handNumber);
  #badge = h('span', { class: 'badge' });
  #problemText = h('span');
  #problem = h('span', { class: 'tile-problem' }, icon('warning'), this.#problemText);
  #cover;
  #dock;
  /** @type {WeakSet<MediaStreamTrack>} */
  #watched = new WeakSet();

  /**
   * @param {I18n} i18n
   * @param {Member} member
   * @param {boolean} self
   */
  constructor(i18n, member, self) {
    super(i18n, self);
    this.#i18n = i18n;
    this.#self = self;
    this.element.classList.toggle('self', self);
    i18n.put(this.#micIcon, text('tile.muted'), 'aria-label');
    i18n.put(this.#screenIcon, text('tile.screen'), 'aria-label');
    i18n.put(this.#avatar, text('tile.cameraOff'), 'aria-label');
    for (const hidden of [this.#badge, this.#problem, this.#hand]) show(hidden, false);
    this.#cover = new Cover(i18n, () => this.emit('retry', {}));
    this.video.after(this.#avatar, this.#cover.element);
    this.top.prepend(this.#hand, this.#badge, this.#problem);
    this.bottom.append(this.#micIcon, this.#screenIcon, this.#nameLabel);
    this.#dock = self ? this.addAction('float', 'stage.float', () => this.emit('dock', {}), 'tile-dock') : null;
    if (self) this.addAction('eyeOff', 'stage.hideSelf', () => this.emit('hide', {}), 'tile-hide');
    else Object.assign(this.element.dataset, { path: 'unknown', connection: 'new' });
    this.setMember(member);
  }

  get name() {
    return this.#name;
  }

  get state() {
    return this.#state;
  }

  get hasPicture() {
    return !this.element.classList.contains('no-picture');
  }

  /** The screen comes in place of the camera. */
  get sharing() {
    return this.#state.screen === true && this.#state.screenStream === undefined;
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
    if (!this.#self) this.setState(readState(member.state));
  }

  /** @param {MemberState} state */
  setState(state) {
    this.#state = state;
    show(this.#micIcon, state.audio === false);
    this.#showPicture();
  }

  /** @param {MediaStreamTrack[]} tracks */
  setTracks(tracks) {
    super.setTracks(tracks);
    for (const track of tracks.filter((it) => !this.#watched.has(it))) {
      this.#watched.add(track);
      for (const change of ['mute', 'unmute', 'ended']) track.addEventListener(change, () => this.#showPicture());
    }
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
   * @param {Path} path
   * @param {{title: Text, proof: Proof}} [relay] what more there is to say of a relayed one
   */
  setPath(path, relay) {
    this.element.dataset.path = path;
    this.element.dataset.proof = relay?.proof ?? 'unknown';
    show(this.#badge, path !== 'unknown');
    if (path === 'unknown') return;
    const [label, title] = PATH_TEXTS[path];
    this.#badge.classList.toggle('relayed', path !== 'direct');
    this.#badge.classList.toggle('confirmed', relay?.proof === 'confirmed');
    this.#i18n.put(this.#badge, text(relay?.proof === 'elsewhere' ? 'trust.elsewhere' : label));
    this.#i18n.put(this.#badge, relay?.title ?? text(title), 'title');
  }

  /**
   * @param {Peer} peer
   * @param {Situation} situation
   */
  setConnection(peer, situation) {
    this.element.dataset.connection = peer.connection.connectionState;
    this.element.dataset.status = peer.status;
    this.#cover.update(peer, { ...situation, name: this.#name });
  }

  /**
   * Says why there is no connection yet, or none any more.
   * @param {Peer} peer
   * @param {Situation} situation
   */
  explain(peer, situation) {
    this.#cover.explain(peer, { ...situation, name: this.#name });
  }

  /** @param {boolean} speaking */
  setSpeaking(speaking) {
    this.element.classList.toggle('speaking', speaking);
  }

  /** @param {number} order among the raised hands; 0 while it is down */
  setHand(order) {
    show(this.#hand, order > 0);
    this.#handNumber.textContent = String(order);
    this.#i18n.put(this.#hand, text('stage.hand', { order }), 'aria-label');
  }

  /** Of one's own picture. @param {boolean} floating over the grid */
  setFloating(floating) {
    const { element } = this;
    element.classList.toggle('floating', floating);
    for (const attribute of ['title', 'aria-label']) {
      if (this.#dock) this.#i18n.put(this.#dock, text(floating ? 'stage.dock' : 'stage.float'), attribute);
    }
    if (floating) element.setAttribute('tabindex', '0');
    else element.removeAttribute('tabindex');
    this.#i18n.put(element, floating ? text('stage.moveSelf') : null, 'title');
  }

  #showPicture() {
    const track = this.tracks.find(({ kind }) => kind === 'video');
    const { video, screen } = this.#state;
    // Members whose client says nothing of its state: whatever arrives is shown.
    const wanted = video === undefined && screen === undefined ? !track?.muted : video || this.sharing;
    this.element.classList.toggle('no-picture', !(track && wanted));
    this.element.classList.toggle('sharing', this.sharing);
    show(this.#screenIcon, screen === true);
  }
}

/** A screen that somebody shares beside their camera. */
export class ScreenTile extends Frame {
  /**
   * @param {I18n} i18n
   * @param {Member} member who shares it
   * @param {(() => void) | null} stop for one's own
   */
  constructor(i18n, member, stop) {
    super(i18n, stop !== null);
    const label = h('span', { class: 'tile-name' });
    this.element.classList.add('sharing', 'screen');
    this.element.classList.toggle('own', stop !== null);
    this.element.dataset.screenOf = member.id;
    this.bottom.append(h('span', { class: 'tile-screen' }, icon('screen')), label);
    if (stop) this.addAction('close', 'control.screenStop', stop, 'tile-stop');
    const title = stop ? text('stage.ownScreen') : text('stage.screenOf', { name: member.name });
    i18n.put(label, title);
    i18n.put(this.element, title, 'aria-label');
  }
}
