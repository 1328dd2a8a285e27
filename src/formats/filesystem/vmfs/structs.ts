/** VMFS structures with a fixed layout. Offsets: vmfs.md sections 2, 4, 5, 6 and 7. */
import { bytes, bytes8, struct, text, u8, u16, u32, u64, type Values } from '../../../core/struct.ts';

export const FS_MAGIC = 0x2fabf15e;
/** VMFS-L, the local variant of ESXi 7, differs in its magic only as far as is known. */
export const FS_MAGIC_LOCAL = 0x2fabf15f;
/** From the start of the logical volume. */
export const FS_HEADER_AT = 0x200000;
export const HEARTBEATS_AT = 0x300000;

const KIB = 1024;
const MIB = KIB * KIB;
const BLOCK_SIZES = [MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 256 * MIB];

export const fsHeader = struct('VMFS file-system header', 512, {
  magic: u32(0x00, { oneOf: [FS_MAGIC, FS_MAGIC_LOCAL] }),
  major: u32(0x04, { min: 1, max: 64 }),
  minor: u8(0x08),
  uuid: bytes(0x09, 16),
  config: u32(0x19),
  label: text(0x1d, 128),
  sectorSize: u32(0x9d),
  blockSize: u64(0xa1, { oneOf: BLOCK_SIZES }),
  created: u32(0xa9),
  snapshot: u32(0xad),
  volumeUuid: bytes(0xb1, 16),
  groupOffset: u32(0xd1, { oneOf: [0x10000] }),
  clustersPerGroup: u32(0xd5, { min: 1, max: 4096 }),
  subBlockSize: u32(0xd9, { oneOf: [8 * KIB, 64 * KIB] }),
  pb2At: u64(0xe1),
  pb2Address: u32(0xe9),
  sddAt: u64(0x105),
  sddAddress: u32(0x10d),
  physicalSectorSize: u32(0x130),
  alignment: u32(0x134),
  largeBlockShift: u16(0x138),
  pointerBlockShift: u16(0x13e),
  smallBlockBits: u16(0x140),
});
export type FsHeader = Values<typeof fsHeader.fields>;

/** Config flag: sub-block addresses carry 6 bits of resource number. */
export const DENSE_SUB_BLOCKS = 0x04;

export const LOCK_FD = 0x10c00001;

/** The lock that heads every file descriptor and every resource cluster. */
export const lock = struct('VMFS lock', 512, {
  type: u32(0x00),
  self: u64(0x04),
  heartbeat: u64(0x0c),
  heartbeatGeneration: bytes8(0x14),
  token: bytes8(0x1c),
  mode: u32(0x24),
  owner: bytes(0x28, 16),
});

export const TYPE_DIRECTORY = 2;
export const TYPE_REGULAR = 3;
export const TYPE_SYMLINK = 4;
export const TYPE_SYSTEM = 5;
export const TYPE_RDM = 6;

export const FD_SIGNATURE = 0x66646d64;

/** File descriptor metadata; stands one lock block behind the lock. */
export const fdMetadata = struct('VMFS file descriptor', 512, {
  address: u32(0x00),
  generation: u32(0x04),
  links: u32(0x08),
  type: u32(0x0c, { min: 1, max: 6 }),
  flags: u32(0x10),
  length: u64(0x14),
  blockSize: u64(0x1c),
  blocks: u64(0x24),
  modified: u32(0x2c),
  changed: u32(0x30),
  accessed: u32(0x34),
  uid: u32(0x38),
  gid: u32(0x3c),
  mode: u32(0x40),
  zla: u32(0x44),
  toBeZeroed: u32(0x48),
  copyOnWrite: u32(0x4c),
  signature: u32(0x64),
  affinity: u32(0x68),
  parent: u32(0x70),
  blockShift: u8(0x89),
  largeBlocks: u32(0x8c),
});
export type FdMetadata = Values<typeof fdMetadata.fields>;

/** How the pointers of a file descriptor lead to its bytes ("zero level address"). */
export const ZLA_FILE_BLOCK = 1;
export const ZLA_SUB_BLOCK = 2;
export const ZLA_POINTER_BLOCK = 3;
export const ZLA_POINTER_BLOCK_2 = 5;
export const ZLA_DOUBLE = 0x10d0;
export const ZLA_INLINE = 0x10d1;

export const resourceHeader = struct('VMFS resource file header', 0x60, {
  perCluster: u32(0x00, { max: 65536 }),
  clustersPerGroup: u32(0x04, { min: 1, max: 4096 }),
  groupOffset: u32(0x08, { oneOf: [0x10000] }),
  size: u32(0x0c),
  groupSize: u32(0x10, { min: 1 }),
  countLow: u32(0x14),
  groups: u32(0x18),
  countHigh: u32(0x1c),
  signature: u32(0x20),
  version: u32(0x24),
  flags: u32(0x28),
  bitsPerResource: u32(0x30),
  childOffset: u32(0x34),
  parentPerCluster: u32(0x38),
  parentClustersPerGroup: u32(0x3c),
  parentGroupSize: u32(0x40),
});
export type ResourceHeader = Values<typeof resourceHeader.fields>;

/** Cluster metadata of VMFS3 and VMFS5, 512 bytes behind its lock. Bitmap: bit set = free. */
export const clusterMetadata = struct('VMFS resource cluster', 512, {
  cluster: u32(0x00),
  total: u32(0x04),
  free: u32(0x08),
  bitmap: bytes(0x10, 0x1f0),
});

export const CLUSTER_SIGNATURE = 0x72636d64;

/** Cluster metadata of VMFS6, one aligned block behind its lock. */
export const clusterMetadata6 = struct('VMFS6 resource cluster', 4096, {
  signature: u32(0x10, { oneOf: [CLUSTER_SIGNATURE] }),
  cluster: u64(0x18),
  total: u16(0x20),
  free: u16(0x22),
  bitmap: bytes(0x80, 0x400),
});

export const HEARTBEAT_FREE = 0xabcdef01;
export const HEARTBEAT_IN_USE = 0xabcdef02;

export const heartbeat = struct('VMFS heartbeat', 512, {
  state: u32(0x00, { oneOf: [HEARTBEAT_FREE, HEARTBEAT_IN_USE] }),
  self: u64(0x04),
  generation: bytes8(0x0c),
  host: bytes(0x1c, 16),
  address: text(0x36, 46),
  journalAt: u64(0x64),
});

/** Directory entry of VMFS3 and VMFS5. */
export const dirent = struct('VMFS directory entry', 0x8c, {
  type: u32(0x00),
  address: u32(0x04),
  generation: u32(0x08),
  name: text(0x0c, 128),
});

/** Directory entry of VMFS6. */
export const dirent6 = struct('VMFS6 directory entry', 0x120, {
  type: u32(0x00),
  address: u32(0x04),
  generation: u32(0x08),
  hash: u32(0x0c),
  self: u64(0x10),
  name: text(0x18, 256),
});

export const DIRECTORY_VERSIONS: readonly number[] = [0x00f50001, 0x00fdc001];

export const directoryHeader = struct('VMFS6 directory header', 0x3b8, {
  version: u32(0x00, { oneOf: DIRECTORY_VERSIONS }),
  entries: u32(0x04),
  allocated: u32(0x08),
  maps: u32(0x0c, { min: 1, max: 128 }),
  mapBlocks: bytes(0x10, 512),
});

export const directoryBlock = struct('VMFS6 directory block', 64, {
  version: u16(0),
  kind: u16(2),
  slots: u16(4),
  free: u16(6),
  bitmap: bytes(8, 56),
});

/** What a RDM's data area starts with: the SCSI identity of the mapped disk. */
export const scsiId = struct('VMFS SCSI disk id', 78, {
  type: u8(0),
  length: u8(1),
  lun: u16(2),
  vendor: text(6, 8),
  model: text(14, 16),
  id: text(34, 44),
});
