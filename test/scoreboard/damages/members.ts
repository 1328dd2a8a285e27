/** Spanned stores whose members are not all, or not the right ones. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeImages } from '../../make/images.ts';
import type { MemberSpec } from '../../make/vmfs.ts';
import { type Case, laid } from '../case.ts';
import type { Damage, Group } from '../cell.ts';
import { type Size, store, type Version } from '../store.ts';

const MEMBERS: readonly MemberSpec[] = [{ pes: 2, wrap: 'gpt' }, { pes: 2 }, { pes: 2, wrap: 'gpt' }];

/** The member that holds the disk of the machine that was made last. */
const LAST = 2;

function damage(id: string, change: (one: Case, version: Version, size: Size) => Promise<void> | void): Damage {
  const make = async (version: Version, size: Size, dir: string, seed: number): Promise<Case> => {
    const one = await laid(store(version, size, { members: MEMBERS }), dir, seed);
    await change(one, version, size);
    return one;
  };
  return { id, bar: { bytes: 1, names: 1 }, make };
}

function lose(one: Case, member: number): void {
  const path = one.members[member]!;
  rmSync(path);
  one.images = one.images.filter((image) => image !== path);
  one.members[member] = undefined;
  // The names of all files are on the first member.
  one.byEntry = true;
}

/** An image of a second store beside the first, given as one more member. */
async function beside(one: Case, made: ReturnType<typeof store>, member: number): Promise<void> {
  const paths = await writeImages({ ...made, name: 'other' }, one.dir);
  for (const [i, path] of paths.entries()) if (i !== member) rmSync(path);
  one.images = [...one.images, join(one.dir, `other-${member}.img`)];
}

export const spanned: Group = {
  id: '6',
  title: 'Spanned stores (three members)',
  damages: [
    ...[0, 1, 2].map((member) => damage(`without-member-${member}`, (one) => lose(one, member))),
    damage('wrong-order', (one) => {
      one.images = [one.images[2], one.images[0], one.images[1]];
    }),
    // As it was before the last machine was made.
    damage('stale-copy-beside', (one, version, size) =>
      beside(one, store(version, size, { members: MEMBERS, without: 1 }), LAST),
    ),
    damage('stale-copy-instead', async (one, version, size) => {
      // Nothing on a member says how old it is: what it lacks is an alteration that no metadata shows.
      one.altered = true;
      lose(one, LAST);
      await beside(one, store(version, size, { members: MEMBERS, without: 1 }), LAST);
      one.members[LAST] = one.images[LAST];
    }),
    damage('foreign-member-beside', (one, version, size) =>
      beside(one, store(version, size, { members: MEMBERS, seed: 4711, label: 'foreign' }), 1),
    ),
  ],
};
