/**
 * Entries whose address was cleared still have a generation, which each cluster of descriptors counts for itself.
 * Where several clusters offer the same one, order tells: files made one after the other stand side by side in their
 * directory and among the descriptors, so the longest stretches that agree are matched first. vmfs.md 4.2 and 5.1.
 */
import type { Trace } from './residue-dirents.ts';
import type { Residue } from './residue-survey.ts';

/** Pairs that are looked at; where there are more, only those without a choice are matched. */
const MAX_PAIRS = 4_000_000;

interface Match {
  readonly trace: Trace;
  readonly residue: Residue;
  /** No other descriptor has this generation and type, and no other entry. */
  readonly only: boolean;
}

/** A stretch of entries and one of descriptors that agree; `entry` and `slot` are indexes of their firsts. */
interface Stretch {
  readonly entry: number;
  readonly slot: number;
  readonly length: number;
  /** Descriptors between the last entry known and this one. */
  readonly distance: number;
}

/** Matches entries without address, each with at most one residue. */
export function align(traces: readonly Trace[], residues: readonly Residue[]): Match[] {
  const entries = [...traces].sort((a, b) => a.directory - b.directory || a.at - b.at);
  const slots = [...residues].sort((a, b) => positionOf(a.address) - positionOf(b.address));
  const offers = new Map<string, number[]>();
  for (const [i, slot] of slots.entries()) {
    const list = offers.get(keyOf(slot));
    if (list === undefined) offers.set(keyOf(slot), [i]);
    else list.push(i);
  }
  const wanting = new Map<string, number>();
  for (const entry of entries) wanting.set(keyOf(entry), (wanting.get(keyOf(entry)) ?? 0) + 1);
  const isOnly = (t: Trace): boolean => offers.get(keyOf(t))?.length === 1 && wanting.get(keyOf(t)) === 1;
  const pairs = entries.reduce((n, t) => n + (offers.get(keyOf(t))?.length ?? 0), 0);
  const list = pairs > MAX_PAIRS ? entries.filter(isOnly) : entries;
  const out: Match[] = [];
  for (const { entry, slot, length } of chosen(stretches(list, slots, offers))) {
    for (let i = 0; i < length; i++) {
      const trace = list[entry + i];
      out.push({ trace, residue: slots[slot + i], only: isOnly(trace) });
    }
  }
  return out;
}

/** Stretches that do not overlap, the best first. What is left of one that is taken in part waits for its turn. */
function chosen(all: readonly Stretch[]): Stretch[] {
  const entries = new Set<number>();
  const slots = new Set<number>();
  const byLength: Stretch[][] = [];
  const queue = (one: Stretch): void => {
    byLength[one.length] ??= [];
    byLength[one.length].push(one);
  };
  // What directly follows the entry before it, or its directory, was made right after that.
  const follows = (s: Stretch): boolean => s.distance === 1 && s.length > 1;
  const first = all.filter(follows).sort((a, b) => b.length - a.length || a.entry - b.entry);
  for (const one of all) if (!follows(one)) queue(one);
  const out: Stretch[] = [];
  const take = (one: Stretch): void => {
    const free: Stretch[] = [];
    for (let i = 0; i < one.length; i++) {
      if (entries.has(one.entry + i) || slots.has(one.slot + i)) continue;
      const last = free.at(-1);
      if (last !== undefined && last.entry + last.length === one.entry + i) {
        free[free.length - 1] = { ...last, length: last.length + 1 };
      } else free.push({ ...one, entry: one.entry + i, slot: one.slot + i, length: 1 });
    }
    if (free[0]?.length !== one.length) for (const part of free) queue(part);
    else {
      out.push(one);
      for (let i = 0; i < one.length; i++) {
        entries.add(one.entry + i);
        slots.add(one.slot + i);
      }
    }
  };
  for (const one of first) take(one);
  for (let length = byLength.length - 1; length > 0; length--) {
    const list = byLength[length] ?? [];
    list.sort((a, b) => a.distance - b.distance || a.entry - b.entry);
    for (const one of list) take(one);
  }
  return out;
}

/** All stretches that cannot be made longer. */
function stretches(
  entries: readonly Trace[],
  slots: readonly Residue[],
  offers: ReadonlyMap<string, readonly number[]>,
): Stretch[] {
  const out: Stretch[] = [];
  /** How far the stretch goes that starts with the entry behind this one, by its slot. */
  let next = new Map<number, number>();
  for (let e = entries.length - 1; e >= -1; e--) {
    const here = new Map<number, number>();
    const together = e >= 0 && entries[e + 1]?.directory === entries[e].directory;
    for (const slot of e < 0 ? [] : (offers.get(keyOf(entries[e])) ?? [])) {
      const { parent, address } = slots[slot];
      if ((parent !== 0 && parent !== entries[e].directory) || address === entries[e].directory) continue;
      here.set(slot, 1 + ((together ? next.get(slot + 1) : undefined) ?? 0));
    }
    for (const [slot, length] of next) {
      if (together && here.has(slot - 1)) continue;
      const from = positionOf(entries[e + 1].before);
      const distance = positionOf(slots[slot].address) - from;
      out.push({ entry: e + 1, slot, length, distance: distance > 0 ? distance : 2 ** 32 - distance });
    }
    next = here;
  }
  return out;
}

function keyOf(one: { readonly type: number; readonly generation: number }): string {
  return `${one.type}:${one.generation}`;
}

/** Where a descriptor stands among all: cluster by cluster. */
function positionOf(address: number): number {
  return ((address >>> 6) & 0xffff) * 1024 + (address >>> 22);
}
