/** Every disk of the corpus, named as a person would: its bytes are those of its answer key. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, salvor } from './cli/salvor.ts';

const CORPUS = join(import.meta.dirname, '..', '..', 'shared', 'corpus');
const ARCHIVE = join(CORPUS, 'images.tar.gz');
const isAbsent = !existsSync(ARCHIVE);
const dir = mkdtempSync(join(tmpdir(), 'salvor-corpus-disks-'));

interface Entry {
  readonly path: string;
  readonly kind: string;
  readonly expected?: { readonly flat?: { readonly size?: number; readonly sha256?: string } };
}

const DISKS = ['disk', 'vhddiff', 'hdd'];

function entries(): Entry[] {
  if (isAbsent) return [];
  const all = (JSON.parse(readFileSync(join(CORPUS, 'manifest.json'), 'utf8')) as { entries: Entry[] }).entries;
  return all.filter(({ kind, expected }) => DISKS.includes(kind) && expected?.flat?.sha256 !== undefined);
}

beforeAll(() => {
  build();
  if (!isAbsent) expect(spawnSync('tar', ['-xzf', ARCHIVE, '-C', dir]).status).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test.skipIf(isAbsent)('disks of all formats, some with parents beside them', async () => {
  const disks = entries();
  expect(disks.length).toBeGreaterThan(25);
  for (const { path, expected } of disks) {
    const { out, err, code } = await salvor('hash', '--sha256', '--json', join(dir, path));
    expect([path, code], err).toEqual([path, 0]);
    const [{ size, sha256 }] = JSON.parse(out).hashes;
    expect({ path, size, sha256 }).toEqual({ path, size: expected!.flat!.size, sha256: expected!.flat!.sha256 });
  }
});
