import { Bytes } from '../bytes.ts';

/** Lock types 0x10C000xx (vmfs.md 8.1). */
export const LOCK = {
  fd: 0x10c00001,
  fb: 0x10c00002,
  sb: 0x10c00003,
  pb: 0x10c00004,
  fdc: 0x10c00005,
  pb2: 0x10c00006,
  jb: 0x10c00007,
  lfb: 0x10c00008,
} as const;

/** The host's heartbeat slot as locks name it, and its ever-growing operation counter. */
export interface Locker {
  heartbeat: number;
  generation: number;
  counter: number;
}

/**
 * The lock block of a structure that was locked `times` times since mkfs (vmfs.md 4.1). Each lock takes the next
 * value of the host's counter, so later structures carry larger values.
 */
export function lockBlock(type: number, own: number, times: number, locker: Locker): Bytes {
  const lock = new Bytes(512).u32(0, type).u64(4, own);
  if (times > 0) lock.u64(0x0c, locker.heartbeat).u64(0x14, locker.generation);
  locker.counter += 1 + times;
  return lock.u64(0x1c, 1 + times).u64(0x38, locker.counter);
}
