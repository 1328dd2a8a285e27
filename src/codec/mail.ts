/** Messages as RFC 5322 and MIME (RFC 2045 to 2049, 2047, 2231) write them: headers, the text to read, attachments. */
import { encodingOf, inUnicode } from './text-encoding.ts';

export interface Mail {
  readonly headers: readonly (readonly [string, string])[];
  readonly text: string;
  /** The text was HTML, of which only the words are left. */
  readonly wasHtml: boolean;
  readonly attachments: readonly { readonly name: string; readonly type: string; readonly size: number }[];
}

/** Parts of one message, and how deep they may lie in each other. */
const MAX_PARTS = 500;
const MAX_DEPTH = 16;
const MAX_HEADERS = 500;
const KNOWN =
  /^(from|to|cc|subject|date|received|return-path|message-id|mime-version|delivered-to|reply-to|x-[\w-]+):/i;
/** Headers that a person wants to see first; the others follow. */
const FIRST = ['from', 'to', 'cc', 'subject', 'date'];

/** Whether a text (latin1) begins like a message: several headers that messages have, one of them the usual ones. */
export function looksLikeMail(head: string): boolean {
  const lines = head.replace(/^From [^\n]*\n/, '').split(/\r?\n/);
  let known = 0;
  let isUsual = false;
  for (const line of lines) {
    if (line === '') break;
    if (/^[ \t]/.test(line) && known > 0) continue;
    if (!/^[!-9;-~]+:/.test(line)) return false;
    if (KNOWN.test(line)) known++;
    isUsual ||= /^(from|received|return-path|message-id):/i.test(line);
  }
  return known >= 2 && isUsual;
}

/** Where the messages of an mbox begin; a file of one message has one place. At most `most`. */
export function messagesOf(raw: string, most: number): number[] {
  const out: number[] = [];
  if (!raw.startsWith('From ')) return [0];
  // Lines of a text begin with this word too; behind one that begins a message stands a header.
  const start = /(?:^|\n\r?\n)From [^\n]*\n(?=[!-9;-~]+:)/g;
  for (let match = start.exec(raw); match !== null && out.length < most; match = start.exec(raw)) {
    out.push(start.lastIndex);
    // The blank line in front of the next one may be the one that ends these headers.
    start.lastIndex--;
  }
  return out;
}

/** Reads one message from its raw bytes, one a character. */
export function readMail(raw: string): Mail {
  const texts: Part[] = [];
  const attachments: { name: string; type: string; size: number }[] = [];
  const top = split(raw);
  const waiting: { part: Part; depth: number }[] = [{ part: top, depth: 0 }];
  let seen = 0;
  for (let next = waiting.shift(); next !== undefined && seen++ < MAX_PARTS; next = waiting.shift()) {
    const { part, depth } = next;
    const boundary = part.type.startsWith('multipart/') ? part.parameters.boundary : undefined;
    if (boundary !== undefined && depth < MAX_DEPTH) {
      const inner = piecesOf(part.body, boundary).map((piece) => ({ part: split(piece), depth: depth + 1 }));
      waiting.unshift(...inner);
    } else if (part.name === undefined && !part.isAttached && /^text\/(plain|html)$/.test(part.type)) texts.push(part);
    else attachments.push({ name: part.name ?? '(no name)', type: part.type, size: decoded(part).length });
  }
  const chosen = texts.find(({ type }) => type === 'text/plain') ?? texts[0];
  const text = chosen === undefined ? '' : inCharset(decoded(chosen), chosen.parameters.charset);
  const wasHtml = chosen?.type === 'text/html';
  const headers = top.headers.map(([name, value]): [string, string] => [name, words(value)]);
  headers.sort(([a], [b]) => rank(a) - rank(b));
  return { headers, text: wasHtml ? textOfHtml(text) : text, wasHtml, attachments };
}

function rank(name: string): number {
  const place = FIRST.indexOf(name.toLowerCase());
  return place < 0 ? FIRST.length : place;
}

interface Part {
  readonly headers: readonly (readonly [string, string])[];
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly coding: string;
  readonly isAttached: boolean;
  readonly name: string | undefined;
  readonly body: string;
}

function split(raw: string): Part {
  const gap = /\r?\n\r?\n/.exec(raw);
  const isBare = /^\r?\n/.test(raw);
  const end = isBare ? 0 : (gap?.index ?? raw.length);
  const lines = raw
    .slice(0, end)
    .replace(/\r?\n[ \t]+/g, ' ')
    .split(/\r?\n/);
  const headers: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0 && headers.length < MAX_HEADERS) headers.push([line.slice(0, colon), line.slice(colon + 1).trim()]);
  }
  const of = (name: string): string => headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? '';
  const type = parametersOf(of('content-type'));
  const disposition = parametersOf(of('content-disposition'));
  const name = disposition.parameters.filename ?? type.parameters.name;
  return {
    headers,
    type: type.value === '' ? 'text/plain' : type.value,
    parameters: type.parameters,
    coding: of('content-transfer-encoding').toLowerCase(),
    isAttached: disposition.value === 'attachment',
    name: name === undefined ? undefined : words(name),
    body: raw.slice(isBare ? raw.indexOf('\n') + 1 : end + (gap?.[0].length ?? 0)),
  };
}

/** A value with parameters: "text/plain; charset=utf-8". */
function parametersOf(header: string): { value: string; parameters: Record<string, string> } {
  const parameters: Record<string, string> = {};
  for (const [, key, star, quoted, bare] of header.matchAll(/;\s*([\w-]+)(?:\*\d+)?(\*?)=(?:"([^"]*)"|([^;\s]*))/g)) {
    const name = key.toLowerCase();
    const value = quoted ?? bare;
    const plain = star === '*' ? extended(value) : value;
    // Long names come in pieces, one behind the other.
    parameters[name] = (parameters[name] ?? '') + plain;
  }
  return { value: header.split(';')[0].trim().toLowerCase(), parameters };
}

/** A value in RFC 2231's way: charset'language'%41%42. */
function extended(value: string): string {
  const [, charset, coded] = /^([\w-]*)'[^']*'(.*)$/.exec(value) ?? [undefined, 'utf-8', value];
  const raw = coded.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return inCharset(raw, charset);
}

/** Words in RFC 2047's way: =?utf-8?Q?caf=C3=A9?=. Raw bytes between them are taken for UTF-8, or Windows-1252. */
function words(value: string): string {
  const joined = value.replace(/(\?=)\s+(=\?)/g, '$1$2');
  const plain = joined.split(/(=\?[\w-]+(?:\*[\w-]+)?\?[bq]\?[^?]*\?=)/i).map((piece) => {
    const match = /^=\?([\w-]+)(?:\*[\w-]+)?\?([bq])\?([^?]*)\?=$/i.exec(piece);
    if (match === null) return inUnicode(piece, 'utf-8');
    const [, charset, coding, text] = match;
    const raw =
      coding.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64').toString('latin1')
        : quotedPrintable(text.replaceAll('_', ' '));
    return inCharset(raw, charset);
  });
  return plain.join('');
}

function piecesOf(body: string, boundary: string): string[] {
  const mark = `--${boundary}`;
  const out: string[] = [];
  let from = -1;
  for (let at = body.indexOf(mark); at >= 0 && out.length < MAX_PARTS; at = body.indexOf(mark, at + mark.length)) {
    if (at > 0 && body[at - 1] !== '\n') continue;
    if (from >= 0) out.push(body.slice(from, at).replace(/\r?\n$/, ''));
    const line = body.indexOf('\n', at);
    if (body.startsWith('--', at + mark.length) || line < 0) return out;
    from = line + 1;
  }
  // The end was lost: what there is of the last part.
  if (from >= 0 && out.length < MAX_PARTS) out.push(body.slice(from));
  return out;
}

function decoded({ coding, body }: Part): string {
  if (coding === 'base64') return Buffer.from(body, 'base64').toString('latin1');
  return coding === 'quoted-printable' ? quotedPrintable(body) : body;
}

function quotedPrintable(text: string): string {
  const hex = (_: string, digits: string): string => String.fromCharCode(Number.parseInt(digits, 16));
  return text.replace(/=[ \t]*\r?\n/g, '').replace(/=([0-9a-f]{2})/gi, hex);
}

/** Raw bytes in the charset that they are said to have; a few that are wrong do not put the others in doubt. */
function inCharset(raw: string, charset: string | undefined): string {
  if (charset === undefined || charset === '') return inUnicode(raw, 'utf-8');
  return new TextDecoder(encodingOf(charset)).decode(Uint8Array.from(raw, (c) => c.charCodeAt(0)));
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'", nbsp: ' ' };

/** The words of an HTML document: no scripts, no styles, no tags; lines where blocks end. */
export function textOfHtml(html: string): string {
  const bare = html
    .replace(/<!--[\s\S]*?(-->|$)/g, '')
    .replace(/<(script|style|head|title)\b[\s\S]*?(<\/\1\s*>|$)/gi, '')
    .replace(/\s+/g, ' ')
    .replace(/<(br|\/p|\/div|\/tr|\/li|\/h[1-6])\b[^>]*>/gi, '\n')
    .replace(/<[^>]*(>|$)/g, '');
  const code = (point: number): string => (point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : '\ufffd');
  return bare
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w{2,6}));/gi, (all, decimal?: string, hex?: string, name?: string) => {
      if (decimal !== undefined) return code(Number(decimal));
      if (hex !== undefined) return code(Number.parseInt(hex, 16));
      return ENTITIES[name!.toLowerCase()] ?? all;
    })
    .replace(/\n[ \t]+/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}
