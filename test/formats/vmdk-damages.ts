/** Faults of sparse disks, by the places that the format gives their structures. */
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';

export type Damage = (bytes: Uint8Array, seed: number) => Uint8Array | undefined;

const SECTOR = 512;

const wiped =
  (from: number, end: number): Damage =>
  (bytes) => {
    const out = bytes.slice();
    out.fill(0, from * SECTOR, end * SECTOR);
    return out;
  };
const noise =
  (from: number, end: number): Damage =>
  (bytes, seed) => {
    const out = bytes.slice();
    out.set(
      seeded(seed, (end - from) * SECTOR)
        .read(0, (end - from) * SECTOR)
        .subarray(0, out.length - from * SECTOR),
      from * SECTOR,
    );
    return out;
  };
const both =
  (a: Damage, b: Damage): Damage =>
  (bytes, seed) =>
    b(a(bytes, seed)!, seed + 1);
const entry =
  (
    at: (roll: (below: number) => number) => number,
    value: (old: number, roll: (n: number) => number) => number,
  ): Damage =>
  (bytes, seed) => {
    const roll = dice(seed);
    const out = bytes.slice();
    const view = new DataView(out.buffer);
    const place = at(roll);
    view.setUint32(place, value(view.getUint32(place, true), roll), true);
    return out;
  };
const cut =
  (share: number): Damage =>
  (bytes) =>
    bytes.slice(0, Math.floor((bytes.length * share) / SECTOR) * SECTOR);

/** Damages of a hosted sparse extent with `tables` tables, whose redundant directory stands at sector `rgd`. */
export function hostedDamages(tables: number, rgd: number): Record<string, Damage> {
  const directory = Math.ceil((tables * 4) / SECTOR);
  const rgts = rgd + directory;
  const gd = rgts + tables * 4;
  const gts = gd + directory;
  const end = gts + tables * 4;
  const primary = (roll: (n: number) => number): number => gts * SECTOR + roll(tables * 512) * 4;
  const spare = (roll: (n: number) => number): number => rgts * SECTOR + roll(tables * 512) * 4;
  const table = (start: number, seed: number): number => start + dice(seed)(tables) * 4;
  return {
    nothing: (bytes) => bytes,
    'header zeroed': wiped(0, 1),
    'header noise': noise(0, 1),
    'header and descriptor zeroed': wiped(0, rgd),
    'GD zeroed': wiped(gd, gts),
    'GD noise': noise(gd, gts),
    'RGD noise': noise(rgd, rgts),
    'GD and RGD noise': both(noise(gd, gts), noise(rgd, rgts)),
    'GD and RGD zeroed': both(wiped(gd, gts), wiped(rgd, rgts)),
    'GD entry': entry(
      (roll) => gd * SECTOR + roll(tables) * 4,
      (_, roll) => 1 + roll(200),
    ),
    'GTs zeroed': wiped(gts, end),
    'GTs noise': noise(gts, end),
    'RGTs noise': noise(rgts, gd),
    'one GT zeroed in both': (b, s) =>
      both(wiped(table(gts, s), table(gts, s) + 4), wiped(table(rgts, s), table(rgts, s) + 4))(b, s),
    'one GT noise in both': (b, s) =>
      both(noise(table(gts, s), table(gts, s) + 4), noise(table(rgts, s), table(rgts, s) + 4))(b, s),
    'a sector of a GT zeroed in both': (b, s) =>
      both(wiped(table(gts, s), table(gts, s) + 1), wiped(table(rgts, s), table(rgts, s) + 1))(b, s),
    'GT entry zeroed': entry(primary, () => 0),
    'GT entry outside': entry(primary, () => 0x7fffffff),
    'GT entry elsewhere': entry(primary, (old) => old + 128),
    'RGT entry elsewhere': entry(spare, (old) => old + 128),
    'all tables zeroed': wiped(rgd, end),
    'all tables noise': both(noise(rgts, gd), noise(gts, end)),
    'all before the grains zeroed': wiped(0, end),
    'cut off at 60 %': cut(0.6),
    'grain size halved': entry(
      () => 20,
      () => 64,
    ),
    'grain size doubled': entry(
      () => 20,
      () => 256,
    ),
    'capacity halved': entry(
      () => 12,
      (old) => old >>> 1,
    ),
    'capacity doubled': entry(
      () => 12,
      (old) => old * 2,
    ),
    'header field': entry(
      (roll) => 4 + roll(18) * 4,
      (_, roll) => roll(0xffffffff),
    ),
    'text mode': text,
  };
}

/** LF made CR LF, as FTP does in text mode. */
const text: Damage = (bytes) => {
  const out: number[] = [];
  for (const byte of bytes.subarray(0, 4 * 1024 * 1024)) {
    if (byte === 10) out.push(13);
    out.push(byte);
  }
  return Uint8Array.from(out);
};

/** Damages of a stream-optimized disk. */
export function streamDamages(grains: ReadonlyMap<number, number>): Record<string, Damage> {
  const places = [...grains.values()];
  return {
    nothing: (bytes) => bytes,
    'header zeroed': wiped(0, 1),
    'header and descriptor noise': noise(0, 128),
    'cut off at 60 %': cut(0.6),
    'footer gone': (bytes) => bytes.slice(0, bytes.length - 3 * SECTOR),
    'footer noise': (bytes, seed) => noise(bytes.length / SECTOR - 4, bytes.length / SECTOR)(bytes, seed),
    'a marker': entry(
      (roll) => places[roll(places.length)],
      (_, roll) => roll(0xffffffff),
    ),
    'a length': entry(
      (roll) => places[roll(places.length)] + 8,
      (old) => old + 700,
    ),
    'a bit of a grain': entry(
      (roll) => places[roll(places.length)] + 200,
      (old, roll) => (old ^ (1 << roll(31))) >>> 0,
    ),
    '100 sectors': (bytes, seed) => {
      const at = 200 + dice(seed)(bytes.length / SECTOR - 400);
      return noise(at, at + 100)(bytes, seed);
    },
    'tail of tables zeroed': (bytes) => wiped(bytes.length / SECTOR - 10, bytes.length / SECTOR)(bytes, 0),
  };
}

/** Damages of a delta whose directory and tables are at these sectors; entries of the directory have `width` bytes. */
export function deltaDamages(
  directory: number,
  tables: readonly number[],
  tableSectors: number,
  slots: number,
  width: number,
): Record<string, Damage> {
  const end = directory + Math.ceil((slots * width) / SECTOR);
  const one = (seed: number): number => tables[dice(seed)(tables.length)];
  return {
    nothing: (bytes) => bytes,
    'header zeroed': wiped(0, 1),
    'directory zeroed': wiped(directory, end),
    'directory noise': noise(directory, end),
    'directory entry': entry(
      (roll) => directory * SECTOR + roll(slots) * width,
      (_, roll) => roll(0xffffffff),
    ),
    'directory entry zeroed': entry(
      (roll) => directory * SECTOR + roll(slots) * width,
      () => 0,
    ),
    'a table zeroed': (b, s) => wiped(one(s), one(s) + tableSectors)(b, s),
    'a table noise': (b, s) => noise(one(s), one(s) + tableSectors)(b, s),
    'all tables zeroed': (b, s) => tables.reduce((bytes, at) => wiped(at, at + tableSectors)(bytes, s)!, b),
    'all tables noise': (b, s) => tables.reduce((bytes, at) => noise(at, at + tableSectors)(bytes, s + at)!, b),
    'a sector of a table': (b, s) => wiped(one(s), one(s) + 1)(b, s),
    'a table entry': entry(
      (roll) => tables[roll(tables.length)] * SECTOR + roll(4096) * width,
      (old) => old + 1,
    ),
    'cut off at 60 %': cut(0.6),
    'header field': entry(
      (roll) => 4 + roll(6) * 4,
      (_, roll) => roll(0xffffffff),
    ),
  };
}
