// @ts-check
import { h } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';

/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./icons.js').IconName} IconName */
/** @typedef {import('./tiles.js').Frame} Frame */
/** @typedef {{requestWindow: (options: {width: number, height: number}) => Promise<Window>}} DocumentPictureInPicture not in the types yet */
/**
 * @typedef {object} Controls what the little window offers
 * @property {() => void} mute
 * @property {() => boolean} muted
 * @property {() => void} leave
 */

const SIZE = { width: 360, height: 240 };
const STYLES = ['/assets/style.css', '/assets/css/stage.css'];

/** @returns {DocumentPictureInPicture | null} */
function documentPictureInPicture() {
  return /** @type {any} */ (globalThis).documentPictureInPicture ?? null;
}

/**
 * The call in a little window over all others: with buttons where the browser has windows for documents, else the mere picture.
 */
export class PictureInPicture {
  #i18n;
  #controls;
  /** @type {Frame | null} */
  #frame = null;
  /** @type {Window | null} */
  #window = null;
  #video = h('video', { autoplay: true, playsinline: true });
  #cover = h('div', { class: 'pip-cover' });
  #mute = h('button', { class: 'round', type: 'button' });
  #closed = false;
  /** Called when it opens or closes. */
  onchange = () => {};

  /**
   * @param {I18n} i18n
   * @param {Controls} controls
   */
  constructor(i18n, controls) {
    this.#i18n = i18n;
    this.#controls = controls;
    // Sound comes from the page itself.
    this.#video.muted = true;
  }

  get supported() {
    return documentPictureInPicture() !== null || (document.pictureInPictureEnabled && 'requestPictureInPicture' in HTMLVideoElement.prototype);
  }

  get open() {
    return this.#window !== null || (!!document.pictureInPictureElement && document.pictureInPictureElement === this.#frame?.video);
  }

  /** @param {Frame | null} frame whose picture is shown */
  show(frame) {
    this.#frame = frame;
    if (this.#window) this.refresh();
  }

  /** Rejects where the browser refuses, as for a picture that has not come yet. */
  async toggle() {
    const api = documentPictureInPicture();
    if (this.open) await this.#end();
    else if (api) this.#take(await api.requestWindow(SIZE));
    else await this.#floatVideo();
    this.onchange();
  }

  /** Shows what is now. */
  refresh() {
    const frame = this.#frame;
    const stream = frame?.video.srcObject ?? null;
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    this.#cover.textContent = frame?.element.getAttribute('aria-label') ?? '';
    this.#cover.classList.toggle('alone', !frame || frame.element.classList.contains('no-picture'));
    this.#video.classList.toggle('mirrored', !!frame?.element.classList.contains('self'));
    const muted = this.#controls.muted();
    this.#mute.classList.toggle('off', muted);
    this.#put(this.#mute, muted ? 'micOff' : 'mic', muted ? 'control.unmute' : 'control.mute');
  }

  close() {
    this.#closed = true;
    this.#window?.close();
    this.#window = null;
    if (this.open) void document.exitPictureInPicture().catch(() => {}); // somebody was faster
  }

  async #end() {
    if (this.#window) this.#window.close();
    else await document.exitPictureInPicture();
  }

  async #floatVideo() {
    const video = this.#frame?.video;
    if (!video) return;
    await video.requestPictureInPicture();
    video.addEventListener('leavepictureinpicture', () => this.onchange(), { once: true });
  }

  /** The call may be over by now. @param {Window} opened */
  #take(opened) {
    if (this.#closed) opened.close();
    else this.#fill(opened);
  }

  /** @param {Window} opened */
  #fill(opened) {
    this.#window = opened;
    const leave = h('button', { class: 'round danger', type: 'button' });
    this.#put(leave, 'hangup', 'control.hangup');
    leave.addEventListener('click', () => this.#controls.leave());
    this.#mute.onclick = () => this.#controls.mute();
    opened.document.documentElement.lang = this.#i18n.tag;
    opened.document.title = 'maitred';
    opened.document.head.append(...STYLES.map((href) => h('link', { rel: 'stylesheet', href })));
    opened.document.body.append(h('div', { class: 'pip' }, this.#video, this.#cover, h('div', { class: 'pip-controls' }, this.#mute, leave)));
    opened.addEventListener('pagehide', () => {
      this.#window = null;
      this.#video.srcObject = null;
      this.onchange();
    });
    this.refresh();
  }

  /**
   * @param {HTMLElement} control
   * @param {IconName} name
   * @param {Key} label
   */
  #put(control, name, label) {
    control.replaceChildren(icon(name));
    for (const attribute of ['title', 'aria-label']) this.#i18n.put(control, text(label), attribute);
  }
}
