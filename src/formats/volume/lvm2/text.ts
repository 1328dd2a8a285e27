/** The text in which LVM2 says what a volume group consists of. Source: volumes.md section 5. */

type Value = string | number | readonly (string | number)[] | Section;
export interface Section {
  readonly [name: string]: Value;
}

/** Sections within sections; deeper ones are no metadata. */
const MAX_NESTING = 8;
/** Names and values in all: a group of thousands of volumes has fewer. */
const MAX_TOKENS = 2_000_000;
const TOKEN = /\s*(?:#[^\n]*\n\s*)*(?:([A-Za-z0-9_.+-]+)|"((?:[^"\\]|\\.)*)"|([{}[\]=,]))/sy;

interface Token {
  readonly word?: string;
  readonly text?: string;
  readonly mark?: string;
}

class Tokens {
  readonly #from: string;
  #at = 0;
  #left = MAX_TOKENS;

  constructor(from: string) {
    this.#from = from;
  }

  next(): Token | undefined {
    TOKEN.lastIndex = this.#at;
    const match = this.#left-- > 0 ? TOKEN.exec(this.#from) : null;
    if (match === null) return undefined;
    this.#at = TOKEN.lastIndex;
    if (match[1] !== undefined) return { word: match[1] };
    if (match[2] !== undefined) return { text: match[2].replace(/\\(.)/gs, '$1') };
    return { mark: match[3] };
  }
}

/** The sections of a text, or undefined where it is none. What stands behind the last whole section is left out. */
export function parseText(from: string): Section | undefined {
  const tokens = new Tokens(from);
  const out: Record<string, Value> = Object.create(null) as Record<string, Value>;
  for (let token = tokens.next(); token?.word !== undefined; token = tokens.next()) {
    const value = valueIn(tokens, 0);
    if (value === undefined) break;
    out[token.word] = value;
  }
  return Object.keys(out).length === 0 ? undefined : out;
}

function valueIn(tokens: Tokens, depth: number): Value | undefined {
  const mark = tokens.next()?.mark;
  if (mark === '{') return depth < MAX_NESTING ? sectionOf(tokens, depth + 1) : undefined;
  if (mark !== '=') return undefined;
  const first = tokens.next();
  if (first?.mark === '[') return listOf(tokens);
  return first === undefined ? undefined : plain(first);
}

function sectionOf(tokens: Tokens, depth: number): Section | undefined {
  const out: Record<string, Value> = Object.create(null) as Record<string, Value>;
  for (let token = tokens.next(); token !== undefined; token = tokens.next()) {
    if (token.mark === '}') return out;
    const value = token.word === undefined ? undefined : valueIn(tokens, depth);
    if (value === undefined) return undefined;
    out[token.word!] = value;
  }
  return undefined;
}

function listOf(tokens: Tokens): (string | number)[] | undefined {
  const out: (string | number)[] = [];
  for (let token = tokens.next(); token !== undefined; token = tokens.next()) {
    if (token.mark === ']') return out;
    if (token.mark === ',') continue;
    const value = plain(token);
    if (value === undefined) return undefined;
    out.push(value);
  }
  return undefined;
}

function plain({ word, text }: Token): string | number | undefined {
  if (text !== undefined) return text;
  return word !== undefined && /^-?\d{1,16}$/.test(word) ? Number(word) : word;
}

/** A number of a section; NaN where there is none that is whole, not negative and in its limits. */
export function numberIn(section: Section, name: string): number {
  const value = section[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
}

/** A text of a section, '' where there is none. */
export function textIn(section: Section, name: string): string {
  const value = section[name];
  return typeof value === 'string' ? value : '';
}

/** A list of a section, empty where there is none. */
export function listIn(section: Section, name: string): readonly (string | number)[] {
  const value = section[name];
  return Array.isArray(value) ? value : [];
}

/** The sections within a section, by name. */
export function sectionsIn(section: Section, name?: string): [string, Section][] {
  const within = name === undefined ? section : section[name];
  if (typeof within !== 'object' || Array.isArray(within)) return [];
  return Object.entries(within as Section).filter(
    (entry): entry is [string, Section] => typeof entry[1] === 'object' && !Array.isArray(entry[1]),
  );
}
