/** XML of configurations, as a tree: bounded, without document types and entities of its own, torn texts as far as they go. */
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import type { Damage } from '../../core/damage.ts';
import type { Cx } from '../../core/format.ts';
import { MAX_TEXT } from '../../core/limits.ts';
import type { Source } from '../../core/source.ts';
import { readText } from '../text.ts';

/** Elements of one text, and levels of them. */
const MAX_ELEMENTS = 200_000;
const MAX_LEVELS = 90;
/** Times that the end of a torn text is cut off until the rest can be read. */
const MAX_CUTS = 4;

/** An element by its local name; attributes too. */
export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly Element[];
  /** Its own text, without that of its children. */
  readonly text: string;
}

const PARSER = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  processEntities: false,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: MAX_LEVELS,
});

/** A text as it was read, and what is wrong with it. */
export interface Xml {
  /** Undefined where nothing of it could be read. */
  readonly root: Element | undefined;
  readonly damage: readonly Damage[];
  readonly size: number;
  /** What its characters are written in. */
  readonly text: string;
}

/** Reads the whole of a source as XML. Whatever it holds, the answer is a tree or a damage. */
export async function readXml(source: Source, cx: Cx, code: string): Promise<Xml> {
  const { raw, gaps, cut } = await readText(source);
  const damage: Damage[] = gaps.map((gap) =>
    cx.damage(gap.offset, `${code}.unreadable`, 'readable text', gap.code, 'settings that stood there are not known'),
  );
  const say = (expected: string, actual: string, effect: string, at = 0): void =>
    void damage.push(cx.damage(at, `${code}.xml`, expected, actual, effect));
  if (cut) say(`at most ${MAX_TEXT} bytes`, `${source.size} bytes`, 'the rest was not read');
  const text = decoded(raw);
  const answer = (root: Element | undefined): Xml => ({ root, damage, size: source.size, text });
  if (text.trim().length === 0) {
    say('XML', source.size === 0 ? 'an empty file' : 'nothing but blanks', 'nothing is known of the machine');
    return answer(undefined);
  }
  const refused = refusal(text);
  if (refused !== undefined) {
    say(...refused, 'it is not read, so that nothing in it can do harm');
    return answer(undefined);
  }
  const begin = Math.max(0, text.indexOf('<'));
  if (text.slice(0, begin).trim() !== '' && !/^\ufeff?$/.test(text.slice(0, begin)))
    say('XML from its first byte on', `${begin} characters of something else`, 'what follows them was read');
  const valid = XMLValidator.validate(text.slice(begin));
  if (valid !== true) {
    const { msg, line } = valid.err;
    say('well-formed XML', `at line ${line}: ${msg.replace(/\s+/g, ' ').slice(0, 160)}`, 'what can be read was read');
  }
  const root = parsed(text.slice(begin), (why) => say('XML that ends', why, 'what stands before that was read'));
  if (root !== undefined)
    for (const prefix of unbound(root))
      say('a namespace for each prefix', `none for "${prefix}"`, 'the names behind it were taken as they stand');
  return answer(root === undefined ? undefined : elementOf(root));
}

/** Characters of a text in whatever it says that it is written in. */
function decoded(raw: string): string {
  const bytes = Buffer.from(raw, 'latin1');
  if (raw.startsWith('\xff\xfe') || raw.startsWith('<\0')) return new TextDecoder('utf-16le').decode(bytes);
  if (raw.startsWith('\xfe\xff') || raw.startsWith('\0<')) return new TextDecoder('utf-16be').decode(bytes);
  const label = /^[^<]{0,16}<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']/.exec(raw)?.[1] ?? 'utf-8';
  try {
    return new TextDecoder(label).decode(bytes);
  } catch {
    return new TextDecoder('utf-8').decode(bytes);
  }
}

/** Why a text is not read at all: expected, found. */
function refusal(text: string): [string, string] | undefined {
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) return ['no document type', 'one, which could name entities and files'];
  let elements = 0;
  let level = 0;
  // A rough count of tags in one pass: enough to know that what follows is of a size that can be worked with.
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at + 1)) {
    const next = text.charCodeAt(at + 1);
    if (next === 0x21 /* ! */) {
      const end = text.startsWith('<!--', at) ? text.indexOf('-->', at) : text.indexOf(']]>', at);
      if (end < 0) break;
      at = end;
      continue;
    }
    if (next === 0x3f /* ? */) continue;
    if (next === 0x2f /* / */) level--;
    else {
      const end = text.indexOf('>', at);
      elements++;
      if (end > 0 && text.charCodeAt(end - 1) !== 0x2f) level++;
      if (level > MAX_LEVELS) return [`at most ${MAX_LEVELS} levels of elements`, 'more'];
      if (elements > MAX_ELEMENTS) return [`at most ${MAX_ELEMENTS} elements`, 'more'];
    }
  }
  return undefined;
}

/** The library's own shape: one key with the children, ':@' with the attributes, '#text' for text. */
type Raw = Readonly<Record<string, unknown>>;

function parsed(text: string, torn: (why: string) => void): Raw | undefined {
  let rest = text;
  for (let cuts = 0; cuts <= MAX_CUTS; cuts++) {
    try {
      const list = PARSER.parse(rest) as Raw[];
      return list.find((one) => nameOf(one) !== undefined && nameOf(one) !== '#text');
    } catch (error) {
      if (cuts === 0) torn((error as Error).message.replace(/\s+/g, ' ').slice(0, 120));
      const end = rest.lastIndexOf('<');
      if (end <= 0) return undefined;
      rest = rest.slice(0, end);
    }
  }
  return undefined;
}

function nameOf(raw: Raw): string | undefined {
  return Object.keys(raw).find((key) => key !== ':@');
}

/** The tree of a text that was bounded before: as deep as MAX_LEVELS at most. */
function elementOf(raw: Raw): Element {
  const key = nameOf(raw) ?? '';
  const inner = (raw[key] ?? []) as Raw[];
  const attributes = new Map<string, string>();
  for (const [name, value] of Object.entries((raw[':@'] ?? {}) as Record<string, unknown>))
    attributes.set(local(name), unescaped(String(value)));
  const children: Element[] = [];
  let text = '';
  for (const one of Array.isArray(inner) ? inner : []) {
    if ('#text' in one) text += String(one['#text']);
    else children.push(elementOf(one));
  }
  return { name: local(key), attributes, children, text: unescaped(text).trim() };
}

function local(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

/** Prefixes of elements that no declaration names; the first few. */
function unbound(root: Raw): string[] {
  const known = new Set(['xml', 'xmlns']);
  const used = new Set<string>();
  const waiting: Raw[] = [root];
  for (let raw = waiting.pop(); raw !== undefined; raw = waiting.pop()) {
    const key = nameOf(raw);
    if (key === undefined || key === '#text') continue;
    if (key.includes(':')) used.add(key.slice(0, key.indexOf(':')));
    for (const name of Object.keys((raw[':@'] ?? {}) as object)) {
      if (name.startsWith('xmlns:')) known.add(name.slice('xmlns:'.length));
      else if (name.includes(':')) used.add(name.slice(0, name.indexOf(':')));
    }
    const inner = raw[key];
    if (Array.isArray(inner)) for (const child of inner as Raw[]) waiting.push(child);
  }
  return [...used].filter((prefix) => !known.has(prefix)).slice(0, 4);
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** The five entities that XML has itself, and characters by their number. */
function unescaped(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(lt|gt|amp|quot|apos));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[String(name).toLowerCase()];
    const code = hex === undefined ? Number(decimal) : Number.parseInt(String(hex), 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000)
      ? String.fromCodePoint(code)
      : String(whole);
  });
}

/** A text that can stand in an element or an attribute. */
export function xmlText(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&apos;')
    .replace(/[\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/\p{Cc}|\p{Cs}|[\ufffe\uffff]/gu, '');
}

/** The first child of a name, then of the next name in that one, and so on. */
export function under(element: Element | undefined, ...names: readonly string[]): Element | undefined {
  let at = element;
  for (const name of names) at = at?.children.find((child) => child.name === name);
  return at;
}

/** All children of a name. */
export function all(element: Element | undefined, name: string): readonly Element[] {
  return element?.children.filter((child) => child.name === name) ?? [];
}

/** Raw bytes (latin1) of a text, as names of files are kept. */
export function rawOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
