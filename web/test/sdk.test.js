// @ts-check
// The client as others get it: its size, its types, its package.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';
import { FakeConnection } from '../fakes/connection.js';
import { FakeSocket } from '../fakes/socket.js';
import * as sdk from '../sdk/maitred.js';

const directory = fileURLToPath(new URL('../sdk/', import.meta.url));
/** @param {string} name */
const read = (name) => readFileSync(directory + name, 'utf8');
const source = read('maitred.js');
const declarations = `${directory}maitred.d.ts`;

test('it is at most 10 kB compressed', () => {
  // What "gzip -9 -c maitred.js" makes has the file's name in it.
  const size = gzipSync(source, { level: 9 }).length + 'maitred.js\0'.length;
  assert.ok(size <= 10_000, `${size} bytes`);
});

test('it needs nothing but itself', () => {
  assert.deepEqual(ts.preProcessFile(source, true, true).importedFiles, []);
});

test('the package has what is needed and nothing else', () => {
  const [{ name, files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: directory, encoding: 'utf8' }));
  assert.equal(name, 'maitred');
  assert.deepEqual(files.map((/** @type {{path: string}} */ { path }) => path).sort(), ['README.md', 'maitred.d.ts', 'maitred.js', 'package.json']);
});

test('and can be imported by its name', async () => {
  const { name, exports: entries, types, main, dependencies } = JSON.parse(read('package.json'));
  assert.deepEqual([name, main, types, entries['.']], ['maitred', './maitred.js', './maitred.d.ts', { types: './maitred.d.ts', default: './maitred.js' }]);
  assert.equal(dependencies, undefined);
});

// Types

const CHECK = `
import * as impl from './implementation.js';
import * as spec from './maitred.js';

/** Without what is private, which no other class may have. */
type Public<T> = Omit<{ [K in keyof T]: T[K] }, keyof EventTarget>;
type Arguments<T> = { [K in keyof T]: T[K] extends (...all: infer A) => any ? A : never };
declare function given<T>(): T;

// The same names.
export const names: { [K in keyof typeof spec]: unknown } = given<typeof impl>();
export const namesBack: { [K in keyof typeof impl]: unknown } = given<typeof spec>();
export const functions: typeof spec.join = impl.join;
export const protocol: typeof spec.PROTOCOL = impl.PROTOCOL;

${['Emitter<{}>', 'Signaling', 'Channel', 'Peer', 'Room'].map((it) => [it, it.replace(/<.*/, '')]).map(([type, name]) => `
// What is promised is there, and takes what it is promised to take.
export const ${name}Members: Public<spec.${type}> = given<Public<impl.${type}>>();
export const ${name}MembersBack: { [K in keyof Public<impl.${type}>]: unknown } = given<Public<spec.${type}>>();
export const ${name}Arguments: Arguments<Public<impl.${type}>> = given<Arguments<Public<spec.${type}>>>();
export const ${name}Constructor: ConstructorParameters<typeof impl.${name}> = given<ConstructorParameters<typeof spec.${name}>>();
`).join('')}`;

/** Files that are the same for every check. @type {Map<string, ts.SourceFile | undefined>} */
const parsed = new Map();

/**
 * What the compiler says of an implementation against maitred.d.ts.
 * @param {string} implementation
 */
function disagreements(implementation) {
  const virtual = new Map([[`${directory}implementation.js`, implementation], [`${directory}check.ts`, CHECK]]);
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(`${directory}../tsconfig.json`, ts.sys.readFile).config, ts.sys, `${directory}..`);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => virtual.has(name) || fileExists(name);
  host.readFile = (name) => virtual.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const content = virtual.get(name);
    if (content !== undefined) return ts.createSourceFile(name, content, version, true);
    if (!parsed.has(name)) parsed.set(name, getSourceFile(name, version, ...rest));
    return parsed.get(name);
  };
  const program = ts.createProgram([...virtual.keys()], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test('the declarations say what the code is', () => {
  assert.deepEqual(disagreements(source), []);
});

const LIES = [
  { name: 'a method less', from: '  leave() {', to: '  depart() {' },
  { name: 'a method more', from: '  leave() {\n    this.#signaling', to: '  depart() {}\n\n  leave() {\n    this.#signaling' },
  { name: 'another argument', from: '  setPassword(password = \'\') {', to: '  setPassword(password = 7) {' },
  { name: 'an argument that must be there', from: '  limit(maxMembers = 0) {', to: '  /** @param {number} maxMembers */\n  limit(maxMembers) {' },
  { name: 'an export less', from: 'export class Channel', to: 'class Channel' },
  { name: 'an export more', from: 'const nothing', to: 'export const nothing' },
];
for (const { name, from, to } of LIES) {
  test(`and would be found out: ${name}`, () => {
    assert.ok(source.includes(from));
    assert.notDeepEqual(disagreements(source.replace(from, to)), []);
  });
}

const program = ts.createProgram([declarations], { strict: true, lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'] });
const file = /** @type {ts.SourceFile} */ (program.getSourceFile(declarations));

test('the declarations are sound', () => {
  const problems = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  assert.deepEqual(problems.map(({ messageText }) => messageText), []);
});

/** Names of values and of the members of classes, as declared. */
function declared() {
  const checker = program.getTypeChecker();
  const symbols = checker.getExportsOfModule(/** @type {ts.Symbol} */ (checker.getSymbolAtLocation(file)));
  return new Map(symbols.filter(({ flags }) => flags & ts.SymbolFlags.Value).map((symbol) => {
    const members = symbol.flags & ts.SymbolFlags.Class ? checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)) : [];
    return [symbol.name, members.map((it) => it.name).filter((it) => !(it in EventTarget.prototype)).sort()];
  }));
}

/** @param {object} object with what its class and those above have, down to EventTarget */
function members(object) {
  const names = new Set(Object.keys(object));
  for (let at = Object.getPrototypeOf(object); at !== EventTarget.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) if (name !== 'constructor') names.add(name);
  }
  return [...names].sort();
}

test('what is declared is there when it runs, and nothing else', () => {
  const options = {
    url: 'ws://x', room: 'tea', name: 'Ann', createSocket: (/** @type {string} */ url, /** @type {string} */ protocol) => new FakeSocket(url, protocol),
  };
  const peer = new sdk.Peer({
    member: { id: 'bob', name: 'Bob' }, polite: true, send: () => {}, createConnection: () => /** @type {any} */ (new FakeConnection()),
  });
  /** @type {Record<string, object>} */
  const instances = {
    Emitter: new sdk.Emitter(), Signaling: new sdk.Signaling(options), Channel: peer.channel('x'), Peer: peer, Room: new sdk.Room(options),
  };
  const found = new Map(Object.keys(sdk).sort().map((name) => [name, instances[name] ? members(instances[name]) : []]));
  assert.deepEqual(found, new Map([...declared()].sort(([a], [b]) => (a < b ? -1 : 1))));
});
