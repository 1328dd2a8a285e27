/** What has been run, kept between calls: one small file for each cell and program. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cell } from './cell.ts';
import type { Score } from './judge.ts';
import { CACHE, ROOT } from './place.ts';

export type Program = 'salvor' | 'fuse' | 'photorec';
export const PEERS: readonly Program[] = ['fuse', 'photorec'];

export interface Entry {
  /** Git's name of src/, and a hash of the makers and damages, as they were. */
  readonly tree: string;
  readonly bench: string;
  readonly commit: string;
  readonly when: string;
  readonly seconds: number;
  readonly note?: string;
  /** Undefined where the program could not run. */
  readonly score?: Score;
}

export interface Subject {
  readonly tree: string;
  readonly bench: string;
  readonly commit: string;
}

function git(...args: string[]): string {
  return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).trim();
}

/** Files that say how work is done and shown, not what is measured. */
const NOT_MEASURING = ['README.md', 'page.ts', 'record.ts', 'run.ts'];

/** Names the makers, damages and judges as they are now; those of single disks have a hash of their own. */
function benchHash(): string {
  const hash = createHash('sha256');
  for (const folder of ['test/make', 'test/scoreboard']) {
    const entries = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true });
    const files = entries.filter(
      (entry) => entry.isFile() && !NOT_MEASURING.includes(entry.name) && !entry.parentPath.endsWith('disks'),
    );
    for (const path of files.map((entry) => join(entry.parentPath, entry.name)).sort()) hash.update(readFileSync(path));
  }
  return hash.digest('hex').slice(0, 12);
}

/** What is being tested and by what; + marks changes that are in no commit. */
export function subject(): Subject {
  const dirty = git('status', '--porcelain', 'src') === '' ? '' : '+';
  const commit = git('rev-parse', '--short', 'HEAD') + dirty;
  return { tree: git('rev-parse', 'HEAD:src') + dirty, bench: benchHash(), commit };
}

function fileOf(cell: Cell, program: Program): string {
  return join(CACHE, 'cells', `${cell.id.replaceAll('/', ',')}.${program}.json`);
}

export function load(cell: Cell, program: Program): Entry | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(cell, program), 'utf8')) as Entry;
  } catch {
    return undefined;
  }
}

export function save(cell: Cell, program: Program, entry: Entry): void {
  mkdirSync(join(CACHE, 'cells'), { recursive: true });
  const path = fileOf(cell, program);
  writeFileSync(`${path}.new`, JSON.stringify(entry));
  renameSync(`${path}.new`, path);
}

/** Whether an entry holds on the present sources. A peer does not change with src/. */
export function isCurrent(entry: Entry | undefined, program: Program, now: Subject): boolean {
  return entry !== undefined && entry.bench === now.bench && (program !== 'salvor' || entry.tree === now.tree);
}
