/**
 * What is left in the slot of a descriptor that says nothing of its file any more: pointers, or the text of a small
 * file. An entry names the slot, so whose they are is known. Source: vmfs.md sections 4 and 4.1.
 */
import { addressText, FILE_BLOCK, fdNumbers, fileBlockAt, typeOf } from './address.ts';
import type { Descriptor } from './descriptor.ts';
import { isBlank } from './residue-match.ts';
import { placeIn } from './residue-place.ts';
import { type LooseText, textIn } from './residue-unowned.ts';
import { ZLA_INLINE } from './structs.ts';
import { resourceAt } from './tables.ts';
import type { Volume } from './volume.ts';

/** What a slot still holds of a file. */
export interface Remains {
  /** Where the first of its pointers leads, in the volume. */
  readonly leads?: number;
  readonly text?: LooseText;
}

/** What is left in the slot at an address; nothing where a descriptor is there, whosever it is. */
export async function remainsOf(volume: Volume, address: number): Promise<Remains> {
  const numbers = fdNumbers(address);
  const { fdc } = volume.files;
  const offset = numbers === undefined ? undefined : fdc?.offsetOf(numbers.cluster, numbers.resource);
  const fd = await volume.descriptor(address);
  if (fdc === undefined || offset === undefined || (fd !== undefined && !isBlank(fd))) return {};
  const { inlineAt, inlineBytes, pointersAt, fdBytes } = volume.geometry;
  if (offset + fdBytes > fdc.source.size) return {};
  const block = new Uint8Array(fdBytes);
  const gaps = await fdc.source.read(offset, block);
  const inside = block.subarray(inlineAt, inlineAt + inlineBytes);
  const found = textIn(inside, `fd-${addressText(address)}`, fdc, offset + inlineAt, gaps);
  if (found !== undefined) {
    const place = await placeIn(volume, fdc.source, found.at);
    return { text: { ...found, owner: 0, place } };
  }
  const pointers = new Uint32Array(block.slice(pointersAt, pointersAt + 8).buffer);
  const inBlocks = await firstPlace(volume, { zla: 0, pointers }, true);
  const leads = inBlocks >= 0 ? inBlocks : await firstPlace(volume, { zla: 0, pointers }, false);
  return leads < 0 ? {} : { leads };
}

/** Where a file's first pointer leads, in the volume; -1 where that is nowhere, or another kind of place. */
export async function firstPlace(
  volume: Volume,
  { zla, pointers }: Pick<Descriptor, 'zla' | 'pointers'>,
  inBlocks: boolean,
): Promise<number> {
  if (zla === ZLA_INLINE || pointers.length === 0 || pointers[0] === 0) return -1;
  const g = volume.geometry;
  const [low, high] = [pointers[0], g.pointerWords === 2 ? pointers[1] : 0];
  if (inBlocks) return typeOf(low) === FILE_BLOCK ? fileBlockAt(g, low, high) : -1;
  const there = resourceAt(g, volume.files, low, high);
  return there === undefined ? -1 : placeIn(volume, there.file.source, there.offset);
}
