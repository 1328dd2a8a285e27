/** The evidence register: what was given, so that findings are never taken for those of something else. */

import * as path from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { blake3 } from '../codec/blake3.ts';
import type { FileSource } from '../core/evidence.ts';

/** Bytes at each end that are hashed: a device has no time of change, but another disk has another start. */
const EDGE = 64 * 1024;

export interface Registered {
  readonly id: number;
  readonly path: string;
}

interface Row {
  readonly id: number;
  readonly size: number;
  readonly modified: number;
  readonly edges: string;
}

/** The number of a piece of evidence, or undefined where it is not registered, or is another one than it was. */
export function known(db: DatabaseSync, file: FileSource): number | undefined {
  const row = db.prepare('SELECT id, size, modified, edges FROM evidence WHERE path = ?').get(path.resolve(file.path));
  if (row === undefined) return undefined;
  const { id, size, modified, edges } = row as unknown as Row;
  const same = size === file.size && modified === file.identity.modified && edges === edgesOf(file);
  return same ? id : undefined;
}

/** As `known`; enters it where it is not there. What the case knew of a file that has changed since is dropped. */
export function register(db: DatabaseSync, file: FileSource): number {
  const id = known(db, file);
  if (id !== undefined) return id;
  const name = path.resolve(file.path);
  const { device, inode, modified } = file.identity;
  forget(db, name);
  const row = db
    .prepare(
      'INSERT INTO evidence (path, size, device, inode, modified, edges, registered) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id',
    )
    .get(name, file.size, device, inode, modified, edgesOf(file), new Date().toISOString());
  return (row as { id: number }).id;
}

/** What became different about a registered piece of evidence, in a sentence; undefined where nothing did. */
export function changeOf(db: DatabaseSync, file: FileSource): string | undefined {
  const row = db.prepare('SELECT size, modified, edges, registered FROM evidence WHERE path = ?');
  const was = row.get(path.resolve(file.path)) as unknown as (Omit<Row, 'id'> & { registered: string }) | undefined;
  if (was === undefined) return undefined;
  const said: string[] = [];
  if (was.size !== file.size) said.push(`it had ${was.size} bytes and has ${file.size}`);
  if (was.modified !== file.identity.modified) said.push('it was written to, by the time of its last change');
  if (was.edges !== edgesOf(file)) said.push('its first or last bytes are other ones');
  if (said.length === 0) return undefined;
  const since = `${was.registered.slice(0, 19).replace('T', ' ')} UTC`;
  return `${file.path} is no longer what it was when this case took it up (${since}): ${said.join('; ')}. What was found before does not count for it.`;
}

function forget(db: DatabaseSync, name: string): void {
  const jobs = 'SELECT jobs.id FROM jobs JOIN evidence ON evidence.id = jobs.evidence WHERE path = ?';
  db.prepare(`DELETE FROM findings WHERE job IN (${jobs})`).run(name);
  db.prepare(`DELETE FROM done WHERE job IN (${jobs})`).run(name);
  db.prepare('DELETE FROM jobs WHERE evidence IN (SELECT id FROM evidence WHERE path = ?)').run(name);
  db.prepare('DELETE FROM evidence WHERE path = ?').run(name);
}

function edgesOf(file: FileSource): string {
  const length = Math.min(EDGE, file.size);
  const both = new Uint8Array(2 * length);
  file.readSync(0, both.subarray(0, length));
  file.readSync(file.size - length, both.subarray(length));
  return Buffer.from(blake3(both)).toString('hex');
}
