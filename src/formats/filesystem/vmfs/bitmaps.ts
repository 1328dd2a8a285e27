/** Bitmaps of resource clusters: which resources are allocated. Source: vmfs.md section 6.2. */
import { viewOf } from '../../../core/struct.ts';
import type { ResourceFile } from './resource.ts';
import { clusterMetadata, clusterMetadata6 } from './structs.ts';
import type { Volume } from './volume.ts';

/** Bitmap of one cluster. */
export interface Bitmap {
  readonly cluster: number;
  readonly total: number;
  /** Nothing in it is allocated. */
  readonly empty: boolean;
  allocated(resource: number): boolean;
}

/** The clusters of a resource file with their bitmaps; without one where the cluster's header does not check. */
export async function* bitmaps(volume: Volume, file: ResourceFile): AsyncGenerator<[number, Bitmap | undefined]> {
  const { geometry } = volume;
  const { clustersPerGroup, perCluster } = file.header;
  if (perCluster === 0) return;
  const headerBytes = geometry.clusterHeaderBytes;
  const decode = geometry.version === 6 ? decode6 : decode35;
  for (let first = 0; ; first += clustersPerGroup) {
    const at = file.clusterAt(first);
    if (at >= file.source.size) return;
    // A group's headers lie side by side: one read for all of them.
    const block = new Uint8Array(Math.min(clustersPerGroup * headerBytes, file.source.size - at));
    const gaps = await file.source.read(at, block);
    for (let i = 0; (i + 1) * headerBytes <= block.length; i++) {
      const start = i * headerBytes;
      const lost = gaps.some((gap) => gap.offset < at + start + headerBytes && gap.offset + gap.length > at + start);
      const bitmap = lost ? undefined : decode(block, start, geometry.lockBytes);
      const sound = bitmap !== undefined && bitmap.cluster === first + i && bitmap.total <= perCluster;
      yield [first + i, sound ? bitmap : undefined];
    }
  }
}

/** All locks are 0x10c0000N; N says what they lock. */
const LOCK_FAMILY = 0x10c0000;

/** A cluster of VMFS3 or VMFS5 whose lock starts at `at`; undefined where it does not check. */
export function decode35(block: Uint8Array, at: number, lockBytes: number): Bitmap | undefined {
  if (!isLock(block, at)) return undefined;
  const meta = clusterMetadata.decode(block, at + lockBytes);
  return believed(meta, (r) => (meta.bitmap[r >>> 3] >>> (r & 7)) & 1, 8);
}

/** A cluster of VMFS6 with one bit per resource. */
function decode6(block: Uint8Array, at: number, lockBytes: number): Bitmap | undefined {
  if (!isLock(block, at)) return undefined;
  const meta = clusterMetadata6.decode(block, at + lockBytes);
  if (clusterMetadata6.violations(meta).length > 0) return undefined;
  return believed(meta, (r) => (meta.bitmap[r >>> 3] >>> (r & 7)) & 1, 8);
}

/** A cluster of small file blocks of VMFS6: two bits each, 0 = allocated. */
export function decodeSmallBlocks(block: Uint8Array, at: number, lockBytes: number): Bitmap | undefined {
  if (!isLock(block, at)) return undefined;
  const meta = clusterMetadata6.decode(block, at + lockBytes);
  if (clusterMetadata6.violations(meta).length > 0) return undefined;
  return believed(meta, (r) => (meta.bitmap[r >>> 2] >>> ((r & 3) * 2)) & 3, 4);
}

function isLock(block: Uint8Array, at: number): boolean {
  return viewOf(block).getUint32(at, true) >>> 4 === LOCK_FAMILY;
}

type Meta = { cluster: number; total: number; free: number; bitmap: Uint8Array };

/** A bitmap is believed only where its bits add up with the count beside it. */
function believed(meta: Meta, free: (resource: number) => number, perByte: number): Bitmap | undefined {
  const { cluster, total } = meta;
  if (total > meta.bitmap.length * perByte) return undefined;
  let counted = 0;
  for (let r = 0; r < total; r++) if (free(r) !== 0) counted++;
  if (counted !== meta.free) return undefined;
  return { cluster, total, empty: counted === total, allocated: (r) => r < total && free(r) === 0 };
}
