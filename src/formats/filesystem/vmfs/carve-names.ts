/**
 * Names for what was recognised by its content: a file of that size or kind that has a name and no bytes. Which of
 * several it is follows from the order in which descriptors and blocks are given out. Source: vmfs.md section 8.7.
 */
import type { By, CarvedDisk, Known, Wanted } from './carve.ts';
import { usualSettings, type Whole } from './residue-open.ts';
import { inTurn } from './residue-order.ts';
import type { Volume } from './volume.ts';

/** Disks with the names of their size: the only one, or each in its turn where as many are wanted as were found. */
export function called(
  volume: Volume,
  disks: readonly CarvedDisk[],
  wanted: readonly Wanted[],
  whole: readonly Whole[],
): CarvedDisk[] {
  const given = new Map<CarvedDisk, Pick<CarvedDisk, 'wanted' | 'by'>>();
  for (const size of new Set(disks.map((disk) => disk.size))) {
    const fits = wanted.filter((one) => one.size === size);
    const there = disks.filter((disk) => disk.size === size);
    if (fits.length === 1 && there.length === 1) given.set(there[0], { wanted: fits[0], by: 'size' });
    else
      for (const [one, disk] of turns(volume, fits, there, whole, size)) given.set(disk, { wanted: one, by: 'order' });
  }
  const [sizeless, ...more] = wanted.filter(({ size }) => size === undefined);
  const [nameless, ...others] = disks.filter((disk) => !given.has(disk));
  if (sizeless !== undefined && nameless !== undefined && more.length === 0 && others.length === 0)
    given.set(nameless, { wanted: sizeless, by: 'kind' });
  return disks.map((disk) => ({ ...disk, ...given.get(disk) }));
}

function turns(
  { geometry: { blockSize } }: Volume,
  wanted: readonly Wanted[],
  disks: readonly CarvedDisk[],
  whole: readonly Whole[],
  size: number,
): [Wanted, CarvedDisk][] {
  const pieces = disks.map((disk) => ({ disk, at: disk.blocks[0] * blockSize }));
  const anchors = whole.filter((one) => one.size === size);
  return inTurn(wanted, pieces, anchors).map(([one, { disk }]) => [one, disk]);
}

/** Settings of machines in blocks of their own: all are as long as others are, and none says whose it is. */
export function settingsIn(volume: Volume, blocks: readonly number[], { settings, whole }: Known): CarvedDisk[] {
  const others = whole.filter(({ name }) => name.endsWith('.nvram'));
  const usual = usualSettings(others, volume.geometry.blockSize);
  const what = 'the settings of a machine (MRVN)';
  const like = { isThin: false, size: usual, what, label: undefined, ending: '.nvram', wanted: undefined };
  const all = blocks.map((block): CarvedDisk => ({ ...like, blocks: [block] }));
  const pieces = all.map((one) => ({ one, at: one.blocks[0] * volume.geometry.blockSize }));
  const by: By = blocks.length === 1 && settings.length === 1 ? 'kind' : 'order';
  const given = new Map(inTurn(settings, pieces, others).map(([wanted, { one }]) => [one, wanted]));
  return all.map((one) => {
    const wanted = given.get(one);
    return wanted === undefined ? one : { ...one, wanted, by, size: wanted.size ?? one.size };
  });
}
