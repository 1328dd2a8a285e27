/** Tables of a SQLite database, read in a worker of the browser: a hostile database harms nothing there. */
import initSqlJs from 'sql.js/dist/sql-wasm-browser.js';
import wasmUrl from 'sql.js/dist/sql-wasm-browser.wasm?url';

/** Rows of each table that are shown, and tables. */
const MAX_ROWS = 100;
const MAX_TABLES = 200;
const MAX_CELL = 500;

export interface SqliteTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export type SqliteAnswer = { readonly tables: readonly SqliteTable[] } | { readonly error: string };

async function tablesOf(bytes: Uint8Array): Promise<SqliteTable[]> {
  const sql = await initSqlJs({ locateFile: () => wasmUrl });
  const database = new sql.Database(bytes);
  const named = database.exec("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
  const names = (named[0]?.values ?? []).slice(0, MAX_TABLES).map(([name]) => String(name));
  return names.map((name) => {
    try {
      const [found] = database.exec(`SELECT * FROM "${name.replaceAll('"', '""')}" LIMIT ${MAX_ROWS}`);
      return { name, columns: found?.columns ?? [], rows: (found?.values ?? []).map((row) => row.map(cell)) };
    } catch (error) {
      return { name, columns: ['cannot be read'], rows: [[String(error)]] };
    }
  });
}

function cell(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return String(value).slice(0, MAX_CELL);
}

self.addEventListener('message', (event: MessageEvent<Uint8Array>) => {
  tablesOf(event.data).then(
    (tables) => self.postMessage({ tables } satisfies SqliteAnswer),
    (error: unknown) => self.postMessage({ error: String(error) } satisfies SqliteAnswer),
  );
});
