/**
 * Names for what has no descriptor at all: pointer blocks and texts that were left over. A disk's descriptor names a
 * file of one size; entries name files whose descriptors were cleared. Source: vmfs.md sections 8.7 and 8.8.
 */
import type { Guess } from './residue-content.ts';
import { guessOf, HEAD_BYTES } from './residue-content.ts';
import type { Trace } from './residue-dirents.ts';
import type { Match, Want } from './residue-match.ts';
import type { Named } from './residue-names.ts';
import type { Chain } from './residue-pointers.ts';
import type { Survey } from './residue-survey.ts';
import type { LooseText } from './residue-unowned.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR } from './structs.ts';

/** Something without a descriptor, with the best name for it. */
export interface Lost {
  readonly named: Named;
  readonly chain?: Chain;
  readonly match?: Match;
  readonly text?: LooseText;
}

/** A file that a disk's descriptor names and that is nowhere. */
interface Wanted {
  readonly name: string;
  readonly size: number;
  readonly directory: number;
}

/** Names of what is too small for pointer blocks. */
const SMALL = /(?:\.(?:vmxf?|vmsd|nvram|log)|(?<!-(?:flat|delta|sesparse|ctk|\d{6}))\.vmdk)$/;
/** Descriptors of disks are text of a few hundred bytes. */
const MAX_DESCRIPTOR = 65536;

/**
 * Texts in sub-blocks for files that lost their pointers, by their keys: where name and length agree, and nothing else
 * does so.
 */
export async function textsFor(survey: Survey, names: ReadonlyMap<number, Named>): Promise<Map<number, LooseText>> {
  const out = new Map<number, LooseText>();
  if (survey.small.size === 0) return out;
  const { texts } = await survey.findLoose();
  const agree = ({ guess, length }: LooseText, key: number): boolean => {
    const own = guess.stem !== undefined && names.get(key)?.name === `${guess.stem}${guess.ending}`;
    return own && survey.residues.get(key)?.length === length;
  };
  for (const key of survey.small) {
    const [text, ...more] = texts.filter((one) => agree(one, key));
    const rivals = [...survey.small].filter((other) => other !== key && text !== undefined && agree(text, other));
    if (text !== undefined && more.length === 0 && rivals.length === 0) out.set(key, text);
  }
  return out;
}

/** What is left over on this volume, named as far as that goes. */
export async function lostOf(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  used: ReadonlyMap<number, LooseText>,
): Promise<Lost[]> {
  const taken = new Set<Chain | LooseText>(used.values());
  const loose = await survey.findLoose();
  if (survey.chains.length === 0 && loose.texts.length === 0) return [];
  const entries = lostEntries(survey, names);
  const homes = homesOf(survey, names);
  const out: Lost[] = [];
  for (const text of loose.texts) if (!taken.has(text)) out.push({ named: nameOfText(text, entries, homes), text });
  const wanted = await wantedBy(survey, names, out);
  const wants = wanted.map(({ size }, i): Want => {
    return { key: i, length: size, unit: survey.volume.geometry.blockSize, blocks: undefined, owners: [] };
  });
  const matches = await survey.match(wants, survey.chains);
  for (const [i, list] of matches) {
    const { name, directory } = wanted[i];
    for (const match of list) {
      for (const part of match.parts) taken.add(part);
      const from = 'a disk descriptor names a file of this size that is nowhere';
      out.push({ named: { name, from, ...(directory !== 0 && { directory }) }, match });
    }
  }
  const rest = survey.chains.filter((chain) => !taken.has(chain));
  const isOpen = ({ name }: Trace): boolean => !SMALL.test(name) && !out.some(({ named }) => named.name === name);
  const open = entries.filter(isOpen);
  for (const chain of rest) {
    const [only, ...more] = open;
    const sole = only !== undefined && more.length === 0 && rest.length === 1;
    const directory = sole && only.directory !== 0 && { directory: only.directory };
    const from = sole ? 'the only entry without a file, and the only pointer blocks without one' : 'its position only';
    out.push({ named: { name: sole ? only.name : chain.name, from, ...directory }, chain });
  }
  return out;
}

/** Entries of files whose descriptor is nowhere, each name once. */
function lostEntries(survey: Survey, names: ReadonlyMap<number, Named>): Trace[] {
  const known = new Set([...names.values()].flatMap((one) => [one.name, ...(one.others ?? [])]));
  const out = new Map<string, Trace>();
  for (const trace of [...survey.traces, ...survey.looseEntries]) {
    if (trace.type !== TYPE_REGULAR || known.has(trace.name) || survey.isLive(trace)) continue;
    const key = `${trace.directory}/${trace.name}`;
    if (!out.has(key)) out.set(key, trace);
  }
  // Where a directory's blocks were found twice, one of them does not know whose they are.
  const placed = new Set([...out.values()].filter((one) => one.directory !== 0).map(({ name }) => name));
  return [...out.values()].filter((one) => one.directory !== 0 || !placed.has(one.name));
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

/** Extents that descriptors name, live ones and others, and that are nowhere. */
async function wantedBy(survey: Survey, names: ReadonlyMap<number, Named>, texts: readonly Lost[]): Promise<Wanted[]> {
  const out: Wanted[] = [];
  const there = new Set(survey.disks.map(({ directory, name }) => `${directory}/${name}`));
  const gone = new Set([...names.values()].map(({ name }) => name));
  const add = (guess: Guess | undefined, directory: number): void => {
    const { extent } = guess ?? {};
    if (extent?.flat !== true || there.has(`${directory}/${extent.name}`) || gone.has(extent.name)) return;
    if (!out.some((one) => one.name === extent.name && one.directory === directory)) {
      out.push({ name: extent.name, size: extent.size, directory });
    }
  };
  if (survey.chains.length === 0) return out;
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
  return out;
}
