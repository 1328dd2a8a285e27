/**
 * What the legs of a RAID volume know of each other: each has a small volume beside it in which the kernel notes changes,
 * failures and how far copying has come. Source: volumes.md section 5, and the kernel's dm-raid superblock.
 */
import type { Source } from '../../../core/source.ts';
import { struct, u32, u64 } from '../../../core/struct.ts';

const raidSuper = struct('dm-raid superblock', 64, {
  magic: u32(0x00),
  devices: u32(0x08),
  position: u32(0x0c),
  /** Counts what happened to the array: the highest one is what holds now. */
  events: u64(0x10),
  /** A bit for each leg that had failed, the first 64 of them. */
  failed: u32(0x18),
  failedHigh: u32(0x1c),
  /** Sectors up to which a leg was filled again, and up to which all legs were made alike; all bits set once that is over. */
  recovered: u32(0x20),
  recoveredHigh: u32(0x24),
  resynced: u32(0x28),
  resyncedHigh: u32(0x2c),
  /** Bit 0: the array is being laid out anew. */
  flags: u32(0x3c),
});
const MAGIC = 0x64526d44;
const DONE = 0xffffffff;
const RESHAPING = 1;

interface LegStates {
  /** Legs that do not hold what the array holds: they had failed, missed changes, or were still being filled. */
  readonly stale: readonly boolean[];
  /** Every leg says how it stands, and all were alike. */
  readonly isSure: boolean;
}

type Superblock = ReturnType<typeof raidSuper.decode>;

/** Reads what stands beside each leg; undefined for a leg whose notes are not there. */
export async function legStates(metadata: readonly (Source | undefined)[]): Promise<LegStates> {
  const notes: (Superblock | undefined)[] = [];
  for (const source of metadata) notes.push(await superblockOf(source));
  const newest = notes.reduce((most, one) => Math.max(most, one?.events ?? -1), -1);
  const now = notes.filter((one) => one?.events === newest);
  const stale = notes.map((own, leg) => {
    if (own === undefined) return false;
    const isBehind = own.events < newest || own.recovered !== DONE || own.recoveredHigh !== DONE;
    return isBehind || now.some((one) => one !== own && hasFailed(one!, leg));
  });
  const isSettled = (one: Superblock): boolean =>
    one.resynced === DONE && one.resyncedHigh === DONE && (one.flags & RESHAPING) === 0;
  const isAlike = notes.every((one) => one !== undefined && isSettled(one));
  return { stale, isSure: isAlike && !stale.includes(true) };
}

async function superblockOf(source: Source | undefined): Promise<Superblock | undefined> {
  if (source === undefined || source.size < raidSuper.size) return undefined;
  const block = new Uint8Array(raidSuper.size);
  if ((await source.read(0, block)).length > 0) return undefined;
  const found = raidSuper.decode(block);
  return found.magic === MAGIC && raidSuper.violations(found).length === 0 ? found : undefined;
}

function hasFailed({ failed, failedHigh }: Superblock, leg: number): boolean {
  return leg < 32 ? (failed & (1 << leg)) !== 0 : leg < 64 && (failedHigh & (1 << (leg - 32))) !== 0;
}
