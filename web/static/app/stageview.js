// @ts-check
import { systemClock } from './clock.js';
import { canFullScreen, toggleFullScreen } from './fullscreen.js';
import { text } from './i18n.js';
import { PictureInPicture } from './pip.js';
import { ShortcutsDialog } from './shortcuts.js';
import { Stage } from './stage.js';
import { Voices } from './voices.js';

/** @typedef {import('./context.js').CallContext} CallContext */
/** @typedef {import('./hands.js').Hands} Hands */
/** @typedef {import('./tiles.js').Frame} Frame */

const SELF = 'self';

/** Who is seen how large: grid and stage, pins, one's own picture, the little window, full screen, and who speaks or wants to. */
export class StageView {
  #context;
  #hands;
  #stage = new Stage(systemClock);
  #voices;
  #pip;
  #shortcuts;
  #undo;
  #fullScreenChanged = () => this.#entries.full.setPressed(document.fullscreenElement === document.documentElement);
  #entries;

  /**
   * @param {CallContext} context
   * @param {Hands} hands
   * @param {() => void} leave
   */
  constructor(context, hands, leave) {
    this.#context = context;
    this.#hands = hands;
    const { i18n, media, memory, grid, shortcuts } = context;
    this.#voices = new Voices(context, systemClock);
    this.#pip = new PictureInPicture(i18n, { mute: () => void media.setAudio(!media.state.audio), muted: () => !media.state.audio, leave });
    this.#shortcuts = new ShortcutsDialog(i18n, shortcuts);
    this.#entries = this.#addEntries();
    this.#undo = this.#listen();
    document.addEventListener('fullscreenchange', this.#fullScreenChanged);
    for (const [key, frame] of grid.frames) this.#added(key, frame);
    this.#stage.setView(memory.setting('view') === 'speaker' ? 'speaker' : 'grid');
    this.#refresh();
  }

  close() {
    document.removeEventListener('fullscreenchange', this.#fullScreenChanged);
    for (const undo of this.#undo) undo();
    this.#voices.close();
    this.#pip.close();
    this.#shortcuts.close();
  }

  #listen() {
    const { i18n, media, grid, room, selfView } = this.#context;
    const refreshPip = () => this.#pip.refresh();
    this.#pip.onchange = () => this.#entries.pip.setPressed(this.#pip.open);
    return [
      grid.on('add', ({ key, frame }) => this.#added(key, frame)),
      grid.on('remove', ({ key }) => this.#removed(key)),
      this.#stage.on('change', () => this.#refresh()),
      selfView.on('change', () => this.#showSelf()),
      this.#voices.on('levels', ({ levels }) => this.#stage.hear(levels)),
      this.#hands.on('change', () => this.#showHands()),
      media.on('change', refreshPip), room.on('member-updated', refreshPip), room.on('track', refreshPip), i18n.on('change', refreshPip),
    ];
  }

  #addEntries() {
    const { bar: { menu }, shortcuts, selfView } = this.#context;
    /** @type {(key: string, options: import('./controls.js').MenuOptions) => import('./controls.js').MenuItem} */
    const add = (key, options) => {
      shortcuts.set(key, options.onclick);
      return menu.add({ ...options, shortcut: key.toUpperCase() });
    };
    const entries = {
      speaker: add('g', { id: 'view-speaker', icon: 'spotlight', label: 'stage.speakerView', onclick: () => this.#toggleView() }),
      self: add('o', { id: 'view-self', icon: 'person', label: 'stage.showSelf', onclick: () => selfView.setHidden(selfView.where !== 'hidden') }),
      pip: add('i', { id: 'view-pip', icon: 'float', label: 'stage.pip', onclick: () => void this.#togglePip() }),
      full: add('f', { id: 'view-full', icon: 'expand', label: 'stage.fullScreen', onclick: () => void toggleFullScreen(document.documentElement) }),
      keys: add('?', { id: 'view-keys', icon: 'keyboard', label: 'stage.keys', order: 90, onclick: () => this.#shortcuts.show() }),
    };
    entries.pip.setShown(this.#pip.supported);
    entries.full.setShown(canFullScreen());
    entries.pip.setPressed(false);
    entries.full.setPressed(false);
    if (!this.#pip.supported) shortcuts.delete('i');
    if (!canFullScreen()) shortcuts.delete('f');
    return entries;
  }

  #toggleView() {
    const view = this.#stage.view === 'grid' ? 'speaker' : 'grid';
    this.#context.memory.setSetting('view', view === 'speaker' ? view : '');
    this.#stage.setView(view);
  }

  async #togglePip() {
    try {
      await this.#pip.toggle();
    } catch {
      this.#context.toasts.show(text('stage.pipRefused'));
    }
  }

  /**
   * @param {string} key
   * @param {Frame} frame
   */
  #added(key, frame) {
    const { grid } = this.#context;
    frame.on('pin', () => this.#stage.togglePin(key));
    if (grid.screens.has(key)) this.#stage.addScreen(key, frame.element.classList.contains('own'));
    else if (key !== SELF) this.#stage.addPerson(key);
    this.#showHands();
  }

  /** @param {string} key */
  #removed(key) {
    this.#stage.removeScreen(key);
    this.#stage.removePerson(key);
  }

  #refresh() {
    const { grid } = this.#context;
    const { place, pinned, speaker } = this.#stage;
    for (const [key, frame] of grid.frames) frame.setPinned(key === pinned);
    grid.setStage(place);
    this.#entries.speaker.setPressed(this.#stage.view === 'speaker');
    this.#pip.show(grid.frames.get(place ?? speaker ?? SELF) ?? null);
    this.#showSelf();
  }

  #showSelf() {
    this.#entries.self.setPressed(this.#context.selfView.where !== 'hidden');
  }

  #showHands() {
    for (const [key, tile] of this.#context.grid.tiles) tile.setHand(this.#hands.place(key));
  }
}
