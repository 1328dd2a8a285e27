/** Everything that was found by walking, by name: what search looks in. */
import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './store.ts';

/** A thing as search answers it. */
export interface NodeRow {
  readonly locator: string;
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  readonly size: number | null;
  /** Seconds since 1970. */
  readonly modified: number | null;
  /** How many damages it carries. */
  readonly damage: number;
}

export interface SearchOptions {
  /** Part of a name; with a slash, of a path. */
  readonly text: string;
  readonly kind?: string | undefined;
  readonly state?: string | undefined;
  readonly damaged?: boolean | undefined;
  readonly larger?: number | undefined;
  readonly smaller?: number | undefined;
  readonly newer?: number | undefined;
  readonly older?: number | undefined;
  readonly limit: number;
  /** Where an answer before this one ended. */
  readonly after?: number | undefined;
}

export interface SearchResult {
  readonly rows: readonly NodeRow[];
  /** For `after`; absent where there is no more. */
  readonly next?: number;
}

/** How far the list of everything is. */
export interface Listing {
  readonly nodes: number;
  readonly ended: boolean;
}

/** Characters that a trigram index needs. */
const LEAST = 3;

export class NodeList {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** The list of that evidence, as far as it is; undefined where there is none. */
  of(evidence: string): Listing | undefined {
    const row = this.#db.prepare('SELECT nodes, ended FROM listings WHERE evidence = ?').get(evidence);
    return row === undefined ? undefined : { nodes: row.nodes as number, ended: row.ended !== null };
  }

  /** Begins anew: what was listed before is forgotten. */
  begin(evidence: string): void {
    inTransaction(this.#db, () => {
      this.#db.exec("DELETE FROM nodes; INSERT INTO node_names(node_names) VALUES('delete-all'); DELETE FROM listings");
      this.#db
        .prepare('INSERT INTO listings (evidence, started) VALUES (?, ?)')
        .run(evidence, new Date().toISOString());
    });
  }

  /** Adds things in one step. */
  add(rows: readonly NodeRow[]): void {
    const node = this.#db.prepare(
      'INSERT INTO nodes (locator, name, kind, state, size, modified, damage) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    const name = this.#db.prepare('INSERT INTO node_names (rowid, name) VALUES (?, ?)');
    inTransaction(this.#db, () => {
      for (const row of rows) {
        const added = node.run(row.locator, row.name, row.kind, row.state, row.size, row.modified, row.damage);
        name.run(added.lastInsertRowid, row.name);
      }
      this.#db.prepare('UPDATE listings SET nodes = nodes + ?').run(rows.length);
    });
  }

  /** Says that all of it is listed. */
  end(): void {
    this.#db.prepare('UPDATE listings SET ended = ?').run(new Date().toISOString());
  }

  /** Things that pass, in the order in which they were met. */
  search(options: SearchOptions): SearchResult {
    const { where, values } = conditions(options);
    const rows = this.#db
      .prepare(
        `SELECT nodes.id, locator, nodes.name, kind, state, size, modified, damage FROM nodes ${where} ORDER BY nodes.id LIMIT ?`,
      )
      .all(...values, options.limit + 1) as unknown as (NodeRow & { id: number })[];
    const page = rows.slice(0, options.limit);
    const last = page[page.length - 1];
    return {
      rows: page.map(rowOf),
      ...(rows.length > options.limit && last !== undefined && { next: last.id }),
    };
  }
}

function conditions(options: SearchOptions): { where: string; values: (string | number)[] } {
  const tests: string[] = [];
  const values: (string | number)[] = [];
  const test = (condition: string, value: string | number | undefined): void => {
    if (value === undefined) return;
    tests.push(condition);
    values.push(value);
  };
  const slash = options.text.lastIndexOf('/');
  const name = options.text.slice(slash + 1);
  if (name !== '') {
    // The index answers LIKE from three characters on, and only without ESCAPE; so it is asked for a little more, with
    // any character where a wildcard stands for itself, and the rows are asked again.
    const isIndexed = Array.from(name).length >= LEAST;
    const rough = `%${name.replace(/[%_]/g, '_')}%`;
    test('nodes.id IN (SELECT rowid FROM node_names WHERE name LIKE ?)', isIndexed ? rough : undefined);
    test("nodes.name LIKE ? ESCAPE '\\'", pattern(name));
  }
  if (slash > 0) test("locator LIKE ? ESCAPE '\\'", pattern(options.text));
  test('kind = ?', options.kind);
  test('state = ?', options.state);
  if (options.damaged === true) tests.push('damage > 0');
  test('size >= ?', options.larger);
  test('size <= ?', options.smaller);
  test('modified >= ?', options.newer);
  test('modified <= ?', options.older);
  test('nodes.id > ?', options.after);
  return { where: tests.length === 0 ? '' : `WHERE ${tests.join(' AND ')}`, values };
}

function pattern(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

function rowOf({ locator, name, kind, state, size, modified, damage }: NodeRow): NodeRow {
  return { locator, name, kind, state, size, modified, damage };
}
