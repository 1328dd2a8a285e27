/** Subvolumes that no directory leads to. */
import { encodeName } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { folder } from '../folder.ts';
import { subvolumeNode } from './files.ts';
import { entriesIn } from './inodes.ts';
import { DIR_INDEX, FIRST_SUBVOLUME, ROOT } from './structs.ts';
import type { Volume } from './volume.ts';

export const ORPHANS = '+orphan';
const MAX_SUBVOLUMES = 100_000;

/** The virtual directory of subvolumes that hang nowhere; undefined where all do. */
export async function orphansNode(volume: Volume, locator: string): Promise<Node | undefined> {
  const top = folder(`${locator}/${ORPHANS}`, ORPHANS);
  let count = 0;
  for await (const id of volume.subvolumes(FIRST_SUBVOLUME, MAX_SUBVOLUMES)) {
    if (await hangs(volume, id)) continue;
    const sub = await volume.subvolume(id);
    if (sub === undefined) continue;
    const rawName = `subvolume-${id}`;
    const place = {
      locator: `${top.node.locator}/${encodeName(rawName)}`,
      rawName,
      above: [],
      state: 'orphan' as const,
    };
    // Being deleted: parts of it may be gone already.
    const doubt = sub.references === 0 ? { doubt: 'btrfs.subvolume-deleted' } : {};
    const node = await subvolumeNode(volume, sub, { ...place, ...doubt });
    top.add(rawName, () => node);
    count++;
  }
  return count === 0 ? undefined : { ...top.node, state: 'orphan' };
}

/** Whether the directory that it names has an entry for it. */
async function hangs(volume: Volume, id: number): Promise<boolean> {
  const mount = await volume.mountOf(id);
  const parent = mount && (await volume.tree(mount.parent));
  const item = await parent?.first(mount!.directory, DIR_INDEX, mount!.index, mount!.index);
  return item !== undefined && entriesIn(item).some(({ objectid, type }) => objectid === id && type === ROOT);
}
