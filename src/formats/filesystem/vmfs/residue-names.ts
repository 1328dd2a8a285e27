/** Names for what nothing names any more, from the best evidence there is; each keeps where it came from. */
import { addressText } from './address.ts';
import { align } from './residue-align.ts';
import { CHANGES, type Guess, guessOf, HEAD_BYTES } from './residue-content.ts';
import type { How, Trace } from './residue-dirents.ts';
import { byMachine, byNeighbours } from './residue-neighbours.ts';
import type { Residue, Survey } from './residue-survey.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR } from './structs.ts';

export interface Named {
  readonly name: string;
  /** The evidence, in words. */
  readonly from: string;
  /** Descriptor address of the directory it was in. */
  readonly directory?: number;
  /** Other names that entries give it: it was renamed, or has links. */
  readonly others?: readonly string[];
}

const FROM: Readonly<Record<How, string>> = {
  used: 'entry of a directory that is gone itself',
  unlisted: 'entry that its directory does not list any more',
  freed: 'entry whose slot was freed',
  behind: "entry behind its directory's end",
  journal: 'copy of its entry in the journal',
  unowned: 'entry in blocks that no directory holds any more',
  cleared: 'entry without address, by its generation',
  empty: 'entry of a live directory whose file descriptor is lost',
};
const RANK: readonly How[] = ['used', 'unlisted', 'freed', 'behind', 'journal', 'unowned', 'cleared', 'empty'];
/** Descriptors of disks are text of a few hundred bytes. */
const MAX_DESCRIPTOR = 65536;

/** A name for each residue, by its key. */
export async function namesOf(survey: Survey): Promise<Map<number, Named>> {
  const names = new Map<number, Named>();
  byAddress(survey, survey.traces, names);
  byGeneration(survey, survey.traces, names);
  if ([...survey.residues.keys()].some((key) => !names.has(key))) {
    await survey.findLoose();
    byAddress(survey, survey.looseEntries, names);
    byGeneration(survey, survey.looseEntries, names);
  }
  const guesses = await byContent(survey, names);
  byExtents(survey, guesses, names);
  byNeighbours(survey, names);
  byCompany(survey, names);
  byExtentsBeside(survey, guesses, names);
  byTracking(survey, guesses, names);
  byMachine(survey, names);
  lostDirectories(survey, names);
  for (const { key, address } of survey.residues.values()) {
    if (!names.has(key)) names.set(key, { name: `fd-${addressText(address)}`, from: 'its address only' });
  }
  return names;
}

/** Entries that still say which descriptor they meant. Another generation there is another file. */
function byAddress(survey: Survey, traces: readonly Trace[], names: Map<number, Named>): void {
  const found = new Map<number, Trace[]>();
  for (const trace of traces) {
    for (const residue of trace.address === 0 ? [] : survey.at(trace.address)) {
      if (residue.generation !== trace.generation || residue.type !== trace.type) continue;
      const list = found.get(residue.key);
      if (list === undefined) found.set(residue.key, [trace]);
      else list.push(trace);
    }
  }
  for (const [key, list] of found) {
    if (names.has(key)) continue;
    const { parent } = survey.residues.get(key)!;
    const elsewhere = (t: Trace): number => (parent !== 0 && t.directory !== parent ? 1 : 0);
    const order = (t: Trace): number => elsewhere(t) * 8 + RANK.indexOf(t.how);
    list.sort((a, b) => order(a) - order(b) || a.directory - b.directory || a.at - b.at);
    const [{ name, how, directory }] = list;
    const others = [...new Set(list.map((t) => t.name))].filter((other) => other !== name);
    const known = directory !== 0 && { directory };
    names.set(key, { name, from: FROM[how], ...known, ...(others.length > 0 && { others }) });
  }
}

/** Entries whose address was cleared. */
function byGeneration(survey: Survey, traces: readonly Trace[], names: Map<number, Named>): void {
  // A directory's own ".." says where it was, also on VMFS3 and VMFS5.
  const waiting = [...survey.residues.values()]
    .filter((residue) => !names.has(residue.key) && isFirst(survey, residue))
    .map((residue) => ({ ...residue, parent: residue.parent || (survey.above.get(residue.address) ?? 0) }));
  const cleared = traces.filter((t) => t.how === 'cleared');
  for (const { trace, residue, only } of align(cleared, waiting)) {
    const from = only ? FROM.cleared : `${FROM.cleared} and its place among others`;
    for (const { key, generation } of survey.at(residue.address)) {
      const directory = trace.directory !== 0 && { directory: trace.directory };
      if (generation === residue.generation) names.set(key, { name: trace.name, from, ...directory });
    }
  }
}

/** Of several versions of one file the first stands for all: they have one name. */
function isFirst(survey: Survey, { key, address, generation }: Residue): boolean {
  return survey.at(address).find((one) => one.generation === generation)?.key === key;
}

/** First bytes tell kinds, and some tell names. Answers what they tell, by key. */
async function byContent(survey: Survey, names: Map<number, Named>): Promise<ReadonlyMap<number, Guess>> {
  const guesses = new Map<number, Guess>();
  for (const residue of survey.residues.values()) {
    if (residue.type !== TYPE_REGULAR || residue.length === 0) continue;
    const name = names.get(residue.key)?.name;
    const wanted = name === undefined || (name.endsWith('.vmdk') && residue.length <= MAX_DESCRIPTOR);
    const guess = wanted ? await guessAt(survey, residue) : undefined;
    if (guess !== undefined) guesses.set(residue.key, guess);
  }
  for (const [key, { stem, ending, from }] of guesses) {
    if (names.has(key)) continue;
    const { address } = survey.residues.get(key)!;
    names.set(key, { name: `${stem ?? `fd-${addressText(address)}`}${ending}`, from });
  }
  return guesses;
}

/** A disk's descriptor names the file that holds the disk: the only one of its size. */
function byExtents(survey: Survey, guesses: ReadonlyMap<number, Guess>, names: Map<number, Named>): void {
  for (const [key, { extent }] of guesses) {
    if (extent === undefined) continue;
    const fits = [...survey.residues.values()].filter(
      (r) => r.length === extent.size && isNameless(r, names) && isFirst(survey, r),
    );
    if (fits.length !== 1) continue;
    const { address } = survey.residues.get(key)!;
    const directory = directoryOf(survey, key, names);
    const from = `the disk descriptor ${addressText(address)} names a file of this size`;
    names.set(fits[0].key, { name: extent.name, from, ...(directory !== 0 && { directory }) });
  }
}

/** What says which blocks of a disk changed is called as its descriptor says, where there is one of either beside the other. */
function byTracking(survey: Survey, guesses: ReadonlyMap<number, Guess>, names: Map<number, Named>): void {
  const wanted = new Map<number, Set<string>>();
  const there = new Map<number, number[]>();
  const taken = new Set([...names].map(([key, { name }]) => `${directoryOf(survey, key, names)}/${name}`));
  for (const [key, { tracking, ending }] of guesses) {
    const directory = directoryOf(survey, key, names);
    const { address } = survey.residues.get(key)!;
    if (directory === 0) continue;
    if (tracking !== undefined && !taken.has(`${directory}/${tracking}`))
      wanted.set(directory, (wanted.get(directory) ?? new Set()).add(tracking));
    if (names.get(key)?.name === `fd-${addressText(address)}${ending}` && ending === CHANGES.ending)
      there.set(directory, [...(there.get(directory) ?? []), key]);
  }
  for (const [directory, [key, ...more]] of there) {
    const [name, ...others] = wanted.get(directory) ?? [];
    if (name === undefined || more.length + others.length > 0) continue;
    const from = `${guesses.get(key)!.from}; the disk descriptor beside it names one`;
    names.set(key, { name, from, directory });
  }
}

/** Extents among the files of one directory, once it is known what lay together: machines made alike have disks alike. */
function byExtentsBeside(survey: Survey, guesses: ReadonlyMap<number, Guess>, names: Map<number, Named>): void {
  const taken = new Set([...names].map(([key, { name }]) => `${directoryOf(survey, key, names)}/${name}`));
  const wanted = new Map<string, { readonly key: number; readonly name: string }[]>();
  for (const [key, { extent }] of guesses) {
    const directory = directoryOf(survey, key, names);
    if (extent === undefined || directory === 0 || taken.has(`${directory}/${extent.name}`)) continue;
    const place = `${directory} ${extent.size}`;
    wanted.set(place, [...(wanted.get(place) ?? []), { key, name: extent.name }]);
  }
  const there = new Map<string, Residue[]>();
  for (const residue of survey.residues.values()) {
    if (!isNameless(residue, names) || !isFirst(survey, residue)) continue;
    const place = `${directoryOf(survey, residue.key, names)} ${residue.length}`;
    if (wanted.has(place)) there.set(place, [...(there.get(place) ?? []), residue]);
  }
  for (const [place, [want, ...others]] of wanted) {
    const [only, ...more] = there.get(place) ?? [];
    if (only === undefined || more.length > 0 || others.length > 0) continue;
    const by = addressText(survey.residues.get(want.key)!.address);
    const from = `the disk descriptor ${by} beside it names the one file of this size`;
    names.set(only.key, { name: want.name, from, directory: Number(place.split(' ')[0]) });
  }
}

/** Descriptor address of the directory that a residue was in; 0 where that is not known. */
function directoryOf(survey: Survey, key: number, names: ReadonlyMap<number, Named>): number {
  const { parent, address } = survey.residues.get(key) ?? { parent: 0, address: 0 };
  return names.get(key)?.directory ?? (parent || (survey.above.get(address) ?? 0));
}

/** A directory is called like the one machine in it; a disk belongs where its machine is. */
function byCompany(survey: Survey, names: Map<number, Named>): void {
  const machines = new Map<number, string[]>();
  for (const { name, directory } of names.values()) {
    const base = /^(.+)\.vmx$/.exec(name)?.[1];
    if (base === undefined || directory === undefined) continue;
    machines.set(directory, [...(machines.get(directory) ?? []), base]);
  }
  const homes = new Map<string, number[]>();
  for (const [directory, [base, ...more]] of machines) {
    homes.set(base, [...(homes.get(base) ?? []), directory]);
    const isNamed = survey.paths.has(directory) || names.has(directory);
    if (!isNamed && more.length === 0) names.set(directory, { name: base, from: 'the one configuration in it' });
  }
  for (const [address, named] of names) {
    if (named.directory !== undefined || survey.residues.get(address)?.parent !== 0) continue;
    const base = /^(.+?)(?:_\d+)?(?:-\d{6})?(?:-flat|-delta|-sesparse|-ctk)?\.vmdk$/.exec(named.name)?.[1];
    const there = homes.get(base ?? '') ?? [];
    if (there.length === 1) {
      names.set(address, { ...named, directory: there[0], from: `${named.from}; beside its machine` });
    }
  }
}

/** Directories that are known by what is in them only, with no descriptor: their own entries may be left. */
export function lostDirectories(survey: Survey, names: Map<number, Named>): void {
  const lost = new Set<number>();
  for (const residue of survey.residues.values()) {
    const above = names.get(residue.key)?.directory ?? (residue.parent || survey.above.get(residue.address) || 0);
    if (above !== 0 && !survey.paths.has(above) && !survey.residues.has(above)) lost.add(above);
  }
  for (const { directory } of survey.looseEntries)
    if (directory !== 0 && !survey.paths.has(directory) && !survey.residues.has(directory)) lost.add(directory);
  const placeOf = (address: number, trace?: Trace): { directory?: number } => {
    const directory = trace?.directory || survey.above.get(address);
    return directory === undefined ? {} : { directory };
  };
  const free: Trace[] = [];
  const known = new Set([...names.values()].map((one) => one.name));
  for (const trace of [...survey.traces, ...survey.looseEntries]) {
    if (trace.type !== TYPE_DIRECTORY) continue;
    const { address, name, how } = trace;
    if (address === 0 && !known.has(name)) free.push(trace);
    else if (lost.has(address)) {
      if (!names.has(address)) names.set(address, { name, from: FROM[how], ...placeOf(address, trace) });
      lost.delete(address);
    }
  }
  for (const { key, address, type } of survey.residues.values())
    if (type === TYPE_DIRECTORY && key === address && !names.has(key)) lost.add(address);
  calledLikeMachines(survey, lost, free, names, placeOf);
  for (const address of lost) {
    const [only, ...more] = free;
    if (survey.residues.has(address)) continue;
    if (names.has(address) || only === undefined || more.length > 0 || lost.size > 1) continue;
    const from = `${FROM.cleared}; the only directory without a descriptor`;
    names.set(address, { name: only.name, from, ...placeOf(address, only) });
  }
}

/** Directories that no entry leads to are called like the one machine that their own entries name. */
function calledLikeMachines(
  survey: Survey,
  lost: Set<number>,
  free: readonly Trace[],
  names: Map<number, Named>,
  placeOf: (address: number) => { directory?: number },
): void {
  const machines = new Map<number, Set<string>>();
  for (const { directory, name } of [...survey.traces, ...survey.looseEntries]) {
    const base = /^(.+)\.vmx$/.exec(name)?.[1];
    if (base === undefined || !lost.has(directory)) continue;
    machines.set(directory, (machines.get(directory) ?? new Set()).add(base));
  }
  for (const [address, [base, ...more]] of machines) {
    if (names.has(address) || more.length > 0) continue;
    const entry = free.some(({ name }) => name === base);
    const from = entry ? `${FROM.cleared}; called like the one configuration in it` : 'the one configuration in it';
    names.set(address, { name: base, from, ...placeOf(address) });
    lost.delete(address);
  }
}

/** Without a name, or with one that is only an address and a kind. */
function isNameless(residue: Residue, names: ReadonlyMap<number, Named>): boolean {
  const name = names.get(residue.key)?.name;
  return (
    residue.type === TYPE_REGULAR && (name === undefined || name === `fd-${addressText(residue.address)}-flat.vmdk`)
  );
}

async function guessAt(survey: Survey, residue: Residue): Promise<Guess | undefined> {
  const fd = await survey.descriptor(residue);
  if (fd === undefined) return undefined;
  const source = await survey.bytesOf(residue, fd);
  const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
  await source.read(0, head);
  return guessOf(head);
}
