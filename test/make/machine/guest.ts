import { dice, patched, seeded } from '../content.ts';
import type { Content } from '../types.ts';
import type { Range } from '../vmfs/spec.ts';
import { gptParts, mbrSector } from '../wrap.ts';

const MIB = 0x100000;
const SECTOR = 512;
// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, Microsoft basic data, as on disk (volumes.md 2)
const BASIC_DATA = Uint8Array.from([
  0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7,
]);

/** One virtual disk as it is asked for. */
export interface DiskSpec {
  gib?: number;
  bytes?: number;
  /** Share of the disk that the guest has written, 0 to 1; all of it by default. */
  fill?: number;
  /** What was never written is a hole; on a thick disk it is to be zeroed on first use. */
  thin?: boolean;
  partitioned?: boolean | 'mbr' | 'gpt';
}

/** A disk's bytes and which stretches of its -flat.vmdk hold data. */
export interface GuestDisk {
  size: number;
  thin: boolean;
  content: Content;
  ranges: Range[];
}

/** At most 64 written stretches spread over the disk; the first and the last block always belong to one. */
function writtenRanges(size: number, fill: number, unit: number, thin: boolean, seed: number): Range[] {
  const total = Math.ceil(size / unit);
  const want = Math.max(2, Math.min(total, Math.round(total * fill)));
  if (want >= total) return [{ offset: 0, length: size, kind: 'data' }];
  const roll = dice(seed);
  const runs = Math.min(64, want);
  const ranges: Range[] = [];
  const push = (from: number, end: number, kind: Range['kind']) => {
    if (end > from) ranges.push({ offset: from * unit, length: Math.min(size, end * unit) - from * unit, kind });
  };
  const empty = thin ? 'hole' : 'tbz';
  let done = 0;
  for (let i = 0; i < runs; i++) {
    const length = Math.floor((want * (i + 1)) / runs) - Math.floor((want * i) / runs);
    const slot = Math.floor((total * i) / runs);
    const room = Math.floor((total * (i + 1)) / runs) - slot - length;
    const shift = i === 0 ? 0 : i === runs - 1 ? room : roll(room + 1);
    push(done, slot + shift, empty);
    push(slot + shift, slot + shift + length, 'data');
    done = slot + shift + length;
  }
  return ranges;
}

/** A guest disk: a partition table at sector 0 (and for GPT at the end), one partition, seeded data. */
export function guestDisk(spec: DiskSpec, seed: number, unit: number = MIB): GuestDisk {
  const size = spec.bytes ?? (spec.gib ?? 1) * 1024 * MIB;
  if (size % SECTOR !== 0 || size < 4 * MIB) throw new Error('a guest disk has at least 4 MiB of whole sectors');
  const thin = spec.thin ?? false;
  const base = seeded(seed, size);
  const first = 2048;
  const sectors = Math.floor((size / SECTOR - 34 - first) / 2048) * 2048;
  const ranges = writtenRanges(size, spec.fill ?? 1, unit, thin, seed);
  if (!spec.partitioned) return { size, thin, content: base, ranges };
  if (spec.partitioned !== 'gpt') {
    const mbr = mbrSector(0x07, first, sectors, seed >>> 0, true);
    return { size, thin, content: patched(base, [{ at: 0, bytes: mbr }]), ranges };
  }
  const parts = gptParts(size, [{ type: BASIC_DATA, first, sectors, name: 'Basic data partition' }], seed);
  const content = patched(
    base,
    parts.map((p) => ({ at: p.at, bytes: p.bytes() })),
  );
  return { size, thin, content, ranges };
}
