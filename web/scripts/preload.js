// @ts-check
// Writes into each page a modulepreload link for every module that its script imports, directly or not, so that the browser asks for all
// of them at once and not level by level: node scripts/preload.js
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const pages = new URL('static/', root);

/** An import or export of another module; `import(…)` and the types in comments are none. */
const IMPORT = /^(?:import|export)\s(?:[^'"();]*?\sfrom\s+)?\s*['"]([^'"]+)['"]/gm;
const PRELOAD = /^ *<link rel="modulepreload" href="[^"]*">\n/gm;
const SCRIPT = /^( *)<script type="module" src="([^"]+)"/m;

/** The names of the pages. */
export function pageNames() {
  return readdirSync(pages).filter((name) => name.endsWith('.html'));
}

/** @param {string} name */
export function readPage(name) {
  return readFileSync(new URL(name, pages), 'utf8');
}

/**
 * The file that the server answers with to a path.
 * @param {string} path
 */
export function fileOf(path) {
  return new URL(path.replace(/^\/assets\//, 'static/').replace(/^\//, ''), root);
}

/**
 * @param {string} source of a module
 * @returns {string[]} what it imports, as written there
 */
export function importsOf(source) {
  return [...source.matchAll(IMPORT)].map(([, name]) => name);
}

/**
 * @param {string} html
 * @returns {string[]} paths of all modules that the page's script needs but itself, those that are needed first in front
 */
export function modulesOf(html) {
  const start = html.match(SCRIPT)?.[2];
  if (!start) return [];
  const found = new Set([start]);
  for (const path of found) {
    for (const name of importsOf(readFileSync(fileOf(path), 'utf8'))) found.add(new URL(name, `http://server${path}`).pathname);
  }
  found.delete(start);
  return [...found];
}

/** @param {string} html */
export function withPreloads(html) {
  const links = modulesOf(html).map((path) => `<link rel="modulepreload" href="${path}">\n`);
  return html.replace(PRELOAD, '').replace(SCRIPT, (script, indent) => links.map((link) => indent + link).join('') + script);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of pageNames()) writeFileSync(new URL(name, pages), withPreloads(readPage(name)));
}
