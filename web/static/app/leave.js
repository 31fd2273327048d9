// @ts-check
import { Dialog } from './dialog.js';
import { h } from './dom.js';
import { text } from './i18n.js';
import { icon } from './icons.js';
import { button } from './widgets.js';

/**
 * Asks before one leaves files behind.
 * @param {import('./i18n.js').I18n} i18n
 * @param {() => void} leave
 */
export function confirmLeave(i18n, leave) {
  const stay = button(i18n, { id: 'leave-stay', icon: 'close', label: 'files.leaveStay', onclick: () => dialog.close() });
  const go = h('button', { id: 'leave-confirm', class: 'button danger', type: 'button', onclick: () => {
    dialog.close();
    leave();
  } }, icon('hangup'), i18n.label('files.leave'));
  const dialog = new Dialog(i18n, {
    id: 'leave-dialog', title: 'files.leaveTitle', content: [i18n.put(h('p', { class: 'lead' }), text('files.leaveLead')), h('div', { class: 'form-buttons' }, stay, go)],
  });
  // It may be the little window that one leaves from.
  window.focus();
  dialog.show();
  stay.focus();
  return dialog;
}
