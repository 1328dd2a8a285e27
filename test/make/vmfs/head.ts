import { Bytes } from '../bytes.ts';
import type { Identity } from './identity.ts';
import type { Locker } from './lock.ts';
import { G0, LFB, MIB, type Shape } from './shape.ts';
import type { Volume } from './volume.ts';

/** Volume offset of the heartbeats (vmfs.md 7.1). */
export const HEARTBEATS = 0x300000;

const VERSIONS = { 3: [4, 31], 5: [14, 81], 6: [24, 82] } as const;
const SLOTS = { 3: 2048, 5: 2048, 6: 1024 } as const;

/** Raw major and minor version; a VMFS5 upgraded from VMFS3 keeps minor 61. */
export function versionOf(shape: Shape): [number, number] {
  const [major, minor] = VERSIONS[shape.version];
  return [major, shape.version === 5 && !shape.dense ? 61 : minor];
}

/** File-system header (vmfs.md 2). */
export function fsHeader(shape: Shape, id: Identity, label: string, time: number, fdAt: (n: number) => number): Bytes {
  const [major, minor] = versionOf(shape);
  const six = shape.version === 6;
  const b = new Bytes(512).u32(0, 0x2fabf15e).u32(4, major).u8(8, minor).raw(9, id.fs.bytes);
  b.u32(0x19, shape.dense ? 6 : 2)
    .text(0x1d, label)
    .u32(0x9d, 512)
    .u64(0xa1, shape.blockSize)
    .u32(0xa9, time);
  b.u32(0xad, 1).raw(0xb1, id.lv.bytes).u32(0xc1, 1).u32(0xd1, G0).u32(0xd5, shape.fdc.perGroup);
  b.u32(0xd9, shape.subBlock).u32(0xdd, six ? 64 : shape.version === 5 ? 8 : 0);
  if (shape.version !== 3) {
    b.u64(0xe1, fdAt(6)).u32(0xe9, 0x01800004).raw(0xed, id.host.bytes).u64(0xfd, 1);
    b.u64(0x105, fdAt(7)).u32(0x10d, 0x01c00004);
  }
  if (six) {
    b.u16(0x112, 1).u32(0x130, 512).u32(0x134, shape.md);
    b.u16(0x138, Math.log2(LFB / shape.blockSize))
      .u16(0x13e, 16)
      .u16(0x140, 44);
    b.u32(0x144, MIB)
      .u32(0x148, 2 * MIB)
      .u32(0x14c, 16000)
      .u32(0x150, 4000);
  }
  return b;
}

/** What a used heartbeat slot says. */
export interface Beat {
  slot: number;
  mounted: boolean;
  journalAddress: number;
  journalAt: number;
}

/**
 * All heartbeat slots, one of them used. After a clean unmount the host UUID and the journal are gone, but
 * generation, stamp, version and IP stay, as on the real images (vmfs.md 7.1).
 */
export function putHeartbeats(volume: Volume, shape: Shape, id: Identity, locker: Locker, beat: Beat): void {
  const step = shape.md;
  const [major, minor] = versionOf(shape);
  const unit = step === 512 ? 256 : 1;
  for (let first = 0; first < SLOTS[shape.version]; first += unit) {
    const b = new Bytes(unit === 1 ? 512 : unit * 512);
    for (let i = 0; i < unit; i++) {
      const slot = first + i;
      const at = i * 512;
      const own = HEARTBEATS + slot * step;
      volume.name(`heartbeat/${slot}`, own, 512);
      b.u32(at, 0xabcdef01).u64(at + 4, own);
      if (slot !== beat.slot) continue;
      b.u64(at + 0x0c, locker.generation).u64(at + 0x14, 522913073 + locker.counter * 1000);
      b.u32(at + 0x30, major).u8(at + 0x34, minor);
      if (shape.version !== 3) b.u8(at + 0x35, 3).text(at + 0x36, id.ip);
      if (beat.mounted) {
        b.u32(at, 0xabcdef02).raw(at + 0x1c, id.host.bytes);
        b.u32(at + 0x2c, beat.journalAddress).u64(at + 0x64, beat.journalAt);
      }
    }
    volume.put(HEARTBEATS + first * step, b.data);
  }
}

/** A record of the VMFS3/5 journal: the bytes that a volume place has after the transaction (vmfs.md 7.2). */
export interface AfterImage {
  kind: number;
  at: number;
  bytes: Uint8Array;
  name: string;
}

/** Journal block of VMFS3/5: cleared header, then after-images back to back from +0x350; and where each one's bytes lie. */
export function journal35(images: readonly AfterImage[]): {
  bytes: Uint8Array;
  records: { name: string; at: number; length: number }[];
} {
  const length = images.reduce((sum, r) => sum + 0x20 + r.bytes.length, 0x350);
  const b = new Bytes(Math.ceil(length / 512) * 512);
  const records: { name: string; at: number; length: number }[] = [];
  let at = 0x350;
  for (const r of images) {
    b.u32(at, 1)
      .u32(at + 4, r.kind)
      .u64(at + 0x10, r.at)
      .u64(at + 0x18, r.bytes.length);
    b.raw(at + 0x20, r.bytes);
    records.push({ name: r.name, at: at + 0x20, length: r.bytes.length });
    at += 0x20 + r.bytes.length;
  }
  return { bytes: b.data, records };
}

/** First journal block of VMFS6: its header and 511 stamped 4 KiB blocks (vmfs.md 7.3). */
export function putJournal6(volume: Volume, at: number): void {
  const head = new Bytes(1024).text(0, '6JSF').u32(4, 0x10000).pair(8, 0x5d1c93a7, 0x0b6e).u32(0x10, 1);
  head
    .text(0x20, 'HJ6J')
    .raw(0x28, Uint8Array.of(1, 1, 1, 0x0c, 1))
    .u64(0x204, at);
  volume.put(at, head.data);
  const stamp = new Bytes(8).text(0, 'TO6J').u16(4, 0xffff).data;
  for (let i = 1; i < 512; i++) volume.put(at + i * 4096, stamp);
  volume.name('journal', at, 2 * MIB);
}
