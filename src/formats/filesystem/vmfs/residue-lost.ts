/**
 * Names for what has no descriptor at all: pointer blocks and texts that were left over. A disk's descriptor names a
 * file of one size; entries name files whose descriptors were cleared. Source: vmfs.md sections 8.7 and 8.8.
 */
import { type Given, givenChains, givenTexts } from './residue-assign.ts';
import type { Guess } from './residue-content.ts';
import { guessOf, HEAD_BYTES } from './residue-content.ts';
import type { Trace } from './residue-dirents.ts';
import type { Match, Want } from './residue-match.ts';
import { lostDirectories, type Named } from './residue-names.ts';
import { indexOf } from './residue-neighbours.ts';
import { lostEntries, type Open, openNames, usualSettings, wholeFiles } from './residue-open.ts';
import type { Chain } from './residue-pointers.ts';
import type { Survey } from './residue-survey.ts';
import type { LooseText } from './residue-unowned.ts';
import { TYPE_DIRECTORY } from './structs.ts';

/** Something without a descriptor, with the best name for it. */
export interface Lost {
  readonly named: Named;
  readonly chain?: Chain;
  readonly match?: Match;
  readonly text?: LooseText;
}

/** Text that is what a file held which lost its pointers. */
export interface Fitting {
  readonly text: LooseText;
  readonly from: string;
  /** Nothing else fits. */
  readonly only: boolean;
}

/** All that is left over, and the names that are left after that. */
export interface Leftover {
  readonly lost: readonly Lost[];
  readonly open: readonly Open[];
  /** Names as they are known after all was looked through. */
  readonly names: ReadonlyMap<number, Named>;
}

/** A file whose name and size are known and that is nowhere. */
interface Wanted {
  readonly name: string;
  readonly size: number;
  readonly directory: number;
  readonly from: string;
}

const IN_SLOT = 'its entry; the text is left in its descriptor';
const ONLY = 'the only text of this name and length';
const BY_DESCRIPTOR = 'a disk descriptor names a file of this size that is nowhere';
const BY_LOG = 'an entry without a file, whose size a log tells';

/** Names of what is too small for pointer blocks. */
const SMALL = /(?:\.(?:vmxf?|vmsd|nvram|log)|(?<!-(?:flat|delta|sesparse|ctk|\d{6}))\.vmdk)$/;
/** Descriptors of disks are text of a few hundred bytes. */
const MAX_DESCRIPTOR = 65536;

/**
 * Texts in sub-blocks for files that lost their pointers, by their keys: where name and length agree, and nothing else
 * does so.
 */
export async function textsFor(survey: Survey, names: ReadonlyMap<number, Named>): Promise<Map<number, Fitting>> {
  const out = new Map<number, Fitting>();
  if (survey.small.size === 0) return out;
  const { texts } = await survey.findLoose();
  const agree = ({ guess, length }: LooseText, key: number): boolean => {
    const own = guess.stem !== undefined && names.get(key)?.name === `${guess.stem}${guess.ending}`;
    return own && survey.residues.get(key)?.length === length;
  };
  for (const key of survey.small) {
    const [text, ...more] = texts.filter((one) => agree(one, key));
    const rivals = [...survey.small].filter((other) => other !== key && text !== undefined && agree(text, other));
    if (text !== undefined && more.length === 0 && rivals.length === 0) out.set(key, { text, from: ONLY, only: true });
  }
  await unsaidFor(survey, names, texts, out);
  return out;
}

/** The same of files that do not say whose they are: these are guesses. */
async function unsaidFor(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly LooseText[],
  out: Map<number, Fitting>,
): Promise<void> {
  const spent = new Set([...out.values()].map(({ text }) => text.name));
  const keys = new Map<Open, number>();
  for (const key of survey.small) {
    const residue = survey.residues.get(key);
    const named = names.get(key);
    if (residue === undefined || named === undefined || out.has(key)) continue;
    const directory = named.directory ?? (residue.parent || 0);
    const index = indexOf(survey.volume, residue.address);
    keys.set({ name: named.name, directory, index, size: residue.length }, key);
  }
  const free = texts.filter((text) => !spent.has(text.name));
  for (const { piece, open, from } of await givenTexts(survey, names, free, [...keys.keys()])) {
    if (piece.length === open.size) out.set(keys.get(open)!, { text: piece, from, only: false });
  }
}

/** What is left over on this volume, named as far as that goes. */
export async function lostOf(
  survey: Survey,
  known: ReadonlyMap<number, Named>,
  used: ReadonlyMap<number, Fitting>,
): Promise<Leftover> {
  const loose = await survey.findLoose();
  // Blocks of directories that have no descriptor were perhaps not looked for before.
  const names = new Map(known);
  lostDirectories(survey, names);
  const spent = new Set([...used.values()].map(({ text }) => text.name));
  const free = loose.texts.filter((text) => !spent.has(text.name));
  const entries = lostEntries(survey, names);
  const homes = homesOf(survey, names);
  const told = free.map((text) => ({ text, named: nameOfText(text, entries, homes) }));
  const places = told.map(({ text, named }) => ({ text, directory: named.directory ?? 0 }));
  const all = await openNames(survey, names, places);
  const given = new Map<string, Given<LooseText>>();
  for (const one of await givenTexts(survey, names, free, all)) given.set(one.piece.name, one);
  const isSettings = ({ guess }: LooseText): boolean => guess.ending === '.nvram';
  const whole = free.some(isSettings) ? await wholeFiles(survey, names, '.nvram', false) : [];
  const usual = usualSettings(whole, survey.volume.geometry.subBlockSize);
  const cut = (text: LooseText): LooseText => (isSettings(text) ? { ...text, length: usual } : text);
  const out: Lost[] = told.map(({ text, named }): Lost => {
    const one = given.get(text.name);
    return one === undefined ? { named, text: cut(text) } : { named: namedBy(one, text.guess.from), text: one.piece };
  });
  for (const { name, directory, text } of all)
    if (text !== undefined) out.push({ named: { name, from: IN_SLOT, ...(directory !== 0 && { directory }) }, text });
  out.push(...(await lostChains(survey, names, out, stillOpen(all, out), entries)));
  return { lost: out, open: stillOpen(all, out), names };
}

/** Names that nothing was given. */
function stillOpen(open: readonly Open[], lost: readonly Lost[]): Open[] {
  const done = new Set(lost.map(({ named }) => `${named.directory ?? 0}/${named.name}`));
  return open.filter(({ name, directory }) => !done.has(`${directory}/${name}`));
}

function namedBy({ open: { name, directory }, from }: Given<unknown>, what?: string): Named {
  return { name, from: what === undefined ? from : `${what}; ${from}`, ...(directory !== 0 && { directory }) };
}

/** Pointer blocks without a descriptor: those that fit one name alone first, then by what is left of either. */
async function lostChains(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly Lost[],
  open: readonly Open[],
  entries: readonly Trace[],
): Promise<Lost[]> {
  if (survey.chains.length === 0) return [];
  const out: Lost[] = [];
  const taken = new Set<Chain>();
  const wanted = await wantedBy(survey, names, texts, open);
  const six = survey.volume.geometry.version === 6;
  const wants = wanted.map(({ size, directory }, i): Want => {
    // On VMFS6 the pointer blocks of a file are booked to its directory.
    const owners = six && directory !== 0 ? [directory] : [];
    return { key: i, length: size, unit: survey.volume.geometry.blockSize, blocks: undefined, owners };
  });
  const matches = await survey.match(wants, survey.chains);
  const take = (i: number, match: Match): void => {
    const { name, directory, from } = wanted[i];
    for (const part of match.parts) taken.add(part);
    out.push({ named: { name, from, ...(directory !== 0 && { directory }) }, match });
  };
  const isNamed = (one: { readonly name: string; readonly directory: number }): boolean =>
    out.some(({ named }) => named.name === one.name && (named.directory ?? 0) === one.directory);
  for (const [i, [match]] of matches) if (match.sole) take(i, match);
  const left = (): Chain[] => survey.chains.filter((chain) => !taken.has(chain));
  const disks = stillOpen(open, out).filter(({ name }) => !SMALL.test(name));
  const turns = left();
  for (const one of await givenChains(survey, names, turns, disks)) {
    taken.add(turns.find(({ name }) => name === one.piece.name)!);
    out.push({ named: namedBy(one), chain: one.piece });
  }
  for (const [i, list] of matches) {
    if (isNamed(wanted[i])) continue;
    for (const match of list) if (!match.parts.some((part) => taken.has(part))) take(i, match);
  }
  const rest = left();
  const done = new Set([...texts, ...out].map(({ named }) => named.name));
  const nameless = entries.filter(({ name }) => !SMALL.test(name) && !done.has(name));
  for (const chain of rest) {
    const [only, ...more] = nameless;
    const size = disks.find((one) => one.name === only?.name && one.directory === only.directory)?.size;
    const fits = size === undefined || chain.size < size + survey.volume.geometry.blockSize;
    const sole = only !== undefined && more.length === 0 && rest.length === 1 && fits;
    const directory = sole && only.directory !== 0 && { directory: only.directory };
    const from = sole ? 'the only entry without a file, and the only pointer blocks without one' : 'its position only';
    out.push({ named: { name: sole ? only.name : chain.name, from, ...directory }, chain });
  }
  return out;
}

/** Directories by their names, those that live and those that are gone; 0 for a name that two of them have. */
function homesOf(survey: Survey, names: ReadonlyMap<number, Named>): Map<string, number> {
  const out = new Map<string, number>();
  const add = (name: string | undefined, address: number): void => {
    if (name !== undefined) out.set(name, (out.get(name) ?? address) === address ? address : 0);
  };
  for (const [address, path] of survey.paths) add(path.at(-1), address);
  for (const { key, address, type } of survey.residues.values())
    if (type === TYPE_DIRECTORY) add(names.get(key)?.name, address);
  // Besides what has a descriptor, only directories are named: those that are known by what is in them.
  for (const [address, { name }] of names) if (!survey.residues.has(address)) add(name, address);
  return out;
}

/** What a text is called, and the directory that has an entry of this name and no file, or else its machine's. */
function nameOfText({ name, guess }: LooseText, entries: readonly Trace[], homes: ReadonlyMap<string, number>): Named {
  const own = guess.stem === undefined ? undefined : `${guess.stem}${guess.ending}`;
  const home = homes.get(guess.machine ?? guess.stem ?? '') ?? 0;
  const all = entries.filter((one) => one.name === own);
  const fits = all.length > 1 && home !== 0 ? all.filter((one) => one.directory === home) : all;
  const directory = fits.length === 1 ? fits[0].directory : home;
  const beside = fits.length !== 1 && home !== 0 ? '; the directory of its machine' : '';
  return {
    name: own ?? `${name}${guess.ending}`,
    from: `${guess.from}${beside}`,
    ...(directory !== 0 && { directory }),
  };
}

/** Extents that descriptors name, live ones and others, and that are nowhere; then entries whose size is known. */
async function wantedBy(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly Lost[],
  open: readonly Open[],
): Promise<Wanted[]> {
  const out: Wanted[] = [];
  const there = new Set(survey.disks.map(({ directory, name }) => `${directory}/${name}`));
  const gone = new Set([...names.values()].map(({ name }) => name));
  const add = (guess: Guess | undefined, directory: number): void => {
    const { extent } = guess ?? {};
    if (extent?.flat !== true || there.has(`${directory}/${extent.name}`) || gone.has(extent.name)) return;
    if (!out.some((one) => one.name === extent.name && one.directory === directory)) {
      out.push({ name: extent.name, size: extent.size, directory, from: BY_DESCRIPTOR });
    }
  };
  for (const { address, directory } of survey.disks) {
    const fd = await survey.volume.descriptor(address);
    if (fd === undefined || !(fd.length <= MAX_DESCRIPTOR)) continue;
    const source = survey.volume.source(fd, false);
    const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
    await source.read(0, head);
    add(guessOf(head), directory);
  }
  for (const residue of survey.residues.values()) {
    const named = names.get(residue.key);
    if (named === undefined || !named.name.endsWith('.vmdk') || residue.length > MAX_DESCRIPTOR) continue;
    const fd = await survey.descriptor(residue);
    if (fd === undefined) continue;
    const source = await survey.bytesOf(residue, fd);
    const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
    await source.read(0, head);
    add(guessOf(head), named.directory ?? residue.parent);
  }
  for (const { named, text } of texts) add(text?.guess, named.directory ?? 0);
  for (const { name, directory, size } of open) {
    const known = out.some((one) => one.name === name && (one.directory === directory || one.directory === 0));
    if (size !== undefined && !SMALL.test(name) && !known) out.push({ name, size, directory, from: BY_LOG });
  }
  return out;
}
