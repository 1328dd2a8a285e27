/** The header of an image: fields, extensions, the name of the backing file. Source: qcow2.md section 2. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, type Values } from '../../../core/struct.ts';
import {
  EXTENSIONS,
  extension,
  header,
  INCOMPATIBLE,
  KNOWN_INCOMPATIBLE,
  MAGIC,
  MAX_L1_ENTRIES,
  MAX_SIZE,
  V2_LENGTH,
} from './structs.ts';

/** Bytes that hold a header with all that follows it. */
const HEAD = 65_536;
const MAX_EXTENSIONS = 64;

export interface Header {
  readonly values: Values<typeof header.fields>;
  readonly version: 2 | 3;
  /** Of the last byte that the header and its extensions take. */
  readonly end: number;
  readonly backing: string | undefined;
  /** Bytes from the start of the file. */
  readonly backingAt: number;
  /** The name stands there, and nothing leads to it. */
  readonly isNameLeft: boolean;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  /** Data of the extensions that point elsewhere. */
  readonly bitmaps: Uint8Array | undefined;
  readonly luks: Uint8Array | undefined;
  /** Why it cannot be trusted as a whole, where it cannot. */
  readonly code: string | undefined;
}

/** Reads the header; undefined where too little of it makes sense to find anything by it. */
export async function readHeader(source: Source, cx: Cx, damage: Damage[]): Promise<Header | undefined> {
  const head = new Uint8Array(Math.min(HEAD, source.size));
  if (head.length < V2_LENGTH) return undefined;
  const lost = await source.read(0, head);
  if (lost.some((gap) => gap.offset < header.size)) return undefined;
  const whole = new Uint8Array(Math.max(head.length, header.size));
  whole.set(head);
  const stated = withVersion(header.decode(whole));
  const values = stated.size <= MAX_SIZE ? stated : { ...stated, size: mappedBy(stated) };
  if (!isUsable(values, source.size)) return undefined;
  let code: string | undefined;
  for (const { actual, at, expected, field } of header.violations(stated)) {
    const isOfMap = OF_MAP.has(field);
    if (isOfMap) code = 'qcow2.header';
    const effect = isOfMap
      ? 'the rest is used as far as it agrees with the tables; all bytes are inferred'
      : 'it is not used';
    damage.push(cx.damage(at, 'qcow2.header', `${field} of ${expected}`, actual, effect));
  }
  const rest = await readRest(source, whole.subarray(0, head.length), values, cx, damage);
  // Extensions that only make sense with a field that says otherwise.
  const isContradicted =
    (rest.luks !== undefined && values.crypt !== 2) || (rest.hasDataName && rest.dataFile === undefined);
  if (isContradicted) {
    code ??= 'qcow2.extension';
    const effect = 'one of the two is wrong; all bytes are inferred';
    const expected = 'a header that agrees with its extensions';
    const actual =
      rest.luks !== undefined ? `method ${values.crypt} and a LUKS header` : 'a data file that is not in use';
    damage.push(cx.damage(rest.luks !== undefined ? 32 : 76, 'qcow2.extension', expected, actual, effect));
  }
  const hasType = (values.incompatible & INCOMPATIBLE.compression) !== 0;
  if (hasType !== (values.headerLength > 104 && values.compression !== 0)) {
    code ??= 'qcow2.compression';
    const expected = 'a compression type just where the feature bit says so';
    const effect = 'compressed clusters may be missing; all bytes are inferred';
    damage.push(cx.damage(104, 'qcow2.compression', expected, String(values.compression), effect));
  }
  const version = values.version === 2 ? 2 : 3;
  const unknown = (values.incompatible & ~KNOWN_INCOMPATIBLE) >>> 0;
  if (unknown !== 0 || values.incompatibleHigh !== 0) {
    code = 'qcow2.features';
    const effect = 'the image may not be what these bits were made for; all bytes are inferred';
    damage.push(cx.damage(72, code, 'known incompatible features', `0x${unknown.toString(16)}`, effect));
  }
  return { values, version, code, ...rest };
}

/** Fields on which it depends what a table means. */
const OF_MAP: ReadonlySet<string> = new Set(['magic', 'version', 'clusterBits', 'size', 'crypt', 'l1Entries', 'l1At']);

/** What the L1 table can map, in place of a size that no disk has. */
function mappedBy({ clusterBits, incompatible, l1Entries }: HeaderValues): number {
  const entryBits = (incompatible & INCOMPATIBLE.extendedL2) !== 0 ? 4 : 3;
  return Math.min(l1Entries, MAX_L1_ENTRIES) * 2 ** Math.min(42, 2 * clusterBits - entryBits);
}

type HeaderValues = Values<typeof header.fields>;

/** Version 2 ends at byte 72: what stands behind it is not the header's. */
function withVersion(values: HeaderValues): HeaderValues {
  if (values.version !== 2) return values;
  const none = {
    incompatibleHigh: 0,
    incompatible: 0,
    compatibleHigh: 0,
    compatible: 0,
    autoclearHigh: 0,
    autoclear: 0,
  };
  return { ...values, ...none, refcountOrder: 4, headerLength: V2_LENGTH, compression: 0 };
}

/** Enough agrees to call this a header: its magic, or all places it names. */
function isUsable(values: HeaderValues, end: number): boolean {
  const { magic, version, clusterBits, l1At, l1Entries, refcountTableAt } = values;
  const fields = header.fields;
  if (clusterBits < fields.clusterBits.rule!.min! || clusterBits > fields.clusterBits.rule!.max!) return false;
  if (!(values.size <= fields.size.rule!.max!) || (magic === MAGIC && version !== 2 && version !== 3)) return false;
  const isPlace = (at: number): boolean => at > 0 && at < end && at % 2 ** clusterBits === 0;
  // An L1 table that is not there is damage of its own; a magic that is not there has to be made up for.
  if (magic === MAGIC) return true;
  return (version === 2 || version === 3) && l1Entries > 0 && isPlace(l1At) && isPlace(refcountTableAt);
}

type Rest = Pick<
  Header,
  'end' | 'backing' | 'backingAt' | 'isNameLeft' | 'backingFormat' | 'dataFile' | 'bitmaps' | 'luks'
> & {
  readonly hasDataName: boolean;
};

async function readRest(
  source: Source,
  head: Uint8Array,
  values: HeaderValues,
  cx: Cx,
  damage: Damage[],
): Promise<Rest> {
  const found = new Map<number, Uint8Array>();
  let at = values.headerLength;
  for (let n = 0; n < MAX_EXTENSIONS && at >= V2_LENGTH && at + extension.size <= head.length; n++) {
    const { type, length } = extension.decode(head, at);
    at += extension.size;
    if (type === EXTENSIONS.end || at + length > head.length) break;
    found.set(type, head.subarray(at, at + length));
    at += Math.ceil(length / 8) * 8;
  }
  const textOf = (type: number): string | undefined => {
    const data = found.get(type);
    return data === undefined ? undefined : latin1(data, 0, data.length);
  };
  const { backingAt, backingLength } = values;
  let backing: string | undefined;
  if (backingAt !== 0) {
    if (backingLength > 0 && backingLength <= 1023 && backingAt + backingLength <= head.length) {
      backing = latin1(head, backingAt, backingLength);
    } else {
      const effect = 'what this layer does not hold is missing, for its backing file is not known';
      const actual = `${backingLength} bytes at ${hex(backingAt)}`;
      damage.push(cx.damage(8, 'qcow2.backing', 'the name of the backing file in the first cluster', actual, effect));
      backing = '';
    }
  }
  const left = backingAt === 0 ? await leftName(source, Math.min(at, head.length)) : undefined;
  if (left !== undefined) {
    const effect = 'the text is taken for its name; what comes from there is inferred';
    const expected = 'the offset of the name that stands behind the header';
    damage.push(cx.damage(8, 'qcow2.backing', expected, '0', effect));
  }
  const hasData = (values.incompatible & INCOMPATIBLE.dataFile) !== 0;
  return {
    end: Math.max(at, values.headerLength),
    backing: backing ?? left?.name,
    backingAt: left?.at ?? Math.min(backingAt, source.size),
    isNameLeft: left !== undefined,
    hasDataName: found.has(EXTENSIONS.dataFile),
    backingFormat: textOf(EXTENSIONS.backingFormat),
    dataFile: hasData ? (textOf(EXTENSIONS.dataFile) ?? '') : undefined,
    bitmaps: found.get(EXTENSIONS.bitmaps),
    luks: found.get(EXTENSIONS.luks),
  };
}

/** Bytes of the first cluster in which the name of the backing file may stand behind a header that is gone. */
const NAME_AREA = 4096;

/** The name of the backing file where only the fields before it were lost: all that is text there, up to zeros. */
export async function leftName(
  source: Source,
  from: number = V2_LENGTH,
): Promise<{ name: string; at: number } | undefined> {
  const head = new Uint8Array(Math.min(NAME_AREA, source.size));
  if ((await source.read(0, head)).length > 0) return undefined;
  for (let at = Math.max(V2_LENGTH, Math.ceil(from / 8) * 8); at + 8 <= head.length; at += 8) {
    const name = latin1(head, at, head.length - at);
    const isName = /^[\x20-\x7e\x80-\xff]{3,1023}$/.test(name) && /[./]/.test(name) && head[at - 1] === 0;
    // What ends in zeros up to the end of the area is the last text there, as that name is.
    if (isName && head.subarray(at + name.length).every((byte) => byte === 0)) return { name, at };
    if (name.length > 0) at += Math.floor(name.length / 8) * 8;
  }
  return undefined;
}

/**
 * Names under which a file that an image points to may lie beside it: as it stands, without what says how it is
 * reached. What is asked for on a server, or described in JSON, is looked for by its last component alone.
 */
export function fileNames(name: string): string[] {
  const out: string[] = [];
  const base = (path: string): string =>
    path
      .replace(/[?#].*$/, '')
      .split('/')
      .pop() ?? '';
  if (name.startsWith('json:')) {
    for (const match of name.matchAll(/"(?:[\w.-]*\.)?(?:filename|path|export)"\s*:\s*"((?:[^"\\]|\\.)*)"/g))
      out.push(base(match[1].replace(/\\(.)/g, '$1')));
  } else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(name)) out.push(base(name));
  else out.push(name.replace(/^(?:file|raw|qcow2|driver):/, ''));
  return [...new Set(out)].filter((one) => one !== '' && one !== '.' && one !== '..');
}
