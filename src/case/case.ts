/** A case: a folder with what is known of some evidence, how it became known, and the log of what was done. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { FileSource } from '../core/evidence.ts';
import { CARVED_HIT, type Found, type Hit } from '../core/finder.ts';
import { CERTAINTY_NAMES, type Certainty, INFERRED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { type Custody, custody, enter } from './custody.ts';
import { CaseError } from './error.ts';
import { NodeList } from './nodes.ts';
import { changeOf, known, register } from './register.ts';
import { beginRun, endRun, type RunRecord, runsOf } from './runs.ts';
import { FILE_NAME, inTransaction, openStore } from './store.ts';

/** Resumable work over one piece of evidence, cut into shards of the same size. */
export interface JobRecord {
  readonly id: number;
  /** Bytes of a shard; the last one may be shorter. */
  readonly shard: number;
  readonly shards: number;
  /** Numbers of the shards that are done. */
  readonly done: ReadonlySet<number>;
}

/** Which jobs answer what was found: older ones were made with other finders. */
export interface Scan {
  readonly kind: string;
  readonly version: string;
}

/** Searches for files by their content. The version is raised whenever a kind of file is added or changed. */
export const CARVE: Scan = { kind: 'carve', version: '1' };

export class Case implements Found {
  readonly dir: string;
  readonly #db: DatabaseSync;
  readonly #program: string;
  readonly #scan: Scan;
  /** Numbers of finished jobs over a file; undefined where there are none. Looked up when somebody asks. */
  #ended = new WeakMap<Source, Map<Scan, number | undefined>>();
  readonly #hits = new Map<string, readonly Hit[]>();

  private constructor(dir: string, program: string, scan: Scan) {
    this.#scan = scan;
    this.dir = dir;
    this.#program = program;
    this.#db = openStore(dir);
  }

  /** Opens the case in `dir`, or begins one there: an empty directory, or none. Throws CaseError. */
  static begin(dir: string, program: string, scan: Scan): Case {
    if (!fs.existsSync(path.join(dir, FILE_NAME)) && fs.existsSync(dir) && fs.readdirSync(dir).length > 0) {
      throw new CaseError(`${dir} has other things in it and is no case. Give --case a new or empty directory.`);
    }
    try {
      fs.mkdirSync(dir, { recursive: true });
    } catch (error) {
      throw new CaseError(`${dir} cannot be made: ${(error as Error).message}. Give --case another directory.`);
    }
    return new Case(dir, program, scan);
  }

  /** The case in `dir`, or undefined where there is none. Throws CaseError where there is one that cannot be used. */
  static at(dir: string, program: string, scan: Scan): Case | undefined {
    return fs.existsSync(path.join(dir, FILE_NAME)) ? new Case(dir, program, scan) : undefined;
  }

  /** Enters into the custody log what is being done. */
  log(command: readonly string[], said: string): void {
    inTransaction(this.#db, () => enter(this.#db, this.#program, command, said));
  }

  /** What was done so far, and whether the log is as it was written. */
  custody(): Custody {
    return custody(this.#db);
  }

  /** Everything that was found by walking, for search. */
  get nodes(): NodeList {
    return new NodeList(this.#db);
  }

  /** Enters a recovery or conversion that is begun, or gone on with; answers its number. */
  beginRun(kind: string, options: Readonly<Record<string, unknown>>): number {
    return inTransaction(this.#db, () => beginRun(this.#db, kind, options));
  }

  endRun(id: number, state: string, said: string): void {
    endRun(this.#db, id, state, said);
  }

  runs(): RunRecord[] {
    return runsOf(this.#db);
  }

  /**
   * Looks at a piece of evidence again, and enters it where it is new. Answers a sentence where it is no longer what it
   * was when it was registered.
   */
  recheck(file: FileSource): string | undefined {
    const changed = changeOf(this.#db, file);
    if (changed === undefined) register(this.#db, file);
    return changed;
  }

  /** What the register says of a piece of evidence: when it was taken up, and the hash of its first and last bytes. */
  registered(file: FileSource): { registered: string; edges: string } {
    const row = this.#db
      .prepare('SELECT registered, edges FROM evidence WHERE path = ?')
      .get(path.resolve(file.path)) as { registered: string; edges: string } | undefined;
    return { registered: row?.registered ?? 'not at all', edges: row?.edges ?? '' };
  }

  /** Bytes of a file that the scan has done so far, whole or not. */
  scanned(file: FileSource): number {
    const id = known(this.#db, file);
    const sql = 'SELECT id, shard, shards FROM jobs WHERE kind = ? AND evidence = ? AND version = ?';
    const row = id === undefined ? undefined : this.#db.prepare(sql).get(this.#scan.kind, id, this.#scan.version);
    if (row === undefined) return 0;
    const { count } = this.#db.prepare('SELECT count(*) AS count FROM done WHERE job = ?').get(row.id as number)!;
    return Math.min(file.size, (count as number) * (row.shard as number));
  }

  /** The job of that kind over the `size` bytes in a file, begun anew where there is none or where the file has changed. */
  job(file: FileSource, { kind, version }: Scan, shard: number, size: number = file.size): JobRecord {
    return inTransaction(this.#db, () => {
      const evidence = register(this.#db, file);
      const shards = Math.ceil(size / shard);
      this.#db
        .prepare(
          'INSERT INTO jobs (kind, evidence, version, shard, shards, started) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        )
        .run(kind, evidence, version, shard, shards, new Date().toISOString());
      const row = this.#db
        .prepare('SELECT id, shard, shards FROM jobs WHERE kind = ? AND evidence = ? AND version = ?')
        .get(kind, evidence, version) as unknown as JobRecord;
      const rows = this.#db.prepare('SELECT shard FROM done WHERE job = ?').all(row.id);
      return { ...row, done: new Set(rows.map((one) => one.shard as number)) };
    });
  }

  /** Keeps what a shard gave, and that it is done, in one step: after a crash it is there whole or not at all. */
  finishShard(job: JobRecord, shard: number, hits: readonly Hit[], grade: (hit: Hit) => Certainty = asInferred): void {
    const insert = this.#db.prepare(
      'INSERT INTO findings (job, kind, at, length, base, count, certainty, why, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    );
    inTransaction(this.#db, () => {
      const fresh = this.#db
        .prepare('INSERT INTO done (job, shard) VALUES (?, ?) ON CONFLICT DO NOTHING')
        .run(job.id, shard);
      if (fresh.changes === 0) return;
      for (const hit of hits) {
        const { kind, at, length, base, count, facts } = hit;
        const why = base === undefined ? 'its content' : 'what it says of its own position';
        const more = facts === undefined ? null : JSON.stringify(facts);
        insert.run(job.id, kind, at, length, base ?? null, count ?? 1, CERTAINTY_NAMES[grade(hit)], why, more);
      }
    });
  }

  /** Says that all shards of a job are done. */
  endJob(job: JobRecord): void {
    this.#db.prepare('UPDATE jobs SET ended = ? WHERE id = ? AND ended IS NULL').run(new Date().toISOString(), job.id);
    this.#ended = new WeakMap();
    this.#hits.clear();
  }

  whole(evidence: Source): boolean {
    return this.#endedOf(evidence, this.#scan) !== undefined;
  }

  /** Number of the job of that kind that came to the end of a file. */
  #endedOf(evidence: Source, scan: Scan): number | undefined {
    if (!(evidence instanceof FileSource)) return undefined;
    const asked = this.#ended.get(evidence) ?? new Map<Scan, number | undefined>();
    this.#ended.set(evidence, asked);
    if (asked.has(scan)) return asked.get(scan);
    const id = known(this.#db, evidence);
    const ended = 'SELECT id FROM jobs WHERE kind = ? AND evidence = ? AND version = ? AND ended IS NOT NULL';
    const row = id === undefined ? undefined : this.#db.prepare(ended).get(scan.kind, id, scan.version);
    const job = row?.id as number | undefined;
    asked.set(scan, job);
    return job;
  }

  hits(evidence: Source, kind: string): readonly Hit[] {
    const job = this.#endedOf(evidence, this.#scan);
    return job === undefined ? [] : this.#hitsOf(job, kind);
  }

  /** Whether files were looked for by their content on a piece of evidence, to its end. */
  isCarved(evidence: Source): boolean {
    return this.#endedOf(evidence, CARVE) !== undefined;
  }

  /** Read as they are asked for: there may be a million. */
  carved(evidence: Source): Iterable<Hit> | undefined {
    const job = this.#endedOf(evidence, CARVE);
    return job === undefined ? undefined : this.soFar(job, CARVED_HIT);
  }

  #hitsOf(job: number, kind: string): readonly Hit[] {
    const key = `${job} ${kind}`;
    const cached = this.#hits.get(key);
    if (cached !== undefined) return cached;
    const hits = [...this.soFar(job, kind)];
    this.#hits.set(key, hits);
    return hits;
  }

  /** Hits of one kind that a job found so far, by position. */
  *soFar(job: number, kind: string): Generator<Hit> {
    const rows = this.#db
      .prepare('SELECT kind, at, length, base, count, facts FROM findings WHERE job = ? AND kind = ? ORDER BY at, id')
      .iterate(job, kind);
    for (const row of rows)
      yield {
        kind,
        at: row.at as number,
        length: row.length as number,
        ...(row.base !== null && { base: row.base as number }),
        ...((row.count as number) > 1 && { count: row.count as number }),
        ...(row.facts !== null && { facts: JSON.parse(row.facts as string) as Record<string, string | number> }),
      };
  }

  /** Kinds that were found on a piece of evidence, with how many pieces of each. */
  kinds(evidence: Source): { kind: string; count: number; places: number }[] {
    const job = this.#endedOf(evidence, this.#scan);
    if (job === undefined) return [];
    return this.#db
      .prepare(
        'SELECT kind, sum(count) AS count, count(*) AS places FROM findings WHERE job = ? GROUP BY kind ORDER BY kind',
      )
      .all(job) as unknown as { kind: string; count: number; places: number }[];
  }

  close(): void {
    this.#db.close();
  }
}

function asInferred(): Certainty {
  return INFERRED;
}
