/**
 * Where files belong whose directory is gone: descriptors are given out in order, so what was made in a directory comes
 * right after it. A guess about names and places, never about bytes; it is made only where a name agrees with it.
 */
import { addressText, fdNumbers } from './address.ts';
import type { Named } from './residue-names.ts';
import type { Residue, Survey } from './residue-survey.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR } from './structs.ts';
import type { Volume } from './volume.ts';

interface Folder {
  readonly address: number;
  readonly index: number;
  /** Undefined where the directory itself has no name any more. */
  readonly name: string | undefined;
}

/** Kinds of which a machine has one, called after it. */
const ONE_OF_A_MACHINE: readonly string[] = ['.nvram', '.vmsd', '.vmxf'];

/** Gives a directory to files that have none, by the directory whose descriptor comes before theirs. */
export function byNeighbours(survey: Survey, names: Map<number, Named>): void {
  const folders = foldersOf(survey, names);
  const byFolder = new Map<Folder, Residue[]>();
  for (const residue of survey.residues.values()) {
    const known = names.get(residue.key)?.directory ?? (residue.parent || survey.above.get(residue.address));
    if (residue.type === TYPE_DIRECTORY || (known !== undefined && known !== 0)) continue;
    const folder = folders.findLast((one) => one.index < indexOf(survey.volume, residue.address));
    if (folder !== undefined) byFolder.set(folder, [...(byFolder.get(folder) ?? []), residue]);
  }
  const all = new Set(folders.map((folder) => folder.name));
  for (const [folder, residues] of byFolder) {
    const stems = residues.map((residue) => stemOf(names.get(residue.key)?.name ?? ''));
    const machines = residues.filter((residue) => names.get(residue.key)?.name.endsWith('.vmx'));
    const agrees = folder.name === undefined ? machines.length === 1 : stems.includes(folder.name);
    if (!agrees) continue;
    for (const [i, residue] of residues.entries()) {
      // What bears the name of another directory belongs there, wherever its descriptor is.
      if (stems[i] !== folder.name && all.has(stems[i])) continue;
      const named = names.get(residue.key) ?? { name: `fd-${addressText(residue.address)}`, from: 'its address only' };
      names.set(residue.key, {
        ...named,
        directory: folder.address,
        from: `${named.from}; made right after its directory`,
      });
    }
  }
}

/** Files of a kind that a machine has one of are called after the one machine of their directory. */
export function byMachine(survey: Survey, names: Map<number, Named>): void {
  const machines = new Map<number, string[]>();
  const kinds = new Map<string, Residue[]>();
  for (const residue of survey.residues.values()) {
    const named = names.get(residue.key);
    const directory = named?.directory ?? (residue.parent || survey.above.get(residue.address));
    if (named === undefined || directory === undefined || directory === 0) continue;
    const base = /^(.+)\.vmx$/.exec(named.name)?.[1];
    if (base !== undefined) machines.set(directory, [...(machines.get(directory) ?? []), base]);
    const ending = ONE_OF_A_MACHINE.find((one) => named.name === `fd-${addressText(residue.address)}${one}`);
    if (ending === undefined || residue.type !== TYPE_REGULAR) continue;
    const key = `${directory} ${ending}`;
    kinds.set(key, [...(kinds.get(key) ?? []), residue]);
  }
  for (const [key, residues] of kinds) {
    const [directory, ending] = key.split(' ');
    const bases = machines.get(Number(directory)) ?? [];
    if (bases.length !== 1 || residues.length !== 1) continue;
    const named = names.get(residues[0].key)!;
    names.set(residues[0].key, {
      ...named,
      name: `${bases[0]}${ending}`,
      from: `${named.from}; the one of its kind beside ${bases[0]}.vmx`,
    });
  }
}

/** All directories below the root, live or gone, in the order of their descriptors. */
function foldersOf(survey: Survey, names: ReadonlyMap<number, Named>): Folder[] {
  const out: Folder[] = [];
  for (const [address, path] of survey.paths) {
    if (path.length > 0) out.push({ address, index: indexOf(survey.volume, address), name: path.at(-1) });
  }
  for (const { key, address, type } of survey.residues.values()) {
    if (type !== TYPE_DIRECTORY || key !== address) continue;
    out.push({ address, index: indexOf(survey.volume, address), name: names.get(key)?.name });
  }
  return out.sort((a, b) => a.index - b.index);
}

/** A descriptor's number in the order in which they are given out; -1 for what is no address. */
export function indexOf(volume: Volume, address: number): number {
  const numbers = fdNumbers(address);
  const perCluster = volume.files.fdc?.header.perCluster ?? 0;
  return numbers === undefined || address === 0 ? -1 : numbers.cluster * perCluster + numbers.resource;
}

/** "web01" of "web01-000001-delta.vmdk". */
function stemOf(name: string): string {
  return /^(.+?)(?:_\d+)?(?:-\d{6})?(?:-flat|-delta|-sesparse|-rdmp?|-ctk)?\.[^.]+$/.exec(name)?.[1] ?? name;
}
