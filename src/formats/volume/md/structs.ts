/** Superblocks of Linux MD arrays. Source: volumes.md section 6. */
import { bytes, struct, text, u16, u32, u64 } from '../../../core/struct.ts';

export const SECTOR = 512;
const MAGIC = 0xa92b4efc;
export const OLD_BYTES = 4096;
/** Devices that one array can have. */
const MAX_DEVICES = 384;

/** Version 1.0, 1.1 and 1.2: they differ in where it stands. Roles follow at 256. */
export const superblock = struct('MD superblock', 256, {
  magic: u32(0, { oneOf: [MAGIC] }),
  major: u32(4, { oneOf: [1] }),
  features: u32(8),
  set: bytes(16, 16),
  name: text(32, 32),
  made: u64(64),
  level: u32(72),
  layout: u32(76),
  size: u64(80),
  chunkSectors: u32(88, { max: 2 ** 22 }),
  devices: u32(92, { min: 1, max: MAX_DEVICES }),
  dataAt: u64(128),
  dataSize: u64(136),
  superAt: u64(144),
  number: u32(160),
  device: bytes(168, 16),
  updated: u64(192),
  events: u64(200),
  sum: u32(216),
  roles: u32(220, { max: 1024 }),
});
export const ROLES_AT = 256;

/** Version 0.90: words, at the last 64 KiB boundary but one. */
export const oldSuperblock = struct('MD superblock 0.90', OLD_BYTES, {
  magic: u32(0, { oneOf: [MAGIC] }),
  major: u32(4, { oneOf: [0] }),
  minor: u32(8, { oneOf: [90, 91] }),
  uuid0: u32(20),
  made: u32(24),
  level: u32(28),
  sizeKib: u32(32),
  devices: u32(40, { min: 1, max: 27 }),
  uuid1: u32(52),
  uuid2: u32(56),
  uuid3: u32(60),
  updated: u32(128),
  state: u32(132),
  sum: u32(152),
  eventsLow: u32(156),
  eventsHigh: u32(160),
  layout: u32(256),
  chunkBytes: u32(260, { max: 2 ** 30 }),
  // "this disk" is the last of 28 records of 32 words.
  thisNumber: u32(3968),
  thisRole: u32(3980),
  thisState: u32(3984),
});

export const role = struct('MD role', 2, { slot: u16(0) });
/** Slots from here on are none: spare, faulty, journal. */
export const NO_SLOT = 0xfffd;

export const FEATURE_RECOVERING = 2;
export const FEATURE_RESHAPING = 4;
