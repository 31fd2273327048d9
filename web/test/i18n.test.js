// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseLanguage, fill } from '../static/app/i18n.js';

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
