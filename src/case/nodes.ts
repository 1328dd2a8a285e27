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
  /** What is known of the least certain of its bytes; null where it has none, or has too many runs to look at all. */
  readonly certainty: string | null;
}

export interface SearchOptions {
  /** Part of a name; with a slash, of a path. */
  readonly text: string;
  readonly kind?: string | undefined;
  readonly state?: string | undefined;
  readonly damaged?: boolean | undefined;
  /** Its least certain bytes are of this grade. */
  readonly certainty?: string | undefined;
  readonly larger?: number | undefined;
  readonly smaller?: number | undefined;
  readonly newer?: number | undefined;
  readonly older?: number | undefined;
  readonly limit: number;
  /** Where an answer before this one ended. */
  readonly after?: number | undefined;
  /** Milliseconds that it may look, for tests. */
  readonly budget?: number;
}

export interface SearchResult {
  readonly rows: readonly NodeRow[];
  /** For `after`; absent where all was looked at. There may be no more. */
  readonly next?: number;
  /** The share of all things that was looked at when the page was full, or the time was over. */
  readonly looked: number;
  /** How many pass, as far as that was counted; only with the first page. */
  readonly count?: number;
  readonly isCounted?: boolean;
}

/** How far the list of everything is. */
export interface Listing {
  readonly nodes: number;
  readonly ended: boolean;
}

/** Characters that a trigram index needs. */
const LEAST = 3;
/** Ids that one question covers, and milliseconds after which an answer is given with what there is. */
const WINDOW = 20_000;
const BUDGET_MS = 90;
const QUICK_MS = 5;
/** So many things are looked at one by one in a moment. */
const RARE = 5000;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

export class NodeList {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    db.function('holds', { deterministic: true }, (text, part) =>
      String(text).toLowerCase().includes(String(part)) ? 1 : 0,
    );
  }

  /** The list of that evidence, as far as it is; undefined where there is none. */
  of(evidence: string): Listing | undefined {
    const row = this.#db.prepare('SELECT nodes, ended FROM listings WHERE evidence = ?').get(evidence);
    return row === undefined ? undefined : { nodes: row.nodes as number, ended: row.ended !== null };
  }

  /** Begins anew: what was listed before is forgotten. */
  begin(evidence: string): void {
    inTransaction(this.#db, () => {
      this.#forget();
      this.#db
        .prepare('INSERT INTO listings (evidence, started) VALUES (?, ?)')
        .run(evidence, new Date().toISOString());
    });
  }

  /** Forgets what was listed, because there is more now. */
  forget(): void {
    inTransaction(this.#db, () => this.#forget());
  }

  #forget(): void {
    this.#db.exec("DELETE FROM nodes; INSERT INTO node_names(node_names) VALUES('delete-all'); DELETE FROM listings");
  }

  /** Adds things in one step. */
  add(rows: readonly NodeRow[]): void {
    const node = this.#db.prepare(
      'INSERT INTO nodes (locator, name, kind, state, size, modified, damage, certainty) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    const name = this.#db.prepare('INSERT INTO node_names (rowid, name) VALUES (?, ?)');
    inTransaction(this.#db, () => {
      for (const row of rows) {
        const { locator, kind, state, size, modified, damage, certainty } = row;
        const added = node.run(locator, row.name, kind, state, size, modified, damage, certainty);
        name.run(added.lastInsertRowid, row.name);
      }
      this.#db.prepare('UPDATE listings SET nodes = nodes + ?').run(rows.length);
    });
  }

  /** Says that all of it is listed. */
  end(): void {
    this.#db.prepare('UPDATE listings SET ended = ?').run(new Date().toISOString());
  }

  /**
   * Things that pass, in the order in which they were met. Looks for a short while only: an answer with `next` and few
   * rows says how far it came, and is gone on with by `after`.
   */
  search(options: SearchOptions): SearchResult {
    const began = performance.now();
    const plan = planOf(this.#db, options);
    const end = (this.#db.prepare('SELECT max(id) AS id FROM nodes').get() as { id: number | null }).id ?? 0;
    const select = this.#db.prepare(`SELECT ${COLUMNS} ${plan.from} ORDER BY ${plan.id} LIMIT ?`);
    const rows: FoundRow[] = [];
    let at = options.after ?? 0;
    const isLate = (): boolean => performance.now() - began >= (options.budget ?? BUDGET_MS);
    const windows = new Windows(plan.isRare ? end : WINDOW);
    while (at < end && rows.length <= options.limit) {
      const until = windows.next(at, end);
      const values = [...plan.values, at, until, options.limit + 1 - rows.length];
      rows.push(...(select.all(...values) as unknown as FoundRow[]));
      at = until;
      if (isLate()) break;
    }
    const page = rows.slice(0, options.limit);
    const isMore = rows.length > options.limit;
    const next = isMore ? page[page.length - 1].id : at < end ? at : undefined;
    const found = { rows: page.map(rowOf), ...(next !== undefined && { next }), looked: end === 0 ? 1 : at / end };
    if (options.after !== undefined) return found;
    if (plan.isAll) return { ...found, count: end, isCounted: true };
    const count = this.#db.prepare(`SELECT count(*) AS count ${plan.from}`);
    let counted = rows.length;
    // The windows that gave the page are whole, except for the last one.
    for (at = isMore ? page[page.length - 1].id : at, counted -= isMore ? 1 : 0; at < end && !isLate(); ) {
      const until = windows.next(at, end);
      counted += (count.get(...plan.values, at, until) as { count: number }).count;
      at = until;
    }
    return { ...found, count: counted, isCounted: at >= end };
  }
}

/** How many ids one question covers: twice as many after each that took no time. */
class Windows {
  #size: number;
  #asked = 0;

  constructor(size: number) {
    this.#size = size;
  }

  next(from: number, end: number): number {
    const now = performance.now();
    if (this.#asked > 0 && now - this.#asked < QUICK_MS) this.#size *= 2;
    this.#asked = now;
    return Math.min(end, from + this.#size);
  }
}

type FoundRow = NodeRow & { readonly id: number };
const COLUMNS = 'nodes.id, locator, nodes.name, kind, state, size, modified, damage, certainty';

/** What leads to the things that pass, with the fewest looks: a rare trait, the index of names, or all in order. */
interface Plan {
  /** From FROM on; ends with a window of ids. */
  readonly from: string;
  readonly id: string;
  readonly values: readonly (string | number)[];
  /** So few that one window holds them all. */
  readonly isRare: boolean;
  /** Everything passes. */
  readonly isAll: boolean;
}

/** One condition, and the index that leads to what meets it. */
interface Test {
  readonly sql: string;
  readonly values: readonly (string | number)[];
  readonly index?: string;
}

function planOf(db: DatabaseSync, options: SearchOptions): Plan {
  const slash = options.text.lastIndexOf('/');
  const name = options.text.slice(slash + 1);
  const traits = traitsOf(options);
  const rare = traits.find((trait) => isRare(db, trait));
  const isIndexed = rare === undefined && Array.from(name).length >= LEAST;
  const tests: Test[] = [];
  // The index knows which names have all groups of three characters, not in which order; so the names are asked again.
  if (isIndexed) tests.push({ sql: 'node_names MATCH ?', values: [groupsOf(name)] });
  if (name !== '') tests.push(holds('nodes.name', name));
  if (slash >= 0) tests.push(holds('locator', options.text));
  tests.push(...traits);
  const id = isIndexed ? 'node_names.rowid' : 'nodes.id';
  const from = isIndexed
    ? 'node_names CROSS JOIN nodes ON nodes.id = node_names.rowid'
    : `nodes ${rare === undefined ? 'NOT INDEXED' : `INDEXED BY ${rare.index}`}`;
  // Numbers are bound as floating point, which the index of names takes for no bound at all.
  const bounds = [`${id} > CAST(? AS INTEGER)`, `${id} <= CAST(? AS INTEGER)`];
  const where = [...tests.map(({ sql }) => sql), ...bounds].join(' AND ');
  const values = tests.flatMap((test) => test.values);
  return { from: `FROM ${from} WHERE ${where}`, id, values, isRare: rare !== undefined, isAll: tests.length === 0 };
}

/** Whether a text is part of a column, whatever the case of its letters: LIKE knows that of ASCII only, but is quick. */
function holds(column: string, text: string): Test {
  if (/^[\x20-\x7e]*$/.test(text)) return { sql: `${column} LIKE ? ESCAPE '\\'`, values: [pattern(text)] };
  return { sql: `holds(${column}, ?)`, values: [text.toLowerCase()] };
}

function traitsOf(options: SearchOptions): Test[] {
  const out: Test[] = [];
  const { kind, state, certainty, damaged, larger, smaller, newer, older } = options;
  if (damaged === true) out.push({ sql: 'damage > 0', values: [], index: 'nodes_damaged' });
  const same = { kind, state, certainty };
  for (const [column, value] of Object.entries(same))
    if (value !== undefined) out.push({ sql: `${column} = ?`, values: [value], index: `nodes_by_${column}` });
  const ranges = [
    { column: 'size', least: larger, most: smaller },
    { column: 'modified', least: newer, most: older },
  ];
  for (const { column, least, most } of ranges) {
    if (least === undefined && most === undefined) continue;
    const values = [least ?? -MAX_NUMBER, most ?? MAX_NUMBER];
    out.push({ sql: `${column} BETWEEN ? AND ?`, values, index: `nodes_by_${column}` });
  }
  return out;
}

/** Whether few things have a trait, as far as its index tells within a moment. */
function isRare(db: DatabaseSync, { sql, values, index }: Test): boolean {
  const few = `SELECT count(*) AS count FROM (SELECT 1 FROM nodes INDEXED BY ${index} WHERE ${sql} LIMIT ?)`;
  return (db.prepare(few).get(...values, RARE) as { count: number }).count < RARE;
}

/** All groups of three characters of a text, as a question for the index. */
function groupsOf(text: string): string {
  const signs = Array.from(text);
  const groups = signs.slice(LEAST - 1).map((_, i) => signs.slice(i, i + LEAST).join(''));
  return [...new Set(groups)].map((group) => `"${group.replaceAll('"', '""')}"`).join(' AND ');
}

function pattern(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

function rowOf({ locator, name, kind, state, size, modified, damage, certainty }: NodeRow): NodeRow {
  return { locator, name, kind, state, size, modified, damage, certainty };
}
