/** Where a case keeps what it knows: one SQLite file. Everything in it can be made again from the evidence, except the log. */
import * as path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CaseError } from './error.ts';

/** Raised with every change of the tables; a case of another version is refused. */
const VERSION = 3;
const BUSY_MS = 10_000;
export const FILE_NAME = 'case.db';

const TABLES = `
CREATE TABLE evidence (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, device INTEGER NOT NULL,
  inode INTEGER NOT NULL, modified REAL NOT NULL, edges TEXT NOT NULL, registered TEXT NOT NULL
) STRICT;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, evidence INTEGER NOT NULL REFERENCES evidence(id),
  version TEXT NOT NULL, shard INTEGER NOT NULL, shards INTEGER NOT NULL, started TEXT NOT NULL, ended TEXT,
  UNIQUE (kind, evidence, version)
) STRICT;
CREATE TABLE done (
  job INTEGER NOT NULL REFERENCES jobs(id), shard INTEGER NOT NULL, PRIMARY KEY (job, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE findings (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs(id), kind TEXT NOT NULL, at INTEGER NOT NULL,
  length INTEGER NOT NULL, base INTEGER, count INTEGER NOT NULL, certainty TEXT NOT NULL, why TEXT NOT NULL, facts TEXT
) STRICT;
CREATE INDEX findings_by_kind ON findings (job, kind, at);
CREATE TABLE log (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, program TEXT NOT NULL, command TEXT NOT NULL, said TEXT NOT NULL
) STRICT;
`;

/** What version 2 added: everything by name, recoveries, and the chain of the log. */
const ADDED_2 = `
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, locator TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  size INTEGER, modified REAL, damage INTEGER NOT NULL
) STRICT;
CREATE VIRTUAL TABLE node_names USING fts5(name, content='nodes', content_rowid='id', tokenize='trigram', detail='none');
CREATE TABLE listings (
  id INTEGER PRIMARY KEY, evidence TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, nodes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, options TEXT NOT NULL, started TEXT NOT NULL, ended TEXT,
  state TEXT NOT NULL, said TEXT
) STRICT;
ALTER TABLE log ADD COLUMN chain TEXT;
`;

/**
 * What version 3 added: how certain a thing is, and ways to the few that are not as they should be. What was listed before
 * is forgotten: nobody looked how certain it was, and a search for what is in doubt would pass it over.
 */
const ADDED_3 = `
DELETE FROM nodes;
INSERT INTO node_names (node_names) VALUES ('delete-all');
DELETE FROM listings;
ALTER TABLE nodes ADD COLUMN certainty TEXT;
CREATE INDEX nodes_damaged ON nodes (id) WHERE damage > 0;
CREATE INDEX nodes_by_state ON nodes (state);
CREATE INDEX nodes_by_certainty ON nodes (certainty);
CREATE INDEX nodes_by_kind ON nodes (kind);
CREATE INDEX nodes_by_size ON nodes (size);
CREATE INDEX nodes_by_modified ON nodes (modified);
`;

/** What is run for a case of each version; 0 is a new one. */
const STEPS = [TABLES, ADDED_2, ADDED_3].map((_, i, all) => all.slice(i).join(''));

/** Opens the database of the case in `dir`, which must exist; makes it where it is not there. Throws CaseError. */
export function openStore(dir: string): DatabaseSync {
  const file = path.join(dir, FILE_NAME);
  try {
    const db = new DatabaseSync(file, { timeout: BUSY_MS });
    db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA cache_size=-65536',
    );
    inTransaction(db, () => {
      const known = (db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
      if (known < VERSION) db.exec(`${STEPS[known]} PRAGMA user_version = ${VERSION}`);
      else if (known !== VERSION) {
        throw new CaseError(
          `${dir} is a case of version ${known}; this program knows version ${VERSION}. Give --case a new directory.`,
        );
      }
    });
    return db;
  } catch (error) {
    if (error instanceof CaseError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CaseError(`The case in ${dir} cannot be opened: ${reason}. Give --case another directory.`);
  }
}

/** Does all of `work` or nothing of it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}
