/** The tables of chunks in a property list, brought into one that covers the disk. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { latin1 } from '../../../core/struct.ts';
import { blockTable, CRC32, chunk, KIND, SECTOR } from './structs.ts';

/** Chunks of one image; one of a TiB has a million of a MiB each. */
const MAX_CHUNKS = 8_000_000;
const MAX_TABLES = 1024;

/** Chunks in the order of the disk, without any that overlap. */
export interface Chunks {
  readonly count: number;
  readonly kinds: Uint32Array;
  /** Sectors from the start of the disk, ascending. */
  readonly starts: Float64Array;
  readonly sectors: Float64Array;
  /** Bytes from the start of the file. */
  readonly places: Float64Array;
  readonly lengths: Float64Array;
}

/** A stretch of the disk with the checksum of its bytes. */
export interface Sum {
  readonly name: string;
  readonly from: number;
  readonly end: number;
  readonly crc: number;
}

export interface Tables {
  readonly chunks: Chunks;
  readonly sums: readonly Sum[];
  /** Sectors that the tables cover: up to the end of the last. */
  readonly sectors: number;
}

interface Found {
  readonly kind: number;
  readonly start: number;
  readonly sectors: number;
  readonly place: number;
  readonly length: number;
}

/** Reads all tables of a property list. `dataAt`: where the data fork starts; `size`: bytes of the file. */
export function tablesIn(list: string, dataAt: number, cx: Cx, xmlAt: number, damage: Damage[]): Tables {
  const found: Found[] = [];
  const sums: Sum[] = [];
  let end = 0;
  const say = (code: string, expected: string, actual: string): void => {
    const effect = 'the stretch of the disk that it describes is missing';
    damage.push(cx.damage(xmlAt, code, expected, actual, effect));
  };
  for (const [n, { name, bytes }] of tablesOf(list).entries()) {
    if (bytes.length < blockTable.size || latin1(bytes, 0, 4) !== 'mish') {
      say('dmg.table', `block table ${n} with the letters mish`, `${bytes.length} bytes of something else`);
      continue;
    }
    const head = blockTable.decode(bytes);
    const [broken] = blockTable.violations(head);
    const there = Math.floor((bytes.length - blockTable.size) / chunk.size);
    if (broken !== undefined) say('dmg.table', `${broken.field} of ${broken.expected} in table ${n}`, broken.actual);
    if (head.count > there) say('dmg.table-short', `${head.count} chunks in table ${n}`, `${there}`);
    if (broken !== undefined) continue;
    const stop = head.first + head.sectors;
    end = Math.max(end, stop);
    if (head.checksumType === CRC32 && head.checksumBits === 32)
      sums.push({ name, from: head.first * SECTOR, end: stop * SECTOR, crc: head.checksum });
    for (let i = 0; i < Math.min(head.count, there) && found.length < MAX_CHUNKS; i++) {
      const one = chunk.decode(bytes, blockTable.size + i * chunk.size);
      if (one.kind === KIND.end) break;
      if (one.kind === KIND.comment || one.sectors === 0) continue;
      const start = head.first + one.first;
      // A chunk that reaches out of its table is another table's, or nobody's.
      if (!(start + one.sectors <= stop)) {
        say('dmg.chunk', `chunk ${i} of table ${n} within its ${head.sectors} sectors`, `${one.first}+${one.sectors}`);
        continue;
      }
      const place = dataAt + head.dataAt + one.at;
      found.push({ kind: one.kind, start, sectors: one.sectors, place, length: one.length });
    }
  }
  return { chunks: inOrder(found, cx, xmlAt, damage), sums, sectors: end };
}

/** What stands under the key blkx: the bytes of each table, and its name. */
function tablesOf(list: string): { name: string; bytes: Uint8Array }[] {
  const from = list.indexOf('<key>blkx</key>');
  const end = from < 0 ? -1 : list.indexOf('</array>', from);
  const part = from < 0 ? '' : list.slice(from, end < 0 ? undefined : end);
  return part
    .split('<dict>')
    .slice(1, MAX_TABLES + 1)
    .flatMap((dict) => {
      const text = /<key>Data<\/key>\s*<data>([^<]*)/.exec(dict)?.[1];
      const name = /<key>Name<\/key>\s*<string>([^<]{0,256})/.exec(dict)?.[1] ?? '';
      return text === undefined ? [] : [{ name, bytes: Buffer.from(text, 'base64') }];
    });
}

function inOrder(found: Found[], cx: Cx, xmlAt: number, damage: Damage[]): Chunks {
  found.sort((a, b) => a.start - b.start);
  const kept: Found[] = [];
  let end = 0;
  let overlaps = 0;
  for (const one of found) {
    if (one.start >= end) {
      kept.push(one);
      end = one.start + one.sectors;
    } else overlaps++;
  }
  if (overlaps > 0) {
    const effect = 'of two chunks for one place the first is taken';
    const where = `${overlaps} that do, the first up to sector ${hex(end)}`;
    damage.push(cx.damage(xmlAt, 'dmg.overlap', 'chunks that do not overlap', where, effect));
  }
  const numbers = (pick: (one: Found) => number): Float64Array => Float64Array.from(kept, pick);
  return {
    count: kept.length,
    kinds: Uint32Array.from(kept, ({ kind }) => kind),
    starts: numbers(({ start }) => start),
    sectors: numbers(({ sectors }) => sectors),
    places: numbers(({ place }) => place),
    lengths: numbers(({ length }) => length),
  };
}
