/** One member device of a VMFS volume: its header, its descriptor and its PE table. */
import { vmwareUuid } from '../../../codec/vmware-uuid.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import {
  type DeviceHeader,
  deviceHeader,
  extension,
  HEADER_AT,
  type Layout,
  layoutOf,
  MAPS_PER_REGION,
  PE_STRIDE,
  PES_PER_MAP,
  peEntry,
  type VolumeDescriptor,
  volumeDescriptor,
} from './structs.ts';

/** A stretch of the logical volume on this device. */
export interface Extent {
  /** Bytes from the start of the logical volume. */
  readonly logical: number;
  /** Bytes from the start of the partition. */
  readonly physical: number;
  /** Entries that follow each other in the volume and on the device are one extent. */
  length: number;
  /** Position of the first entry that says so, from the start of the partition. */
  readonly entryAt: number;
}

export interface Member {
  readonly source: Source;
  readonly locator: string;
  readonly header: DeviceHeader;
  readonly descriptor: VolumeDescriptor;
  readonly layout: Layout;
  /** The device header is lost; what it said is taken from the partition and the descriptor. */
  readonly headerLost: boolean;
  /** Text of the logical volume's UUID. */
  readonly volume: string;
  /** Text of the device's own UUID. */
  readonly device: string;
}

/** Reads what says which volume a partition belongs to, or undefined where neither header nor descriptor is there. */
export async function readMember(source: Source, locator: string): Promise<Member | undefined> {
  if (source.size < HEADER_AT + 8192) return undefined;
  const block = new Uint8Array(512);
  await source.read(HEADER_AT, block);
  const header = deviceHeader.decode(block);
  if (deviceHeader.violations(header).length === 0) {
    const descriptor = await readDescriptor(source, layoutOf(header));
    return memberOf(source, locator, header, descriptor, false);
  }
  // With the header lost the descriptor still speaks, at the one place or the other.
  for (const major of [5, 6]) {
    const stand = standIn(source, header, major);
    const descriptor = await readDescriptor(source, layoutOf(stand));
    const named = descriptor.name !== '' && descriptor.name === vmwareUuid(descriptor.uuid);
    if (named && volumeDescriptor.violations(descriptor).length === 0) {
      return memberOf(source, locator, stand, descriptor, true);
    }
  }
  return undefined;
}

/** A member of which nothing is left but the data: one device, as large as its partition. */
export function bareMember(source: Source, locator: string, major: number): Member {
  const nothing = new Uint8Array(512);
  const header = standIn(source, deviceHeader.decode(nothing), major);
  return memberOf(source, locator, header, volumeDescriptor.decode(nothing), true);
}

/** What a lost header must have said: the partition is as long as its totalBytes. */
function standIn(source: Source, lost: DeviceHeader, major: number): DeviceHeader {
  return {
    ...lost,
    major,
    minor: 0,
    totalBytes: source.size,
    maps: 0,
    extensionAt: 0,
    alignment: major < 6 ? 0 : 4096,
  };
}

async function readDescriptor(source: Source, layout: Layout): Promise<VolumeDescriptor> {
  const block = new Uint8Array(512);
  await source.read(layout.descriptorAt, block);
  return volumeDescriptor.decode(block);
}

function memberOf(
  source: Source,
  locator: string,
  header: DeviceHeader,
  descriptor: VolumeDescriptor,
  headerLost: boolean,
): Member {
  const names = { volume: vmwareUuid(descriptor.uuid), device: vmwareUuid(header.uuid) };
  return { source, locator, header, descriptor, layout: layoutOf(header), headerLost, ...names };
}

/** Reads the used entries of a device's PE tables, in table order; empty where there is none that makes sense. */
export async function readExtents(member: Member): Promise<Extent[]> {
  const out: Extent[] = [];
  const seen = new Set<number>();
  const { header, layout } = member;
  let base = HEADER_AT;
  let maps = Math.min(Math.max(1, header.maps), MAPS_PER_REGION);
  let next = header.maps > 1 || header.extensionAt > 0 ? header.extensionAt : 0;
  for (;;) {
    await readRegion(member, base + (layout.bitmapAt - HEADER_AT), maps, out);
    if (next === 0 || seen.has(next) || !(next + 512 <= member.source.size)) return out;
    seen.add(next);
    const block = new Uint8Array(512);
    await member.source.read(next, block);
    const values = extension.decode(block);
    if (extension.violations(values).length > 0) return out;
    base = next;
    maps = values.maps;
    next = values.nextAt;
  }
}

async function readRegion(member: Member, at: number, maps: number, out: Extent[]): Promise<void> {
  const pair = member.layout.bitmapBytes + PES_PER_MAP * PE_STRIDE;
  for (let map = 0; map < maps; map++) {
    const tableAt = at + map * pair + member.layout.bitmapBytes;
    // Merged tables (version 6) use one entry of many: read on only while entries are in use.
    for (let first = 0; first < PES_PER_MAP; first += ENTRIES_PER_READ) {
      const table = new Uint8Array(ENTRIES_PER_READ * PE_STRIDE);
      if (tableAt + first * PE_STRIDE + table.length > member.source.size) return;
      await member.source.read(tableAt + first * PE_STRIDE, table);
      if (!takeEntries(member, table, tableAt + first * PE_STRIDE, out)) break;
    }
  }
}

const ENTRIES_PER_READ = 512;

/** Takes the used entries of one block; false when the block's last entry is unused. */
function takeEntries(member: Member, table: Uint8Array, at: number, out: Extent[]): boolean {
  let used = false;
  const view = viewOf(table);
  for (let i = 0; i < table.length; i += PE_STRIDE) {
    used = table[i] === 1;
    if (!used) continue;
    const { logical, physical, length, volume } = peEntry.over(view, i);
    // The ends, too, have to be offsets that a number can hold.
    const sane = length > 0 && Number.isSafeInteger(logical + length) && Number.isSafeInteger(physical + length);
    if (!sane || volume !== member.descriptor.index) continue;
    const last = out[out.length - 1];
    // 64 TiB are 262,144 entries of 256 MiB, nearly all of them in one row.
    if (last !== undefined && last.logical + last.length === logical && last.physical + last.length === physical) {
      last.length += length;
    } else out.push({ logical, physical, length, entryAt: at + i });
  }
  return used;
}
