/** Files of this machine that can be chosen as evidence. Looks at names and sizes only. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { z } from '@hono/zod-openapi';
import { shown } from '../stack/words.ts';
import type { Folder } from './schemas.ts';

/** Entries of a folder that are shown. */
const MAX_ENTRIES = 5000;

/** A folder that cannot be listed; the message is a sentence. */
export class FolderError extends Error {}

/** The folders, files and devices in a folder. Links are not followed; hidden names come last. */
export function folderOf(given: string): z.infer<typeof Folder> {
  const folder = path.resolve(given);
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const { code } = error as { code?: string };
    const why = code === 'ENOENT' ? 'there is no such folder' : code === 'ENOTDIR' ? 'it is no folder' : String(code);
    throw new FolderError(`${folder} cannot be listed: ${why}.`);
  }
  const listed = entries
    .filter((entry) => entry.isDirectory() || entry.isFile() || entry.isBlockDevice())
    .sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, 'en', { numeric: true }));
  const parent = path.dirname(folder);
  return {
    path: folder,
    ...(parent !== folder && { parent }),
    cut: listed.length > MAX_ENTRIES,
    entries: listed.slice(0, MAX_ENTRIES).map((entry) => {
      const full = path.join(folder, entry.name);
      const stat = entry.isFile() ? fs.statSync(full, { throwIfNoEntry: false }) : undefined;
      const kind = entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : 'device';
      return { name: shown(entry.name), path: full, kind, ...(stat !== undefined && { size: stat.size }) };
    }),
  };
}

function rank(entry: fs.Dirent): number {
  return (entry.name.startsWith('.') ? 2 : 0) + (entry.isDirectory() ? 0 : 1);
}
