import { crc32 } from 'node:zlib';
import { Bytes, roundUp } from './bytes.ts';
import { dice } from './content.ts';
import type { Part } from './vmfs/lvm.ts';

/** What lies around the partition. */
export type WrapKind = 'bare' | 'mbr' | 'gpt';

const SECTOR = 512;
const MIB = 0x100000;
const ENTRIES = 128 * 128;
// AA31E02A-400F-11DB-9590-000C2911D1B8 as it lies on disk (vmfs.md 1.1)
const VMFS_GUID = Uint8Array.from([
  0x2a, 0xe0, 0x31, 0xaa, 0x0f, 0x40, 0xdb, 0x11, 0x95, 0x90, 0x00, 0x0c, 0x29, 0x11, 0xd1, 0xb8,
]);

/** Size of the whole disk: whole MiB, with room for the backup GPT behind the partition. */
export function diskSize(kind: WrapKind, start: number, length: number): number {
  if (kind === 'bare') return length;
  return roundUp(start + length + (kind === 'gpt' ? 33 * SECTOR : 0), MIB);
}

/** One primary MBR entry; CHS values are the "use LBA" ones (volumes.md 1). */
export function mbrSector(type: number, first: number, sectors: number, signature: number, active = false): Uint8Array {
  const b = new Bytes(SECTOR)
    .u32(440, signature)
    .u8(446, active ? 0x80 : 0)
    .raw(447, Uint8Array.of(0xfe, 0xff, 0xff));
  b.u8(450, type).raw(451, Uint8Array.of(0xfe, 0xff, 0xff));
  b.u32(454, first).u32(458, Math.min(sectors, 0xffffffff));
  return b.u8(510, 0x55).u8(511, 0xaa).data;
}

/** One partition of a GPT. */
export interface GptPartition {
  type: Uint8Array;
  first: number;
  sectors: number;
  name: string;
}

function guid(roll: (below: number) => number): Uint8Array {
  const bytes = Uint8Array.from({ length: 16 }, () => roll(256));
  bytes[7] = (bytes[7]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

function gptHeader(own: number, other: number, table: number, last: number, disk: Uint8Array, array: Uint8Array) {
  const b = new Bytes(SECTOR).text(0, 'EFI PART').u32(8, 0x10000).u32(12, 92);
  b.u64(24, own).u64(32, other).u64(40, 34).u64(48, last).raw(56, disk);
  b.u64(72, table).u32(80, 128).u32(84, 128).u32(88, crc32(array));
  return b.u32(16, crc32(b.data.subarray(0, 92))).data;
}

/** A GPT at both ends of a disk of `size` bytes, with its protective MBR (volumes.md 2). */
export function gptParts(size: number, partitions: readonly GptPartition[], seed: number): Part[] {
  const roll = dice(seed ^ 0x6b7);
  const sectors = size / SECTOR;
  const disk = guid(roll);
  const array = new Bytes(ENTRIES);
  for (const [i, p] of partitions.entries()) {
    const at = i * 128;
    array.raw(at, p.type).raw(at + 16, guid(roll));
    array.u64(at + 32, p.first).u64(at + 40, p.first + p.sectors - 1);
    for (let c = 0; c < p.name.length; c++) array.u16(at + 56 + 2 * c, p.name.charCodeAt(c));
  }
  const last = sectors - 34;
  const backup = sectors - 1;
  const part = (name: string, at: number, data: Uint8Array): Part => ({
    name,
    at,
    length: data.length,
    bytes: () => data,
  });
  return [
    part('mbr', 0, mbrSector(0xee, 1, sectors - 1, 0)),
    part('gpt.primary', SECTOR, gptHeader(1, backup, 2, last, disk, array.data)),
    part('gpt.primary.entries', 2 * SECTOR, array.data),
    part('gpt.backup.entries', (sectors - 33) * SECTOR, array.data),
    part('gpt.backup', backup * SECTOR, gptHeader(backup, 1, sectors - 33, last, disk, array.data)),
  ];
}

/** The partition table around a VMFS partition that starts at byte `start`. */
export function wrapParts(kind: WrapKind, start: number, length: number, size: number, seed: number): Part[] {
  if (kind === 'bare') return [];
  const first = start / SECTOR;
  const sectors = length / SECTOR;
  if (kind === 'gpt') return gptParts(size, [{ type: VMFS_GUID, first, sectors, name: '' }], seed);
  if (first + sectors > 0xffffffff) throw new Error('an MBR cannot describe this partition');
  const data = mbrSector(0xfb, first, sectors, dice(seed)(0xfffffff0));
  return [{ name: 'mbr', at: 0, length: SECTOR, bytes: () => data }];
}
