// @ts-check
import { systemClock } from './clock.js';
import { h, show } from './dom.js';
import { Receiving } from './filereceive.js';
import { Row, explainEnd, formatBytes } from './filerows.js';
import { FileLine, LABEL, MAX_TRANSFERS } from './files.js';
import { FileStore, MEMORY_LIMIT, fileSink } from './filestore.js';
import { MAX_SIZE } from './filewire.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { Panel } from './panels.js';
import { button } from './widgets.js';

/** @typedef {import('../../sdk/maitred.js').Peer} Peer */
/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./filesend.js').Sending} Sending */
/** @typedef {import('./filesend.js').Source} Source */

/** Entries of the list; finished ones give way to new ones, but for those that are not saved yet. */
const MAX_ROWS = 100;

/** The files of a call: offers and answers, the list of what is on its way, and dropping files onto the call. */
export class Transfers {
  #context;
  #i18n;
  #room;
  #store;
  /** By member. @type {Map<string, FileLine>} */
  #lines = new Map();
  /** Members whose files are accepted without asking. @type {Set<string>} */
  #trusted = new Set();
  /** Oldest first. @type {Set<Row>} */
  #rows = new Set();
  #undo;
  #listeners = new AbortController();
  /** Whom the files that are being chosen are for; '' for everybody. */
  #chosenFor = '';
  #input = h('input', { id: 'files-input', type: 'file', multiple: true, hidden: true });
  #lead = h('p', { class: 'file-lead' });
  #memory = h('p', { class: 'file-lead' });
  #target = h('select', { id: 'files-target' });
  #list = h('ul', { id: 'files-list', class: 'file-list' });
  #empty = h('p', { class: 'file-empty' });
  #offerList = h('ul', { class: 'file-list' });
  #offers = h('section', { id: 'file-offers', class: 'file-offers', role: 'status' }, this.#offerList);
  #dropNote = h('div', { id: 'file-drop', class: 'file-drop' });
  #panel;
  #item;
  /** For the chat: sends a file to everybody. */
  button;

  /**
   * @param {CallContext} context
   * @param {FileStore} [store]
   */
  constructor(context, store = new FileStore(navigator.storage, navigator.locks)) {
    this.#context = context;
    this.#i18n = context.i18n;
    this.#room = context.room;
    this.#store = store;
    this.#panel = this.#buildPanel();
    context.panels.add(this.#panel);
    this.#item = context.bar.menu.add({ id: 'files-toggle', icon: 'file', label: 'files.menu', order: 20, onclick: () => context.panels.toggle(this.#panel) });
    this.button = h('button', { id: 'file-send', class: 'file-send', type: 'button', onclick: () => this.choose() }, icon('file'));
    this.#i18n.put(this.button, text('files.send'), 'aria-label');
    this.#i18n.put(this.button, text('files.send'), 'title');
    this.#i18n.put(this.#offers, text('files.offers'), 'aria-label');
    show(this.#dropNote, false);
    context.layer.append(this.#offers, this.#dropNote);
    this.#undo = this.#listen();
    this.#refreshTargets();
    this.#refresh();
  }

  /** Something would be lost if the call were left now. */
  get busy() {
    return [...this.#rows].some(({ precious }) => precious);
  }

  /**
   * Has the person choose files, and sends them. Browsers allow it while a click is handled.
   * @param {string} [member] to this one only
   */
  choose(member = '') {
    if (!this.#canSend()) return;
    this.#chosenFor = member;
    this.#input.value = '';
    this.#input.click();
  }

  close() {
    for (const undo of this.#undo) undo();
    this.#listeners.abort();
    for (const line of this.#lines.values()) line.close('gone');
    for (const row of this.#rows) row.close();
    this.#rows.clear();
    this.#offers.remove();
    this.#dropNote.remove();
    // What cannot be removed now goes with the next start.
    this.#store.close().catch(() => {});
  }

  // Building

  #buildPanel() {
    const i18n = this.#i18n;
    const choose = button(i18n, { id: 'files-choose', icon: 'file', label: 'files.choose', className: 'primary', onclick: () => this.choose(this.#target.value) });
    i18n.put(this.#empty, text('files.empty'));
    i18n.put(this.#list, text('files.list'), 'aria-label');
    return new Panel(i18n, {
      id: 'files', title: 'files.title', close: 'files.close', focus: () => choose.focus(),
      content: [
        h('div', { class: 'file-form' }, this.#lead, this.#memory, h('label', { class: 'file-target' }, i18n.label('files.target'), this.#target), choose, this.#input),
        h('div', { class: 'file-scroll' }, this.#empty, this.#list),
      ],
    });
  }

  #listen() {
    const room = this.#room;
    const { signal } = this.#listeners;
    this.#input.addEventListener('change', () => this.#send([...(this.#input.files ?? [])], this.#chosenFor), { signal });
    for (const type of /** @type {const} */ (['dragenter', 'dragover', 'dragleave', 'drop'])) {
      window.addEventListener(type, (event) => this.#drag(event), { signal });
    }
    window.addEventListener('beforeunload', (event) => this.busy && event.preventDefault(), { signal });
    return [
      room.on('channel', ({ peer, channel }) => channel.label === LABEL && this.#line(peer).use(channel)),
      room.on('status', ({ peer }) => this.#lines.get(peer.member.id)?.check()),
      room.on('member-joined', () => this.#refreshTargets()),
      room.on('member-left', ({ member, reason }) => this.#left(member.id, reason)),
      this.#panel.on('change', ({ open }) => {
        this.#item.setPressed(open);
        if (open) this.#explain();
      }),
    ];
  }

  /** To write sizes in a language takes browsers long: nobody waits for it who only joins. */
  #explain() {
    const i18n = this.#i18n;
    const { inMemory } = this.#store;
    i18n.put(this.#lead, text('files.lead', { size: formatBytes(i18n.tag, MAX_SIZE) }));
    show(this.#memory, inMemory);
    if (inMemory) i18n.put(this.#memory, text('files.memoryOnly', { size: formatBytes(i18n.tag, MEMORY_LIMIT) }));
  }

  #refreshTargets() {
    const before = this.#target.value;
    const everybody = this.#i18n.put(h('option', { value: '' }), text('files.everybody'));
    this.#target.replaceChildren(everybody, ...[...this.#room.members.values()].map(({ id, name }) => h('option', { value: id }, name)));
    this.#target.value = before;
    // Whom it was for is gone.
    if (this.#target.selectedIndex < 0) this.#target.value = '';
  }

  // Dropping

  /** @param {DragEvent} event */
  #drag(event) {
    const { type, dataTransfer, relatedTarget } = event;
    if (!dataTransfer?.types.includes('Files')) return;
    // Otherwise the browser opens the file in place of the call.
    event.preventDefault();
    const member = this.#memberAt(event);
    show(this.#dropNote, type === 'dragenter' || type === 'dragover' || (type === 'dragleave' && relatedTarget !== null));
    const name = this.#room.members.get(member)?.name;
    this.#i18n.put(this.#dropNote, name ? text('files.dropOne', { name }) : text('files.dropAll'));
    if (type === 'drop') this.#drop(dataTransfer, member);
  }

  /**
   * Whose tile is under the pointer.
   * @param {DragEvent} event
   */
  #memberAt({ target }) {
    const tile = target instanceof Element ? target.closest('.tile[data-member]') : null;
    const member = tile instanceof HTMLElement ? tile.dataset.member ?? '' : '';
    return this.#room.peers.has(member) ? member : '';
  }

  /**
   * @param {DataTransfer} dropped
   * @param {string} member
   */
  #drop(dropped, member) {
    const folder = [...dropped.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (folder) this.#context.toasts.show(text('files.folder'));
    else if (this.#canSend()) this.#send([...dropped.files], member);
  }

  // Sending

  /** Pieces are hashed by the browser, which does so for secure pages only. */
  #canSend() {
    if (globalThis.crypto?.subtle) return true;
    this.#context.toasts.show(text('files.insecure'));
    return false;
  }

  /**
   * @param {Source[]} files
   * @param {string} member or '' for everybody
   */
  #send(files, member) {
    const { toasts, panels } = this.#context;
    const peers = [...this.#room.peers.values()].filter((peer) => !member || peer.member.id === member);
    if (files.length === 0) return;
    if (peers.length === 0) {
      toasts.show(text('files.nobody'));
      return;
    }
    for (const file of files) {
      if (file.size > MAX_SIZE) toasts.show(text('files.tooLarge', { file: file.name, size: formatBytes(this.#i18n.tag, MAX_SIZE) }));
    }
    const sendable = files.filter(({ size }) => size <= MAX_SIZE);
    for (const peer of peers) this.#sendTo(peer, sendable);
    panels.show(this.#panel);
  }

  /**
   * @param {Peer} peer
   * @param {Source[]} files
   */
  #sendTo(peer, files) {
    const line = this.#line(peer);
    for (const file of files) {
      const transfer = line.offer(file);
      if (!transfer) {
        this.#context.toasts.show(text('files.tooMany', { count: MAX_TRANSFERS, name: peer.member.name }));
        return;
      }
      this.#add(line, transfer);
    }
  }

  /**
   * To the same member, or to the one of this name who has come since.
   * @param {Row} row
   */
  #sendAgain(row) {
    const { source, member: { id, name } } = /** @type {Sending} */ (row.transfer);
    const peers = [...this.#room.peers.values()];
    const namesakes = peers.filter(({ member }) => member.name === name);
    const peer = this.#room.peers.get(id) ?? (namesakes.length === 1 ? namesakes[0] : null);
    if (!peer || !source) {
      this.#context.toasts.show(text('files.notHere', { name }));
      return;
    }
    this.#remove(row);
    this.#sendTo(peer, [source]);
  }

  // Receiving

  /** @param {Peer} peer */
  #line(peer) {
    const { id } = peer.member;
    const known = this.#lines.get(id);
    if (known) return known;
    const line = new FileLine({ peer, refuse: () => this.#refusal() });
    this.#lines.set(id, line);
    line.on('connection', () => this.#refreshOf(id));
    line.on('offer', ({ transfer }) => {
      const row = this.#add(line, transfer);
      if (this.#trusted.has(id)) this.#accept(row);
    });
    return line;
  }

  /** Why no more files are taken. */
  #refusal() {
    if (!globalThis.crypto?.subtle) return 'unsupported';
    const kept = [...this.#rows].filter(({ transfer, precious }) => !transfer.outgoing && precious).length;
    return kept < MAX_ROWS ? '' : 'busy';
  }

  /** @param {Row} row */
  #accept(row) {
    const transfer = /** @type {Receiving} */ (row.transfer);
    void transfer.accept(() => this.#store.open(transfer.size));
  }

  /** @param {Row} row */
  #acceptTo(row) {
    const transfer = /** @type {Receiving} */ (row.transfer);
    void transfer.accept(async () => {
      /** @type {FileSystemFileHandle} */
      let handle;
      try {
        handle = await /** @type {any} */ (window).showSaveFilePicker({ suggestedName: transfer.name });
      } catch (error) {
        throw /** @type {Error} */ (error).name === 'AbortError' ? null : error;
      }
      return fileSink(handle);
    });
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #left(id, reason) {
    // With the same reason for everybody: it is our own seat that is gone.
    this.#lines.get(id)?.close(reason === 'reconnected' ? 'lost' : 'gone');
    this.#lines.delete(id);
    this.#trusted.delete(id);
    this.#refreshTargets();
  }

  // The list

  /**
   * @param {FileLine} line
   * @param {Sending | Receiving} transfer
   */
  #add(line, transfer) {
    const row = new Row(this.#i18n, transfer, {
      connected: () => line.connected, canPick: 'showSaveFilePicker' in window, clock: systemClock,
    });
    this.#rows.add(row);
    row.on('accept', ({ trust }) => {
      if (trust) this.#trusted.add(transfer.member.id);
      this.#context.panels.show(this.#panel);
      this.#accept(row);
    });
    row.on('accept-to', () => this.#acceptTo(row));
    row.on('again', () => this.#sendAgain(row));
    row.on('remove', () => this.#remove(row));
    let { status } = transfer;
    transfer.on('change', () => {
      if (transfer.status !== status && transfer.finished) this.#announce(transfer);
      status = transfer.status;
      this.#place(row);
    });
    this.#place(row);
    this.#forgetOld();
    return row;
  }

  /** An offer lies over the call until it is answered. @param {Row} row */
  #place(row) {
    const place = row.asks ? this.#offerList : this.#list;
    if (!this.#rows.has(row) || row.element.parentElement === place) return;
    const focused = row.element.contains(document.activeElement);
    place.prepend(row.element);
    if (focused) /** @type {HTMLElement | null} */ (row.element.querySelector('button, a'))?.focus();
    this.#refresh();
  }

  /** @param {Sending | Receiving} transfer finished */
  #announce(transfer) {
    const { toasts } = this.#context;
    const { name: file, member: { name } } = transfer;
    const i18n = this.#i18n;
    if (transfer.status === 'done') toasts.show(text(transfer.outgoing ? 'files.sentNote' : 'files.receivedNote', { file, name }));
    // What one has done oneself is no news.
    else if (transfer.endedByOther || !['cancelled', 'declined'].includes(transfer.reason)) {
      const { key, params } = explainEnd(transfer, i18n.tag);
      toasts.show(text('files.endedNote', { file, reason: i18n.t(key, params) }));
    }
  }

  #forgetOld() {
    for (const row of this.#rows) {
      if (this.#rows.size <= MAX_ROWS) return;
      if (!row.precious) this.#remove(row);
    }
  }

  /** @param {Row} row */
  #remove(row) {
    const focused = row.element.contains(document.activeElement);
    row.close();
    this.#rows.delete(row);
    if (row.transfer instanceof Receiving) row.transfer.forget();
    if (focused) this.#target.focus();
    this.#refresh();
  }

  /** @param {string} member */
  #refreshOf(member) {
    for (const row of this.#rows) if (row.transfer.member.id === member) row.refresh();
  }

  #refresh() {
    show(this.#empty, this.#list.childElementCount === 0);
    show(this.#list, this.#list.childElementCount > 0);
    show(this.#offers, this.#offerList.childElementCount > 0);
  }
}
