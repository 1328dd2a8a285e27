/** What a backup of Proxmox is made of; all numbers have their highest byte first. Source: vma_spec.txt of pve-qemu. */
import { struct, text, u16, u32, u64 } from '../../../core/struct.ts';

export const CLUSTER = 65_536;
export const BLOCK = 4096;
/** Clusters that one extent holds at most. */
export const PER_EXTENT = 59;
export const HEADER_BYTES = 12_288;
export const EXTENT_BYTES = 512;
/** Where in the header the places of names and of texts of configurations stand, and what devices there are. */
export const NAMES_AT = 2044;
export const CONFIGS_AT = 3068;
export const DEVICES_AT = 4096;
export const MAX_ENTRIES = 256;
/** Where the words for clusters begin in an extent. */
export const INFO_AT = 40;
/** Where header and extents keep who they belong to, and their sums. */
export const UUID_AT: Readonly<{ header: number; extent: number }> = { header: 8, extent: 8 };
export const SUM_AT: Readonly<{ header: number; extent: number }> = { header: 32, extent: 24 };

export const vmaHeader = struct(
  'VMA header',
  60,
  {
    magic: text(0, 4),
    version: u32(4, { oneOf: [1] }),
    blobAt: u32(48, { max: 2 ** 26 }),
    blobBytes: u32(52, { max: 2 ** 26 }),
    headerBytes: u32(56, { min: HEADER_BYTES, max: 2 ** 26 }),
  },
  'big',
);

export const extentHeader = struct(
  'VMA extent header',
  INFO_AT,
  { magic: text(0, 4), blocks: u16(6, { max: PER_EXTENT * 16 }) },
  'big',
);

export const deviceInfo = struct('VMA device', 32, { name: u32(0), size: u64(8, { max: 2 ** 50 }) }, 'big');

/** With a zero behind it. */
export const MAGIC = 'VMA';
export const EXTENT_MAGIC = 'VMAE';
