/**
 * Locators: the address of a node or a byte through all layers, as one string.
 * `::` enters bytes as a format, `/` walks names, `@N` at the end is a byte.
 */

/** One entering of bytes: as a format, or (`@N`) from an offset on. */
export interface Step {
  /** Format id, or '@1048576'. */
  readonly as: string;
  /** Raw names below, from the top down. */
  readonly names: readonly string[];
}

export interface Locator {
  /** What the person named: a path of the host, or the name of a spanned volume. */
  readonly evidence: string;
  readonly steps: readonly Step[];
  /** Byte offset at the end, where there is one. */
  readonly at?: number;
}

/** Characters that a locator gives a meaning to, and those that would not print as themselves. */
const RESERVED = /[%:@/]/;
/** Control characters and the marks that reorder text on a screen. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffd]/u;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The raw bytes of a name as a locator writes them. */
export function encodeName(raw: string): string {
  const encoded = escaped(raw, (c) => RESERVED.test(c) || UNPRINTABLE.test(c));
  return encoded.startsWith('+') ? `%2B${encoded.slice(1)}` : encoded;
}

/** The raw bytes of a name as they can be shown on any screen. */
export function printable(raw: string): string {
  if (/^[ -~]*$/.test(raw)) return raw;
  return escaped(raw, (c) => UNPRINTABLE.test(c));
}

/** The raw bytes of a name as one component of a path of the host: never a separator, never '..'. */
export function fileName(raw: string): string {
  if (raw === '') return '%';
  if (raw === '.' || raw === '..') return raw.replaceAll('.', '%2E');
  return escaped(raw, (c) => c === '/' || c === '\\' || UNPRINTABLE.test(c));
}

/** The raw bytes behind %XX. Anything else stands for itself, in UTF-8. */
export function decodeName(encoded: string): string {
  return Buffer.from(encoded, 'utf8')
    .toString('latin1')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** Bytes that are UTF-8 as text, with the characters that `special` names, and all invalid bytes, as %XX. */
function escaped(raw: string, special: (character: string) => boolean): string {
  if (/^[\w .-]*$/.test(raw)) return raw; // nearly all names
  const bytes = Buffer.from(raw, 'latin1');
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Not UTF-8 as a whole: keep the ASCII, name the rest byte by byte.
    return Array.from(raw, (c) => (c >= '\x7f' || special(c) ? percent(c) : c)).join('');
  }
  return Array.from(text, (c) => (special(c) ? percent(Buffer.from(c, 'utf8').toString('latin1')) : c)).join('');
}

function percent(raw: string): string {
  return Array.from(raw, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** Takes a locator apart. Any string is one: what cannot be found is said when it is followed. */
export function parseLocator(locator: string): Locator {
  const parts = locator.split('::');
  const evidence = parts[0];
  let at: number | undefined;
  const steps = parts.slice(1).map((part, i, all) => {
    let rest = part;
    const byte = i === all.length - 1 ? /^(.+)@(\d{1,16})$/.exec(part) : null;
    if (byte !== null) {
      rest = byte[1];
      at = Number(byte[2]);
    }
    const [as, ...names] = rest.split('/');
    return { as, names: names.filter((name) => name !== '').map(decodeName) };
  });
  return at === undefined ? { evidence, steps } : { evidence, steps, at };
}
