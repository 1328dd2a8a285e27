/** What is used of sql.js, which brings no types along. */
declare module 'sql.js/dist/sql-wasm-browser.js' {
  interface Result {
    readonly columns: string[];
    readonly values: unknown[][];
  }
  interface Database {
    exec(sql: string): Result[];
  }
  interface SqlJs {
    readonly Database: new (bytes: Uint8Array) => Database;
  }
  const initSqlJs: (options: { locateFile: () => string }) => Promise<SqlJs>;
  // biome-ignore lint/style/noDefaultExport: so it is there
  export default initSqlJs;
}
