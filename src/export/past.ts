/** What an earlier run left in a directory: whether it was the same run, and whether its files are as they were. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { quoted } from '../codec/shell.ts';
import { ExportError } from './error.ts';
import type { Header } from './journal.ts';
import { type FileEntry, MANIFEST, type Manifest, readManifest } from './manifest.ts';
import { isThere } from './output.ts';
import { rehash } from './rehash.ts';
import { Threads } from './threads.ts';

const ELSEWHERE = 'Run it as it was to go on, or give another directory with --out.';

/** Throws ExportError('journal') where a journal is of another run; `next` is what there is to do. */
export function compare(dir: string, past: Header, now: Header, next = ELSEWHERE): void {
  const differences: string[] = [];
  for (const key of new Set([...Object.keys(past.options), ...Object.keys(now.options)])) {
    const [was, is] = [past.options[key], now.options[key]].map((value) => JSON.stringify(value ?? null));
    if (was !== is) differences.push(`${key} was ${was} and is ${is}`);
  }
  const before = new Map(past.evidence.map((entry) => [entry.path, entry]));
  for (const entry of now.evidence) {
    const was = before.get(entry.path);
    before.delete(entry.path);
    if (was === undefined) differences.push(`${entry.path} is new`);
    else if (JSON.stringify(was) !== JSON.stringify(entry)) {
      const keys = (['size', 'device', 'inode', 'modified', 'block'] as const).filter((key) => was[key] !== entry[key]);
      differences.push(
        `${entry.path} has another ${keys.map((k) => `${k} (${was[k]} then, ${entry[k]} now)`).join(', ')}`,
      );
    }
  }
  for (const gone of before.keys()) differences.push(`${gone} is missing`);
  if (differences.length === 0) return;
  const typed = past.command.map(quoted).join(' ');
  throw new ExportError(
    'journal',
    `${dir} holds another run (${typed}): ${differences.slice(0, 5).join('; ')}. ${next}`,
  );
}

/** A run that ended: what it left must still be there, by name and size. */
export function finished(dir: string): Manifest {
  const manifest = readManifest(dir);
  const changed = manifest.files.filter((entry) => !isAsNoted(dir, entry));
  if (changed.length === 0) return manifest;
  const names = changed
    .slice(0, 5)
    .map((entry) => entry.path)
    .join(', ');
  const next = `See all with "salvor verify ${quoted(dir)}"; remove ${path.join(dir, MANIFEST)} to copy again what changed.`;
  throw new ExportError(
    'changed',
    `${dir} was finished, but ${changed.length} of its files changed since: ${names}. ${next}`,
  );
}

/** By kind and size. */
function isAsNoted(dir: string, entry: FileEntry): boolean {
  const stat = fs.lstatSync(path.join(dir, entry.path), { throwIfNoEntry: false });
  if (stat === undefined) return false;
  return entry.tree === null ? stat.isDirectory() || stat.isSymbolicLink() : stat.isFile() && stat.size === entry.size;
}

/**
 * Whether finished files of a run that did not end are all there still; they are read again and must have the noted
 * hashes. Throws ExportError('changed') where one has another: a person may have used it, so it is not written anew.
 */
export async function areAsLeft(dir: string, entries: readonly FileEntry[], signal: AbortSignal): Promise<boolean> {
  if (!entries.every((entry) => isThere(path.join(dir, entry.path)))) return false;
  const threads = new Threads();
  try {
    for (const entry of entries) {
      const file = path.join(dir, entry.path);
      const isSame = async (): Promise<boolean> =>
        (await rehash(threads, file, entry.size, { sha256: false }, signal, () => {})).tree === entry.tree;
      if (isAsNoted(dir, entry) && (await isSame())) continue;
      const next = 'Move it away, and the same command writes it again.';
      throw new ExportError('changed', `${file} was finished, and changed since. ${next}`);
    }
    return true;
  } finally {
    await threads.close();
  }
}
