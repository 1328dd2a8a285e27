/** Where files end, by their records alone: those are often there where the directories that name them are not. */
import type { Cx } from '../../../core/format.ts';
import { MapSource } from '../../../core/map-source.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { primary as extPrimary } from '../ext/geometry.ts';
import { Volume as ExtVolume } from '../ext/volume.ts';
import { TYPE_REGULAR } from '../posix.ts';

/** Inodes that are looked at. */
const MAX_INODES = 65_536;

/** Ends of the files of an ext file system, in bytes from its start; nothing where this is none. */
export async function* extEnds(source: Source, cx: Cx): AsyncGenerator<number> {
  const g = await extPrimary(source);
  if (g === undefined) return;
  const volume = new ExtVolume(source, g, cx);
  let looked = 0;
  for (let n = 0; n < g.groups && looked < MAX_INODES; n++) {
    const group = await volume.groups.get(n);
    if (group === undefined) continue;
    const used = Math.max(0, g.super.inodesPerGroup - group.unused);
    for (let i = 0; i < used && looked < MAX_INODES; i++, looked++) {
      const inode = await volume.inodes.get(n * g.super.inodesPerGroup + i + 1);
      if (inode === undefined || inode.type !== TYPE_REGULAR || inode.size === 0 || inode.doubts.length > 0) continue;
      const end = await endOf(new MapSource(volume.sizeOf(inode), volume.map(inode)), source, g.blockSize);
      if (end !== undefined) yield end;
    }
  }
}

/** Where in `volume` the last byte of a file stands, and one; undefined where it stands in no block of its own. */
export async function endOf(file: Source, volume: Source, unit: number): Promise<number | undefined> {
  if (file.size === 0) return undefined;
  const list = new RunList(8);
  const last = Math.floor((file.size - 1) / unit) * unit;
  await file.runs(last, file.size, list);
  const isOne = list.n === 1 && list.state(0) === DATA && list.sourceOf(0) === volume;
  // Small files lie in their record, which is no block.
  return isOne && list.at[0] % unit === 0 ? list.at[0] + list.length[0] : undefined;
}
