/** What could lie below a layer whose parent is not proved: each disk weighed, and tried. */
import type { Node } from '../core/node.ts';
import { MISSING } from '../core/run.ts';
import type { Disk } from './disks.ts';
import { type Guest, guestOf } from './guests.ts';
import { isLike, likenessOf, likenessSaid } from './likeness.ts';
import { summarize } from './placed.ts';
import type { Stack } from './stack.ts';

export interface Offer {
  readonly disk: Disk;
  /** It is what is read through now. */
  readonly isTaken: boolean;
  readonly isRejected: boolean;
  /** For and against, in sentences. */
  readonly reasons: readonly string[];
  /** Bytes of the whole disk that would be missing, and what its inside then looks like. Of rejected ones unknown. */
  readonly missing?: number;
  readonly guest?: Guest;
}

/** The layer that wants a parent, in its chain. */
export interface Wanted {
  readonly top: Disk;
  readonly child: Disk;
  /** From the top down to the child. */
  readonly above: readonly Disk[];
  readonly taken: Disk | undefined;
  /** Disks whose parent this one is for certain. */
  childrenOf(disk: Disk): readonly Disk[];
}

/** Offers that are tried; the others are only weighed. Those beyond the last are not told of. */
const MAX_TRIED = 8;
const MAX_OFFERS = 32;
/** What it weighs that a disk holds what the layer copied from below. */
const LIKE = 12;

interface Weighed {
  readonly disk: Disk;
  readonly weight: number;
  readonly isRejected: boolean;
  readonly reasons: string[];
}

/** All disks that could lie below a layer, the best first. */
export async function offersFor(stack: Stack, disks: readonly Disk[], wanted: Wanted): Promise<Offer[]> {
  const weighed = disks
    .filter((disk) => disk !== wanted.child)
    .map((disk) => weigh(disk, wanted))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, MAX_OFFERS);
  const out: { offer: Offer; weight: number }[] = [];
  let tried = 0;
  for (const one of weighed) {
    const { disk, isRejected, reasons, weight } = one;
    const offer = { disk, isTaken: disk === wanted.taken, isRejected, reasons };
    if (isRejected || tried++ >= MAX_TRIED) {
      out.push({ offer, weight });
      continue;
    }
    const trial = await tryOut(stack, disk, wanted);
    const fit = trial === undefined ? 0 : trial.guest.fits.length - 3 * trial.guest.clashes.length;
    const like = await likenessOf(wanted.child.source, disk.source, stack.signal);
    if (like.compared > 0) reasons.push(likenessSaid(like));
    out.push({
      offer: { ...offer, ...trial },
      weight: weight + Math.max(-9, Math.min(9, fit)) + (isLike(like) ? LIKE : 0),
    });
  }
  return out.sort((a, b) => b.weight - a.weight).map(({ offer }) => offer);
}

function weigh(disk: Disk, { child, above, taken, childrenOf }: Wanted): Weighed {
  const { backing } = child.layer!;
  const reasons: string[] = [];
  let weight = disk === taken ? 1 : 0;
  const identities = disk.layer?.identities ?? [];
  if (backing?.identity !== undefined) {
    const isIt = identities.includes(backing.identity);
    if (isIt) weight += 40;
    const is = identities.join(', ') || 'nothing';
    reasons.push(
      isIt ? `it says that it is ${backing.identity}` : `${backing.identity} is needed, and it says ${is} of itself`,
    );
  }
  if (backing?.names.some((name) => name.split(/[\\/]/).pop() === disk.file.rawName) === true) {
    weight += 20;
    reasons.push('the child names it');
  }
  const size = child.source.size;
  if (disk.source.size === size) weight += 10;
  else reasons.push(`its capacity differs: ${disk.source.size} bytes, and the child has ${size}`);
  if (disk.written !== undefined && child.written !== undefined && disk.written > child.written) {
    weight -= 5;
    reasons.push('it was written after the last write to the child');
  }
  const others = childrenOf(disk).filter((other) => other !== child);
  if (others.length > 0) {
    weight -= 2;
    reasons.push(`it is the parent of ${others.map(({ file }) => file.locator).join(', ')} already`);
  }
  reasons.push(...(disk.file.notices ?? []));
  const lies = disk.layer?.backing !== undefined && disk.layer.backing.isUnsure !== true;
  if (lies) reasons.push('it lies on another disk itself');
  const isAbove = above.includes(disk);
  if (isAbove) reasons.push('it lies above this layer itself');
  const isUnlike = disk.source.size !== size && weight < 20;
  return { disk, weight: isAbove ? -100 : weight, isRejected: isAbove || isUnlike, reasons };
}

/** The whole disk with this one below the layer. */
async function tryOut(
  stack: Stack,
  disk: Disk,
  { top, child }: Wanted,
): Promise<{ missing: number; guest: Guest } | undefined> {
  const trial: ReadonlyMap<string, Node> = new Map([[child.file.locator, disk.file]]);
  const whole = await stack.tried(top.file, top.layer!, trial);
  if (whole === undefined) return undefined;
  const missing = (await summarize(whole, stack.signal)).states[MISSING];
  return { missing, guest: await guestOf(stack, top.file, whole) };
}
