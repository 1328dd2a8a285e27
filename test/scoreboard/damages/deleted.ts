/** Deleted files and machines, in every way that is thought possible, before and after others took their place. */
import { seeded } from '../../make/content.ts';
import { Eraser, type Variant } from '../../make/damage.ts';
import type { EntrySpec } from '../../make/vmfs.ts';
import { type Case, laid, overlay, userFiles } from '../case.ts';
import type { Bar, Damage, Group } from '../cell.ts';
import { plans, type Size, store, type Version } from '../store.ts';

const MIB = 0x100000;
const BARS: Record<Variant, Bar> = {
  A: { bytes: 0.99, names: 0.99 },
  B: { bytes: 0.99, names: 0.99 },
  C: { bytes: 0.95 },
  D: { bytes: 0.9, thin: 0.4 },
  E: { bytes: 0.99, names: 0.99 },
};

interface How {
  readonly variant: Variant;
  readonly what: 'files' | 'machine';
  /** Whether copies in the journal survive. */
  readonly journal: boolean;
  /** Whether a new machine lies where the old one was. */
  readonly reused: boolean;
}

function victims(size: Size, how: How): string[] {
  const names = plans(size).map((plan) => plan.name);
  const last = names.at(-1)!;
  return how.reused || size === 2 ? [last] : [names[1], last];
}

/** A smaller machine that is made after the old one is gone, at the place of its disk. */
function newcomer(size: Size): EntrySpec[] {
  const { guest } = plans(size).at(-1)!;
  const bytes = Math.floor(guest.mib / 3) * MIB;
  return [
    { path: '/new01', kind: 'directory' },
    {
      path: '/new01/new01-flat.vmdk',
      kind: 'file',
      content: seeded(guest.seed + 7, bytes),
      place: 0.3 + (0.65 * (size - 1)) / size,
    },
    { path: '/new01/vmware.log', kind: 'file', content: 'new01 was made where another machine had been\n'.repeat(40) },
  ];
}

async function make(how: How, version: Version, size: Size, dir: string, seed: number): Promise<Case> {
  const one = await laid(store(version, size), dir, seed);
  const eraser = new Eraser(one.made);
  const folders = victims(size, how);
  for (const name of folders) {
    if (how.what === 'machine') eraser.directory(`/${name}`, how.variant, { journal: how.journal });
    else
      for (const end of ['-flat.vmdk', '.vmdk', '.vmx'])
        eraser.file(`/${name}/${name}${end}`, how.variant, { journal: how.journal });
  }
  overlay(one, eraser.changes());
  const gone = (path: string): boolean => {
    const [, folder, name] = path.split('/');
    return folders.includes(folder) && (how.what === 'machine' || /(-flat\.vmdk|\.vmx|\.vmdk)$/.test(name));
  };
  one.wanted = gone;
  one.byEntry = true;
  if (!how.reused) return one;
  const after = store(version, size, { without: 1, edit: (entries) => [...entries, ...newcomer(size)] });
  overlay(one, after.writes());
  one.files = [...one.files.filter(({ file }) => gone(file.path)), ...userFiles(after)];
  return one;
}

function damage(how: How): Damage {
  const words = [how.what, how.variant, how.journal ? '' : 'no-journal', how.reused ? 'reused' : ''];
  const common = how.journal && how.what === 'machine';
  // VMFS6 keeps no copies of descriptors in its journal.
  const versions: readonly Version[] = how.journal ? [3, 5, 6] : [3, 5];
  return {
    id: words.filter(Boolean).join('-'),
    bar: BARS[how.variant],
    versions,
    sizes: common ? [5, 20] : [5],
    make: (version, size, dir, seed) => make(how, version, size, dir, seed),
  };
}

const VARIANTS: readonly Variant[] = ['A', 'B', 'C', 'D', 'E'];

export const deleted: Group = {
  id: '3',
  title: 'Deleted',
  damages: VARIANTS.flatMap((variant) =>
    [true, false].flatMap((journal) => [
      damage({ variant, what: 'files', journal, reused: false }),
      damage({ variant, what: 'machine', journal, reused: false }),
      damage({ variant, what: 'machine', journal, reused: true }),
    ]),
  ),
};
