/**
 * Disks without a partition table: where VMFS volumes start, by what knows its own position.
 * Source: vmfs.md sections 8.1 and 8.2.
 */
import { hex } from '../../core/damage.ts';
import type { Found } from '../../core/finder.ts';
import type { Cx, Format } from '../../core/format.ts';
import { data, missing, segments, slice } from '../../core/map-source.ts';
import { Mask } from '../../core/mask.ts';
import { type Node, NotThis } from '../../core/node.ts';
import { INFERRED, type Why } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { readU64, viewOf } from '../../core/struct.ts';
import { maskGuest } from '../filesystem/allocated/mask.ts';
import { hasStart } from '../filesystem/allocated/signs.ts';
import { VMFS_KINDS } from '../filesystem/vmfs/find.ts';
import { openOlder, readHeader } from '../filesystem/vmfs/index.ts';
import { FS_HEADER_AT, FS_MAGIC, HEARTBEAT_FREE, HEARTBEAT_IN_USE } from '../filesystem/vmfs/structs.ts';
import { olderHeaders, rebuiltHeader } from '../filesystem/vmfs/traces.ts';
import { livePlaces, maskOf, type Place } from './newer.ts';
import { vmfsLvm } from './vmfs-lvm/index.ts';
import { readExtents, readMember } from './vmfs-lvm/member.ts';
import { DATA_AT, HEADER_AT, MAGIC } from './vmfs-lvm/structs.ts';

const SECTOR = 512;
const BLOCK = 4 * 1024 * 1024;
/** How far a quick look goes. Datastores behind that are found by a scan, or by --as. */
const QUICK_LOOK = 96 * 1024 * 1024;
const MAX_STARTS = 64;
/** Structures that have to agree on a start before it counts, unless it is a whole LVM header. */
const ENOUGH_VOTES = 3;
const LVM_VOTE = 3;
const LOCK_FAMILY = 0x10c0000;

export const lost: Format = {
  id: 'lost',
  layer: 'volume',
  title: 'disk without a partition table',
  spec: 'vmfs.md section 8.2',
  gaps: [
    `Volumes that start more than ${QUICK_LOOK / 2 ** 20} MiB into a disk without a table are found by a scan, or with --as.`,
  ],
  lastResort: true,
  async probe(source, cx) {
    const found = await starts(source, cx);
    if (found.length === 0) return 0;
    return found.some((start) => start !== 0) ? 10 : 5;
  },
  async open(source, cx) {
    const places = await livePlaces(source, cx);
    const found = await starts(source, cx);
    const live = new Set(places.map((place) => place.start));
    const children: Node[] = [];
    // What newer things wrote is not the older ones' any more, whatever leads to it. Working it out reads all their
    // metadata, so that is done only where something older is there.
    let rest: Promise<Source> | undefined;
    const remaining = (): Promise<Source> => (rest ??= restOf(source, places, cx));
    for (const start of found) {
      // What starts with the disk, or in the table with its header whole, is no lost partition; but one whose header was
      // written over, under a table or another file system, is shown by nothing else.
      if (start === 0 && (await isOpen(source, places))) continue;
      if (live.has(start) && (await hasHeadOf(source, start))) continue;
      children.push(await place(await remaining(), start, found, start === 0 || live.has(start), cx));
    }
    for (const start of new Set([...found, ...live])) children.push(...(await older(source, remaining, start, cx)));
    if (children.length === 0) throw new NotThis('nothing in it knows where a volume starts');
    return {
      name: lost.id,
      rawName: lost.id,
      locator: cx.self,
      kind: 'volume',
      state: 'live',
      format: lost.title,
      facts: { size: source.size },
      damage: live.has(0)
        ? [cx.damage(0, 'lost.table', 'a partition table', 'none', 'partitions are named by where they start')]
        : [],
      async child(rawName) {
        return children.find((node) => node.rawName === rawName);
      },
      async *children() {
        yield* children;
      },
    };
  },
};

/** A disk without what the file systems that live on it have written. */
async function restOf(disk: Source, places: readonly Place[], cx: Cx): Promise<Source> {
  const mask = await maskOf(disk, places, cx);
  return mask.empty ? disk : mask.over(disk);
}

/** Whether the LVM header of a partition that starts there is whole. */
async function hasHeadOf(source: Source, start: number): Promise<boolean> {
  const member = await readMember(slice(source, start, source.size - start, INFERRED), '');
  return member !== undefined && !member.headerLost;
}

/** Whether a volume that starts with the disk is reached without further ado: its header says so, or nothing hides it. */
async function isOpen(source: Source, places: readonly Place[]): Promise<boolean> {
  if (await hasHeadOf(source, 0)) return true;
  if (places[0]?.start !== 0 || (await hasStart(source))) return false;
  return !(await maskGuest(source, new Mask('')));
}

/** Volumes that lay at a start before what is there now, as file systems of their own. */
async function older(disk: Source, rest: () => Promise<Source>, start: number, cx: Cx): Promise<Node[]> {
  const at = start + DATA_AT;
  if (at >= disk.size) return [];
  const why = whyOf(disk, start);
  const out: Node[] = [];
  const now = slice(disk, at, disk.size - at, INFERRED, why);
  const live = (await readHeader(now)) ?? (await rebuiltHeader(now));
  if ((await olderHeaders(now, live)).length === 0) return out;
  const volume = slice(await rest(), at, disk.size - at, INFERRED, why);
  for (const header of await olderHeaders(volume, live)) {
    const name = `at${start}-vmfs${header.major >= 24 ? 6 : header.major >= 14 ? 5 : 3}`;
    if (out.some((node) => node.rawName === name)) continue;
    const root = await openOlder(volume, header, { ...cx, self: `${cx.self}/${name}` });
    out.push({ ...root, name, rawName: name, state: 'orphan' });
  }
  return out;
}

/** Starts of volumes that structures vote for and that open, in order. */
async function starts(source: Source, cx: Cx): Promise<number[]> {
  const votes = cx.found?.whole(source) === true ? votesFound(cx.found, source) : await votesNear(source);
  const out: number[] = [];
  const ranked = [...votes]
    .filter(([at, count]) => at > -DATA_AT && at < source.size - DATA_AT && count >= ENOUGH_VOTES)
    .sort((a, b) => b[1] - a[1]);
  for (const [start] of ranked.slice(0, MAX_STARTS)) {
    const rest = partitionAt(source, start, source.size - start);
    if ((await vmfsLvm.probe(rest, { ...NO_CX, ...(cx.found !== undefined && { found: cx.found }) })) > 0)
      out.push(start);
  }
  return (await unexplained(source, out)).sort((a, b) => a - b);
}

/**
 * Without what a volume with a whole LVM header explains: the extents of one that was extended need not lie in the order
 * of the volume, and structures in each of them then agree on a start at which nothing begins.
 */
async function unexplained(source: Source, all: readonly number[]): Promise<number[]> {
  if (all.length < 2) return [...all];
  const sound = new Set<number>();
  const echoes = new Set<number>();
  for (const start of all) {
    const member = await readMember(partitionAt(source, start, source.size - start), '');
    if (member === undefined || member.headerLost) continue;
    sound.add(start);
    for (const { physical, logical } of await readExtents(member)) echoes.add(start + physical - logical - DATA_AT);
  }
  return all.filter((start) => sound.has(start) || !echoes.has(start));
}

/** What a scan of the whole disk says. */
function votesFound(found: Found, evidence: Source): Map<number, number> {
  const votes = new Map<number, number>();
  const count = (kind: string, before: number, weight: number): void => {
    for (const hit of found.hits(evidence, kind)) {
      const start = (hit.base ?? 0) - before;
      votes.set(start, (votes.get(start) ?? 0) + weight * (hit.count ?? 1));
    }
  };
  count('vmfs-lvm.header', 0, LVM_VOTE);
  for (const kind of VMFS_KINDS) count(kind, DATA_AT, 1);
  return votes;
}

/** Looks at the starts of disks, once each. */
const looks = new WeakMap<Source, Promise<ReadonlyMap<number, number>>>();

/** What a look at the start of the disk says. */
function votesNear(source: Source): Promise<ReadonlyMap<number, number>> {
  const known = looks.get(source) ?? lookNear(source);
  looks.set(source, known);
  return known;
}

async function lookNear(source: Source): Promise<Map<number, number>> {
  const votes = new Map<number, number>();
  const vote = (at: number, weight: number): void => void votes.set(at, (votes.get(at) ?? 0) + weight);
  const block = new Uint8Array(BLOCK);
  const end = Math.min(source.size, QUICK_LOOK);
  for (let base = 0; base < end; base += BLOCK) {
    const part = block.subarray(0, Math.min(BLOCK, end - base) & ~(SECTOR - 1));
    const gaps = await source.read(base, part);
    const view = viewOf(part);
    for (let at = 0; at < part.length; at += SECTOR) voteOf(view, at, base + at, vote);
    // A disk that does not answer is not asked for more: every further sector may take seconds.
    if (gaps.reduce((sum, gap) => sum + gap.length, 0) > part.length / 2) break;
  }
  return votes;
}

/** What one sector says of where its partition starts. */
function voteOf(view: DataView, at: number, position: number, vote: (start: number, weight: number) => void): void {
  const magic = view.getUint32(at, true);
  if (magic === MAGIC) vote(position - HEADER_AT, LVM_VOTE);
  else if (magic === FS_MAGIC) vote(position - FS_HEADER_AT - DATA_AT, 1);
  else if (magic === HEARTBEAT_FREE || magic === HEARTBEAT_IN_USE || magic >>> 4 === LOCK_FAMILY) {
    vote(position - readU64(view, at + 4) - DATA_AT, 1);
  }
}

async function place(source: Source, start: number, all: readonly number[], isHidden: boolean, cx: Cx): Promise<Node> {
  const member = await readMember(partitionAt(source, start, source.size - start), '');
  const next = all.find((other) => other > start) ?? source.size;
  const stated = member === undefined || member.headerLost ? next - start : member.header.totalBytes;
  const length = Math.min(stated, source.size - start);
  const name = `at${start}`;
  const sectors = Math.floor(stated / SECTOR);
  const first = start / SECTOR;
  const guid = 'AA31E02A-400F-11DB-9590-000C2911D1B8';
  const sure = member !== undefined && !member.headerLost;
  return {
    name,
    rawName: name,
    locator: `${cx.self}/${name}`,
    kind: 'partition',
    state: 'orphan',
    facts: { size: length, details: { type: 'VMFS', start } },
    damage: [],
    notices: [
      start === 0
        ? 'It began with the disk itself, without a partition table, and its LVM header is lost.'
        : start < 0
          ? `The first ${-start} bytes of its partition are not here: the copy was begun too late, or cut.`
          : sure
            ? `Its partition entry must have been: first sector ${first}, ${sectors} sectors.`
            : `Its partition entry started at sector ${first}; its length is lost with the LVM header.`,
      ...(sure && start > 0 ? [`For sfdisk on a copy of the disk: start=${first}, size=${sectors}, type=${guid}`] : []),
      ...(sure && start > 0
        ? [`For partedUtil setptbl: "1 ${first} ${first + sectors - 1} ${guid.replaceAll('-', '')} 0"`]
        : []),
    ],
    bytes: async () => partitionAt(source, start, length, isHidden),
  };
}

/** A partition from its start on, which may lie before the bytes that are here. */
function partitionAt(source: Source, start: number, length: number, isHidden = false): Source {
  const why = whyOf(source, start);
  if (isHidden) {
    // VMFS leaves its first MiB to others: what starts there is what hides it.
    const first = Math.min(HEADER_AT, length);
    const other = missing(first, { ...why, code: 'lost.start' });
    return segments([other, data(source, start + first, length - first, INFERRED, why)]);
  }
  if (start >= 0) return slice(source, start, length, INFERRED, why);
  const before = missing(-start, { ...why, code: 'lost.before' });
  return segments([before, data(source, 0, length + start, INFERRED, why)]);
}

function whyOf(source: Source, start: number): Why {
  return { what: `structures that agree on a start at ${hex(start)}`, source, at: start, code: 'lost.table' };
}

/** For probing only: nothing is asked of it. */
const NO_CX: Cx = {
  source: '',
  self: '',
  signal: new AbortController().signal,
  damage: (_, code, expected, actual, effect) => ({ code, at: '', expected, actual, effect }),
  siblings: async () => [],
};
