/**
 * Names that are left without bytes: entries whose descriptors are lost, and live files whose pointers cannot be read.
 * What else is still known of them: their directory, their descriptor's number, and of disks the size, from the log of
 * the machine. Source: vmfs.md sections 8.7 to 8.9.
 */
import { latin1 } from '../../../core/struct.ts';
import { flatSizes } from '../../machine/log.ts';
import type { Descriptor } from './descriptor.ts';
import type { Trace } from './residue-dirents.ts';
import type { Named } from './residue-names.ts';
import { indexOf } from './residue-neighbours.ts';
import type { Anchor } from './residue-order.ts';
import { firstPlace, remainsOf } from './residue-remains.ts';
import type { Survey } from './residue-survey.ts';
import type { LooseText } from './residue-unowned.ts';
import { TYPE_REGULAR } from './structs.ts';

/** A name whose bytes are to be looked for. */
export interface Open {
  readonly name: string;
  /** Descriptor address of its directory; 0 where that is not known. */
  readonly directory: number;
  /** Its descriptor's number in the order in which they are given out; -1 where it is not known. */
  readonly index: number;
  readonly size: number | undefined;
  /** Where the first of its pointers leads, where only these are left of its descriptor. */
  readonly leads?: number;
  /** Text that is left in its descriptor. */
  readonly text?: LooseText;
}

/** Bytes of a log that are looked at: disks are opened when a machine starts. */
const MAX_LOG = 1 << 20;
/** Logs that are read. */
const MAX_LOGS = 4096;
/** Slots that are looked at for what is left in them. */
const MAX_REMAINS = 65_536;
/** Files that are looked at for where their bytes begin. */
const MAX_ANCHORS = 65_536;
const LOG = /^vmware(?:-\d+)?\.log$/;
/** A BIOS machine's settings are this long. Source: vmconfig.md section 1. */
const BIOS_SETTINGS = 8684;

/** All names without bytes. `texts` are those whose directory is known already. */
export async function openNames(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly { readonly text: LooseText; readonly directory: number }[],
): Promise<Open[]> {
  const out: Open[] = [];
  for (const trace of lostEntries(survey, names)) {
    const { name, directory, address } = trace;
    const rest = out.length < MAX_REMAINS ? await remainsOf(survey.volume, address) : {};
    out.push({ name, directory, index: placeOf(survey, trace), size: undefined, ...rest });
  }
  for (const { address, length } of survey.unread) {
    const named = survey.liveNames.get(address);
    if (named !== undefined) out.push({ ...named, index: indexOf(survey.volume, address), size: length });
  }
  const wanting = new Set(out.filter(({ name, size }) => isFlat(name) && size === undefined).map((o) => o.directory));
  if (wanting.size === 0) return out;
  const sizes = await loggedSizes(survey, names, texts, wanting);
  return out.map((one) => ({ ...one, size: one.size ?? sizes.get(`${one.directory}/${one.name}`) }));
}

/** The number of an entry's descriptor; where its address was cleared, behind that of the entry before it. */
function placeOf({ volume }: Survey, { address, before, at }: Trace): number {
  if (address !== 0) return indexOf(volume, address);
  const known = indexOf(volume, before);
  return known < 0 ? -1 : known + (1 + at) / (2 + at);
}

/** Entries of files whose descriptor is nowhere, each name once. */
export function lostEntries(survey: Survey, names: ReadonlyMap<number, Named>): Trace[] {
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

function isFlat(name: string): boolean {
  return name.endsWith('-flat.vmdk');
}

/** Sizes of disks by 'directory/name', as the logs of those directories have them. */
async function loggedSizes(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  texts: readonly { readonly text: LooseText; readonly directory: number }[],
  wanting: ReadonlySet<number>,
): Promise<Map<string, number>> {
  const out = new Map<string, number>();
  let read = 0;
  const note = (directory: number, bytes: Uint8Array): void => {
    for (const [name, size] of flatSizes(latin1(bytes, 0, bytes.length))) out.set(`${directory}/${name}`, size);
  };
  for (const [address, { name, directory }] of survey.liveNames) {
    if (!LOG.test(name) || !wanting.has(directory) || read++ >= MAX_LOGS) continue;
    const fd = await survey.volume.descriptor(address);
    if (fd === undefined) continue;
    const source = survey.volume.source(fd, false);
    const bytes = new Uint8Array(Math.min(MAX_LOG, source.size));
    await source.read(0, bytes);
    note(directory, bytes);
  }
  for (const [key, { name, directory = 0 }] of names) {
    const residue = survey.residues.get(key);
    const home = directory || residue?.parent || 0;
    if (!LOG.test(name) || residue === undefined || !wanting.has(home) || read++ >= MAX_LOGS) continue;
    const fd = await survey.descriptor(residue);
    if (fd === undefined) continue;
    const source = await survey.bytesOf(residue, fd);
    const bytes = new Uint8Array(Math.min(MAX_LOG, source.size));
    await source.read(0, bytes);
    note(home, bytes);
  }
  for (const { text, directory } of texts) {
    if (text.guess.ending !== '.log' || !wanting.has(directory)) continue;
    const bytes = new Uint8Array(text.length);
    await text.file.source.read(text.at, bytes);
    note(directory, bytes);
  }
  return out;
}

/** A file that has a name and bytes. */
export interface Whole extends Anchor {
  readonly name: string;
  readonly size: number;
}

/**
 * Files called so whose name and bytes are both known, and where their first pointer leads: to a file block, or else
 * into a resource file.
 */
export async function wholeFiles(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  ending: string,
  inBlocks: boolean,
): Promise<Whole[]> {
  const out: Whole[] = [];
  const add = async (name: string, fd: Descriptor | undefined): Promise<void> => {
    if (fd === undefined || !name.endsWith(ending) || out.length >= MAX_ANCHORS) return;
    const at = await firstPlace(survey.volume, fd, inBlocks);
    if (at >= 0) out.push({ name, size: fd.length, index: indexOf(survey.volume, fd.address), at });
  };
  for (const [address, { name }] of survey.liveNames)
    if (name.endsWith(ending)) await add(name, await survey.volume.descriptor(address));
  for (const [key, { name }] of names) {
    const residue = survey.residues.get(key);
    if (residue === undefined || !name.endsWith(ending)) continue;
    await add(name, await survey.descriptor(residue));
  }
  return out;
}

/** How long files of a machine's settings are here: as most of those that are left, or as a BIOS machine's. */
export function usualSettings(whole: readonly Whole[], room: number): number {
  const counts = new Map<number, number>();
  for (const { size } of whole) if (size > 0 && size <= room) counts.set(size, (counts.get(size) ?? 0) + 1);
  const [usual] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return Math.min(room, usual?.[0] ?? BIOS_SETTINGS);
}
