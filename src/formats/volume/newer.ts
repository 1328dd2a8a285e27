/** What lives on a disk now, and what it has written over anything older. */
import type { Cx } from '../../core/format.ts';
import { Mask } from '../../core/mask.ts';
import { type Node, NotThis } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import { maskGuest } from '../filesystem/allocated/mask.ts';
import { maskLive } from '../filesystem/vmfs/index.ts';
import { gpt } from './gpt.ts';
import { mbr } from './mbr.ts';
import { isOlder } from './vmfs-lvm/guest.ts';
import { vmfsLvm } from './vmfs-lvm/index.ts';
import { readMember } from './vmfs-lvm/member.ts';

const MIB = 1024 * 1024;
/** Both ends of a disk hold its partition table. */
const TABLE = 34 * 512;

/** A place that something lives in. */
export interface Place {
  /** Bytes from the start of the disk. */
  readonly start: number;
  readonly source: Source;
}

/** The places of a disk's table; the disk itself where it has none. */
export async function livePlaces(disk: Source, cx: Cx): Promise<Place[]> {
  for (const table of [gpt, mbr]) {
    if ((await table.probe(disk, cx)) === 0) continue;
    const out: Place[] = [];
    const node: Node | undefined = await table.open(disk, cx).catch(notThis);
    if (node === undefined) continue;
    for await (const child of node.children?.() ?? []) {
      const start = child.facts.details?.start;
      const source = await child.bytes?.();
      if (typeof start === 'number' && source !== undefined) out.push({ start, source });
    }
    return out;
  }
  return [{ start: 0, source: disk }];
}

/** The mask of all that lives in `places`, for what lay on the disk before it. */
export async function maskOf(disk: Source, places: readonly Place[], cx: Cx): Promise<Mask> {
  const mask = new Mask('a newer file system on the same disk');
  if (places[0]?.start !== 0) {
    await mask.add(disk, 0, TABLE, true);
    await mask.add(disk, Math.max(0, disk.size - TABLE), disk.size, true);
  }
  for (const { source } of places) {
    const member = await readMember(source, cx.source);
    if (member === undefined || !(await isOlder(member))) await maskGuest(source, mask);
    if (member !== undefined) await maskVmfs(source, cx, mask);
  }
  mask.seal();
  return mask;
}

function notThis(error: unknown): undefined {
  if (error instanceof NotThis) return undefined;
  throw error;
}

async function maskVmfs(source: Source, cx: Cx, mask: Mask): Promise<void> {
  const opened = await vmfsLvm.open(source, cx).catch(notThis);
  const volume = await opened?.bytes?.();
  if (volume === undefined || !(await maskLive(volume, cx, mask))) return;
  await mask.add(source, MIB, MIB + MIB, true);
}
