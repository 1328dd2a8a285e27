/** QCOW version 1: the older sibling, without reference counts and snapshots. Source: qcow2.md section 9. */
import { deflateCluster } from '../../codec/cluster.ts';
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { MadeSource } from '../../core/made.ts';
import { MapSource } from '../../core/map-source.ts';
import { NotThis } from '../../core/node.ts';
import { ABSENT, DATA, INFERRED, LOST, MISSING, type RunList, STATED, type Why, ZERO } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { latin1, struct, u8, u32, u64, type Values } from '../../core/struct.ts';
import { TableCache } from '../../core/tables.ts';
import { readWords, type Words } from './qcow2/geometry.ts';
import { fileNames } from './qcow2/header.ts';

const MAGIC = 0x514649fb;
const MAX_L1_ENTRIES = 4 * 1024 * 1024;
const MAX_NAME = 1023;

export const qcow1Header = struct(
  'QCOW header',
  48,
  {
    magic: u32(0, { oneOf: [MAGIC] }),
    version: u32(4, { oneOf: [1] }),
    backingAt: u64(8),
    backingLength: u32(16, { max: MAX_NAME }),
    modified: u32(20),
    size: u64(24, { max: 2 ** 52 }),
    clusterBits: u8(32, { min: 9, max: 16 }),
    l2Bits: u8(33, { min: 6, max: 13 }),
    crypt: u32(36, { max: 1 }),
    l1At: u64(40),
  },
  'big',
);
type Header = Values<typeof qcow1Header.fields>;

export const qcow1: Format = {
  id: 'qcow1',
  layer: 'disk',
  title: 'QCOW disk (version 1)',
  spec: 'qcow2.md section 9',
  gaps: [
    'Encrypted images are opened, and their data is missing: a key cannot be given yet.',
    'An image whose header or tables are lost is not rebuilt.',
  ],
  laid: [{ table: qcow1Header, at: 0 }],
  names: ['.qcow', '.img'],
  async probe(source) {
    return (await headerOf(source)) === undefined ? 0 : 95;
  },
  async open(source, cx) {
    const header = await headerOf(source);
    if (header === undefined) throw new NotThis('no QCOW header of version 1');
    const damage: Damage[] = [];
    const broken = qcow1Header.violations(header);
    for (const { at, field, expected, actual } of broken) {
      damage.push(cx.damage(at, 'qcow1.header', `${field} of ${expected}`, actual, 'nothing of the disk can be found'));
    }
    const usable = broken.length === 0;
    const size = header.size <= 2 ** 52 ? header.size : 0;
    const directory = usable ? await readL1(source, header, cx, damage) : undefined;
    const backing = usable ? await backingOf(source, header, cx, damage) : undefined;
    const image = { source, header, l1: directory ?? new Uint32Array(0), hasBacking: backing !== undefined };
    const map = new MapSource(size, new Qcow1Map(image, ownersTwice(image)));
    const encrypted = header.crypt !== 0;
    return {
      name: qcow1.id,
      rawName: qcow1.id,
      locator: cx.self,
      kind: 'disk',
      state: 'live',
      format: qcow1.title,
      facts: {
        size,
        ...(header.modified > 0 && { modified: header.modified }),
        details: {
          clusterSize: 2 ** Math.min(31, header.clusterBits),
          encrypted,
          ...(backing !== undefined && { parent: printable(backing) }),
        },
      },
      damage,
      ...(encrypted && { notices: ['It is encrypted (AES): its data cannot be read without the key.'] }),
      ...(backing !== undefined && { backing: { names: fileNames(backing), at: header.backingAt } }),
      bytes: async () => map,
    };
  },
};

async function headerOf(source: Source): Promise<Header | undefined> {
  if (source.size < qcow1Header.size) return undefined;
  const head = new Uint8Array(qcow1Header.size);
  if ((await source.read(0, head)).length > 0) return undefined;
  const header = qcow1Header.decode(head);
  return header.magic === MAGIC && header.version === 1 ? header : undefined;
}

async function backingOf(source: Source, header: Header, cx: Cx, damage: Damage[]): Promise<string | undefined> {
  const { backingAt, backingLength } = header;
  if (backingAt === 0) return undefined;
  if (backingLength > 0 && backingAt + backingLength <= source.size) {
    const name = new Uint8Array(backingLength);
    if ((await source.read(backingAt, name)).length === 0) return latin1(name, 0, backingLength);
  }
  const actual = `${backingLength} bytes at ${hex(backingAt)}`;
  damage.push(cx.damage(8, 'qcow1.backing', 'the name of the backing file', actual, 'what it would hold is missing'));
  return '';
}

async function readL1(source: Source, header: Header, cx: Cx, damage: Damage[]): Promise<Words | undefined> {
  const entries = Math.ceil(header.size / 2 ** (header.clusterBits + header.l2Bits));
  const there = Math.min(entries, MAX_L1_ENTRIES, Math.floor((source.size - header.l1At) / 8));
  const words = there > 0 ? await readWords(source, header.l1At, there * 8) : undefined;
  if (entries > there || words === undefined) {
    const actual = `${words === undefined ? 0 : there} at ${hex(header.l1At)}`;
    damage.push(cx.damage(40, 'qcow1.l1', `an L1 table of ${entries} entries`, actual, 'what it would map is missing'));
  }
  return words;
}

interface Image {
  readonly source: Source;
  readonly header: Header;
  readonly l1: Words;
  readonly hasBacking: boolean;
}

/** Offsets of L2 tables that stand in two slots. */
function ownersTwice({ l1 }: Image): ReadonlySet<number> {
  const seen = new Set<number>();
  const twice = new Set<number>();
  for (let i = 0; i < l1.length; i += 2) {
    const at = l1[i] * 2 ** 32 + l1[i + 1];
    if (at > 0 && seen.has(at)) twice.add(at);
    seen.add(at);
  }
  return twice;
}

interface Table {
  readonly words: Words | undefined;
  readonly why: Why;
  readonly bad: ReadonlyMap<string, Why>;
}

class Qcow1Map {
  readonly #image: Image;
  readonly #twice: ReadonlySet<number>;
  readonly #tables = new TableCache<Table>();
  readonly #made = new TableCache<MadeSource>();
  readonly #why: Why;
  readonly #short: Why;

  constructor(image: Image, twice: ReadonlySet<number>) {
    this.#image = image;
    this.#twice = twice;
    this.#why = { what: 'QCOW L1 table', source: image.source, at: Math.min(image.header.l1At, image.source.size) };
    this.#short = { ...this.#why, code: 'qcow1.l1' };
  }

  runs(from: number, end: number, out: RunList): number {
    const { clusterBits, l2Bits } = this.#image.header;
    const { l1 } = this.#image;
    const coverage = 2 ** (clusterBits + l2Bits);
    let at = from;
    while (at < end) {
      const slot = Math.floor(at / coverage);
      const known = slot * 2 < l1.length;
      const stop = known ? Math.min(end, (slot + 1) * coverage) : end;
      const table = known ? l1[slot * 2] * 2 ** 32 + l1[slot * 2 + 1] : -1;
      if (table <= 0) {
        const added = known
          ? this.#gap(stop - at, this.#why, out)
          : out.add(MISSING, LOST, stop - at, undefined, 0, this.#short);
        if (!added) return at;
        at = stop;
        continue;
      }
      const loaded = this.#tables.get(slot);
      if (loaded === undefined) return at;
      at = this.#entries(loaded, at, stop, out);
      if (at < stop) return at;
    }
    return at;
  }

  async load(at: number): Promise<void> {
    const { header, l1, source } = this.#image;
    const slot = Math.floor(at / 2 ** (header.clusterBits + header.l2Bits));
    const place = l1[slot * 2] * 2 ** 32 + l1[slot * 2 + 1];
    const words = place % 512 === 0 ? await readWords(source, place, 2 ** header.l2Bits * 8) : undefined;
    // A table is made for the first cluster that is put into it: an empty one has lost what it had.
    const isEmpty = words?.every((word) => word === 0) ?? false;
    const code = this.#twice.has(place) ? 'qcow1.l2-shared' : isEmpty ? 'qcow1.l2-empty' : undefined;
    const stands = Math.min(place, source.size);
    const why: Why = { what: 'QCOW L2 table', source, at: stands, ...(code !== undefined && { code }) };
    const codes = ['qcow1.l2', 'qcow1.l2-entry', 'past-end', 'encrypted', 'qcow1.overlap'];
    this.#tables.set(
      slot,
      { words, why, bad: new Map(codes.map((code) => [code, { ...why, code }])) },
      words?.byteLength ?? 64,
    );
  }

  #gap(length: number, why: Why, out: RunList): boolean {
    const isSound = why.code === undefined;
    // A backing file that shows through is no more certain than it is that nothing lies above it.
    if (this.#image.hasBacking && isSound) return out.add(ABSENT, LOST, length);
    if (this.#image.hasBacking) return out.add(ABSENT, INFERRED, length, undefined, 0, why);
    return out.add(ZERO, isSound ? STATED : INFERRED, length, undefined, 0, why);
  }

  #entries(table: Table, from: number, end: number, out: RunList): number {
    const { clusterBits, l2Bits } = this.#image.header;
    const clusterSize = 2 ** clusterBits;
    if (table.words === undefined) {
      return out.add(MISSING, LOST, end - from, undefined, 0, table.bad.get('qcow1.l2')) ? end : from;
    }
    let at = from;
    while (at < end) {
      const i = Math.floor(at / clusterSize) % 2 ** l2Bits;
      const inner = at % clusterSize;
      const length = Math.min(end - at, clusterSize - inner);
      const [high, low] = [table.words[2 * i], table.words[2 * i + 1]];
      let done: boolean;
      if (high === 0 && low === 0) done = this.#gap(length, table.why, out);
      else if (high >= 0x80000000) done = this.#compressed(table, high, low, inner, length, out);
      else done = this.#data(table, high * 2 ** 32 + low, inner, length, out);
      if (!done) return at;
      at += length;
    }
    return at;
  }

  #data(table: Table, offset: number, inner: number, length: number, out: RunList): boolean {
    const { header, source } = this.#image;
    const lost = (code: string, bytes: number, at = -1): boolean =>
      out.add(MISSING, LOST, bytes, at < 0 ? undefined : source, Math.max(0, at), table.bad.get(code));
    if (offset % 512 !== 0) return lost('qcow1.l2-entry', length);
    if (offset + inner >= source.size) return lost('past-end', length);
    if (header.crypt !== 0) return lost('encrypted', length, offset + inner);
    const why = offset < header.l1At + this.#image.l1.length * 4 ? table.bad.get('qcow1.overlap')! : table.why;
    const there = Math.min(length, source.size - offset - inner);
    // A cluster that the file ends in is missing as a whole: two answers to one question would have to be split.
    if (there < length) return lost('past-end', length);
    return out.add(DATA, why.code === undefined ? STATED : INFERRED, length, source, offset + inner, why);
  }

  #compressed(table: Table, high: number, low: number, inner: number, length: number, out: RunList): boolean {
    const { header, source } = this.#image;
    const bits = 63 - header.clusterBits;
    const at = (high & (2 ** (bits - 32) - 1)) * 2 ** 32 + low;
    const size = (high & 0x7fffffff) >>> (bits - 32);
    const code =
      at >= source.size ? 'past-end' : header.crypt !== 0 ? 'encrypted' : size === 0 ? 'qcow1.l2-entry' : undefined;
    if (code !== undefined) return out.add(MISSING, LOST, length, undefined, 0, table.bad.get(code));
    const key = at;
    let made = this.#made.get(key);
    if (made === undefined || made.inputs[0].length !== Math.min(size, source.size - at)) {
      const input = { source, at, length: Math.min(size, source.size - at) };
      made = new MadeSource(2 ** header.clusterBits, deflateCluster, [input]);
      this.#made.set(key, made, 256);
    }
    return out.add(DATA, table.why.code === undefined ? STATED : INFERRED, length, made, inner, table.why);
  }
}
