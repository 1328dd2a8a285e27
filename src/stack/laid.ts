/** Names for bytes: which field of which structure lies where in what a node holds, and whether its value is legal. */
import type { Laid, Pointed } from '../core/laid.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { type Bytes8, type Field, latin1, TOO_LARGE } from '../core/struct.ts';
import type { Stack } from './stack.ts';

/** One field of a structure, or a stretch of one that no field names. */
export interface NamedField {
  readonly structure: string;
  readonly field: string;
  /** From the start of the node's bytes. */
  readonly at: number;
  readonly length: number;
  readonly value: string;
  /** What the field may hold, where it holds something else. */
  readonly expected?: string;
}

/** Fields that one answer names. */
const MAX_NAMED = 4096;
/** Bytes of a value that are shown. */
const MAX_SHOWN = 24;
const NO_FIELD = 'no field of the table';

interface Decoded {
  readonly laid: Laid;
  readonly at: number;
  readonly block: Uint8Array;
  readonly values: Readonly<Record<string, unknown>>;
  readonly isLost: boolean;
}

/** The named fields of [from, end) of a node's bytes, in order. */
export async function fieldsIn(stack: Stack, node: Node, from: number, end: number): Promise<NamedField[]> {
  const source = await node.bytes?.();
  const laidOut = source === undefined ? undefined : (await stack.formatOf(node))?.laid;
  if (source === undefined || laidOut === undefined) return [];
  const met = new Map<Laid, Decoded>();
  const named = new Set<string>();
  const spans: Span[] = [];
  const out: NamedField[] = [];
  for (const laid of laidOut) {
    for (let i = 0; i < (laid.times ?? 1) && out.length < MAX_NAMED; i++) {
      const found = await decoded(source, laid, i, met);
      if (found === undefined) break;
      if (!met.has(laid)) met.set(laid, found);
      // Two headers may lead to one table.
      const key = `${laid.table.name} ${found.at}`;
      if (named.has(key)) continue;
      named.add(key);
      spans.push({ at: found.at, length: laid.table.size });
      if (found.at < end && found.at + laid.table.size > from) out.push(...namesOf(found));
    }
  }
  return out
    .filter((one) => one.at < end && one.at + one.length > from && !isTold(one, spans))
    .sort((a, b) => a.at - b.at || a.length - b.length);
}

type Span = Pick<NamedField, 'at' | 'length'>;

/** Whether structures inside a field name all of its bytes, better than it does. */
function isTold({ at, length }: NamedField, spans: readonly Span[]): boolean {
  let left = length;
  for (const one of spans)
    if (one.length < length && one.at >= at && one.at + one.length <= at + length) left -= one.length;
  return left <= 0;
}

async function decoded(
  source: Source,
  laid: Laid,
  index: number,
  met: ReadonlyMap<Laid, Decoded>,
): Promise<Decoded | undefined> {
  const { table, mark } = laid;
  const first = typeof laid.at === 'number' ? laid.at : placeOf(laid.at, met);
  if (first === undefined) return undefined;
  const at = (first < 0 ? source.size + first : first) + index * table.size;
  if (!Number.isSafeInteger(at) || at < 0 || at + table.size > source.size) return undefined;
  const block = new Uint8Array(table.size);
  const gaps = await source.read(at, block);
  if (mark !== undefined && Buffer.from(block).toString('latin1', mark.at, mark.at + mark.text.length) !== mark.text)
    return undefined;
  return { laid, at, block, values: table.decode(block), isLost: gaps.length > 0 };
}

function placeOf({ of, field, unit }: Pointed, met: ReadonlyMap<Laid, Decoded>): number | undefined {
  const values = met.get(of)?.values;
  const factors = typeof unit === 'number' ? [unit] : unit.map((name) => values?.[name]);
  const parts = [values?.[field], ...factors];
  if (parts.some((part) => typeof part !== 'number' || part === TOO_LARGE)) return undefined;
  return (parts as number[]).reduce((product, part) => product * part, 1);
}

function namesOf({ laid: { table }, at, block, values, isLost }: Decoded): NamedField[] {
  const broken = new Map(table.violations(values as never).map((one) => [one.field, one.expected]));
  const out: NamedField[] = [];
  const fields = Object.entries(table.fields).sort(([, a], [, b]) => a.at - b.at);
  let reached = 0;
  const gap = (end: number): void => {
    if (end <= reached) return;
    const value = shown({ at: reached, kind: 'bytes', size: end - reached }, block.subarray(reached, end));
    out.push({ structure: table.name, field: NO_FIELD, at: at + reached, length: end - reached, value });
  };
  for (const [name, field] of fields) {
    gap(field.at);
    const expected = isLost ? undefined : broken.get(name);
    const value = isLost ? 'not all of it could be read' : shown(field, values[name]);
    const base = { structure: table.name, field: name, at: at + field.at, length: field.size, value };
    out.push({ ...base, ...(expected !== undefined && { expected }) });
    reached = Math.max(reached, field.at + field.size);
  }
  gap(table.size);
  return out;
}

/** A value in words: numbers both ways, texts in quotes, other bytes as they are. */
function shown({ kind, size }: Pick<Field, 'at' | 'kind' | 'size'>, value: unknown): string {
  if (typeof value === 'number')
    return value === TOO_LARGE ? 'a number of 2**53 or more' : `${value} (0x${value.toString(16)})`;
  if (typeof value === 'string') return `"${printable(value)}"`;
  if (kind === 'bytes8') {
    const { high, low } = value as Bytes8;
    return `0x${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`;
  }
  const bytes = value as Uint8Array;
  if (bytes.every((byte) => byte === 0)) return `${size} bytes, all zero`;
  const text = latin1(bytes, 0, bytes.length);
  if (/^[\x20-\x7e]{4,}$/.test(text)) return `"${printable(text)}"`;
  const hex = Buffer.from(bytes.subarray(0, MAX_SHOWN)).toString('hex');
  return bytes.length > MAX_SHOWN ? `${hex} … (${size} bytes)` : hex;
}
