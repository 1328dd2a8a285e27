/** seSparse deltas with all kinds of entries, by the tables of vmdk.md 5. */
import { Bytes, roundUp } from '../bytes.ts';
import { dice, type Patch, seeded } from '../content.ts';

const SECTOR = 512;
const GRAIN = 4096;
const ENTRIES = 4096;
const TABLE = ENTRIES * 8;

/** A delta file, what it puts over its parent, and where its structures are. */
export interface SeDelta {
  bytes: Uint8Array;
  patches: Patch[];
  directory: number;
  tables: number;
  grains: number;
}

interface Entry {
  slot: number;
  at: number;
  kind: number;
}

/** A delta of a disk of so many sectors: every table has some grains, zeroed and unmapped ones among them. */
export function seDelta(sectors: number, seed: number): SeDelta {
  const roll = dice(seed);
  const slots = Math.ceil(sectors / (ENTRIES * 8));
  const used: Entry[] = [];
  for (let slot = 0; slot < slots; slot++) {
    if (slot % 3 === 1) continue;
    const room = Math.min(ENTRIES, Math.floor(sectors / 8) - slot * ENTRIES);
    for (let at = roll(40); at < room; at += 1 + roll(Math.ceil(room / 8)))
      used.push({ slot, at, kind: [3, 3, 3, 1, 2][roll(5)] });
  }
  used.sort((x, y) => ((x.at * 31) % 17) - ((y.at * 31) % 17) || x.slot - y.slot || x.at - y.at);
  const order = [...new Set(used.map((u) => u.slot))].sort((a, b) => ((a * 7) % 5) - ((b * 7) % 5) || a - b);
  const contentOf = ({ slot, at }: Entry): Uint8Array =>
    seeded(seed ^ ((slot * ENTRIES + at) * GRAIN), GRAIN).read(0, GRAIN);
  return layOut(sectors, used, order, contentOf);
}

/** A delta that holds the whole of a disk but the grains that are zeros, written from its start to its end. */
export function seOf(raw: Uint8Array): SeDelta {
  const used: Entry[] = [];
  const contentOf = ({ slot, at }: Entry): Uint8Array => {
    const from = (slot * ENTRIES + at) * GRAIN;
    return raw.subarray(from, from + GRAIN);
  };
  for (let grain = 0; grain * GRAIN < raw.length; grain++) {
    const entry = { slot: Math.floor(grain / ENTRIES), at: grain % ENTRIES, kind: 3 };
    if (contentOf(entry).some((byte) => byte !== 0)) used.push(entry);
  }
  return layOut(raw.length / SECTOR, used, [...new Set(used.map((u) => u.slot))], contentOf);
}

/** Entries in the order in which their grains lie in the file, and slots in that of their tables. */
function layOut(
  sectors: number,
  used: readonly Entry[],
  order: readonly number[],
  contentOf: (entry: Entry) => Uint8Array,
): SeDelta {
  const slots = Math.ceil(sectors / (ENTRIES * 8));
  const directory = 4096 * SECTOR;
  const tables = directory + roundUp(slots * 8, SECTOR);
  const grains = roundUp(tables + order.length * TABLE, GRAIN);
  const count = used.filter((u) => u.kind === 3).length;
  const b = new Bytes(grains + count * GRAIN);
  b.pair(0, 0xcafebabe, 0).pair(8, 1, 2).u64(16, sectors).u64(24, 8).u64(32, 64);
  const places = [1, 1, 2, 2, 2048, 2048, directory, tables - directory, tables, grains - tables, grains, 0, grains, 0];
  for (const [i, value] of [...places, grains, count * GRAIN].entries()) {
    b.u64(80 + i * 8, i < 6 ? value : Math.ceil(value / SECTOR));
  }
  b.pair(SECTOR, 0xcafecafe, 0);
  for (const [index, slot] of order.entries()) b.pair(directory + slot * 8, index, 0x10000000);
  const patches: Patch[] = [];
  let grain = 0;
  for (const u of used) {
    const entry = tables + order.indexOf(u.slot) * TABLE + u.at * 8;
    const place = (u.slot * ENTRIES + u.at) * GRAIN;
    if (u.kind !== 3) {
      b.pair(entry, 0, u.kind * 2 ** 28);
      patches.push({ at: place, bytes: new Uint8Array(GRAIN) });
      continue;
    }
    // The low twelve bits of the number stand above the others.
    b.pair(entry, Math.floor(grain / 4096), (0x30000000 + (grain % 4096) * 0x10000) >>> 0);
    const bytes = contentOf(u);
    b.raw(grains + grain * GRAIN, bytes);
    patches.push({ at: place, bytes });
    grain++;
  }
  return { bytes: b.data, patches, directory, tables, grains };
}
