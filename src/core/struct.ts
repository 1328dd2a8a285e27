/**
 * Structures: tables of named fields with explicit offsets and legal ranges.
 * One table serves the decoder, the validator, the hex view and the fuzzer.
 */

/** A number that no field's own rules allow: a 64-bit count of 2 ** 53 or more. */
export const TOO_LARGE: number = Number.POSITIVE_INFINITY;

type Kind = 'u8' | 'u16' | 'u32' | 'u64' | 'bytes8' | 'bytes' | 'text';

/** Two halves of an opaque 64-bit value, for packed words and hashes. */
export interface Bytes8 {
  readonly low: number;
  readonly high: number;
}

interface KindValue {
  u8: number;
  u16: number;
  u32: number;
  u64: number;
  bytes8: Bytes8;
  bytes: Uint8Array;
  text: string;
}

/** What a field may hold. */
export interface Rule {
  readonly min?: number;
  readonly max?: number;
  readonly oneOf?: readonly number[];
}

export interface Field<K extends Kind = Kind> {
  readonly at: number;
  readonly kind: K;
  /** Bytes. */
  readonly size: number;
  readonly rule?: Rule;
}

type Fields = Readonly<Record<string, Field>>;
export type Values<F extends Fields> = { [N in keyof F]: KindValue[F[N]['kind']] };

const field = <K extends Kind>(kind: K, at: number, size: number, rule?: Rule): Field<K> =>
  rule === undefined ? { kind, at, size } : { kind, at, size, rule };

/** Field makers: offset in the structure in bytes, and a rule where the format has one. */
export const u8 = (at: number, rule?: Rule): Field<'u8'> => field('u8', at, 1, rule);
export const u16 = (at: number, rule?: Rule): Field<'u16'> => field('u16', at, 2, rule);
export const u32 = (at: number, rule?: Rule): Field<'u32'> => field('u32', at, 4, rule);
/** A size, offset or count. 2 ** 53 and more decodes as TOO_LARGE, which every comparison refuses. */
export const u64 = (at: number, rule?: Rule): Field<'u64'> => field('u64', at, 8, rule);
export const bytes8 = (at: number): Field<'bytes8'> => field('bytes8', at, 8);
export const bytes = (at: number, size: number): Field<'bytes'> => field('bytes', at, size);
/** Text that ends at the first zero byte, as a string of raw bytes (latin1). */
export const text = (at: number, size: number): Field<'text'> => field('text', at, size);

/** One field that breaks its rule. */
export interface Violation {
  readonly field: string;
  /** Bytes from the start of the structure. */
  readonly at: number;
  readonly expected: string;
  readonly actual: string;
}

export interface Struct<F extends Fields> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly fields: F;
  /** Decodes at `at`; the buffer must hold `size` bytes from there. */
  decode(from: Uint8Array, at?: number): Values<F>;
  /**
   * The same, each field read when it is asked for: for records that are met by the hundred thousand and of which a few
   * fields count. Good for as long as the buffer is not used again; it cannot be spread.
   */
  over(view: DataView, at?: number): Values<F>;
  /** The fields of decoded values that break their rules. */
  violations(values: Values<F>): Violation[];
}

/** Kinds as small numbers, so that decoding is one switch on them. */
const KIND_CODES: Readonly<Record<Kind, number>> = { u8: 0, u16: 1, u32: 2, u64: 3, bytes8: 4, bytes: 5, text: 6 };

/** Defines a structure, little-endian unless said otherwise. Throws at definition time when a field does not fit. */
export function struct<const F extends Fields>(
  name: string,
  size: number,
  fields: F,
  order: 'little' | 'big' = 'little',
): Struct<F> {
  const little = order === 'little';
  const entries = Object.entries(fields);
  for (const [key, f] of entries) {
    if (f.at < 0 || f.at + f.size > size) throw new RangeError(`${name}.${key} does not fit into ${size} bytes`);
  }
  const plan = entries.map(([key, f]) => ({ key, at: f.at, size: f.size, code: KIND_CODES[f.kind] }));
  const blank: Record<string, unknown> = Object.fromEntries(entries.map(([key]) => [key, 0]));
  // Only numbers with a rule, and those that may be too large, can break one: descriptors are checked by the thousand.
  const ruled = entries
    .filter(([, f]) => f.rule !== undefined || f.kind === 'u64')
    .map(([key, f]) => ({ key, f, ...rangeOf(f) }));
  let Lazy: LazyClass | undefined;
  return {
    name,
    size,
    fields,
    over(view: DataView, at = 0): Values<F> {
      if (at < 0 || at + size > view.byteLength) throw new RangeError(`${name}: ${size} bytes wanted at ${at}`);
      Lazy ??= lazyOf(entries, little);
      return new Lazy(view, at) as unknown as Values<F>;
    },
    decode(from: Uint8Array, at = 0): Values<F> {
      if (at < 0 || at + size > from.length) throw new RangeError(`${name}: ${size} bytes wanted at ${at}`);
      const view = viewOf(from);
      // A copy of an object that has all the names already: growing one name by name costs more than the decoding.
      const out: Record<string, unknown> = { ...blank };
      for (const f of plan) out[f.key] = decodeField(view, from, at + f.at, f.code, f.size, little);
      return out as Values<F>;
    },
    violations(values: Values<F>): Violation[] {
      let out = NO_VIOLATIONS;
      for (const { key, f, min, max } of ruled) {
        const value = values[key as keyof F] as number;
        if (value >= min && value <= max && f.rule?.oneOf?.includes(value) !== false) continue;
        if (out === NO_VIOLATIONS) out = [];
        out.push(violation(key, f, value));
      }
      return out;
    },
  };
}

type LazyClass = new (view: DataView, at: number) => object;

/** A class whose getters are the fields; made when it is first used. */
function lazyOf(entries: readonly [string, Field][], little: boolean): LazyClass {
  class Lazy {
    readonly view: DataView;
    readonly at: number;
    constructor(view: DataView, at: number) {
      this.view = view;
      this.at = at;
    }
  }
  for (const [key, f] of entries) Object.defineProperty(Lazy.prototype, key, { get: getterOf(f, little) });
  return Lazy;
}

function getterOf(f: Field, little: boolean): (this: { view: DataView; at: number }) => unknown {
  const { at, size } = f;
  const bytesOf = ({ buffer, byteOffset, byteLength }: DataView): Uint8Array =>
    new Uint8Array(buffer, byteOffset, byteLength);
  switch (f.kind) {
    case 'u8':
      return function () {
        return this.view.getUint8(this.at + at);
      };
    case 'u16':
      return function () {
        return this.view.getUint16(this.at + at, little);
      };
    case 'u32':
      return function () {
        return this.view.getUint32(this.at + at, little);
      };
    case 'u64':
      return function () {
        return readU64(this.view, this.at + at, little);
      };
    default: {
      const code = KIND_CODES[f.kind];
      return function () {
        return decodeField(this.view, bytesOf(this.view), this.at + at, code, size, little);
      };
    }
  }
}

const NO_VIOLATIONS: Violation[] = [];

/** Structures are decoded one after the other from the same block, and making a view costs more than using it. */
let lastFrom: Uint8Array | undefined;
let lastView: DataView | undefined;

/** A DataView over exactly these bytes. */
export function viewOf(from: Uint8Array): DataView {
  if (from === lastFrom) return lastView!;
  lastFrom = from;
  lastView = new DataView(from.buffer, from.byteOffset, from.byteLength);
  return lastView;
}

/** A u64, little-endian unless said otherwise, as a number, or TOO_LARGE. */
export function readU64(view: DataView, at: number, little = true): number {
  const high = view.getUint32(little ? at + 4 : at, little);
  return high < 0x200000 ? high * 0x100000000 + view.getUint32(little ? at : at + 4, little) : TOO_LARGE;
}

/** Bits [from, from + width) of a 64-bit word given as two halves; width up to 53. */
export function bits(low: number, high: number, from: number, width: number): number {
  if (from >= 32) return Math.floor(high / 2 ** (from - 32)) % 2 ** width;
  const lowPart = Math.floor(low / 2 ** from);
  const lowWidth = 32 - from;
  if (width <= lowWidth) return lowPart % 2 ** width;
  return lowPart + (high % 2 ** (width - lowWidth)) * 2 ** lowWidth;
}

/** Bytes up to the first zero, as a string of raw bytes. */
export function latin1(from: Uint8Array, at: number, size: number): string {
  let end = at;
  const stop = Math.min(at + size, from.length);
  while (end < stop && from[end] !== 0) end++;
  return Buffer.from(from.buffer, from.byteOffset + at, end - at).toString('latin1');
}

function decodeField(
  view: DataView,
  from: Uint8Array,
  at: number,
  code: number,
  size: number,
  little: boolean,
): unknown {
  switch (code) {
    case 0:
      return view.getUint8(at);
    case 1:
      return view.getUint16(at, little);
    case 2:
      return view.getUint32(at, little);
    case 3:
      return readU64(view, at, little);
    case 4:
      return { low: view.getUint32(little ? at : at + 4, little), high: view.getUint32(little ? at + 4 : at, little) };
    case 5:
      return from.subarray(at, at + size);
    default:
      return latin1(from, at, size);
  }
}

/** What a field's number may be; where there is a list of values, that decides. */
function rangeOf({ rule }: Field): { min: number; max: number } {
  if (rule?.oneOf !== undefined) return { min: 0, max: Number.POSITIVE_INFINITY };
  return { min: rule?.min ?? 0, max: rule?.max ?? Number.MAX_SAFE_INTEGER };
}

function violation(name: string, f: Field, value: number): Violation {
  const rule = f.rule ?? {};
  const actual = value === TOO_LARGE ? 'a number of 2**53 or more' : `${value} (0x${value.toString(16)})`;
  if (rule.oneOf !== undefined) {
    const allowed = rule.oneOf.map((n) => `0x${n.toString(16)}`).join(' or ');
    return { field: name, at: f.at, expected: allowed, actual };
  }
  const expected = `${rule.min ?? 0} to ${rule.max ?? Number.MAX_SAFE_INTEGER}`;
  return { field: name, at: f.at, expected, actual };
}
