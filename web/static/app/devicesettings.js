// @ts-check
import { Dialog } from './dialog.js';
import { Settings, absentText } from './settings.js';

/** @typedef {import('./context.js').CallContext} CallContext */

/** The settings of devices, sound and picture during a call. */
export class DeviceSettings {
  #context;
  #undo;
  /** @type {Dialog | null} */
  #dialog = null;

  /** @param {Pick<CallContext, 'i18n' | 'media' | 'bar' | 'toasts'>} context */
  constructor(context) {
    this.#context = context;
    const { media, bar, toasts } = context;
    bar.menu.add({ id: 'open-settings', icon: 'settings', label: 'lobby.settings', order: 10, onclick: () => this.#show() });
    this.#undo = media.on('absent', ({ role }) => toasts.show(absentText(role)));
  }

  close() {
    this.#undo();
    this.#dialog?.close();
  }

  #show() {
    const { i18n, media } = this.#context;
    const settings = new Settings(i18n, media);
    const dialog = new Dialog(i18n, { id: 'call-settings', title: 'lobby.settings', content: [settings.element] });
    dialog.on('close', () => settings.close());
    this.#dialog = dialog;
    dialog.show();
  }
}
