/** Documents are true: the generated pages are those of this code, and every file that one names is there. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { PAGES } from '../docs/generate.ts';

const ROOT = path.join(import.meta.dirname, '..');

test.each(Object.keys(PAGES))('%s is made from this code (npm run docs)', async (name) => {
  expect(fs.readFileSync(path.join(ROOT, name), 'utf8')).toBe(await PAGES[name]());
});

test('paths that the documents name exist', () => {
  const missing: string[] = [];
  for (const name of [
    'README.md',
    ...fs
      .readdirSync(path.join(ROOT, 'docs'))
      .filter((n) => n.endsWith('.md'))
      .map((n) => `docs/${n}`),
  ]) {
    const text = fs.readFileSync(path.join(ROOT, name), 'utf8');
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      if (!fs.existsSync(path.join(ROOT, path.dirname(name), target))) missing.push(`${name}: ${target}`);
    }
    for (const [, target] of text.matchAll(/`((?:src|test|bench|tools|bin|docs)\/[\w./-]*)`/g)) {
      if (!fs.existsSync(path.join(ROOT, target))) missing.push(`${name}: ${target}`);
    }
  }
  expect(missing).toEqual([]);
});
