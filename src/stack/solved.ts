/** Solved chains as every surface tells them. */
import type { Disk } from './disks.ts';
import type { SolvedChain, Tie } from './solve.ts';

/** How a link is known, in words. */
export const HOW: Readonly<Record<Tie['how'], string>> = {
  proved: 'proved by its identity',
  stated: 'stated by name',
  changed: 'CHANGED since',
  named: 'BY NAME ONLY',
  alike: 'ONE OF SEVERAL',
  chosen: 'chosen with --parent',
  'alike-bytes': 'BY ITS BYTES ONLY',
  missing: 'BROKEN: the parent is not here',
  loop: 'BROKEN: a loop',
};
/** Whether every link of a chain is sure and nothing of it is missing. */
export function isWhole({ levels, missing, guest, notices }: SolvedChain): boolean {
  const isSure = levels.every(({ tie }) => tie === undefined || tie.how === 'proved' || tie.how === 'stated');
  const isSound = levels.every(({ disk }) => (disk.layer?.damage.length ?? 0) === 0);
  return isSure && isSound && missing === 0 && notices.length === 0 && guest.clashes.length === 0;
}

function diskJson({ file, layer, source, modified }: Disk): Record<string, unknown> {
  return {
    locator: file.locator,
    ...(layer?.format !== undefined && { format: layer.format }),
    size: source.size,
    ...(modified !== undefined && { modified }),
    identities: layer?.identities ?? [],
  };
}

/** A chain for programs. */
export function chainJson({ levels, missing, guest, notices }: SolvedChain): unknown {
  return {
    missing,
    guest,
    notices,
    levels: levels.map(({ disk, held, tie, users }) => ({
      ...diskJson(disk),
      held,
      users,
      damage: disk.layer?.damage ?? [],
      ...(tie && {
        tie: { ...tie, offers: tie.offers.map(({ disk: one, ...rest }) => ({ ...diskJson(one), ...rest })) },
      }),
    })),
  };
}
