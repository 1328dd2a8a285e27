/** Where files of a guest end: behind the end of a file the rest of its last block is zeros, and mostly not before. */
import type { Node } from '../../../core/node.ts';
import { endOf } from '../../filesystem/allocated/ends.ts';
import { PEEK } from './marks.ts';
import type { Profile } from './profile.ts';
import type { Volume } from './volumes.ts';

/** Files of one file system that are looked at. */
const MAX_FILES = 8192;
const MAX_FOLDERS = 2048;
/** Ends that are kept of one slot. */
const MAX_ENDS = 64;
/** Bytes before the end of a file of which one is hardly ever not zero. */
const NEAR = 32;

/** Ends of files in each slot: pairs of the unit in it and the bytes of that unit that belong to the file. */
export type Tails = ReadonlyMap<number, readonly number[]>;

/** The ends of the files of `volumes`, in slots of `coverage` bytes, as far as `step` lets them be seen. */
export async function tailsOf(
  volumes: readonly Volume[],
  coverage: number,
  step: number,
  signal: AbortSignal,
): Promise<Tails> {
  const out = new Map<number, number[]>();
  for (const volume of volumes) {
    if (volume.unit % PEEK !== 0) continue;
    for await (const end of volume.ends() ?? endsBelow(volume, signal)) {
      signal.throwIfAborted();
      if (end % volume.unit === 0) continue;
      const at = volume.start + end;
      const slot = Math.floor((at - 1) / coverage);
      const within = at - slot * coverage;
      const unit = Math.floor((within - 1) / step);
      const used = within - unit * step;
      if (used >= PEEK) continue;
      const list = out.get(slot) ?? [];
      if (list.length < 2 * MAX_ENDS) list.push(unit, used);
      out.set(slot, list);
    }
  }
  return out;
}

async function* endsBelow({ node, source, unit }: Volume, signal: AbortSignal): AsyncGenerator<number> {
  for await (const file of filesOf(node, signal)) {
    const bytes = await file.bytes?.();
    const end = bytes && (await endOf(bytes, source, unit));
    if (end !== undefined) yield end;
  }
}

/** Files of a tree, those in upper directories first. */
async function* filesOf(root: Node, signal: AbortSignal): AsyncGenerator<Node> {
  // Of many files the record is there before the directory is that names it.
  const unnamed = await root.child?.('+orphan');
  const folders: Node[] = unnamed === undefined ? [root] : [root, unnamed];
  let files = 0;
  for (let i = 0; i < folders.length && i < MAX_FOLDERS; i++) {
    for await (const node of folders[i].children?.() ?? []) {
      signal.throwIfAborted();
      if (node.state !== 'live' && node.state !== 'orphan') continue;
      if (node.children !== undefined) folders.push(node);
      else if (node.bytes !== undefined) {
        if (++files > MAX_FILES) return;
        yield node;
      }
    }
  }
}

/** How many of the ends in a slot a piece shows, less those that it does not. */
export function endsIn({ filled, units }: Profile, piece: number, ends: readonly number[] | undefined): number {
  let sum = 0;
  for (let i = 0; ends !== undefined && i < ends.length; i += 2) {
    const end = filled[piece * units + ends[i]];
    sum += end <= ends[i + 1] && end > ends[i + 1] - NEAR ? 1 : -1;
  }
  return sum;
}
