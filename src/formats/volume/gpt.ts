/** GUID partition tables: primary, backup, and what is left of them. */

import { crc32 } from '../../codec/crc32.ts';
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import type { Laid } from '../../core/laid.ts';
import { MAX_PARTITIONS } from '../../core/limits.ts';
import { NotThis } from '../../core/node.ts';
import { INFERRED, VERIFIED } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { bytes, struct, text, u32, u64, type Values, viewOf } from '../../core/struct.ts';
import { guidText } from '../disk/guid.ts';
import { mbrLaid } from './mbr.ts';
import { type Entry, tableNode } from './partition.ts';

const SIGNATURE = 'EFI PART';
const SECTOR_SIZES = [512, 4096];
/** Entries that are named byte by byte; nearly all tables have room for so many. */
const SHOWN_ENTRIES = 128;

export const header = struct('GPT header', 92, {
  signature: text(0, 8),
  revision: u32(8),
  size: u32(12, { min: 92, max: 4096 }),
  crc: u32(16),
  myLba: u64(24),
  alternateLba: u64(32),
  firstUsable: u64(40),
  lastUsable: u64(48),
  entriesLba: u64(72),
  count: u32(80, { max: MAX_PARTITIONS }),
  entrySize: u32(84, { min: 128, max: 4096 }),
  entriesCrc: u32(88),
});

export const entryStruct = struct('GPT entry', 128, {
  type: bytes(0, 16),
  unique: bytes(16, 16),
  first: u64(32),
  last: u64(40),
  attributes: bytes(48, 8),
  label: bytes(56, 72),
});

function headerLaid(at: number, sector: number): Laid[] {
  const head: Laid = { table: header, at, mark: { at: 0, text: SIGNATURE } };
  return [head, { table: entryStruct, at: { of: head, field: 'entriesLba', unit: sector }, times: SHOWN_ENTRIES }];
}

const TYPES: Readonly<Record<string, string>> = {
  'C12A7328-F81F-11D2-BA4B-00A0C93EC93B': 'EFI system',
  '21686148-6449-6E6F-744E-656564454649': 'BIOS boot',
  'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'Microsoft reserved',
  'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7': 'Microsoft basic data',
  'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC': 'Windows recovery',
  '0FC63DAF-8483-4772-8E79-3D69D8477DE4': 'Linux',
  '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F': 'Linux swap',
  'E6D6D379-F507-44C2-A23C-238F2A3DF928': 'Linux LVM',
  'A19D880F-05FC-4D3B-A006-743F0F84911E': 'Linux RAID',
  '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709': 'Linux root',
  'CA7D7CCB-63ED-4C53-861C-1742536059CC': 'LUKS',
  '83BD6B9D-7F41-11DC-BE0B-001560B84F0F': 'FreeBSD boot',
  '516E7CB4-6ECF-11D6-8FF8-00022D09712B': 'FreeBSD',
  '516E7CB5-6ECF-11D6-8FF8-00022D09712B': 'FreeBSD swap',
  '516E7CB6-6ECF-11D6-8FF8-00022D09712B': 'FreeBSD UFS',
  '516E7CBA-6ECF-11D6-8FF8-00022D09712B': 'FreeBSD ZFS',
  'AA31E02A-400F-11DB-9590-000C2911D1B8': 'VMFS',
  '9D275380-40AD-11DB-BF97-000C2911D1B8': 'VMware core dump',
  '9198EFFC-31C0-11DB-8F78-000C2911D1B8': 'VMware reserved',
  '4EB2EA39-7855-4790-A79E-FAE495E21F8D': 'VMFS-L',
  '381CFCCC-7288-11E0-92EE-000C2911D0B2': 'vSAN',
};

/** One copy of the table, checked. */
interface Table {
  readonly where: 'primary' | 'backup';
  readonly at: number;
  readonly sector: number;
  readonly header: Values<typeof header.fields>;
  readonly entries: readonly Entry[];
  readonly sound: boolean;
}

export const gpt: Format = {
  id: 'gpt',
  layer: 'volume',
  title: 'GPT partition table',
  spec: 'volumes.md section 2',
  gaps: ['A backup table is looked for at the end of the disk, not where a disk that was grown once ended.'],
  laid: [
    ...mbrLaid,
    // Each header leads to entries of its own, in sectors of the size that it was found with.
    ...SECTOR_SIZES.flatMap((sector) => [sector, -sector].flatMap((at) => headerLaid(at, sector))),
  ],
  async probe(source) {
    const tables = await findTables(source);
    if (tables.some((t) => t.sound)) return 95;
    return tables.length > 0 ? 60 : 0;
  },
  async open(source, cx) {
    const tables = await findTables(source);
    const best = tables.find((t) => t.sound) ?? tables[0];
    if (best === undefined) throw new NotThis('no GPT header at either end of the disk');
    return tableNode(gpt, source, cx, best.entries, departures(tables, best, source, cx));
  },
};

/** All headers that sit where they say they sit, primary first. */
async function findTables(source: Source): Promise<Table[]> {
  const out: Table[] = [];
  for (const sector of SECTOR_SIZES) {
    const places = [
      ['primary', sector],
      ['backup', Math.floor(source.size / sector) * sector - sector],
    ] as const;
    for (const [where, at] of places) {
      const table = await readTable(source, where, at, sector);
      if (table !== undefined) out.push(table);
    }
  }
  return out.sort((a, b) => (a.where === b.where ? 0 : a.where === 'primary' ? -1 : 1));
}

async function readTable(
  source: Source,
  where: Table['where'],
  at: number,
  sector: number,
): Promise<Table | undefined> {
  if (at < 0 || at + sector > source.size) return undefined;
  const block = new Uint8Array(sector);
  if ((await source.read(at, block)).length > 0) return undefined;
  const values = header.decode(block);
  if (values.signature !== SIGNATURE || values.myLba * sector !== at) return undefined;
  if (header.violations(values).length > 0) return undefined;
  const copy = block.slice(0, Math.min(values.size, sector));
  copy.fill(0, 16, 20);
  const array = new Uint8Array(values.count * values.entrySize);
  const start = values.entriesLba * sector;
  if (start + array.length > source.size) return undefined;
  const lost = await source.read(start, array);
  const sound = crc32(copy) === values.crc && crc32(array) === values.entriesCrc && lost.length === 0;
  return {
    where,
    at,
    sector,
    header: values,
    sound,
    entries: entriesOf(array, start, values.entrySize, sector, sound),
  };
}

function entriesOf(array: Uint8Array, start: number, size: number, sector: number, sound: boolean): Entry[] {
  const out: Entry[] = [];
  const view = viewOf(array);
  for (let i = 0; (i + 1) * size <= array.length; i++) {
    const e = entryStruct.over(view, i * size);
    if (e.type.every((byte) => byte === 0)) continue;
    // The end in bytes has to be an offset that a number can hold.
    if (!(e.last >= e.first && Number.isSafeInteger((e.last + 1) * sector))) continue;
    const type = guidText(e.type).toUpperCase();
    const label = utf16(e.label);
    out.push({
      number: i + 1,
      start: e.first * sector,
      length: (e.last - e.first + 1) * sector,
      type: TYPES[type] ?? type,
      ...(label !== '' && { label }),
      unique: guidText(e.unique).toUpperCase(),
      certainty: sound ? VERIFIED : INFERRED,
      entryAt: start + i * size,
    });
  }
  return out;
}

function departures(tables: readonly Table[], best: Table, source: Source, cx: Cx): Damage[] {
  const out: Damage[] = [];
  if (!best.sound) {
    const effect = 'partition positions are taken from it unproved';
    out.push(cx.damage(best.at, 'gpt.crc', 'header and entries that match their CRC32', 'a mismatch', effect));
  }
  if (best.where === 'backup') {
    const effect = `the backup at ${hex(best.at)} is used in its place`;
    out.push(cx.damage(best.sector, 'gpt.primary', 'a GPT header', 'none that checks', effect));
  } else if (!tables.some((t) => t.where === 'backup')) {
    const at = best.header.alternateLba * best.sector;
    const actual = at < source.size ? 'none that checks' : `the image ends at ${hex(source.size)}`;
    const effect = 'the primary is used alone; the image may be cut off or the disk was resized';
    out.push(cx.damage(Math.min(at, source.size), 'gpt.backup', 'a backup GPT header', actual, effect));
  }
  return out;
}

function utf16(raw: Uint8Array): string {
  const end = raw.findIndex((byte, i) => i % 2 === 0 && byte === 0 && raw[i + 1] === 0);
  return new TextDecoder('utf-16le').decode(end < 0 ? raw : raw.subarray(0, end));
}
