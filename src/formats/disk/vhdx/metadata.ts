/** What a VHDX says of its disk: size, blocks, sectors, parent. Source: vhdx.md, metadata. */
import type { Backing } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { guidText } from '../guid.ts';
import { baseName } from '../vhd/parent.ts';
import {
  bytesAt,
  MAX_ENTRIES,
  MAX_SIZE,
  MIB,
  metadataEntry,
  metadataTable,
  type Region,
  TABLE_BYTES,
} from './structs.ts';

const PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b';
const SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8';
const DISK = 'beca12ab-b2e6-4523-93ef-c309e000c746';
const SECTOR_SIZE = '8141bf1d-a96f-4709-ba47-f233a8faab5f';
const PARENT = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c';
const MAX_ITEM: number = MIB;
const MAX_LOCATOR_ENTRIES = 64;

export interface Metadata {
  readonly blockSize: number;
  readonly isFixed: boolean;
  readonly hasParent: boolean;
  readonly size: number;
  readonly sector: number;
  readonly disk?: string;
  readonly parent?: Backing;
  /** It is said to have a parent, and names none; or the other way round. */
  readonly isTorn: boolean;
}

/** Undefined where one of the items is not there or no disk can have it: there is no checksum over them. */
export async function readMetadata(source: Source, region: Region): Promise<Metadata | undefined> {
  const table = await bytesAt(source, region.at, TABLE_BYTES);
  if (table === undefined || metadataTable.decode(table).signature !== 'metadata') return undefined;
  const count = Math.min(metadataTable.decode(table).count, MAX_ENTRIES);
  const items = new Map<string, { at: number; length: number }>();
  for (let i = 0; i < count; i++) {
    const entry = metadataEntry.decode(table, 32 + i * metadataEntry.size);
    items.set(guidText(entry.id), { at: region.at + entry.at, length: entry.length });
  }
  const item = async (id: string, least: number): Promise<DataView | undefined> => {
    const there = items.get(id);
    if (there === undefined || there.length < least || there.length > MAX_ITEM) return undefined;
    const raw = await bytesAt(source, there.at, there.length);
    return raw && viewOf(raw);
  };
  const [parameters, size, sectorSize] = [await item(PARAMETERS, 8), await item(SIZE, 8), await item(SECTOR_SIZE, 4)];
  if (parameters === undefined || size === undefined) return undefined;
  const blockSize = parameters.getUint32(0, true);
  const flags = parameters.getUint32(4, true);
  const bytes = readU64(size, 0);
  const sector = sectorSize?.getUint32(0, true) ?? 512;
  const isBlock = blockSize >= MIB && blockSize <= 256 * MIB && (blockSize & (blockSize - 1)) === 0;
  const isSize = bytes > 0 && bytes <= MAX_SIZE && bytes % 512 === 0;
  if (!isBlock || !isSize || (sector !== 512 && sector !== 4096)) return undefined;
  const disk = await item(DISK, 16);
  const hasParent = (flags & 2) !== 0;
  const locator = hasParent ? await item(PARENT, 20) : undefined;
  return {
    blockSize,
    isFixed: (flags & 1) !== 0,
    hasParent,
    size: bytes,
    sector,
    isTorn: hasParent !== items.has(PARENT) || sectorSize === undefined,
    ...(disk && { disk: guidText(new Uint8Array(disk.buffer, disk.byteOffset, 16)) }),
    ...(locator && { parent: backingOf(locator, items.get(PARENT)!.at) }),
  };
}

/** Keys and values of the parent locator: names in several spellings, and what the parent's data were then. */
function backingOf(view: DataView, at: number): Backing {
  const values = new Map<string, string>();
  const count = Math.min(view.getUint16(18, true), MAX_LOCATOR_ENTRIES);
  const text = (from: number, length: number): string => {
    if (from + length > view.byteLength) return '';
    return new TextDecoder('utf-16le').decode(new Uint8Array(view.buffer, view.byteOffset + from, length));
  };
  for (let i = 0; i < count && 20 + (i + 1) * 12 <= view.byteLength; i++) {
    const entry = 20 + i * 12;
    const key = text(view.getUint32(entry, true), view.getUint16(entry + 8, true));
    values.set(key, text(view.getUint32(entry + 4, true), view.getUint16(entry + 10, true)));
  }
  const names = ['relative_path', 'absolute_win32_path', 'volume_path']
    .map((key) => baseName(values.get(key) ?? ''))
    .filter((name) => name !== '');
  const linkage = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i.exec(values.get('parent_linkage') ?? '')?.[0];
  return { names: [...new Set(names)], ...(linkage && { identity: `uuid:${linkage.toLowerCase()}` }), at };
}
