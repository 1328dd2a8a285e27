/**
 * Which of the names without bytes belong to which bytes without a name: by the directory that VMFS6 books them to, by
 * the size that the guest on them needs, and by the order in which both were given out. Source: vmfs.md 8.7 and 8.8.
 */
import { GUESSED } from '../../../core/run.ts';
import { latin1 } from '../../../core/struct.ts';
import { MAX_TAIL, startOf } from './carve.ts';
import { HEAD_BYTES } from './residue-content.ts';
import { chainSource } from './residue-map.ts';
import type { Named } from './residue-names.ts';
import { type Open, usualSettings, type Whole, wholeFiles } from './residue-open.ts';
import { inTurn } from './residue-order.ts';
import type { Chain } from './residue-pointers.ts';
import type { Survey } from './residue-survey.ts';
import type { LooseText } from './residue-unowned.ts';

/** Bytes that got a name, and why this one. */
export interface Given<P> {
  readonly piece: P;
  readonly open: Open;
  readonly from: string;
}

/** Kinds of small files that do not say whose they are, the last two where their start cannot be read. */
const UNSAID: readonly string[] = ['.vmsd', '.nvram', '-ctk.vmdk', '.vmx', '.log'];
/** Those of them whose own bytes do not say where they end. */
const ENDLESS: readonly string[] = ['.nvram', '-ctk.vmdk'];
/** Texts that are compared with each other. */
const MAX_COMPARED = 1024;

const ORDER = 'by the order of descriptors and of what they led to, which is a guess';
const ALIKE = 'one of several that are the same byte for byte';
const BOOKED = 'booked to its directory, which has one such entry without a file';
const POINTED = 'the pointers that are left of its descriptor lead there';
const ALONE = 'the only one of its kind, for the only such name';

/** Texts and settings that do not say whose they are, each with one of the names. */
export async function givenTexts(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly LooseText[],
  open: readonly Open[],
): Promise<Given<LooseText>[]> {
  const out: Given<LooseText>[] = [];
  const told = new Set(
    texts.flatMap(({ guess: { ending, stem } }) => (stem === undefined ? [] : [`${stem}${ending}`])),
  );
  for (const ending of UNSAID) {
    // A configuration that says whose it is leaves its name to no other.
    const wanting = open.filter(({ name }) => name.endsWith(ending) && !(ending === '.vmx' && told.has(name)));
    const found = texts.filter(({ guess }) => guess.stem === undefined && guess.ending === ending);
    if (wanting.length === 0 || found.length === 0) continue;
    const whole = await wholeFiles(survey, names, ending, false);
    const usual = usualSettings(whole, survey.volume.geometry.subBlockSize);
    const sized = ({ piece, ...more }: Given<LooseText>): Given<LooseText> => {
      const own = ending === '.nvram' ? usual : piece.length;
      const length = ENDLESS.includes(ending) ? Math.min(piece.length, more.open.size ?? own) : piece.length;
      return { ...more, piece: { ...piece, length } };
    };
    const pointed = byPointer(found, wanting);
    const [loose, held] = without(pointed, found, wanting);
    const booked = [...pointed, ...byOwner(loose, held, (text) => [text.owner])];
    const [rest, left] = without(booked, found, wanting);
    const others = (await areAlike(rest)) && rest.length >= left.length ? alike(rest, left) : [];
    const given = [...booked, ...(others.length > 0 ? others : turns(rest, left, whole))];
    for (const one of given) out.push(sized(one));
  }
  return out;
}

/** Where all texts are the same, each name has the bytes of any of them. */
function alike(texts: readonly LooseText[], open: readonly Open[]): Given<LooseText>[] {
  const order = [...open].sort((a, b) => a.index - b.index);
  const pieces = [...texts].sort((a, b) => a.place - b.place);
  return order.map((one, i) => ({ piece: pieces[i], open: one, from: ALIKE }));
}

async function areAlike(texts: readonly LooseText[]): Promise<boolean> {
  if (texts.length > MAX_COMPARED || texts.some(({ guess }) => ENDLESS.includes(guess.ending) || guess.isRest))
    return false;
  const seen = new Set<string>();
  for (const { file, at, length } of texts) {
    const bytes = new Uint8Array(length);
    await file.source.read(at, bytes);
    seen.add(latin1(bytes, 0, length));
  }
  return seen.size === 1;
}

function turns(texts: readonly LooseText[], open: readonly Open[], whole: readonly Whole[]): Given<LooseText>[] {
  const pieces = texts.map((piece) => ({ piece, at: piece.place }));
  const from = texts.length === 1 && open.length === 1 ? ALONE : ORDER;
  return inTurn(open, pieces, whole).map(([one, { piece }]) => ({ piece, open: one, from }));
}

/** Bytes and names that are left when some have found each other. */
function without<P>(given: readonly Given<P>[], pieces: readonly P[], open: readonly Open[]): [P[], Open[]] {
  const taken = new Set(given.map(({ piece }) => piece));
  const named = new Set(given.map((one) => one.open));
  return [pieces.filter((piece) => !taken.has(piece)), open.filter((one) => !named.has(one))];
}

/** What the pointers lead to that are left of a descriptor is its file's. */
function byPointer<P extends { readonly place: number }>(pieces: readonly P[], open: readonly Open[]): Given<P>[] {
  const places = new Map(pieces.map((piece) => [piece.place, piece]));
  return open.flatMap((one) => {
    const piece = one.leads === undefined ? undefined : places.get(one.leads);
    return piece === undefined ? [] : [{ piece, open: one, from: POINTED }];
  });
}

/** VMFS6: what is booked to a directory is the one name of its kind there. */
function byOwner<P>(pieces: readonly P[], open: readonly Open[], ownersOf: (piece: P) => Iterable<number>): Given<P>[] {
  const wanting = new Map<number, Open[]>();
  for (const one of open) wanting.set(one.directory, [...(wanting.get(one.directory) ?? []), one]);
  const offered = new Map<number, P[]>();
  for (const piece of pieces)
    for (const owner of ownersOf(piece)) offered.set(owner, [...(offered.get(owner) ?? []), piece]);
  const out: Given<P>[] = [];
  for (const [directory, list] of offered) {
    const names = wanting.get(directory) ?? [];
    if (directory !== 0 && list.length === 1 && names.length === 1)
      out.push({ piece: list[0], open: names[0], from: BOOKED });
  }
  return out;
}

/** Pointer blocks whose disk is one of the names: what is booked to its directory, or has its size and its turn. */
export async function givenChains(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  chains: readonly Chain[],
  open: readonly Open[],
): Promise<Given<Chain>[]> {
  if (chains.length === 0 || open.length === 0) return [];
  const pointed = byPointer(chains, open);
  const [loose, held] = without(pointed, chains, open);
  const booked = [...pointed, ...byOwner(loose, held, ({ owners }) => owners)].filter(({ piece, open: { size } }) => {
    return size === undefined || piece.size < size + survey.volume.geometry.blockSize;
  });
  const taken = new Set(booked.map(({ piece }) => piece));
  const named = new Set(booked.map((one) => one.open));
  const left = open.filter((one) => !named.has(one) && one.size !== undefined);
  const bySize = new Map<number, Chain[]>();
  for (const chain of left.length === 0 ? [] : chains) {
    const size = taken.has(chain) ? undefined : await sizeOf(survey, chain, left);
    if (size !== undefined) bySize.set(size, [...(bySize.get(size) ?? []), chain]);
  }
  const out = [...booked];
  const whole = bySize.size === 0 ? [] : await wholeFiles(survey, names, '.vmdk', false);
  for (const [size, list] of bySize) {
    const wanting = left.filter((one) => one.size === size);
    const why = 'the guest on it needs this size, which a log gives it';
    const from = list.length === 1 && wanting.length === 1 ? `${why}; nothing else has it` : `${why}; ${ORDER}`;
    const pieces = list.map((piece) => ({ piece, at: piece.place }));
    const anchors = whole.filter((one) => one.size === size);
    for (const [one, { piece }] of inTurn(wanting, pieces, anchors)) out.push({ piece, open: one, from });
  }
  return out.map(({ piece, ...more }) => ({ ...more, piece: { ...piece, size: more.open.size ?? piece.size } }));
}

/** The smallest of the sizes that names have which the guest on a chain's first block fits into. */
async function sizeOf(survey: Survey, chain: Chain, open: readonly Open[]): Promise<number | undefined> {
  const { blockSize } = survey.volume.geometry;
  const head = new Uint8Array(Math.min(HEAD_BYTES, chain.size));
  await (await chainSource(survey.volume, survey, chain, GUESSED)).read(0, head);
  const start = startOf(0, head, Number.MAX_SAFE_INTEGER);
  if (start === undefined) return undefined;
  const least = Math.max(start.size, (chain.slots - 1) * blockSize + 1);
  const sizes = open.flatMap(({ size }) => (size !== undefined && size >= least ? [size] : []));
  const smallest = Math.min(...sizes);
  return smallest <= least + MAX_TAIL + blockSize ? smallest : undefined;
}
