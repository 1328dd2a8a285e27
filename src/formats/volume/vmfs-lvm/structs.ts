/** VMFS LVM structures as they stand on each member device. Offsets: vmfs.md sections 1.2 to 1.4. */
import { bytes, struct, text, u8, u32, u64, type Values } from '../../../core/struct.ts';

export const MAGIC = 0xc001d00d;
/** From the start of the partition. */
export const HEADER_AT = 0x100000;
/** Unit in which a device is given to volumes. */
export const PE_BYTES = 256 * 1024 * 1024;
/** Where data starts on every device seen; the linear rule that stands in for a lost table. */
export const DATA_AT = 0x1100000;
const MAX_VERSION = 6;

export const deviceHeader = struct('VMFS LVM device header', 512, {
  magic: u32(0x00, { oneOf: [MAGIC] }),
  major: u32(0x04, { min: 3, max: MAX_VERSION }),
  minor: u32(0x08, { max: 63 }),
  sectorSize: u32(0x5a, { oneOf: [512, 4096] }),
  totalBytes: u64(0x5e),
  volumes: u32(0x66, { oneOf: [1] }),
  entries: u32(0x6a),
  lastPe: u32(0x6e),
  generation: u64(0x72),
  dataAt: u64(0x7a, { oneOf: [DATA_AT] }),
  uuid: bytes(0x82, 16),
  created: u64(0x92),
  modified: u64(0x9a),
  maps: u32(0xbe),
  extensionAt: u64(0xc2),
  alignment: u32(0xca),
  pes: u32(0xce),
  flags: u32(0xd2),
});
export type DeviceHeader = Values<typeof deviceHeader.fields>;

export const volumeDescriptor = struct('VMFS LVM volume descriptor', 512, {
  size: u64(0x00, { min: 1 }),
  generation: u64(0x08),
  state: u32(0x10, { oneOf: [1, 2, 3] }),
  name: text(0x14, 64),
  uuid: bytes(0x54, 16),
  snapshot: u32(0x64),
  created: u64(0x68),
  index: u32(0x70),
  pes: u32(0x74, { min: 1 }),
  firstPe: u64(0x78),
  lastPe: u64(0x80),
  modified: u64(0x88),
  devices: u32(0x90, { min: 1, max: 32 }),
});
export type VolumeDescriptor = Values<typeof volumeDescriptor.fields>;

/** Entries stand 128 bytes apart. */
export const PE_STRIDE = 128;
export const peEntry = struct('VMFS LVM PE table entry', 37, {
  used: u8(0, { oneOf: [0, 1] }),
  id: u32(1),
  volume: u32(5),
  physical: u64(9),
  logical: u64(17),
  length: u64(25),
  version: u32(33),
});

export const PES_PER_MAP = 8192;
/** Pairs of bitmap and table in one region; beyond that an extension block leads on. */
export const MAPS_PER_REGION = 8;

export const extension = struct('VMFS LVM extension block', 24, {
  magic: u32(0, { oneOf: [MAGIC] }),
  maps: u32(4, { min: 1, max: MAPS_PER_REGION }),
  dataAt: u64(8),
  nextAt: u64(16),
});

/** Positions of the tables on a device, from the start of the partition. */
export interface Layout {
  readonly descriptorAt: number;
  readonly bitmapAt: number;
  readonly bitmapBytes: number;
}

/** Version 6 aligns its tables to the metadata alignment, the versions before it to sectors. */
export function layoutOf(header: DeviceHeader): Layout {
  if (header.major < 6) return { descriptorAt: HEADER_AT + 512, bitmapAt: 0x180200, bitmapBytes: 1024 };
  const alignment = header.alignment >= 512 && header.alignment <= 65536 ? header.alignment : 4096;
  const descriptorAt = HEADER_AT + alignment;
  const namesAt = descriptorAt + 512 + 1023 * 512 - 8192;
  return { descriptorAt, bitmapAt: namesAt + 8192, bitmapBytes: Math.max(alignment, 1024) };
}
