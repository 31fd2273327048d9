// @ts-check
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { PictureInPicture } from '../static/app/pip.js';

const globals = /** @type {any} */ (globalThis);

afterEach(() => {
  delete globals.document;
  delete globals.documentPictureInPicture;
});

test('a window that comes after the end of the call is closed', async () => {
  let give = /** @type {(opened: any) => void} */ (() => {});
  const element = { append() {}, addEventListener() {}, setAttribute() {} };
  globals.document = { createElement: () => ({ ...element }), pictureInPictureElement: null };
  globals.documentPictureInPicture = { requestWindow: () => new Promise((resolve) => {
    give = resolve;
  }) };
  const pip = new PictureInPicture(/** @type {any} */ ({}), { mute() {}, muted: () => false, leave() {} });
  const toggled = pip.toggle();
  pip.close();
  let closed = 0;
  give({ close: () => closed++ });
  await toggled;
  assert.deepEqual([closed, pip.open], [1, false]);
});
