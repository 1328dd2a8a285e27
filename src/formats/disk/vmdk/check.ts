/** What is wrong with the tables of a sparse extent: in short when it is opened, all of it when it is checked. */
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES } from '../../../core/limits.ts';
import { LOST } from '../../../core/run.ts';
import type { GrainMap } from './grains.ts';
import { SECTOR } from './structs.ts';

/** Tables of extents whose census is taken when they are opened: 512 GiB of them. Others get it with their first bytes. */
const TABLES_AT_ONCE = 16384;

/** A damage for each kind of trouble that the census of an extent shows. */
export async function told(map: GrainMap): Promise<Damage[]> {
  return isCounted(map) ? troubles(map) : [];
}

/** Whether the census of an extent is taken when it is opened. */
export function isCounted({ shape, tables }: GrainMap): boolean {
  return tables.count * shape.perTable <= TABLES_AT_ONCE * 512;
}

async function troubles(map: GrainMap): Promise<Damage[]> {
  const census = await map.census();
  const { place, tables } = map;
  const out: Damage[] = [];
  const trouble = Math.max(0, tables.place(Math.max(0, census.firstTrouble))) * SECTOR;
  const say = (count: number, code: string, at: number, expected: string, actual: string, effect: string): void => {
    if (count > 0) out.push(place.damage(at, code, expected, actual, effect));
  };
  say(
    census.differ,
    'vmdk.copies-differ',
    trouble,
    'two copies of the grain tables that agree',
    `${census.differ} entries that differ`,
    'for each the one that can be right is taken, as inferred',
  );
  say(
    census.lost > 0 ? 0 : census.illegal,
    'vmdk.grain-range',
    trouble,
    'grains behind the tables and inside the file',
    `${census.illegal} entries elsewhere`,
    'what they stand for is missing',
  );
  say(
    census.lost,
    'vmdk.table-lost',
    trouble,
    'grain tables',
    `${census.lost} tables that hold something else in all copies`,
    census.orphans.length > 0
      ? 'grains that no table claims fill nearly all of them: they are taken in the order of the file, as guessed'
      : `what they stand for is missing; ${census.unclaimed} grains that no table claims are in the file`,
  );
  const twice = 'grains that one entry claims';
  say(census.shared, 'vmdk.grain-shared', trouble, twice, `${census.shared} claimed twice`, 'all claims are inferred');
  const aligned = 'grains at multiples of their size';
  say(census.off, 'vmdk.grain-align', trouble, aligned, `${census.off} elsewhere`, 'they are inferred');
  say(
    census.lost > 0 || !census.isLoss ? 0 : census.unclaimed,
    'vmdk.grains-unclaimed',
    census.firstUnclaimed * SECTOR,
    'tables that claim all grains',
    `${census.unclaimed} that no table claims`,
    'entries may be lost, so that nothing is stated of what has no entry',
  );
  return out;
}

/** All entries that are wrong, one by one. `known` was told when the extent was opened. */
export async function* checkGrains(
  map: GrainMap,
  known: readonly Damage[],
  signal: AbortSignal,
): AsyncGenerator<Damage> {
  const summary = await troubles(map);
  yield* summary.filter((one) => !known.some((other) => other.code === one.code && other.at === one.at));
  const { place, shape, tables } = map;
  const census = await map.census();
  let told = 0;
  for (let t = 0; t < tables.count; t++) {
    signal.throwIfAborted();
    if (census.isLost(t) || tables.state(t) !== 'there') continue;
    const table = (await map.merged(t))!;
    for (let i = 0; i < table.at.length && told < MAX_DAMAGES; i++) {
      const sector = table.at[i];
      const isLost = table.certainty[i] === LOST;
      if (!isLost && (sector <= 1 || !census.isShared(sector))) continue;
      const at = tables.place(t) * SECTOR + i * 4;
      const from = (t * shape.perTable + i) * shape.grain * SECTOR;
      const effect = `bytes from ${from} of the disk on are ${isLost ? 'missing' : 'inferred'}`;
      const code = isLost ? 'vmdk.grain-range' : 'vmdk.grain-shared';
      const actual = isLost ? 'a place outside' : `sector ${map.sector(sector)}, which another entry claims`;
      yield place.damage(at, code, 'a grain of its own inside the file', actual, effect);
      told++;
    }
  }
}
