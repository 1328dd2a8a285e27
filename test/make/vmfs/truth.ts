import { masked, sha256Of } from '../content.ts';
import type { TruthExtent, TruthFile } from '../types.ts';
import { LARGE, SB } from './address.ts';
import { blockPosition } from './descriptor.ts';
import type { ResourceFile } from './resource.ts';
import { LFB, type Shape } from './shape.ts';
import type { Item } from './tree.ts';
import type { Volume } from './volume.ts';

const HASH_LIMIT = 64 * 0x100000;

/** A stretch of a file and its volume offset. */
export interface Stretch {
  offset: number;
  length: number;
  kind: 'data' | 'tbz';
  at: number;
}

/** Where a file's slots lie in the volume, in file order, cut at its size; neighbours are joined. */
export function stretches(shape: Shape, item: Item, sbc: ResourceFile): Stretch[] {
  const { runs, unit } = item.layout;
  const out: Stretch[] = [];
  const push = (offset: number, length: number, kind: 'data' | 'tbz', at: number) => {
    const cut = Math.min(length, item.size - offset);
    if (cut <= 0) return;
    const last = out.at(-1);
    if (
      last !== undefined &&
      last.kind === kind &&
      last.offset + last.length === offset &&
      last.at + last.length === at
    ) {
      last.length += cut;
    } else out.push({ offset, length: cut, kind, at });
  };
  for (const run of runs) {
    const kind = run.tbz ? 'tbz' : 'data';
    if (run.type === SB) {
      for (let i = 0; i < run.count; i++) {
        let offset = (run.slot + i) * unit;
        for (const span of sbc.spans(run.index + i)) {
          push(offset, span.length, kind, span.at);
          offset += span.length;
        }
      }
    } else if (run.type === LARGE && unit < LFB) {
      for (let i = 0; i < run.count; i++)
        push((run.slot + i) * unit, unit, kind, blockPosition(shape, item, run, run.slot + i));
    } else push(run.slot * unit, run.count * unit, kind, blockPosition(shape, item, run, run.slot));
  }
  return out;
}

function extentsOf(volume: Volume, item: Item, list: readonly Stretch[]): TruthExtent[] {
  const out: TruthExtent[] = [];
  let done = 0;
  const hole = (end: number) => {
    if (end > done) out.push({ offset: done, length: end - done, kind: 'hole' });
  };
  for (const s of list) {
    hole(s.offset);
    let offset = s.offset;
    for (const place of volume.locate(s.at, s.length)) {
      out.push({ offset, length: place.length, kind: s.kind, member: place.member, at: place.at });
      offset += place.length;
    }
    done = s.offset + s.length;
  }
  hole(item.size);
  return out;
}

/** The truth about one item; `inlineAt` is the volume offset of its data area if it is inline. */
export function truthOf(volume: Volume, item: Item, list: readonly Stretch[], inlineAt: number): TruthFile {
  const inline = item.layout.allocation === 'inline' && item.size > 0;
  const stretch: Stretch[] = inline ? [{ offset: 0, length: item.size, kind: 'data', at: inlineAt }] : [...list];
  const extents = item.kind === 'rdm' ? [] : extentsOf(volume, item, stretch);
  const truth: TruthFile = {
    path: item.path,
    kind: item.kind,
    size: item.size,
    mode: item.path === '/.sdd.sf' ? 0o700 : item.mode,
    uid: item.uid,
    gid: item.gid,
    mtime: item.mtime,
    ctime: item.ctime,
    atime: item.atime,
    fdAddress: item.address,
    generation: item.generation,
    allocation: item.layout.allocation,
    extents,
  };
  if (item.rawName !== undefined) truth.rawName = item.rawName;
  if (item.target !== undefined) truth.target = item.target;
  if ((item.kind === 'file' || item.kind === 'symlink') && item.content !== undefined) {
    truth.content = masked(item.content, extents, item.size);
    if (item.size <= HASH_LIMIT) truth.sha256 = sha256Of(truth.content);
  }
  return truth;
}
