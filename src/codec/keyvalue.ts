/** The `key = "value"` texts of VMware: .vmx, .vmsd and the header of .vmdk descriptors. Source: vmconfig.md section 1. */

/** Keys in lower case; the last of several wins. Values are unescaped raw bytes (latin1). */
export type KeyValues = ReadonlyMap<string, string>;

/** What stands behind the value is cut off afterwards: many blanks in a value would be gone through once for each. */
const LINE = /^\s*([A-Za-z0-9_.:\-~]+)\s*=\s*(.*)$/;

/** Reads all lines that look like one. Comments and lines of other kinds are passed over. */
export function parseKeyValues(text: string): KeyValues {
  return new Map(pairsOf(text));
}

/** Keys that stand there more than once, each with the values of all its lines. */
export function repeatedKeys(text: string): ReadonlyMap<string, readonly string[]> {
  const lines = Map.groupBy(pairsOf(text), ([key]) => key);
  const values = [...lines].map(([key, pairs]): [string, string[]] => [key, pairs.map(([, value]) => value)]);
  return new Map(values.filter(([, all]) => all.length > 1));
}

function* pairsOf(text: string): Generator<[key: string, value: string]> {
  for (const line of text.split(/\r\n|\n|\r/)) {
    const match = /^\s*#/.test(line) ? null : LINE.exec(line);
    if (match !== null) yield [match[1].toLowerCase(), unquoted(match[2].trimEnd())];
  }
}

/** Takes the quotes off and puts the characters back that stand as |XX. */
function unquoted(value: string): string {
  const quoted = /^"([^"]*)"/.exec(value);
  const inner = quoted === null ? value : quoted[1];
  return inner.replace(/\|([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
