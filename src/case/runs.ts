/** Recoveries and conversions that were asked for in a case, so that they can be gone on with after a crash. */
import type { DatabaseSync } from 'node:sqlite';

export interface RunRecord {
  readonly id: number;
  readonly kind: string;
  /** What was asked for. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly started: string;
  readonly ended: string | null;
  /** 'begun', 'done', 'stopped' or 'failed'; one that is 'begun' and runs nowhere was cut off. */
  readonly state: string;
  readonly said: string | null;
}

/** Enters that a run is begun; answers its number. */
export function beginRun(db: DatabaseSync, kind: string, options: Readonly<Record<string, unknown>>): number {
  const text = JSON.stringify(options);
  const again = db.prepare('SELECT id FROM runs WHERE kind = ? AND options = ?').get(kind, text);
  if (again !== undefined) {
    db.prepare("UPDATE runs SET state = 'begun', ended = NULL, said = NULL WHERE id = ?").run(again.id as number);
    return again.id as number;
  }
  const row = db
    .prepare("INSERT INTO runs (kind, options, started, state) VALUES (?, ?, ?, 'begun') RETURNING id")
    .get(kind, text, new Date().toISOString());
  return (row as { id: number }).id;
}

/** Enters how a run ended. */
export function endRun(db: DatabaseSync, id: number, state: string, said: string): void {
  const now = new Date().toISOString();
  db.prepare('UPDATE runs SET state = ?, said = ?, ended = ? WHERE id = ?').run(state, said, now, id);
}

/** All runs, in the order in which they were first asked for. */
export function runsOf(db: DatabaseSync): RunRecord[] {
  return db
    .prepare('SELECT id, kind, options, started, ended, state, said FROM runs ORDER BY id')
    .all()
    .map((row) => ({ ...row, options: JSON.parse(row.options as string) }) as unknown as RunRecord);
}
