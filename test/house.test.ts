/** The checks of the house: what ../docs/ARCHITECTURE.md promises about the code, as tests. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { formats } from '../src/formats/index.ts';

const ROOT = path.join(import.meta.dirname, '..');
const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;

/** Rooms from the ground up; a file may import from its own room and from those before it. */
const ROOMS = ['core', 'codec', 'formats', 'scan', 'stack', 'case', 'jobs', 'export', 'serve', 'cli'];

interface File {
  readonly name: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function filesBelow(folder: string): File[] {
  return fs
    .readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(tsx?|cjs|js)$/.test(entry.name))
    .map((entry) => {
      const full = path.join(entry.parentPath, entry.name);
      const text = fs.readFileSync(full, 'utf8');
      return { name: path.relative(ROOT, full), text, lines: text.split('\n') };
    });
}

const source = filesBelow('src');
const web = filesBelow('web/src');
const all = [
  ...source,
  ...web,
  ...filesBelow('test'),
  ...(fs.existsSync(path.join(ROOT, 'bench')) ? filesBelow('bench') : []),
];
const importsOf = (file: File): string[] => [...file.text.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)].map((m) => m[1]);
const roomOf = (name: string): string => name.split('/')[1].replace(/\.ts$/, '');

test('imports go one way, from the upper rooms down', () => {
  const wrong: string[] = [];
  for (const file of source) {
    const room = ROOMS.indexOf(roomOf(file.name));
    if (room < 0) continue; // src/index.ts is the library's door
    for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
      const resolved = path.relative(ROOT, path.resolve(ROOT, path.dirname(file.name), target));
      const other = ROOMS.indexOf(roomOf(resolved));
      if (other > room) wrong.push(`${file.name} imports ${resolved}`);
      if (other < 0) wrong.push(`${file.name} imports ${resolved}, which is in no room`);
    }
  }
  // core/ stands alone; codec/ knows bytes only.
  for (const file of source.filter((f) => roomOf(f.name) === 'codec')) {
    wrong.push(
      ...importsOf(file)
        .filter((n) => /\.\.\/(?!core)/.test(n))
        .map((n) => `${file.name} imports ${n}`),
    );
  }
  expect(wrong).toEqual([]);
});

test('formats touch nothing but bytes', () => {
  const wrong = source
    .filter((file) => roomOf(file.name) === 'formats')
    .filter(
      (file) =>
        importsOf(file).some((name) => name.startsWith('node:')) || /\b(process|console|fetch)\./.test(file.text),
    );
  expect(wrong.map((file) => file.name)).toEqual([]);
});

test('one file opens evidence, one room writes', () => {
  const opens = source.filter(
    (file) => /\b(openSync|open|createReadStream)\(/.test(file.text) && /node:fs/.test(file.text),
  );
  const places = opens.map((file) => file.name).filter((name) => !name.startsWith('src/export/'));
  expect(places).toEqual(['src/core/evidence.ts']);
  const writes = source.filter((file) =>
    /\b(writeSync|writeFileSync|appendFileSync|mkdirSync|renameSync|unlinkSync|rmSync|ftruncateSync)\(/.test(file.text),
  );
  // A case is a folder of its own, and a database in it.
  const elsewhere = writes.map((file) => file.name).filter((name) => !/^src\/(export\/|case\/case\.ts)/.test(name));
  expect(elsewhere).toEqual([]);
  const evidence = source.find((file) => file.name === 'src/core/evidence.ts')!;
  expect(evidence.text).toMatch(/O_RDONLY/);
  expect(evidence.text).not.toMatch(/O_RDWR|O_WRONLY|O_CREAT/);
});

test('no format is named outside formats/', () => {
  const ids = formats.map((format) => format.id);
  const wrong: string[] = [];
  for (const file of source) {
    if (roomOf(file.name) === 'formats' || !ROOMS.includes(roomOf(file.name))) continue;
    // Help texts and comments may name one as an example; code may not compare with one.
    for (const id of ids) if (file.text.includes(`'${id}'`)) wrong.push(`${file.name}: '${id}'`);
  }
  expect(wrong).toEqual([]);
});

test('nothing below cli/ prints', () => {
  const wrong = source.filter(
    (file) => roomOf(file.name) !== 'cli' && /\bconsole\.|process\.std(out|err)/.test(file.text),
  );
  expect(wrong.map((file) => file.name)).toEqual([]);
});

test('names and exports are those of the house', () => {
  const wrong = source.filter((file) => /(^|\/)(utils?|helpers?|manager|service)s?[./]/i.test(file.name));
  expect(wrong.map((file) => file.name)).toEqual([]);
  expect(all.filter((file) => /^export default/m.test(file.text)).map((file) => file.name)).toEqual([]);
  expect(source.filter((file) => /\b\d+n\b|BigInt/.test(file.text)).map((file) => file.name)).toEqual([]);
});

test('every file says first what it is', () => {
  const silent = [...source, ...web].filter((file) => !/^(#!.*\n)?\/\*\*/.test(file.text));
  expect(silent.map((file) => file.name)).toEqual([]);
});

test('the web takes only types and words from the rooms, and nothing from elsewhere', () => {
  const wrong = web.flatMap((file) =>
    [...file.text.matchAll(/import (type )?.*from '((?:\.\.\/)+src\/[^']+)'/g)]
      .filter(([, isType, target]) => isType === undefined && !target.endsWith('/stack/words.ts'))
      .map(([, , target]) => `${file.name} imports ${target}`),
  );
  wrong.push(...web.filter((file) => /https?:\/\/|\bany\b(?=[;>)\]])/.test(file.text)).map((file) => file.name));
  wrong.push(
    ...web.filter((file) => /dangerouslySetInnerHTML|innerHTML|\beval\(/.test(file.text)).map((file) => file.name),
  );
  expect(wrong).toEqual([]);
});

test('files and functions stay small', () => {
  const large: string[] = [];
  for (const file of all) {
    if (file.lines.length > MAX_FILE_LINES) large.push(`${file.name}: ${file.lines.length} lines`);
    large.push(...longFunctions(file));
  }
  expect(large).toEqual([]);
});

/** Functions and methods by their indentation, which the formatter guarantees. */
function longFunctions(file: File): string[] {
  const out: string[] = [];
  file.lines.forEach((line, i) => {
    const head =
      /^(\s*)(?:export )?(?:async )?(?:function\b|(?:static |private |readonly )*(?:async )?[#\w]+\s*\(.*\)?.*\{$)/.exec(
        line,
      );
    if (head === null || /^\s*(if|for|while|switch|return|test|describe|it)\b/.test(line)) return;
    const end = file.lines.findIndex((other, j) => j > i && other.startsWith(`${head[1]}}`));
    if (end - i > MAX_FUNCTION_LINES) out.push(`${file.name}:${i + 1}: ${end - i} lines`);
  });
  return out;
}

test('the long-function check finds one (canary)', () => {
  const lines = ['function long() {', ...Array.from({ length: 80 }, () => '  x();'), '}'];
  expect(longFunctions({ name: 'x', text: lines.join('\n'), lines })).toHaveLength(1);
});

test.each([
  ['tsc', ['--noEmit']],
  ['tsc', ['-p', 'web']],
  ['biome', ['check', '--error-on-warnings', '.']],
  ['oxlint', ['--type-aware', '--deny-warnings', 'src', 'test']],
])('%s is content', (command, args) => {
  const bin = path.join(ROOT, 'node_modules', '.bin', command);
  const env = { ...process.env, PATH: `${path.join(ROOT, 'node_modules', '.bin')}:${process.env.PATH}` };
  const done = spawnSync(bin, args, { cwd: ROOT, encoding: 'utf8', env });
  expect(done.status, done.stdout + done.stderr).toBe(0);
});
