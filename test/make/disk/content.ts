/** What made disks hold: blocks in the order in which they were written, and the raw bytes that come out. */
import { seeded } from '../content.ts';

export interface Disk {
  readonly size: number;
  readonly block: number;
  /** Numbers of the stored blocks, in the order in which they lie in the file. */
  readonly order: readonly number[];
  /** Blocks that are zeros by definition. */
  readonly zero: readonly number[];
  /** Bytes of the disk; blocks that are not stored are zeros. */
  readonly raw: Uint8Array;
}

/** A disk of `blocks` blocks of which about `fill` percent are stored, in an order of their own. Block 0 looks like an MBR. */
export function disk(
  seed: number,
  block: number,
  blocks: number,
  fill: number,
  shuffled = true,
  size = block * blocks,
): Disk {
  const random = dice(seed);
  const order = [0];
  const zero: number[] = [];
  for (let i = 1; i < blocks; i++) {
    if (random(100) < fill) order.push(i);
    else if (random(4) === 0) zero.push(i);
  }
  for (let i = order.length - 1; shuffled && i > 0; i--) {
    const other = random(i + 1);
    [order[i], order[other]] = [order[other], order[i]];
  }
  const raw = new Uint8Array(size);
  for (const i of order) {
    const there = raw.subarray(i * block, Math.min(size, (i + 1) * block));
    // A part of each block is zeros, as on real disks.
    const filled = Math.ceil(there.length * 0.75);
    there.set(seeded(seed * 1000 + i, filled).read(0, filled));
  }
  raw.set([0x55, 0xaa], 510);
  return { size, block, order, zero, raw };
}

function dice(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Where a structure of a made file stands. */
export interface Part {
  readonly name: string;
  readonly at: number;
  readonly length: number;
}

export interface MadeDisk {
  readonly bytes: Uint8Array;
  readonly parts: readonly Part[];
}
