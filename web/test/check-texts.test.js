// @ts-check
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { dictionaries } from '../static/app/i18n.js';
import { check as en } from '../static/app/text/en/check.js';
import { check as zh } from '../static/app/text/zh/check.js';

const folder = new URL('../static/check/', import.meta.url);
const sources = readdirSync(folder).filter((name) => name.endsWith('.js')).map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
const literals = new Set([...sources.matchAll(/'(check\.\w+)'/g)].map(([, key]) => key));

/** @param {string} content */
const blanks = (content) => [...content.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test('both languages of /check have the same keys in the same order', () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

for (const [key, content] of Object.entries(en)) {
  test(`${key}: written in both languages, with the same blanks, and used`, () => {
    const other = zh[/** @type {keyof typeof en} */ (key)];
    assert.ok(content.trim() && other.trim());
    assert.deepEqual(blanks(other), blanks(content));
    assert.ok(literals.has(key), 'no source uses it');
    assert.match(other, /[\u4e00-\u9fff]|^[{} %\w/]+$/u, 'not translated');
  });
}

test('every text that the sources of /check name exists, and none is a text of the call pages', () => {
  // The names under which this tab keeps things look like texts.
  assert.deepEqual([...literals].filter((key) => !(key in en)), []);
  assert.deepEqual(Object.keys(en).filter((key) => key in dictionaries.en), []);
});
