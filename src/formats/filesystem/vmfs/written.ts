/** What a VMFS volume has taken of its disk, for volumes that lay there before it. Source: vmfs.md section 8.6. */
import type { Mask } from '../../../core/mask.ts';
import { FILE_BLOCK, fdNumbers, fileBlockAt, LARGE_BLOCK, typeOf } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import { levelsOf } from './blocks.ts';
import { eachPointer } from './census.ts';
import type { Descriptor } from './descriptor.ts';
import type { ResourceFile } from './resource.ts';
import { FS_HEADER_AT, HEARTBEATS_AT, TYPE_RDM, TYPE_SYSTEM } from './structs.ts';
import { resourceAt } from './tables.ts';
import type { Volume } from './volume.ts';

/** Bytes at the start of every resource file that making it writes. */
const RESOURCE_HEAD = 0x2000;

/** Enters into `mask` what the live files and tables of `volume` wrote, and what they merely took. */
export async function maskWritten(volume: Volume, mask: Mask): Promise<void> {
  const { geometry: g, files } = volume;
  await mask.add(volume.volume, FS_HEADER_AT, FS_HEADER_AT + 512, true);
  await mask.add(volume.volume, HEARTBEATS_AT, HEARTBEATS_AT + g.heartbeats * g.lockBytes, false);
  for (let i = 0, at = HEARTBEATS_AT; i < g.heartbeats; i++, at += g.lockBytes)
    await mask.add(volume.volume, at, at + 512, true);
  for (const file of Object.values(files)) {
    await mask.add(file.source, 0, RESOURCE_HEAD, true);
    for (let cluster = 0; ; cluster++) {
      const at = file.clusterAt(cluster);
      if (at + g.clusterHeaderBytes > file.source.size) break;
      await mask.add(file.source, at, at + g.clusterHeaderBytes, true);
    }
  }
  const fdc = files.fdc;
  if (fdc === undefined) return;
  for await (const [cluster, bitmap] of bitmaps(volume, fdc)) {
    if (bitmap === undefined || bitmap.empty) continue;
    for (const fd of await volume.descriptorsOf(cluster, (r) => r < bitmap.total && bitmap.allocated(r))) {
      const numbers = fdNumbers(fd.address);
      const at = numbers === undefined ? undefined : fdc.offsetOf(numbers.cluster, numbers.resource);
      if (at !== undefined) await mask.add(fdc.source, at, at + g.fdBytes, true);
      if (fd.type !== TYPE_RDM) await maskFile(volume, fd, mask);
    }
  }
}

async function maskFile(volume: Volume, fd: Descriptor, mask: Mask): Promise<void> {
  const levels = levelsOf(fd.zla);
  if (levels === undefined) return;
  // A system file is taken whole when it is made, and written piece by piece when its pieces are used.
  const whole = volume.source(fd, false);
  await mask.add(whole, 0, whole.size, fd.type !== TYPE_SYSTEM);
  const blocks: number[] = [];
  const resources: { file: ResourceFile; offset: number; level: number }[] = [];
  await eachPointer(volume, fd.pointers, levels, (low, high, level) => {
    const type = typeOf(low);
    if (type === FILE_BLOCK || type === LARGE_BLOCK) {
      const at = fileBlockAt(volume.geometry, low, high);
      const end = at + (type === LARGE_BLOCK ? volume.geometry.largeBlock : volume.geometry.blockSize);
      if (blocks.at(-1) === at) blocks[blocks.length - 1] = end;
      else blocks.push(at, end);
      return;
    }
    const place = resourceAt(volume.geometry, volume.files, low, high);
    if (place !== undefined) resources.push({ ...place, level });
  });
  for (let i = 0; i < blocks.length; i += 2) await mask.add(volume.volume, blocks[i], blocks[i + 1], false);
  for (const { file, offset, level } of resources) {
    const size = level > 0 ? volume.geometry.pointerBlockBytes : volume.geometry.subBlockSize;
    await mask.add(file.source, offset, offset + size, level > 0);
  }
}
