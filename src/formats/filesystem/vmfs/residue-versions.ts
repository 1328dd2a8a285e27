/**
 * Descriptors as the journal remembers them: other versions of files, older than the slot or what was cleared in it.
 * Versions compete, they are never mixed. Source: vmfs.md sections 4.2, 7.2 and 8.5.
 */
import { addressText, fdNumbers } from './address.ts';
import { type Descriptor, type Doubt, decodeDescriptor } from './descriptor.ts';
import type { AfterImage } from './journal.ts';
import { placeIn } from './residue-place.ts';
import { FD_SIGNATURE, fdMetadata, TYPE_SYSTEM, ZLA_INLINE } from './structs.ts';
import type { Volume } from './volume.ts';

export const FROM_JOURNAL = 'vmfs.fd.journal';

/** The descriptors among after-images: those that name the very slot they are for. */
export async function versionsIn(volume: Volume, images: readonly AfterImage[]): Promise<Descriptor[]> {
  const out: Descriptor[] = [];
  for (const image of images) {
    const fd = await versionIn(volume, image);
    if (fd !== undefined) out.push(fd);
  }
  return out;
}

async function versionIn(volume: Volume, image: AfterImage): Promise<Descriptor | undefined> {
  const g = volume.geometry;
  // Metadata and pointers have to be there as a whole: what follows them in the journal is another record.
  if (image.length < g.fdBytes - g.lockBytes || image.at < g.lockBytes) return undefined;
  const block = new Uint8Array(g.fdBytes);
  const gaps = await image.source.read(image.at - g.lockBytes, block);
  if (gaps.some((gap) => gap.offset + gap.length > image.at)) return undefined;
  const { address, type, signature } = fdMetadata.decode(block, g.lockBytes);
  const numbers = fdNumbers(address);
  const { fdc } = volume.files;
  if (numbers === undefined || fdc === undefined || type === TYPE_SYSTEM) return undefined;
  if (g.version === 6 && signature !== FD_SIGNATURE) return undefined;
  const offset = fdc.offsetOf(numbers.cluster, numbers.resource);
  if (offset === undefined || offset + g.fdBytes > fdc.source.size) return undefined;
  const slot = await placeIn(volume, fdc.source, offset);
  if (slot < 0 || (image.target !== undefined && image.target !== slot + g.lockBytes)) return undefined;
  const at = await placeIn(volume, image.source, image.at);
  const place = { at: at - g.lockBytes, source: image.source, sourceAt: image.at - g.lockBytes };
  const fd = decodeDescriptor(g, block, 0, place, address);
  if (fd === undefined) return undefined;
  const doubt: Doubt = {
    at,
    code: FROM_JOURNAL,
    expected: `file descriptor ${addressText(address)} in its slot at ${slot}`,
    actual: 'a copy in the journal',
  };
  // The lock before it is another record's bytes here.
  const own = fd.doubts.filter((d) => d.code !== 'vmfs.fd.lock' && d.code !== 'vmfs.fd.self-address');
  if (own.some((d) => d.code === 'vmfs.fd.type')) return undefined;
  const what = `VMFS${g.version} file descriptor ${addressText(address)} in the journal`;
  return { ...fd, doubts: [doubt, ...own], why: { ...fd.why, what, code: FROM_JOURNAL } };
}

/** Whether a copy says the same as its slot does: then there is nothing to tell from it. */
export function isSame(a: Descriptor, b: Descriptor): boolean {
  const same = a.generation === b.generation && a.length === b.length && a.zla === b.zla && a.type === b.type;
  // Inline bytes are not pointers: another time may mean others.
  return (
    same && (a.zla !== ZLA_INLINE || a.modified === b.modified) && a.pointers.every((word, i) => word === b.pointers[i])
  );
}

/** Whether `bare` is `full` with its pointers cleared: an explanation that holds less, not another one. */
export function isCleared(bare: Descriptor, full: Descriptor): boolean {
  const same = bare.generation === full.generation && bare.type === full.type;
  return same && bare.zla !== ZLA_INLINE && isEmpty(bare) && !isEmpty(full);
}

function isEmpty(fd: Descriptor): boolean {
  return fd.pointers.every((word) => word === 0);
}
