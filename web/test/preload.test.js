// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importsOf, modulesOf, pageNames, readPage, withPreloads } from '../scripts/preload.js';

test('imports are found, and nothing else', () => {
  assert.deepEqual(importsOf(`// @ts-check
import { a } from './a.js';
import {
  b,
  c,
} from '../b.js';
import './c.js';
import * as d from "./d.js";
export { e } from './e.js';
export * from './f.js';
/** @typedef {import('./g.js').G} G */
const lazy = () => import('./h.js');
export const text = 'x';
  // import './i.js';
`), ['./a.js', '../b.js', './c.js', './d.js', './e.js', './f.js']);
});

for (const name of pageNames()) {
  const html = readPage(name);
  test(`${name} preloads the modules that it needs, each once (else run: node scripts/preload.js)`, () => {
    assert.ok(modulesOf(html).length > 0, 'the page has a module script');
    const links = [...html.matchAll(/rel="modulepreload" href="([^"]+)"/g)].map(([, href]) => href);
    assert.deepEqual(links, modulesOf(html));
    assert.equal(withPreloads(html), html);
  });
}
