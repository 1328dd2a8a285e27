/** Structures of LVM2 physical volumes. Source: volumes.md section 5. */
import { crc32Update } from '../../../codec/crc32.ts';
import { bytes, struct, text, u32, u64 } from '../../../core/struct.ts';

export const SECTOR = 512;
/** The label stands in one of the first sectors. */
export const LABEL_SECTORS = 4;
export const LABEL_MAGIC = 'LABELONE';
export const LABEL_TYPE = 'LVM2 001';
/** Where metadata starts on volumes made by default, should the label be lost. */
export const USUAL_METADATA_AT = 4096;
export const USUAL_METADATA_BYTES: number = 1024 * 1024 - USUAL_METADATA_AT;
/** " LVM2 x[5A%r0N*>" */
export const METADATA_MAGIC: readonly number[] = [...Buffer.from('204c564d3220785b35412572304e2a3e', 'hex')];
/** A copy of the text that is not to be used. */
export const FLAG_IGNORED = 1;

export const label = struct('LVM2 label', SECTOR, {
  magic: text(0, 8),
  sector: u64(8, { max: LABEL_SECTORS - 1 }),
  crc: u32(16),
  headerAt: u32(20, { min: 32, max: SECTOR - 40 }),
  type: text(24, 8),
});

/** Stands at the label's `headerAt`; two lists of areas follow. */
export const pvHeader = struct('LVM2 physical volume header', 40, {
  uuid: text(0, 32),
  size: u64(32),
});

export const area = struct('LVM2 area', 16, {
  at: u64(0),
  size: u64(8),
});

export const metadataHeader = struct('LVM2 metadata area header', SECTOR, {
  crc: u32(0),
  magic: bytes(4, 16),
  version: u32(20, { oneOf: [1] }),
  start: u64(24),
  size: u64(32, { min: SECTOR * 2 }),
});
export const LOCATIONS_AT = 40;

/** Where a copy of the text lies in its area; several follow each other. */
export const location = struct('LVM2 text location', 24, {
  at: u64(0),
  size: u64(8),
  crc: u32(16),
  flags: u32(20),
});

/** The checksum of labels, headers and texts: CRC-32 from a start of its own, without the last step. */
export function sumOf(data: Uint8Array): number {
  return crc32Update(0xf597a6cf, data);
}
