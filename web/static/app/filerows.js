// @ts-check
import { Emitter } from '../../sdk/maitred.js';
import { h, show } from './dom.js';
import { Receiving } from './filereceive.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Clock} Clock */
/** @typedef {import('./filesend.js').Sending} Sending */
/** @typedef {import('./filewire.js').Reason} Reason */
/** @typedef {import('./i18n.js').I18n} I18n */
/** @typedef {import('./i18n.js').Key} Key */
/** @typedef {import('./i18n.js').Text} Text */
/** @typedef {import('./icons.js').IconName} IconName */
/**
 * @typedef {object} RowEvents what the person wants
 * @property {{trust: boolean}} accept trust: everything that comes from this member
 * @property {{}} accept-to a place of their own choice
 * @property {{}} again
 * @property {{}} remove from the list
 */
/** @typedef {{connected: () => boolean, canPick: boolean, clock: Clock}} RowOptions */

/** Milliseconds between two pictures of a transfer that moves. */
const REFRESH = 250;

/** What to say of an end: when it came from here, and when from the other end. @type {Record<Reason, [Key, Key]>} */
const ENDS = {
  declined: ['files.declined', 'files.declinedBy'],
  cancelled: ['files.cancelled', 'files.cancelledBy'],
  unreadable: ['files.unreadable', 'files.unreadableBy'],
  space: ['files.space', 'files.spaceBy'],
  storage: ['files.storage', 'files.storageBy'],
  damaged: ['files.damaged', 'files.damaged'],
  busy: ['files.busy', 'files.busy'],
  unsupported: ['files.unsupported', 'files.unsupported'],
  bad: ['files.bad', 'files.bad'],
  unknown: ['files.unknown', 'files.unknown'],
  gone: ['files.gone', 'files.gone'],
  lost: ['files.lost', 'files.lost'],
};

const SIZES = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];

/**
 * @param {string} tag of the language
 * @param {number} bytes
 */
export function formatBytes(tag, bytes) {
  const power = Math.min(SIZES.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return new Intl.NumberFormat(tag, {
    style: 'unit', unit: SIZES[power], unitDisplay: power > 0 ? 'short' : 'long', maximumFractionDigits: power > 1 ? 1 : 0,
  }).format(bytes / 1_000 ** power);
}

/**
 * @param {string} tag of the language
 * @param {number} seconds
 */
export function formatDuration(tag, seconds) {
  const [unit, length] = seconds < 90 ? ['second', 1] : seconds < 5_400 ? ['minute', 60] : ['hour', 3_600];
  return new Intl.NumberFormat(tag, {
    style: 'unit', unit: String(unit), unitDisplay: 'short', maximumFractionDigits: unit === 'hour' ? 1 : 0,
  }).format(Math.ceil((seconds / Number(length)) * 10) / 10);
}

/**
 * Why it has ended.
 * @param {Sending | Receiving} transfer ended
 * @param {string} tag of the language
 * @returns {Text}
 */
export function explainEnd(transfer, tag) {
  const [own, byOther] = ENDS[/** @type {Reason} */ (transfer.reason)];
  const free = transfer instanceof Receiving ? transfer.free : 0;
  return text(transfer.endedByOther ? byOther : own, {
    name: transfer.member.name, size: formatBytes(tag, transfer.size), free: formatBytes(tag, free),
  });
}

/**
 * How a transfer is, in words.
 * @param {Sending | Receiving} transfer
 * @param {string} tag of the language
 * @param {boolean} connected
 * @returns {Text}
 */
function explainStatus(transfer, tag, connected) {
  const { status, member: { name }, moved, size, speed, left } = transfer;
  const params = { name, moved: formatBytes(tag, moved), size: formatBytes(tag, size) };
  if (status === 'ended') return explainEnd(transfer, tag);
  if (status === 'done') {
    if (transfer.outgoing) return text('files.sent');
    return text(/** @type {Receiving} */ (transfer).blob ? 'files.received' : 'files.stored');
  }
  if (transfer.ownPause) return text('files.paused', params);
  if (transfer.otherPause) return text('files.pausedBy', params);
  if (status === 'offered') return transfer.outgoing ? text('files.asking', params) : text('files.preparing');
  if (!connected) return text('files.interrupted', params);
  if (status === 'waiting') return text('files.queued');
  if (!speed) return text('files.starting', params);
  return text('files.progress', { ...params, speed: formatBytes(tag, speed), left: formatDuration(tag, left) });
}

/**
 * One transfer as one sees it: an offer over the call, an entry of the list.
 * @extends {Emitter<RowEvents>}
 */
export class Row extends Emitter {
  #i18n;
  #options;
  #undo;
  #title = h('p', { class: 'file-title' });
  #words = h('p', { class: 'file-words' });
  #progress = h('progress', { class: 'file-progress', max: 1 });
  #trust = h('input', { type: 'checkbox', role: 'switch' });
  #buttons = h('div', { class: 'file-buttons' });
  /** What the buttons are for; they stay while that stays. */
  #shown = '';
  #url = '';
  #cancelRefresh = () => {};
  #waiting = false;
  transfer;
  /** The person has asked for the file. */
  saved = false;
  element;

  /**
   * @param {I18n} i18n
   * @param {Sending | Receiving} transfer
   * @param {RowOptions} options
   */
  constructor(i18n, transfer, options) {
    super();
    this.#i18n = i18n;
    this.#options = options;
    this.transfer = transfer;
    const name = h('p', { class: 'file-name' }, h('bdi', {}, transfer.name));
    this.element = h('li', { class: 'file', 'data-member': transfer.member.id, 'data-file': transfer.name, 'data-way': transfer.outgoing ? 'out' : 'in' },
      this.#title, name, this.#words, this.#progress, this.#buttons);
    this.#progress.setAttribute('aria-label', transfer.name);
    this.#undo = [transfer.on('change', () => this.#changed()), i18n.on('change', () => this.refresh())];
    this.refresh();
  }

  /** There is an offer to answer. */
  get asks() {
    return this.transfer instanceof Receiving && this.transfer.undecided;
  }

  /** It would be lost if the page were left now. */
  get precious() {
    const { transfer } = this;
    return !transfer.finished || (transfer instanceof Receiving && transfer.blob !== null && !this.saved);
  }

  refresh() {
    const { transfer } = this;
    const i18n = this.#i18n;
    const size = formatBytes(i18n.tag, transfer.size);
    const connected = this.#options.connected();
    this.element.dataset.status = transfer.status;
    this.element.classList.toggle('asks', this.asks);
    const title = this.asks ? text('files.offer', { name: transfer.member.name })
      : text(transfer.outgoing ? 'files.to' : 'files.from', { name: transfer.member.name, size });
    i18n.put(this.#title, title);
    if (this.asks) this.#words.textContent = size;
    else i18n.put(this.#words, explainStatus(transfer, i18n.tag, connected));
    show(this.#progress, !transfer.finished && transfer.status !== 'offered');
    this.#progress.value = transfer.size > 0 ? transfer.moved / transfer.size : 0;
    this.#refreshButtons();
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#cancelRefresh();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = '';
    this.element.remove();
  }

  /** Not with every piece. */
  #changed() {
    if (this.transfer.status !== 'running') {
      this.refresh();
      return;
    }
    if (this.element.dataset.status !== 'running') this.refresh();
    if (this.#waiting) return;
    this.#waiting = true;
    this.#cancelRefresh = this.#options.clock.after(REFRESH, () => {
      this.#waiting = false;
      this.refresh();
    });
  }

  #refreshButtons() {
    const { transfer } = this;
    const shown = [this.asks, transfer.status, transfer.ownPause].join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = this.#buttons.contains(document.activeElement);
    this.#buttons.replaceChildren(...(this.asks ? this.#offerButtons() : transfer.finished ? this.#finishedButtons() : this.#runningButtons()));
    if (focused) /** @type {HTMLElement | null} */ (this.#buttons.querySelector('button, a'))?.focus();
  }

  /**
   * @param {IconName} name
   * @param {Key} label
   * @param {() => void} onclick
   * @param {string} [className]
   */
  #button(name, label, onclick, className = '') {
    const it = button(this.#i18n, { icon: name, label, className: `small ${className}`, onclick });
    it.dataset.action = label.replace('files.', '');
    // What it is for is the name beside it.
    it.setAttribute('aria-description', this.transfer.name);
    return it;
  }

  #offerButtons() {
    const transfer = /** @type {Receiving} */ (this.transfer);
    const { canPick } = this.#options;
    const trust = h('label', { class: 'file-trust' }, this.#trust,
      this.#i18n.put(h('span'), text('files.trust', { name: transfer.member.name })));
    return [
      this.#button('download', 'files.accept', () => this.emit('accept', { trust: this.#trust.checked }), 'primary'),
      ...(canPick ? [this.#button('file', 'files.acceptTo', () => this.emit('accept-to', {}))] : []),
      this.#button('close', 'files.decline', () => transfer.decline()),
      trust,
    ];
  }

  #runningButtons() {
    const { transfer } = this;
    const pause = transfer.ownPause ? this.#button('play', 'files.resume', () => transfer.resume())
      : this.#button('pause', 'files.pause', () => transfer.pause());
    return [...(transfer.status === 'offered' ? [] : [pause]), this.#button('close', 'files.cancel', () => transfer.cancel())];
  }

  #finishedButtons() {
    const { transfer } = this;
    const remove = this.#button('close', 'files.remove', () => this.emit('remove', {}));
    if (transfer instanceof Receiving) return transfer.blob ? [this.#saveLink(transfer.blob), remove] : [remove];
    const again = transfer.status === 'ended' && this.#button('refresh', 'files.again', () => this.emit('again', {}));
    return again ? [again, remove] : [remove];
  }

  /** @param {Blob} blob */
  #saveLink(blob) {
    this.#url ||= URL.createObjectURL(blob);
    const link = h('a', {
      class: 'button small primary', href: this.#url, download: this.transfer.name, 'data-action': 'save', 'aria-description': this.transfer.name,
      onclick: () => {
        this.saved = true;
      },
    }, icon('download'), this.#i18n.label('files.save'));
    return link;
  }
}
