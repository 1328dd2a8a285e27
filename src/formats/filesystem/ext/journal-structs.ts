/** On-disk structures of the journal (jbd2) of ext3 and ext4, big-endian. Source: guestfs.md section B7. */
import { bytes, struct, u8, u32 } from '../../../core/struct.ts';

export const JOURNAL_MAGIC = 0xc03b3998;
export const BLOCK_DESCRIPTOR = 1;
export const BLOCK_COMMIT = 2;
const BLOCK_SUPER_1 = 3;
const BLOCK_SUPER_2 = 4;
export const BLOCK_REVOKE = 5;

export const journalHeader = struct(
  'jbd2 block header',
  12,
  { magic: u32(0x00, { oneOf: [JOURNAL_MAGIC] }), type: u32(0x04), sequence: u32(0x08) },
  'big',
);

export const journalSuper = struct(
  'jbd2 superblock',
  1024,
  {
    magic: u32(0x00, { oneOf: [JOURNAL_MAGIC] }),
    type: u32(0x04, { oneOf: [BLOCK_SUPER_1, BLOCK_SUPER_2] }),
    blockSize: u32(0x0c),
    blocks: u32(0x10),
    first: u32(0x14, { min: 1 }),
    sequence: u32(0x18),
    start: u32(0x1c),
    compat: u32(0x24),
    incompat: u32(0x28),
    uuid: bytes(0x30, 16),
    sumType: u8(0x50),
    fastBlocks: u32(0x54),
    checksum: u32(0xfc),
  },
  'big',
);
export const INCOMPAT_64BIT = 2;
export const INCOMPAT_SUM_2 = 8;
export const INCOMPAT_SUM_3 = 0x10;
export const INCOMPAT_FAST_COMMIT = 0x20;

export const TAG_ESCAPED = 1;
export const TAG_SAME_UUID = 2;
export const TAG_LAST = 8;
