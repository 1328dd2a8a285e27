/** Tables that an image lost while its header stands: what clusters in use that nothing leads to still say. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Census } from './census.ts';
import { type LostTable, remadeByGuest } from './clusters.ts';
import { type Directory, LOST_TABLE, weaken } from './directory.ts';
import { COPIED, offsetOf, type Words } from './geometry.ts';
import { directoriesOf, orphansOf, placeAll } from './salvage.ts';
import { type Survey, surveyOf } from './survey.ts';

/** Entries of one sector of an L1 table: a sector is the least that is lost at once. */
const SECTOR_ENTRIES = 64;

export interface Repaired {
  /** L2 tables made up for lost ones, by where those stood. */
  readonly remade: Map<number, Words>;
  /** States that no snapshot table names any more. */
  readonly states: readonly Directory[];
  /** Clusters in use that nothing led to before anything was put back. */
  readonly leaked: number;
}

/**
 * Puts lost tables of the live directory back as far as something tells their places. `canAsk`: the disk is all that the
 * guest sees, so that this may tell where clusters belong.
 */
export async function repair(
  file: Source,
  size: number,
  census: Census,
  directory: Directory,
  snapshots: readonly Directory[],
  canAsk: boolean,
  cx: Cx,
  damage: Damage[],
): Promise<Repaired> {
  const leaked = census.complete ? census.leaked() : [];
  const past = [...census.tables.values()].reduce((sum, state) => sum + state.past, 0);
  if (past > 0) {
    const actual = `its end at ${file.size}, with ${past} entries of L2 tables that lead behind it`;
    const effect = 'it was cut off, or is not all here; what lay there is missing';
    damage.push(cx.damage(file.size, 'qcow2.cut-off', 'all clusters of the disk in the file', actual, effect));
  }
  const { out: remade, lost } = remakeTables(size, census, directory, new Set(leaked), cx, damage);
  const isTold = lost.length > 0 && canAsk && (await askGuest(file, size, census, directory, remade, lost, cx, damage));
  if (!isTold) damage.push(...lost.map((one) => one.damage));
  const isLost = directory.tables.every((at) => at <= 0);
  const hasLost = isLost || directory.tables.includes(LOST_TABLE);
  if (!hasLost && leaked.length === 0) return { remade, states: [], leaked: 0 };
  const open = new Set(leaked);
  // Where clusters are not counted, any that nothing leads to may be in use.
  const wanted = (i: number): boolean =>
    open.has(i) || (hasLost && i < census.clusters && !census.isClaimed(i) && census.counted[i] !== 1);
  // In an external file data lies where it lies on the disk.
  const end = census.isExternal ? Math.max(size, file.size) : file.size;
  const survey = await surveyOf(file, census.geometry, wanted, cx.signal, end);
  const found = directoriesOf(survey, census.geometry, 'qcow2.l1-copy').filter((one) => one.at !== directory.at);
  await putBack(file, census, directory, [...snapshots, ...found], survey, isLost, cx, damage);
  await census.claim(directory, cx.signal);
  for (const one of found) await census.claim(one, cx.signal);
  return { remade, states: found, leaked: leaked.length };
}

async function putBack(
  file: Source,
  census: Census,
  directory: Directory,
  copies: readonly Directory[],
  survey: Survey,
  isLost: boolean,
  cx: Cx,
  damage: Damage[],
): Promise<void> {
  const used = new Set([...directory.tables, ...copies.flatMap((one) => [...one.tables])]);
  const orphans = orphansOf(survey, copies, used);
  if (orphans.length === 0 && !isLost && !directory.tables.includes(LOST_TABLE)) return;
  const { tables } = directory;
  const hasNone = orphans.length === 0 && copies.every((one) => one.tables.every((at) => at <= 0));
  // An image that was never written to has no tables, and nothing in its other clusters either.
  if (hasNone && (!isLost || survey.used === 0)) return;
  let lost = 0;
  for (let slot = 0; slot < tables.length; slot++) {
    if (tables[slot] === 0 && (isLost || inEmptySector(directory, slot))) {
      tables[slot] = LOST_TABLE;
      directory.codes.set(slot, 'qcow2.l1');
    }
    if (tables[slot] === LOST_TABLE) lost++;
  }
  if (lost === 0) return;
  const placed = await placeAll(file, census.geometry, directory, copies, orphans, survey, cx);
  const { copies: copied, shared, content, order, left } = placed;
  const ways = [
    `${copied} by copies of the L1 table`,
    `${shared} by what they share`,
    `${content} by what the guest wrote`,
    `${order} by the order in which they were made`,
  ].filter((way) => !way.startsWith('0 '));
  const effect = `L2 tables were put back: ${ways.join(', ') || 'none'}; ${left.length} have no place, and what nothing maps is missing`;
  const expected = `an L1 table with the tables of ${directory.tables.length} slots`;
  damage.push(cx.damage(Math.max(0, directory.at), 'qcow2.l1', expected, `${lost} entries that are lost`, effect));
}

/** Whether all entries of the slot's sector of the table are gone. */
function inEmptySector(directory: Directory, slot: number): boolean {
  const first = slot - (slot % SECTOR_ENTRIES);
  return directory.tables.subarray(first, first + SECTOR_ENTRIES).every((at) => at <= 0);
}

/**
 * L2 tables without a sound entry. One whose clusters were all allocated with it has them right behind it, in order;
 * of any other nothing tells which cluster belongs where. A table may be empty in a sound image, too: where no cluster
 * is in use without an owner, it is.
 */
function remakeTables(
  size: number,
  census: Census,
  directory: Directory,
  leaked: ReadonlySet<number>,
  cx: Cx,
  damage: Damage[],
): { out: Map<number, Words>; lost: LostTable[] } {
  const { clusterSize, coverage, extended, l2Entries } = census.geometry;
  const out = new Map<number, Words>();
  const lost: LostTable[] = [];
  for (let slot = 0; slot < directory.tables.length; slot++) {
    const at = directory.tables[slot];
    const state = at > 0 ? census.tables.get(at) : undefined;
    if (state === undefined || state.crossed) continue;
    const isEmpty = state.unreadable || state.entries === 0;
    // Without counts nothing tells an empty table from one that was lost.
    if (isEmpty && census.counted[at / clusterSize] !== 1) weaken(directory, slot, INFERRED, 'qcow2.l2');
    // What leads behind the end of a file that was cut off is an entry still.
    if (!(isEmpty ? leaked.size > 0 || state.unreadable : (state.bad - state.past) * 2 > state.entries)) continue;
    const wanted = Math.min(l2Entries, Math.ceil((size - slot * coverage) / clusterSize));
    let n = 0;
    while (n < wanted && leaked.has(at / clusterSize + 1 + n)) n++;
    const actual = isEmpty
      ? 'nothing, while clusters are in use that nothing leads to'
      : `${state.bad} of ${state.entries} that are none`;
    if (wanted <= 0) continue;
    const isFull = n === wanted && !extended;
    const effect = isFull
      ? 'all its clusters follow it, and are taken in that order'
      : `${Math.min(coverage, size - slot * coverage)} bytes of the disk from ${hex(slot * coverage)} on are missing`;
    const found = cx.damage(at, 'qcow2.l2', 'entries of an L2 table', actual, effect);
    if (isFull) {
      damage.push(found);
      const words = new Uint32Array(l2Entries * 2);
      for (let i = 0; i < n; i++) {
        const offset = at + (i + 1) * clusterSize;
        words[2 * i] = (COPIED | Math.floor(offset / 2 ** 32)) >>> 0;
        words[2 * i + 1] = offset >>> 0;
        census.adopt(offset, slot * l2Entries + i);
      }
      out.set(at, words);
      directory.grades[slot] = Math.min(directory.grades[slot], INFERRED);
      directory.codes.set(slot, 'qcow2.l2');
    } else {
      directory.tables[slot] = LOST_TABLE;
      directory.codes.set(slot, 'qcow2.l2');
      lost.push({ slot, at, damage: found });
    }
  }
  return { out, lost };
}

/** Puts clusters without an owner where the guest has something, in the stretches whose tables are lost; false where it does not say. */
async function askGuest(
  file: Source,
  size: number,
  census: Census,
  directory: Directory,
  remade: Map<number, Words>,
  lost: readonly LostTable[],
  cx: Cx,
  damage: Damage[],
): Promise<boolean> {
  const { geometry } = census;
  if (geometry.extended || census.isExternal) return false;
  const leaked = census.complete ? census.leaked() : [];
  const made = await remadeByGuest(file, geometry, size, directory, lost, leaked, !census.hasUncounted, cx);
  if (made === undefined) return false;
  for (const { at, slot } of lost) {
    const words = made.tables.get(at)!;
    remade.set(at, words);
    directory.tables[slot] = at;
    directory.grades[slot] = GUESSED;
    directory.codes.set(slot, 'qcow2.l2-guest');
    for (let i = 0; i < geometry.l2Entries; i++) {
      const offset = offsetOf(words[2 * i], words[2 * i + 1]);
      if (offset > 0) census.adopt(offset, slot * geometry.l2Entries + i);
    }
  }
  const expected = `entries of ${lost.length === 1 ? 'this L2 table' : `${lost.length} L2 tables`}`;
  const lack =
    made.missing === 0 ? '' : `; ${made.missing * geometry.clusterSize} bytes that may have had one are missing`;
  const effect = `clusters without an owner are put where the file systems on the disk have something in use: guessed${lack}`;
  damage.push(cx.damage(lost[0].at, 'qcow2.l2-guest', expected, 'none that are sound', effect));
  return true;
}
