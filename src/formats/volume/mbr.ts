/** MBR partition tables with their chains of extended partitions. */
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import type { Laid } from '../../core/laid.ts';
import { MAX_PARTITIONS } from '../../core/limits.ts';
import { NotThis } from '../../core/node.ts';
import { STATED } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { bytes, struct, u8, u16, u32, type Values } from '../../core/struct.ts';
import { type Entry, tableNode } from './partition.ts';

const SECTOR = 512;
const SIGNATURE = 0xaa55;
const ENTRIES_AT = 446;

export const bootRecord = struct('master boot record', SECTOR, {
  diskSignature: u32(440),
  entries: bytes(ENTRIES_AT, 64),
  signature: u16(510, { oneOf: [SIGNATURE] }),
});

export const entryStruct = struct('partition table entry', 16, {
  status: u8(0, { oneOf: [0x00, 0x80] }),
  type: u8(4),
  start: u32(8),
  sectors: u32(12),
});
/** A boot record with its four entries, as it also stands in front of a GPT. */
export const mbrLaid: readonly Laid[] = [
  { table: bootRecord, at: 0, mark: { at: 510, text: '\x55\xaa' } },
  { table: entryStruct, at: ENTRIES_AT, times: 4 },
];
type TableEntry = Values<typeof entryStruct.fields>;

const EXTENDED = new Set([0x05, 0x0f, 0x85]);
const TYPES: Readonly<Record<number, string>> = {
  1: 'FAT12',
  4: 'FAT16',
  5: 'extended',
  6: 'FAT16',
  7: 'NTFS or exFAT',
  11: 'FAT32',
  12: 'FAT32',
  14: 'FAT16',
  15: 'extended',
  39: 'Windows recovery',
  66: 'Windows dynamic disk',
  130: 'Linux swap',
  131: 'Linux',
  133: 'extended',
  142: 'Linux LVM',
  165: 'FreeBSD slice',
  238: 'GPT protective',
  239: 'EFI system',
  251: 'VMFS',
  252: 'VMware core dump',
  253: 'Linux RAID',
};

export const mbr: Format = {
  id: 'mbr',
  layer: 'volume',
  title: 'MBR partition table',
  spec: 'volumes.md section 1',
  gaps: ['CHS addresses are not used; partitions are taken from their LBA fields.'],
  laid: mbrLaid,
  async probe(source) {
    const entries = await tableAt(source, 0);
    if (entries === undefined) return 0;
    const used = entries.filter((e) => e.type !== 0);
    // A boot sector of a file system ends in 55 AA too: a table is one whose entries all make sense.
    const sane = used.filter((e) => (e.status === 0 || e.status === 0x80) && e.start > 0 && e.sectors > 0);
    const inside = sane.filter((e) => e.start * SECTOR < source.size);
    return used.length > 0 && sane.length === used.length && inside.length > 0 ? 50 : 0;
  },
  async open(source, cx) {
    const entries = await tableAt(source, 0);
    if (entries === undefined) throw new NotThis('no 55 AA at the end of the first sector');
    const found: Entry[] = [];
    const damage: Damage[] = [];
    for (const [i, entry] of entries.entries()) {
      if (entry.type === 0 || entry.sectors === 0) continue;
      if (EXTENDED.has(entry.type)) await followChain(source, cx, entry.start, found, damage);
      else found.push(partition(i + 1, entry, entry.start, ENTRIES_AT + i * 16));
    }
    found.sort((a, b) => a.number - b.number);
    return tableNode(mbr, source, cx, found, damage);
  },
};

async function tableAt(source: Source, at: number): Promise<TableEntry[] | undefined> {
  if (at + SECTOR > source.size) return undefined;
  const sector = new Uint8Array(SECTOR);
  const gaps = await source.read(at, sector);
  const record = bootRecord.decode(sector);
  if (gaps.length > 0 || record.signature !== SIGNATURE) return undefined;
  return [0, 1, 2, 3].map((i) => entryStruct.decode(record.entries, i * 16));
}

function partition(number: number, entry: TableEntry, startSector: number, entryAt: number): Entry {
  const type = TYPES[entry.type] ?? `type 0x${entry.type.toString(16)}`;
  return { number, start: startSector * SECTOR, length: entry.sectors * SECTOR, type, certainty: STATED, entryAt };
}

/** Logical partitions: a linked list of boot records, each with one partition and the next link. */
async function followChain(source: Source, cx: Cx, first: number, found: Entry[], damages: Damage[]): Promise<void> {
  const seen = new Set<number>();
  let at = first;
  for (let number = 5; number < 5 + MAX_PARTITIONS; number++) {
    const entries = seen.has(at) ? undefined : await tableAt(source, at * SECTOR);
    if (entries === undefined) {
      const actual = seen.has(at) ? 'a link back to an earlier record' : 'no partition table there';
      const effect = 'logical partitions behind it are not listed';
      damages.push(cx.damage(at * SECTOR, 'mbr.chain', 'an extended boot record', actual, effect));
      return;
    }
    seen.add(at);
    const [logical, next] = entries;
    if (logical.type !== 0 && logical.sectors > 0)
      found.push(partition(number, logical, at + logical.start, at * SECTOR + ENTRIES_AT));
    if (next.type === 0 || next.start === 0) return;
    at = first + next.start;
  }
  const effect = 'the ones behind that are not listed';
  const actual = hex(MAX_PARTITIONS);
  const expected = `fewer than ${MAX_PARTITIONS} logical partitions`;
  damages.push(cx.damage(first * SECTOR, 'mbr.too-many', expected, actual, effect));
}
