// @ts-check
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { dictionaries } from '../static/app/i18n.js';

const statics = new URL('../static/', import.meta.url);

/** Written with the letters of the other language: names, units and what that language is called. */
const FOREIGN = ['title.room', 'lang.switch', 'lang.other', 'check.rateValue'];
/** What looks like a key and is none: names in the browser's storage. */
const NO_KEY = /^maitred\./;

/** The texts of an area have a file of their own in each language. The check page alone loads "check". @param {string} language */
const areasOf = (language) => readdirSync(new URL(`app/text/${language}/`, statics)).sort();

/**
 * @param {string} language
 * @param {string} file
 * @returns {Promise<Record<string, string>>}
 */
async function readArea(language, file) {
  const area = await import(new URL(`app/text/${language}/${file}`, statics).href);
  return area[file.replace(/\.js$/, '')];
}

/** @param {string} directory under static */
function sourcesIn(directory) {
  return readdirSync(new URL(directory, statics), { recursive: true }).map(String)
    .filter((name) => name.endsWith('.js') && !name.startsWith('text/'))
    .map((name) => readFileSync(new URL(name, new URL(directory, statics)), 'utf8')).join('\n');
}

const check = { en: await readArea('en', 'check.js'), zh: await readArea('zh', 'check.js') };
const en = /** @type {Record<string, string>} */ (dictionaries.en);
const zh = /** @type {Record<string, string>} */ (dictionaries.zh);
const all = { en: { ...en, ...check.en }, zh: { ...zh, ...check.zh } };
const groups = new Set(Object.keys(all.en).map((key) => key.split('.')[0]));
const sources = { app: sourcesIn('app/'), check: sourcesIn('check/') };

/** @param {string} source */
const literalsOf = (source) => new Set([...source.matchAll(/['"`]([a-z]\w*(?:\.\w+)+)['"`]/g)].map(([, key]) => key)
  .filter((key) => groups.has(key.split('.')[0]) && !NO_KEY.test(key)));
const literals = { app: literalsOf(sources.app), check: literalsOf(sources.check) };

/** @param {string} source */
const familiesOf = (source) => [...source.matchAll(/`([a-z]\w*\.[\w.]*)\$\{|'([a-z]\w*\.[\w.]*)'\s*\+/g)].map(([, inTemplate, added]) => inTemplate ?? added)
  .filter((family) => groups.has(family.split('.')[0]) && !NO_KEY.test(family));

/** @param {string} content */
const blanks = (content) => [...new Set([...content.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))].sort();
/** @param {string} content */
const isChinese = (content) => /\p{Script=Han}/u.test(content);
/** Blanks and signs alone are of no language. @param {string} content */
const isEnglish = (content) => /[a-z]/i.test(content.replace(/\{\w+\}/g, '')) && !isChinese(content);

test('both languages have the same texts in the same order', () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
  assert.deepEqual(areasOf('zh'), areasOf('en'));
});

for (const file of areasOf('en')) {
  test(`${file}: the same texts in both languages, all of them loaded, none of another area`, async () => {
    const [english, chinese] = [await readArea('en', file), await readArea('zh', file)];
    assert.ok(english && chinese, `exports ${file.replace(/\.js$/, '')}`);
    assert.deepEqual(Object.keys(chinese), Object.keys(english));
    const page = file === 'check.js' ? all.en : en;
    assert.deepEqual(Object.entries(english).filter(([key, content]) => page[key] !== content), []);
  });
}

test('every text is written in both languages, with the same blanks', () => {
  const wrong = Object.entries(all.en).filter(([key, english]) => {
    const chinese = all.zh[key] ?? '';
    if (!english.trim() || !chinese.trim() || String(blanks(english)) !== String(blanks(chinese))) return true;
    return !FOREIGN.includes(key) && (isChinese(english) || isEnglish(chinese));
  });
  assert.deepEqual(wrong.map(([key, english]) => [key, english, all.zh[key]]), []);
  assert.deepEqual(FOREIGN.filter((key) => !(key in all.en)), []);
});

test('no file says a text that another one says', () => {
  const read = (/** @type {string} */ path) => [...readFileSync(new URL(path, statics), 'utf8').matchAll(/^ *'([^']+)':/gm)].map(([, key]) => key);
  const keys = [...read('app/text/en.js'), ...areasOf('en').flatMap((file) => read(`app/text/en/${file}`))];
  assert.deepEqual(keys.filter((key, index) => keys.indexOf(key) !== index), []);
});

test('every text that the sources name is there, in the dictionary that their page loads', () => {
  assert.deepEqual([...literals.app].filter((key) => !(key in en)), []);
  assert.deepEqual([...literals.check].filter((key) => !(key in all.en)), []);
});

test('no key is put together, where nobody would find it', () => {
  assert.deepEqual([...familiesOf(sources.app), ...familiesOf(sources.check)], []);
});

test('every text is used', () => {
  const used = (/** @type {string} */ key) => literals.app.has(key) || literals.check.has(key);
  assert.deepEqual(Object.keys(all.en).filter((key) => !used(key)), []);
  assert.deepEqual(Object.keys(check.en).filter((key) => literals.app.has(key) && !literals.check.has(key)), [], 'the check page alone has these');
});
