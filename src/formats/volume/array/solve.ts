/**
 * Which array members make whose order, chunk and parity nothing tells any more: what bytes say of their own places
 * votes for it. No order is tried out: where a piece lies on a member, and where in its volume, gives the row and the
 * column that it must be in, and so the place of the member. Source: volumes.md section 6.
 */
import { doubleParityRow, parityRow, type Row } from '../raid/parity.ts';
import type { Marks, Met } from './marks.ts';

const KIB = 1024;
const CHUNKS: readonly number[] = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048].map((n) => n * KIB);
export const MAX_MEMBERS = 32;
/** Marks that have to agree, and the share of all that must. */
const LEAST_MARKS = 24;
const LEAST_SHARE = 0.8;
/** Rows in which two answers are compared. */
const MAX_COMPARED = 4096;
/** Another answer is ruled out where so much less agrees with it. */
const LEAST_LEAD = 0.05;

/** How an array lays out its rows. */
export interface Shape {
  readonly level: 0 | 5 | 6;
  /** As Linux numbers them; 0 for level 0. */
  readonly layout: number;
  /** Devices, those that are not there among them. */
  readonly devices: number;
  readonly chunk: number;
}

export interface Solution extends Shape {
  /** The member in each place, by its number; -1 where it is not there. */
  readonly members: readonly number[];
  /** Marks that agree, and all there are where data lie: parity may look like one of the chunks that it is of. */
  readonly agree: number;
  readonly marks: number;
}

const LAYOUTS: Readonly<Record<Shape['level'], readonly number[]>> = {
  0: [0],
  5: [2, 0, 3, 1, 4, 5],
  6: [2, 8, 10, 9, 0, 1, 3, 16, 17, 18, 19],
};

/** Where the data of a row lie, by the places of devices. */
export function rowOf({ level, layout, devices: n }: Shape, stripe: number): Row | undefined {
  if (level === 0) return { data: Array.from({ length: n }, (_, i) => i), p: -1 };
  return level === 5 ? parityRow(layout, n, stripe) : doubleParityRow(layout, n, stripe);
}

/** Layouts repeat themselves after as many rows as there are devices, or one less. */
function periodOf({ devices, level }: Shape): number {
  return level === 0 ? 1 : devices * (devices - 1);
}

/**
 * The array that members make; none where their marks are too few, or do not say it without doubt. Several answers read
 * data alike, and differ in where they take parity to be.
 */
export function solve(members: readonly Marks[]): Solution[] {
  if (members.length < 2 || members.length > MAX_MEMBERS) return [];
  const kinds = [...new Set(members.flatMap((marks) => [...marks.keys()]))];
  const found: Solution[] = [];
  for (const chunk of CHUNKS) {
    for (const k of columnsOf(members.length)) {
      const groups = kinds.map((kind) => placesOf(members, kind, chunk, k));
      for (const shape of shapesOf(members.length, k, chunk)) {
        const one = ordered(members, groups.flat(), shape);
        if (one !== undefined) found.push(one);
      }
    }
  }
  found.sort((a, b) => b.agree - a.agree || a.devices - b.devices);
  const [best] = found;
  if (best === undefined || best.agree < LEAST_MARKS || best.agree < best.marks * LEAST_SHARE) return [];
  const rival = found.find((one) => one !== best && isOther(one, best));
  if (rival !== undefined && rival.agree > best.agree * (1 - LEAST_LEAD)) return [];
  return found.filter((one) => one.agree === best.agree && one.devices === best.devices);
}

/** Whether two answers read members otherwise: where a device of one is missing, it may be the other. */
function isOther(one: Solution, best: Solution): boolean {
  if (one.chunk !== best.chunk) return true;
  for (let stripe = 0; stripe < periodOf(one) * periodOf(best); stripe++) {
    const [a, b] = [rowOf(one, stripe)!, rowOf(best, stripe)!];
    if (stripe > MAX_COMPARED) break;
    if (a.data.length !== b.data.length) return true;
    if (a.data.some((slot, i) => one.members[slot] !== best.members[b.data[i]])) return true;
  }
  return false;
}

/** Numbers of data columns that so many members can have: one or two may be missing, one or two hold parity. */
function columnsOf(n: number): number[] {
  return [n - 2, n - 1, n, n + 1].filter((k) => k >= 2);
}

function* shapesOf(there: number, k: number, chunk: number): Generator<Shape> {
  for (const level of [0, 5, 6] as const) {
    const spare = level === 0 ? 0 : level - 4;
    const devices = k + spare;
    // One more than parity makes up for may be missing: what the others hold is had.
    if (devices < there || devices - there > Math.max(1, spare)) continue;
    for (const layout of LAYOUTS[level]) yield { level, layout, devices, chunk };
  }
}

/** A mark in the row and the column that it must be in. */
interface Placed {
  readonly member: number;
  readonly stripe: number;
  readonly column: number;
}

/** Where the marks of one kind lie in rows of `k` columns, by the start of their volume that most of them agree on. */
function placesOf(members: readonly Marks[], kind: string, chunk: number, k: number): Placed[] {
  const votes = new Map<number, number>();
  const each = (visit: (start: number, member: number, stripe: number, column: number) => void): void => {
    for (const [member, marks] of members.entries()) {
      for (const { at, own } of marks.get(kind) ?? ([] as Met[])) {
        const stripe = Math.floor(at / chunk);
        for (let column = 0; column < k; column++)
          visit((stripe * k + column) * chunk + (at % chunk) - own, member, stripe, column);
      }
    }
  };
  each((start) => {
    if (start >= 0 && (kind !== 'disk' || start === 0)) votes.set(start, (votes.get(start) ?? 0) + 1);
  });
  let best = -1;
  for (const [start, count] of votes) if (count > (votes.get(best) ?? 0)) best = start;
  const out: Placed[] = [];
  each((start, member, stripe, column) => {
    if (start === best) out.push({ member, stripe, column });
  });
  return out;
}

/** The places of members that most marks agree on. */
function ordered(members: readonly Marks[], placed: readonly Placed[], shape: Shape): Solution | undefined {
  const { devices } = shape;
  const rows = Array.from({ length: periodOf(shape) }, (_, stripe) => rowOf(shape, stripe)?.data);
  if (rows[0] === undefined) return undefined;
  const votes = members.map(() => new Float64Array(devices));
  for (const { column, member, stripe } of placed) {
    const slot = rows[stripe % rows.length]?.[column];
    if (slot !== undefined) votes[member][slot]++;
  }
  const pairs = votes.flatMap((list, member) => Array.from(list, (count, slot) => ({ member, slot, count })));
  const slots = Array.from({ length: devices }, () => -1);
  const done = new Set<number>();
  let agree = 0;
  for (const { count, member, slot } of pairs.sort((a, b) => b.count - a.count)) {
    if (count === 0 || done.has(member) || slots[slot] >= 0) continue;
    slots[slot] = member;
    done.add(member);
    agree += count;
  }
  const left = members.flatMap((_, member) => (done.has(member) ? [] : [member]));
  const free = slots.flatMap((member, slot) => (member < 0 ? [slot] : []));
  // Where one is left and one place is, nothing has to tell.
  if (left.length > 1 || (left.length === 1 && free.length !== 1)) return undefined;
  if (left.length === 1) [slots[free[0]]] = left;
  let marks = 0;
  for (const [member, one] of members.entries()) {
    const slot = slots.indexOf(member);
    for (const { at } of [...one.values()].flat())
      if (rows[Math.floor(at / shape.chunk) % rows.length]!.includes(slot)) marks++;
  }
  return { ...shape, members: slots, agree, marks };
}
