/** Cases that an older Salvor made: what can be used of them is, the rest is made anew. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, expect, test } from 'vitest';
import { Case } from '../src/case/case.ts';
import { SCAN } from '../src/jobs/scan.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-case-old-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/** The tables of version 2. */
const OLD = `
CREATE TABLE evidence (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, device INTEGER NOT NULL,
  inode INTEGER NOT NULL, modified REAL NOT NULL, edges TEXT NOT NULL, registered TEXT NOT NULL) STRICT;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, evidence INTEGER NOT NULL REFERENCES evidence(id),
  version TEXT NOT NULL, shard INTEGER NOT NULL, shards INTEGER NOT NULL, started TEXT NOT NULL, ended TEXT,
  UNIQUE (kind, evidence, version)) STRICT;
CREATE TABLE done (
  job INTEGER NOT NULL REFERENCES jobs(id), shard INTEGER NOT NULL, PRIMARY KEY (job, shard)) STRICT, WITHOUT ROWID;
CREATE TABLE findings (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs(id), kind TEXT NOT NULL, at INTEGER NOT NULL,
  length INTEGER NOT NULL, base INTEGER, count INTEGER NOT NULL, certainty TEXT NOT NULL, why TEXT NOT NULL, facts TEXT
) STRICT;
CREATE INDEX findings_by_kind ON findings (job, kind, at);
CREATE TABLE log (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, program TEXT NOT NULL, command TEXT NOT NULL, said TEXT NOT NULL) STRICT;
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, locator TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  size INTEGER, modified REAL, damage INTEGER NOT NULL) STRICT;
CREATE VIRTUAL TABLE node_names USING fts5(name, content='nodes', content_rowid='id', tokenize='trigram', detail='none');
CREATE TABLE listings (
  id INTEGER PRIMARY KEY, evidence TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, nodes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, options TEXT NOT NULL, started TEXT NOT NULL, ended TEXT,
  state TEXT NOT NULL, said TEXT) STRICT;
ALTER TABLE log ADD COLUMN chain TEXT;
INSERT INTO nodes VALUES (1, 'a.img/report.txt', 'report.txt', 'file', 'live', 5, NULL, 0);
INSERT INTO node_names (rowid, name) VALUES (1, 'report.txt');
INSERT INTO listings VALUES (1, 'a.img', '2025-01-01T00:00:00.000Z', '2025-01-01T00:00:01.000Z', 1);
INSERT INTO runs VALUES (1, 'recover', '{}', '2025-01-01T00:00:00.000Z', NULL, 'ended', NULL);
PRAGMA user_version = 2;`;

test('a list from before certainty was kept is made anew, and the rest of the case stays', () => {
  const dir = join(root, 'case');
  fs.mkdirSync(dir);
  const db = new DatabaseSync(join(dir, 'case.db'));
  db.exec(OLD);
  db.close();
  const kept = Case.begin(dir, 'test', SCAN);
  expect(kept.nodes.of('a.img')).toBeUndefined();
  expect(kept.nodes.search({ text: 'report', limit: 10 }).rows).toEqual([]);
  expect(kept.runs().length).toBe(1);
  kept.nodes.begin('a.img');
  const row = { locator: 'a.img/report.txt', name: 'report.txt', kind: 'file', state: 'live', size: 5, modified: null };
  kept.nodes.add([{ ...row, damage: 0, certainty: 'inferred' }]);
  kept.nodes.end();
  expect(kept.nodes.search({ text: 'report', certainty: 'inferred', limit: 10 }).rows.length).toBe(1);
  kept.close();
});
