import { Bytes } from '../bytes.ts';
import { dice, type Patch, seeded } from '../content.ts';

const SECTOR = 512;
const ENTRIES = 4096; // entries of a grain table: 2 MiB at one-sector grains (vmdk.md 4)
const TABLE_SECTORS = (ENTRIES * 4) / SECTOR;

/** A delta file and what it puts over its parent. */
export interface Delta {
  bytes: Uint8Array;
  patches: Patch[];
}

interface Table {
  number: number;
  grains: { at: number; bytes: Uint8Array }[];
}

function plan(capacity: number, seed: number): Table[] {
  const roll = dice(seed);
  const tables = Math.ceil(capacity / ENTRIES);
  const numbers = new Set([0, roll(tables), roll(tables), tables - 1]);
  return [...numbers].map((number) => {
    const room = Math.min(ENTRIES, capacity - number * ENTRIES);
    const first = number === 0 ? 64 : roll(Math.max(1, room - 48));
    const count = Math.min(room - first, 8 + roll(40));
    const grains = Array.from({ length: count }, (_, i) => {
      const sector = number * ENTRIES + first + i;
      return { at: sector, bytes: seeded(seed ^ sector, SECTOR).read(0, SECTOR) };
    });
    return { number, grains };
  });
}

/**
 * A vmfsSparse delta of a disk with `capacity` sectors: one-sector grains, grain tables written at the end of the
 * file right in front of their first grain, in no particular order (vmdk.md 4).
 */
export function cowdDelta(capacity: number, seed: number): Delta {
  return layOut(capacity, plan(capacity, seed).reverse());
}

/** The same with sectors of one's own; `at` in sectors. */
export function cowdOf(capacity: number, grains: readonly { at: number; bytes: Uint8Array }[]): Delta {
  const tables = new Map<number, Table>();
  for (const grain of grains) {
    const number = Math.floor(grain.at / ENTRIES);
    const table = tables.get(number) ?? { number, grains: [] };
    tables.set(number, table);
    table.grains.push(grain);
  }
  return layOut(capacity, [...tables.values()]);
}

function layOut(capacity: number, tables: readonly Table[]): Delta {
  const directory = Math.ceil(capacity / ENTRIES);
  const gdSectors = Math.ceil((directory * 4) / SECTOR);
  const grains = tables.reduce((n, t) => n + t.grains.length, 0);
  const sectors = 4 + gdSectors + tables.length * TABLE_SECTORS + grains;
  const b = new Bytes(sectors * SECTOR).text(0, 'COWD').u32(4, 1).u32(8, 3).u32(12, capacity).u32(16, 1);
  b.u32(20, 4).u32(24, directory).u32(28, sectors);
  let at = 4 + gdSectors;
  const patches: Patch[] = [];
  for (const table of tables) {
    b.u32(4 * SECTOR + table.number * 4, at);
    const tableAt = at * SECTOR;
    at += TABLE_SECTORS;
    for (const grain of table.grains) {
      b.u32(tableAt + (grain.at - table.number * ENTRIES) * 4, at).raw(at * SECTOR, grain.bytes);
      patches.push({ at: grain.at * SECTOR, bytes: grain.bytes });
      at++;
    }
  }
  return { bytes: b.data, patches };
}
