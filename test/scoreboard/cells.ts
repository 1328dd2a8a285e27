/** All cells, in the order in which they are run. */
import type { Cell, Group } from './cell.ts';
import { broken } from './damages/broken.ts';
import { encryption, unreadableSectors } from './damages/bytes.ts';
import { deleted } from './damages/deleted.ts';
import { formatted } from './damages/formatted.ts';
import { spanned } from './damages/members.ts';
import { anchors, mixtures, pointers, tables } from './damages/metadata.ts';
import { SEED, type Size, type Version } from './store.ts';

export const GROUPS: readonly Group[] = [
  anchors,
  tables,
  deleted,
  formatted,
  pointers,
  spanned,
  unreadableSectors,
  encryption,
  broken,
  mixtures,
];

const VERSIONS: readonly Version[] = [3, 5, 6];
const SIZES: readonly Size[] = [5, 20];

/** A cell of a group, whether or not it is on the scoreboard. Throws where there is no such damage. */
export function cellOf(group: string, damage: string, version: Version, size: Size): Cell {
  const found = GROUPS.find((one) => one.id === group);
  const index = found?.damages.findIndex((one) => one.id === damage) ?? -1;
  if (found === undefined || index < 0) throw new Error(`There is no damage ${group}/${damage}.`);
  const id = `${group}/${damage}/v${version}/m${size}`;
  const seed = SEED + 1000 * Number(group) + 10 * index + version;
  return { id, group: found, damage: found.damages[index], version, size, seed };
}

/** The scoreboard's cells: those with few machines first. */
export function cells(): Cell[] {
  return SIZES.flatMap((size) =>
    GROUPS.flatMap((group) =>
      group.damages.flatMap((damage) =>
        (damage.sizes ?? SIZES).includes(size)
          ? VERSIONS.filter((version) => damage.versions?.includes(version) !== false).map((version) =>
              cellOf(group.id, damage.id, version, size),
            )
          : [],
      ),
    ),
  );
}
