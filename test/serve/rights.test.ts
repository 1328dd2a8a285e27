/** What a child that reads evidence cannot do, whatever the evidence makes it do. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { JobOrder } from '../../src/serve/messages.ts';
import { rightsFor } from '../../src/serve/rights.ts';

const dir = mkdtempSync(join(tmpdir(), 'salvor-rights-'));
const place = (name: string): string => join(dir, name);
for (const folder of ['evidence', 'case', 'home']) mkdirSync(place(folder));
writeFileSync(place('evidence/disk.img'), 'disk');
writeFileSync(place('evidence/disk-flat.vmdk'), 'beside it');
writeFileSync(place('home/secret'), 'secret');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What a process with these rights can do of what it tries. */
function tried(order?: JobOrder): Record<string, boolean> {
  const script = join(import.meta.dirname, 'rights-try.ts');
  const opening = {
    sources: [place('evidence/disk.img')],
    case: place('case'),
    program: 'salvor test',
    hasQemu: false,
  };
  const rights = [...rightsFor(opening, order, []), `--allow-fs-read=${script}`];
  const done = spawnSync(process.execPath, [...rights, script, dir], { encoding: 'utf8' });
  expect(done.status, done.stderr).toBe(0);
  return JSON.parse(done.stdout) as Record<string, boolean>;
}

const LOOKING = {
  'read evidence': true,
  'read what lies beside it': true,
  'read the case': true,
  'write in the case': true,
  'read a secret': false,
  'read /etc': false,
  'write evidence': false,
  'write beside evidence': false,
  'write elsewhere': false,
  'start a program': false,
};

test('a child that answers questions reads the evidence and writes the case only', () => {
  expect(tried()).toEqual({ ...LOOKING, 'start a thread': false });
});

test('a scan may also have threads', () => {
  expect(tried({ kind: 'scan', options: {} })).toEqual({ ...LOOKING, 'start a thread': true });
});

test('what writes files runs without these bounds, for Node has no right to set their modes', () => {
  const opening = {
    sources: [place('evidence/disk.img')],
    case: place('case'),
    program: 'salvor test',
    hasQemu: false,
  };
  expect(rightsFor(opening, { kind: 'recover', options: { out: place('out') } }, [])).toEqual([]);
});
