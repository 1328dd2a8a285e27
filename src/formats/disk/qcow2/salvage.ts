/** A layout without its header: tables found by their shape, and which of them leads to which. Source: qcow2.md 11. */
import type { Cx } from '../../../core/format.ts';
import { type Certainty, GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { copySize, PEEK, sizeFrom } from '../placing/marks.ts';
import { blankDirectory, type Directory, LOST_TABLE } from './directory.ts';
import { type Geometry, offsetOf, readWords } from './geometry.ts';
import { type Placed, Placer, piecesOf } from './place.ts';
import type { Snapshot } from './snapshots.ts';
import { MAX_L1_ENTRIES } from './structs.ts';
import { followTables, MAX_SURVEY, type Survey, surveyOf, type Table } from './survey.ts';

/** Bytes of a file in which its L1 table is looked for first. */
const NEAR: number = 1024 ** 3;
/** Stretches whose first bytes are asked how large the disk is. */
const MAX_HEADS = 65_536;
/** Clusters that are looked into for a copy of a superblock, and bytes before the first partition on most disks. */
const MAX_LOOKS = 65_536;
const PARTITION_AT: number = 1024 * 1024;
/** Clusters that no L2 table leads to in sound images: header, tables of counts and states; and the share that was lost before. */
const MOST_OTHERS = 16;
const MOST_LEAKED = 0.01;

/** Empty clusters that an L1 table may have between two that are not. */
const MAX_EMPTY = 64;

export interface Rebuilt {
  readonly directory: Directory;
  readonly size: number;
  /** What the size was taken from. */
  readonly sizeFrom: string;
  readonly states: readonly { readonly snapshot: Snapshot | undefined; readonly directory: Directory }[];
  /** Undefined where a live L1 table was found. */
  readonly placed: Placed | undefined;
  readonly whole: boolean;
}

/** Finds all tables of an image of which only the geometry is known; undefined where there are none. */
export async function rebuilt(file: Source, geometry: Geometry, cx: Cx): Promise<Rebuilt | undefined> {
  const { signal } = cx;
  let { found, orphans, survey } = await searched(file, geometry, NEAR, signal);
  // A live L1 table at the start of a large file makes it needless to read the rest.
  const isEnough = found.length > 0 && !orphans.some(isLive);
  if (!survey.whole && !isEnough) ({ found, orphans, survey } = await searched(file, geometry, MAX_SURVEY, signal));
  if (found.length === 0 && orphans.length === 0) return undefined;
  const listed = survey.snapshots
    .filter(({ list }) => list.every((one) => found.some((directory) => directory.at === one.l1At)))
    .sort((a, b) => b.list.length - a.list.length || b.at - a.at)[0]?.list;
  const copied = (directory: Directory): number =>
    directory.tables.reduce((sum, at) => sum + (at > 0 ? (survey.tables.get(at)?.copied ?? 0) : 0), 0);
  const ranked = [...found].sort((a, b) => copied(b) - copied(a) || a.at - b.at);
  const isSnapshot = (directory: Directory): boolean => listed?.some((one) => one.l1At === directory.at) ?? false;
  // Tables that are used once and in no L1 table are those of a live L1 table that is lost.
  const isLost = found.length === 0 || orphans.some(isLive);
  let live = isLost ? undefined : (ranked.find((one) => !isSnapshot(one)) ?? ranked[0]);
  const states = stateList(found, live, listed);
  let placed: Placed | undefined;
  if (live === undefined) {
    const guest = await guestSizeOf(file, geometry, orphans);
    const least = Math.max(orphans.length, Math.ceil(guest / geometry.coverage));
    const slots = Math.min(MAX_L1_ENTRIES, Math.max(least, ...found.map((one) => one.tables.length)));
    live = blankDirectory(-1, slots, LOST_TABLE, INFERRED, 'qcow2.l1');
    placed = await placeAll(file, geometry, live, found, orphans, survey, cx);
    // What a lost table led to would be taken for never written; and where nothing anchors it, order begins nowhere.
    if (lacksTables(survey, geometry, file.size)) {
      const isAnchored = placed.copies + placed.shared + placed.content > 0;
      for (let slot = 0; slot < live.tables.length; slot++) {
        if (isAnchored && live.tables[slot] !== 0) continue;
        live.tables[slot] = LOST_TABLE;
        live.codes.set(slot, 'qcow2.l1');
      }
      if (!isAnchored) placed = { copies: 0, shared: 0, content: 0, order: 0, left: orphans };
    }
  }
  const size = await sizeOf(file, geometry, live, listed, found);
  return { directory: live, ...size, states, placed, whole: survey.whole };
}

/** Clusters of the file that no table leads to, beyond what other structures take, say that tables are lost. */
function lacksTables(survey: Survey, { clusterSize }: Geometry, size: number): boolean {
  const tables = [...survey.tables.values(), ...survey.plain.values()];
  // Where compressed clusters lie is not counted by clusters.
  if (!survey.whole || tables.some(({ compressed }) => compressed > 0)) return false;
  const known = new Set<number>();
  for (const { at, targets } of tables) {
    known.add(at);
    for (const target of targets) known.add(target);
  }
  let held = 0;
  for (const at of known) if (at < size && !survey.zeros.has(at)) held++;
  const counts = Math.ceil(size / clusterSize / (clusterSize / 2));
  return survey.used - held > MOST_OTHERS + 4 * counts + survey.used * MOST_LEAKED;
}

/** Used once only, as tables of the live state are. */
const isLive = (table: Table): boolean => table.copied > 0 || table.compressed > 0;

async function searched(
  file: Source,
  geometry: Geometry,
  limit: number,
  signal: AbortSignal,
): Promise<{ survey: Survey; found: Directory[]; orphans: Table[] }> {
  const survey = await surveyOf(file, geometry, () => true, signal, file.size, limit);
  if (!survey.whole) await followTables(file, geometry, survey, signal);
  leaveOutData(survey);
  const found = directoriesOf(survey, geometry, 'qcow2.header');
  const used = new Set(found.flatMap((directory) => [...directory.tables]));
  const orphans = await withoutCounts(file, geometry, orphansOf(survey, found, used));
  return { survey, found, orphans };
}

/** Puts tables without a place into a directory whose lost slots are marked so, and says what became of the others. */
export async function placeAll(
  file: Source,
  geometry: Geometry,
  directory: Directory,
  copies: readonly Directory[],
  orphans: readonly Table[],
  survey: Survey,
  cx: Cx,
): Promise<Placed> {
  const wordsAt = async (at: number): Promise<Uint32Array | undefined> =>
    survey.tables.get(at)?.words ?? (await readWords(file, at, geometry.clusterSize));
  const placer = new Placer(file, geometry, directory, wordsAt);
  // What was copied last is the nearest to what was there.
  for (const copy of [...copies].sort((a, b) => b.at - a.at)) placer.copy(copy);
  // Tables of a live state say of their clusters that they are used once; where no snapshot is known, what says
  // otherwise of all of them only looks like a table.
  const live = copies.length === 0 && orphans.some(isLive) ? orphans.filter(isLive) : orphans;
  const placed = await placer.place(live, cx);
  const { tables } = directory;
  const hasNone = placed.copies + placed.shared + placed.content + placed.order === 0;
  if (placed.left.length > 0 || hasNone) return placed;
  // All tables have a place: what is left over was never written to, as far as the places are right.
  const grade: Certainty = placed.order > 0 || live.length < orphans.length ? GUESSED : INFERRED;
  for (let slot = 0; slot < tables.length; slot++) {
    if (tables[slot] !== LOST_TABLE || (directory.codes.get(slot) ?? 'qcow2.l1') !== 'qcow2.l1') continue;
    tables[slot] = 0;
    directory.grades[slot] = grade;
    directory.codes.set(slot, 'qcow2.l1');
  }
  return placed;
}

/** L1 tables by their shape: every offset is that of something that looks like an L2 table. */
export function directoriesOf(survey: Survey, geometry: Geometry, code: string): Directory[] {
  const isL2 = (at: number): boolean => (survey.tables.get(at)?.targets.length ?? 0) > 0;
  const pieces = [...survey.plain.values()]
    .filter(
      (table) =>
        table.targets.length > 0 && table.targets.every((at) => survey.tables.has(at)) && table.targets.some(isL2),
    )
    .sort((a, b) => a.at - b.at);
  const own = new Set(pieces.map((piece) => piece.at));
  const out: Directory[] = [];
  for (let i = 0; i < pieces.length; ) {
    const parts = [pieces[i]];
    const seen = new Set(pieces[i].targets);
    for (i++; i < pieces.length; i++) {
      const last = parts[parts.length - 1];
      if (
        !continues(last.at, pieces[i].at, geometry.clusterSize, survey) ||
        pieces[i].targets.some((at) => seen.has(at))
      )
        break;
      for (const at of pieces[i].targets) seen.add(at);
      parts.push(pieces[i]);
    }
    // A table whose targets are such tables themselves would be a level that does not exist.
    if (parts.some((part) => part.targets.every((at) => own.has(at)))) continue;
    out.push(joined(parts, code));
  }
  return out;
}

function continues(before: number, after: number, size: number, survey: Survey): boolean {
  if ((after - before) / size > MAX_EMPTY) return false;
  for (let at = before + size; at < after; at += size) if (!survey.zeros.has(at)) return false;
  return true;
}

function joined(parts: readonly Table[], code: string): Directory {
  const { at } = parts[0];
  const last = parts[parts.length - 1];
  const slots = (last.at - at) / 8 + last.words.length / 2;
  const directory = blankDirectory(at, slots, 0, INFERRED, code);
  for (const part of parts) {
    for (let i = 0; i < part.words.length; i += 2) {
      directory.tables[(part.at - at) / 8 + i / 2] = offsetOf(part.words[i], part.words[i + 1]);
    }
  }
  return trimmed(directory);
}

/** Without the empty slots at its end: whether they are the table's or only the cluster's is not known. */
function trimmed(directory: Directory): Directory {
  let n = directory.tables.length;
  while (n > 1 && directory.tables[n - 1] === 0) n--;
  return { ...directory, tables: directory.tables.slice(0, n), grades: directory.grades.slice(0, n) };
}

/** L2 tables that no L1 table leads to. */
export function orphansOf(survey: Survey, found: readonly Directory[], used: ReadonlySet<number>): Table[] {
  const within = (at: number): boolean => found.some((one) => at >= one.at && at < one.at + one.tables.length * 8);
  return [...survey.tables.values()].filter(
    (table) => table.targets.length > 0 && !used.has(table.at) && !within(table.at),
  );
}

/** Takes clusters of data that look like tables out: L2 tables lead to them. Those with the most entries are asked first. */
function leaveOutData(survey: Survey): void {
  // Tables of a live state say of all that they lead to that it is used once. What leads to tables is an L1 table; one
  // word that could be an offset makes none of its cluster yet.
  const isTable = (table: Table | undefined): boolean =>
    table !== undefined && (table.copied > 0 || table.targets.length > 1);
  const asked = [...survey.tables.values()].filter(
    ({ compressed, copied, targets }) =>
      copied > 0 &&
      copied + compressed === targets.length &&
      targets.filter((at) => isTable(survey.tables.get(at))).length * 2 < targets.length,
  );
  const data = new Set<number>();
  for (const table of asked.sort((a, b) => b.copied - a.copied))
    if (!data.has(table.at)) for (const at of table.targets) data.add(at);
  for (const at of data) {
    survey.tables.delete(at);
    survey.plain.delete(at);
  }
}

/** Without refcount tables, which look like L2 tables: what they lead to are counts, and mostly 1. */
async function withoutCounts(file: Source, geometry: Geometry, tables: readonly Table[]): Promise<Table[]> {
  const out: Table[] = [];
  for (const table of tables) {
    const words =
      table.copied > 0 ? undefined : await readWords(file, table.targets[0], Math.min(32, geometry.clusterSize));
    if (words === undefined || !isCounts(words)) out.push(table);
  }
  return out;
}

function isCounts([a, b, c]: Uint32Array): boolean {
  const [low, high] = [a & 0xffff, a >>> 16];
  // The first clusters of a file are in use: counts of 64, 32, 16, 8 bits, and of less than that.
  if (a === 0) return b > 0 && b < 1024 && c === 0;
  if (high === 0) return a < 1024 && b > 0 && b < 1024;
  if (high < 1024 && low > 0 && low < 1024) return true;
  return a === 0x01010101 || [0xff, 0x55, 0x11].includes(a >>> 24);
}

function stateList(
  found: readonly Directory[],
  live: Directory | undefined,
  listed: readonly Snapshot[] | undefined,
): Rebuilt['states'] {
  return found
    .filter((one) => one !== live || listed?.some((snapshot) => snapshot.l1At === one.at))
    .map((directory) => ({ directory, snapshot: listed?.find((one) => one.l1At === directory.at) }));
}

/** The disk's size: what snapshots say, else what the guest says, else all that the tables can map. */
async function sizeOf(
  file: Source,
  geometry: Geometry,
  live: Directory,
  listed: readonly Snapshot[] | undefined,
  found: readonly Directory[],
): Promise<{ size: number; sizeFrom: string }> {
  const { coverage, clusterSize } = geometry;
  const slots = Math.max(live.tables.length, ...found.map((one) => one.tables.length));
  let size = slots * coverage;
  const said = listed?.findLast((one) => one.diskSize !== undefined)?.diskSize;
  let last = -1;
  live.tables.forEach((at, slot) => {
    if (at > 0) last = slot;
  });
  const words = last < 0 ? undefined : await readWords(file, live.tables[last], clusterSize);
  const step = geometry.extended ? 4 : 2;
  let used = 0;
  for (let i = 0; words !== undefined && i < words.length; i += step) {
    if (words[i] !== 0 || words[i + 1] !== 0) used = i / step + 1;
  }
  const least = Math.max(0, last * coverage + (used - 1) * clusterSize);
  if (said !== undefined && said > least) return { size: said, sizeFrom: 'a snapshot' };
  const guest = live.tables[0] > 0 ? await headSize(piecesOf(file, geometry, [live.tables[0]]).bytes, 0) : undefined;
  if (guest !== undefined && guest.size > least && guest.size <= MAX_L1_ENTRIES * coverage) {
    if (guest.exact || guest.size > size) return { size: guest.size, sizeFrom: guest.what };
  }
  size = Math.max(size, coverage);
  return { size, sizeFrom: 'what its tables can map' };
}

/** What the first bytes of one stretch say of the size of the disk. */
async function headSize(bytes: Source, at: number): Promise<ReturnType<typeof sizeFrom>> {
  const head = new Uint8Array(PEEK);
  if ((await bytes.read(at, head)).length > 0) return undefined;
  return sizeFrom(head);
}

/** The size of the disk by whichever of its stretches begins with a partition table, else by copies of superblocks; 0 where none tells. */
async function guestSizeOf(file: Source, geometry: Geometry, tables: readonly Table[]): Promise<number> {
  const places = tables.map(({ at }) => at).sort((a, b) => a - b);
  const { bytes, count, coverage } = piecesOf(file, geometry, places.slice(0, MAX_HEADS));
  let size = 0;
  const take = (said: number | undefined): void => {
    if (said !== undefined && said <= MAX_L1_ENTRIES * coverage) size = Math.max(size, said);
  };
  for (let piece = 0; piece < count; piece++) take((await headSize(bytes, piece * coverage))?.size);
  if (size > 0) return size;
  const step = Math.max(geometry.clusterSize, PEEK);
  const head = new Uint8Array(PEEK);
  for (let at = 0, n = 0; at < bytes.size && n < MAX_LOOKS; at += step, n++) {
    if ((await bytes.read(at, head)).length > 0) continue;
    const copy = copySize(head);
    // Most lie behind a partition table.
    if (copy !== undefined) take(copy + PARTITION_AT);
  }
  return size;
}
