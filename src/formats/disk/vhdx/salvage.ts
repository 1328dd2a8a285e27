/** Regions and metadata of a VHDX that nothing names any more: they begin at multiples of 1 MiB and show what they are. */
import type { Source } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { guestSize } from '../guest-size.ts';
import { type Metadata, readMetadata } from './metadata.ts';
import { MAX_SIZE, MIB, type Region } from './structs.ts';
import { countOf, entryAt } from './table.ts';

/** Multiples of 1 MiB that are looked at. */
const PLACES = 256;
/** When it is only asked whether this is one. */
const NEAR = 8;
const SAMPLE: number = 64 * 1024;
/** Entries of a table without metadata. */
const MAX_ENTRIES: number = 2 ** 20;
const STATES = new Set([0, 1, 2, 3, 6, 7]);

/** The metadata region, by its signature and what follows it. */
export async function findMetadata(
  source: Source,
  isProbe = false,
): Promise<{ region: Region; metadata: Metadata } | undefined> {
  const signature = new Uint8Array(8);
  for (let at = MIB; at < Math.min(source.size, (isProbe ? NEAR : PLACES) * MIB); at += MIB) {
    await source.read(at, signature);
    if (latin1(signature, 0, 8) !== 'metadata') continue;
    const region = { at, length: Math.min(MIB, source.size - at) };
    const metadata = await readMetadata(source, region);
    if (metadata !== undefined) return { region, metadata };
  }
  return undefined;
}

/** The table of a disk whose metadata are known: entries that all are legal, name places in the file, and no place twice. */
export async function findTable(
  source: Source,
  metadata: Metadata,
  taken: readonly number[],
): Promise<Region | undefined> {
  const { blockSize, sector, size } = metadata;
  const blocks = Math.ceil(size / blockSize);
  const shape = { view: source, at: 0, length: 0, blockSize, sector, hasParent: metadata.hasParent };
  const length = Math.ceil((entryAt(shape, blocks - 1) + 8) / MIB) * MIB;
  for (let at = MIB; at < Math.min(source.size, PLACES * MIB); at += MIB) {
    if (taken.includes(at)) continue;
    const used = Math.min(entryAt(shape, blocks - 1) + 8, SAMPLE, source.size - at);
    const seen = await placesIn(source, at, used);
    if (seen !== undefined && seen.length > 0) return { at, length: Math.min(length, source.size - at) };
  }
  return undefined;
}

/** Places that entries name; undefined where these are no entries. */
async function placesIn(source: Source, at: number, length: number): Promise<number[] | undefined> {
  const raw = new Uint8Array(length - (length % 8));
  if (raw.length === 0 || (await source.read(at, raw)).length > 0) return undefined;
  const view = viewOf(raw);
  const seen = new Set<number>();
  for (let i = 0; i < raw.length; i += 8) {
    const low = view.getUint32(i, true);
    const place = view.getUint32(i + 4, true) * 2 ** 32 + (low - (low % MIB));
    const isStored = (low & 7) >= 6;
    if (!STATES.has(low & 7) || (low & 0xffff8) !== 0 || place >= source.size) return undefined;
    if (isStored && (place < MIB || seen.has(place))) return undefined;
    if (isStored) seen.add(place);
  }
  return [...seen];
}

/** What the table alone says of a disk whose metadata are lost. The size of its blocks is their least distance. */
export async function byTable(source: Source, region: Region): Promise<Metadata | undefined> {
  const there = Math.max(0, Math.min(region.length, source.size - region.at));
  const entries = Math.min(MAX_ENTRIES, Math.floor(there / 8));
  const places = await placesIn(source, region.at, entries * 8);
  if (places === undefined || places.length < 2) return undefined;
  places.sort((a, b) => a - b);
  let least = 256 * MIB;
  for (let i = 1; i < places.length; i++) least = Math.min(least, places[i] - places[i - 1]);
  const blockSize = 2 ** Math.floor(Math.log2(least));
  const raw = new Uint8Array(entries * 8);
  await source.read(region.at, raw);
  const view = viewOf(raw);
  let last = -1;
  let hasParent = false;
  for (let i = 0; i < entries; i++) {
    const state = view.getUint32(i * 8, true) & 7;
    if (state !== 0) last = i;
    if (state === 7) hasParent = true;
  }
  // The sectors of the disk are as those of nearly all others.
  const shape = { view: source, at: 0, length: (last + 1) * 8, blockSize, sector: 512, hasParent };
  const low = view.getUint32(0, true);
  const first = (low & 7) === 6 ? view.getUint32(4, true) * 2 ** 32 + (low - (low % MIB)) : undefined;
  const guest = first === undefined ? undefined : await guestSize(source, first);
  const most = countOf(shape) * blockSize;
  const isLast =
    guest !== undefined && guest <= MAX_SIZE && guest <= (region.length / 8) * blockSize && guest > most - blockSize;
  return {
    blockSize,
    isFixed: false,
    hasParent,
    size: isLast ? guest : Math.min(most, MAX_SIZE),
    sector: 512,
    isTorn: true,
  };
}
