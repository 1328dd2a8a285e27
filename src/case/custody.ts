/** The custody log: what was done, when, by which program. Each entry carries the SHA-256 of itself and the one before. */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';

export interface LogEntry {
  readonly id: number;
  readonly at: string;
  readonly program: string;
  /** As it was typed, or what was asked for. */
  readonly command: readonly string[];
  readonly said: string;
  /** SHA-256 over the entry before this one and this one; null for entries of versions that had no chain. */
  readonly chain: string | null;
}

export interface Custody {
  readonly entries: readonly LogEntry[];
  readonly count: number;
  /** What is wrong with the chain, in a sentence; absent where it holds. */
  readonly broken?: string;
}

/** Entries that are handed out; the chain is checked over all. */
const SHOWN = 500;
const ORDER = 'SELECT id, at, program, command, said, chain FROM log ORDER BY id';

interface Row {
  readonly id: number;
  readonly at: string;
  readonly program: string;
  readonly command: string;
  readonly said: string;
  readonly chain: string | null;
}

/** Enters what is being done. Call it inside a transaction, so that no other entry comes between. */
export function enter(db: DatabaseSync, program: string, command: readonly string[], said: string): void {
  const last = db.prepare('SELECT max(id) AS id FROM log').get() as { id: number | null };
  const link = db.prepare('SELECT chain FROM log WHERE id = ?').get(last.id ?? 0);
  const before = (link?.chain as string | null | undefined) ?? '';
  const row = { id: (last.id ?? 0) + 1, at: new Date().toISOString(), program, command: JSON.stringify(command), said };
  db.prepare('INSERT INTO log (id, at, program, command, said, chain) VALUES (?, ?, ?, ?, ?, ?)').run(
    row.id,
    row.at,
    row.program,
    row.command,
    row.said,
    linkOf(before, row),
  );
}

/** All that was done, the latest last, and whether every entry is as it was entered. */
export function custody(db: DatabaseSync): Custody {
  const entries: LogEntry[] = [];
  let before = '';
  let id = 0;
  let count = 0;
  let broken: string | undefined;
  for (const one of db.prepare(ORDER).iterate()) {
    const row = one as unknown as Row;
    count++;
    // Entries from before there was a chain stand at the start, without a link.
    const isOld = row.chain === null && before === '';
    const holds = isOld || (row.id === id + 1 && row.chain === linkOf(before, row));
    if (!holds) broken ??= `Entry ${row.id} of ${row.at} is not as it was entered, or one before it was taken away.`;
    before = row.chain ?? '';
    id = row.id;
    entries.push({ ...row, command: JSON.parse(row.command) as string[] });
    if (entries.length > SHOWN) entries.shift();
  }
  return { entries, count, ...(broken !== undefined && { broken }) };
}

function linkOf(before: string, { id, at, program, command, said }: Omit<Row, 'chain'>): string {
  return createHash('sha256')
    .update(JSON.stringify([before, id, at, program, command, said]))
    .digest('hex');
}
