// @ts-check
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { chooseLanguage, dictionaries, fill } from '../static/app/i18n.js';

const app = new URL('../static/app/', import.meta.url);
const sources = readdirSync(app).filter((name) => name.endsWith('.js')).map((name) => readFileSync(new URL(name, app), 'utf8')).join('\n');
const literals = new Set([...sources.matchAll(/'([a-z]+\.\w+)'/g)].map(([, key]) => key));
const { en, zh } = dictionaries;

/** @param {string} content */
const placeholders = (content) => [...content.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test('both languages have the same keys in the same order', () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

for (const [key, content] of Object.entries(en)) {
  test(`${key}: written in both languages, with the same blanks, and used`, () => {
    const other = zh[/** @type {keyof typeof en} */ (key)];
    assert.ok(content.trim() && other.trim());
    assert.deepEqual(placeholders(other), placeholders(content));
    assert.ok(literals.has(key), 'no source uses it');
  });
}

test('every text that the sources name exists', () => {
  const groups = new Set(Object.keys(en).map((key) => key.split('.')[0]));
  const missing = [...literals].filter((key) => groups.has(key.split('.')[0]) && !(key in en));
  // The memory's storage keys look like texts.
  assert.deepEqual(missing.filter((key) => !key.startsWith('maitred.')), []);
});

test('blanks are filled, unknown ones stay', () => {
  assert.equal(fill('{a} and {b}', { a: '$&', c: 1 }), '$& and {b}');
});

const WISHES = [
  { wishes: ['zh', 'en'], language: 'zh' },
  { wishes: [null, '', 'zh-TW'], language: 'zh' },
  { wishes: ['fr', 'de', 'en-GB'], language: 'en' },
  { wishes: ['EN'], language: 'en' },
  { wishes: ['fr'], language: 'en' },
  { wishes: [], language: 'en' },
];
for (const { wishes, language } of WISHES) {
  test(`wishes ${JSON.stringify(wishes)} give ${language}`, () => assert.equal(chooseLanguage(wishes), language));
}
