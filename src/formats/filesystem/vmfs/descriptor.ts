/** File descriptors: what VMFS knows of one file. Source: vmfs.md section 4. */
import type { Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, TOO_LARGE, viewOf } from '../../../core/struct.ts';
import { addressText } from './address.ts';
import { levelsOf } from './blocks.ts';
import type { Geometry } from './geometry.ts';
import { FD_SIGNATURE, type FdMetadata, fdMetadata, LOCK_FD, lock, TYPE_RDM, ZLA_INLINE } from './structs.ts';

/** A check that a descriptor failed. Positions are bytes in the logical volume. */
export interface Doubt {
  readonly at: number;
  readonly code: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Descriptor extends FdMetadata {
  /** Where it starts: in the logical volume, and in the file-descriptor file it was read from. */
  readonly at: number;
  /** The file-descriptor file, or the volume, and where the descriptor starts in it: its inline data is there. */
  readonly source: Source;
  readonly sourceAt: number;
  /** Bytes of a block of this file, as its pointers count. */
  readonly unit: number;
  /** The pointer area as u32 words: one per pointer on VMFS3 and 5, two (low, high) on VMFS6. */
  readonly pointers: Uint32Array;
  /** Pointers that could not be read, as [from, to) pairs. */
  readonly lostPointers: readonly (readonly [number, number])[];
  readonly doubts: readonly Doubt[];
  readonly why: Why;
}

/** Larger than any file that a host makes: they end at 62 TiB. */
const MAX_FILE_BYTES = 64 * 2 ** 40;

/** Smallest and largest block shift that any version uses: 512 bytes to 512 MiB. */
const MIN_SHIFT = 9;
const MAX_SHIFT = 29;

/**
 * Decodes the descriptor that starts at `offset` of `block`. `at` is its position in the logical volume.
 * Answers undefined where the slot is empty: nothing there to tell.
 */
export function decodeDescriptor(
  g: Geometry,
  block: Uint8Array,
  offset: number,
  place: { at: number; source: Source; sourceAt: number },
  address: number,
): Descriptor | undefined {
  const view = viewOf(block);
  const start = offset + g.lockBytes;
  const used = view.getUint32(offset, true) | view.getUint32(start, true) | view.getUint32(start + 0x0c, true);
  if (used === 0) return undefined; // most slots: no lock, no address, no type
  const meta = metadataOf(view, start);
  // Two fields of seven: the others take objects of their own, sixteen thousand times over.
  const type = view.getUint32(offset + lock.fields.type.at, true);
  const self = readU64(view, offset + lock.fields.self.at);
  const doubts = doubtsOf(g, meta, { type, self }, place.at, address);
  const { shift, doubt } = shiftOf(g, meta, place.at);
  if (doubt !== undefined) doubts.push(doubt);
  // Inline files have their bytes there; copying those of thousands of files would be most of the memory.
  const pointers = meta.zla === ZLA_INLINE ? NO_POINTERS : pointersOf(g, block, offset);
  const most = mostOf(g, meta, 2 ** shift, pointers);
  const length = Number.isFinite(meta.length) && meta.length > most ? most : meta.length;
  if (length !== meta.length) {
    const expected = `at most ${most} bytes, which is as far as its pointers lead`;
    const lengthAt = place.at + g.lockBytes + F.length.at;
    doubts.push({ at: lengthAt, code: 'vmfs.fd.length', expected, actual: numberText(meta.length) });
  }
  const what = `VMFS${g.version} file descriptor ${addressText(address)}`;
  const code = doubts[0]?.code;
  const why: Why = { what, source: place.source, at: place.sourceAt, ...(code !== undefined && { code }) };
  return {
    ...meta,
    length,
    at: place.at,
    source: place.source,
    sourceAt: place.sourceAt,
    unit: 2 ** shift,
    pointers,
    lostPointers: NONE_LOST,
    doubts,
    why,
  };
}

const F = fdMetadata.fields;

/** As fdMetadata.decode, from the same table, field by field: descriptors are decoded by the ten thousand. */
function metadataOf(view: DataView, start: number): FdMetadata {
  return {
    address: view.getUint32(start + F.address.at, true),
    generation: view.getUint32(start + F.generation.at, true),
    links: view.getUint32(start + F.links.at, true),
    type: view.getUint32(start + F.type.at, true),
    flags: view.getUint32(start + F.flags.at, true),
    length: readU64(view, start + F.length.at),
    blockSize: readU64(view, start + F.blockSize.at),
    blocks: readU64(view, start + F.blocks.at),
    modified: view.getUint32(start + F.modified.at, true),
    changed: view.getUint32(start + F.changed.at, true),
    accessed: view.getUint32(start + F.accessed.at, true),
    uid: view.getUint32(start + F.uid.at, true),
    gid: view.getUint32(start + F.gid.at, true),
    mode: view.getUint32(start + F.mode.at, true),
    zla: view.getUint32(start + F.zla.at, true),
    toBeZeroed: view.getUint32(start + F.toBeZeroed.at, true),
    copyOnWrite: view.getUint32(start + F.copyOnWrite.at, true),
    signature: view.getUint32(start + F.signature.at, true),
    affinity: view.getUint32(start + F.affinity.at, true),
    parent: view.getUint32(start + F.parent.at, true),
    blockShift: view.getUint8(start + F.blockShift.at),
    largeBlocks: view.getUint32(start + F.largeBlocks.at, true),
  };
}

const NO_POINTERS = new Uint32Array(0);
const NONE_LOST: readonly (readonly [number, number])[] = [];

/**
 * The most bytes that a file can have. One wrong bit of a length makes petabytes of a text: nothing could be recovered
 * to a disk on which such a file does not fit.
 */
function mostOf(g: Geometry, meta: FdMetadata, unit: number, pointers: Uint32Array): number {
  if (meta.type === TYPE_RDM) return Number.POSITIVE_INFINITY;
  if (meta.zla === ZLA_INLINE) return g.inlineBytes;
  const levels = levelsOf(meta.zla);
  // Nothing of it can be had: as many bytes are missing as it has blocks, or as its own pointers could lead to.
  if (levels === undefined) return Math.min(MAX_FILE_BYTES, Math.max(g.pointers, meta.blocks) * unit);
  const most = Math.min(MAX_FILE_BYTES, g.pointers * unit * g.pointersPerBlock ** levels);
  if (levels > 0 || meta.length <= most) return most;
  let used = g.pointers;
  while (used > 1 && pointers.subarray((used - 1) * g.pointerWords, used * g.pointerWords).every(isZero)) used--;
  return used * unit;
}

function isZero(word: number): boolean {
  return word === 0;
}

function pointersOf(g: Geometry, block: Uint8Array, offset: number): Uint32Array {
  // A copy, because the block goes back to a cache and because views need alignment.
  const area = block.slice(offset + g.pointersAt, offset + g.pointersAt + g.pointers * g.pointerWords * 4);
  return new Uint32Array(area.buffer, 0, g.pointers * g.pointerWords);
}

function doubtsOf(
  g: Geometry,
  meta: FdMetadata,
  head: { readonly type: number; readonly self: number },
  at: number,
  address: number,
): Doubt[] {
  const out: Doubt[] = [];
  const metaAt = at + g.lockBytes;
  const doubt = (where: number, code: string, expected: string, actual: string): void => {
    out.push({ at: where, code, expected, actual });
  };
  if (head.type !== LOCK_FD) doubt(at, 'vmfs.fd.lock', addressText(LOCK_FD), addressText(head.type));
  if (head.self !== at) doubt(at + 4, 'vmfs.fd.self-address', `its own position ${at}`, numberText(head.self));
  if (meta.address !== address) {
    doubt(metaAt, 'vmfs.fd.address', addressText(address), addressText(meta.address));
  }
  for (const v of fdMetadata.violations(meta)) doubt(metaAt + v.at, `vmfs.fd.${v.field}`, v.expected, v.actual);
  if (g.version === 6 && meta.signature !== FD_SIGNATURE) {
    doubt(metaAt + 0x64, 'vmfs.fd.signature', 'the letters dmdf', addressText(meta.signature));
  }
  return out;
}

/**
 * Whether what stands in a slot is not the descriptor that belongs there: another one, or no descriptor at all. Its
 * address is not that of the slot, and its position or its type speak against it, too.
 */
export function isForeign(fd: Descriptor): boolean {
  const failed = (code: string): boolean => fd.doubts.some((doubt) => doubt.code === code);
  return failed('vmfs.fd.address') && (failed('vmfs.fd.self-address') || failed('vmfs.fd.type'));
}

/** VMFS3 has no shift of its own: the block size says it. Where both speak they have to agree. */
function shiftOf(g: Geometry, meta: FdMetadata, at: number): { shift: number; doubt?: Doubt } {
  const logarithm = Math.log2(meta.blockSize);
  const bySize = Number.isInteger(logarithm) && logarithm >= MIN_SHIFT && logarithm <= MAX_SHIFT ? logarithm : 0;
  const stated = meta.blockShift;
  const byShift = stated >= MIN_SHIFT && stated <= MAX_SHIFT ? stated : 0;
  const fallback = Math.log2(g.blockSize);
  if (byShift === 0 || byShift === bySize) {
    if (bySize !== 0) return { shift: bySize };
    if (meta.zla === ZLA_INLINE) return { shift: fallback };
    const where = { at: at + g.lockBytes + 0x1c, code: 'vmfs.fd.blockSize' };
    return { shift: fallback, doubt: { ...where, expected: 'a power of two', actual: numberText(meta.blockSize) } };
  }
  if (meta.zla === ZLA_INLINE) return { shift: byShift };
  const expected = `2**${byShift} bytes, as its block shift says`;
  const where = { at: at + g.lockBytes + 0x1c, code: 'vmfs.fd.blockShift' };
  return { shift: byShift, doubt: { ...where, expected, actual: numberText(meta.blockSize) } };
}

export function numberText(value: number): string {
  return value === TOO_LARGE ? 'a number of 2**53 or more' : `${value} (0x${value.toString(16)})`;
}
