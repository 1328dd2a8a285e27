/** Header of a VDI, its two layouts. Source: vdi.md sections 1 and 2. */
import { bytes, struct, u32, u64, type Values } from '../../../core/struct.ts';

export const SIGNATURE = 0xbeda107f;
const MAX_BLOCK: number = 128 * 1024 * 1024;

/** Versions 1.1 and "1.1 plus", from the start of the file. */
export const header = struct('VDI header', 0x1c8, {
  signature: u32(0x40, { oneOf: [SIGNATURE] }),
  version: u32(0x44, { min: 0x10000, max: 0x1ffff }),
  headerSize: u32(0x48, { min: 0x180, max: 0x1b8 }),
  type: u32(0x4c, { min: 1, max: 4 }),
  flags: u32(0x50),
  comment: bytes(0x54, 256),
  blocksAt: u32(0x154, { min: 0x1c8 }),
  dataAt: u32(0x158, { min: 0x200 }),
  diskSize: u64(0x170, { min: 512 }),
  blockSize: u32(0x178, { min: 4096, max: MAX_BLOCK }),
  blockExtra: u32(0x17c, { max: 1024 * 1024 }),
  count: u32(0x180, { min: 1 }),
  allocated: u32(0x184),
  uuid: bytes(0x188, 16),
  modified: bytes(0x198, 16),
  link: bytes(0x1a8, 16),
  parentModified: bytes(0x1b8, 16),
});

/** The first version, whose table follows the header at once. */
export const headerV0 = struct('VDI header, version 0', 0x1a4, {
  signature: u32(0x40, { oneOf: [SIGNATURE] }),
  version: u32(0x44, { oneOf: [2] }),
  type: u32(0x48, { min: 1, max: 4 }),
  diskSize: u64(0x160, { min: 512 }),
  blockSize: u32(0x168, { min: 4096, max: MAX_BLOCK }),
  count: u32(0x16c, { min: 1 }),
  allocated: u32(0x170),
  uuid: bytes(0x174, 16),
  modified: bytes(0x184, 16),
  link: bytes(0x194, 16),
});

export const FREE_BLOCK = 0xffffffff;
export const ZERO_BLOCK = 0xfffffffe;

export const FIXED = 2;
export const DIFFERENCING = 4;
export const TYPES: readonly string[] = ['unknown', 'dynamic', 'fixed', 'undo', 'differencing'];

/** What both layouts say. */
export interface Header {
  readonly version: number;
  readonly type: number;
  readonly diskSize: number;
  readonly blockSize: number;
  readonly extra: number;
  readonly count: number;
  readonly allocated: number;
  readonly blocksAt: number;
  readonly dataAt: number;
  readonly uuid: Uint8Array;
  readonly modified: Uint8Array;
  readonly link: Uint8Array;
  readonly parentModified: Uint8Array;
  /** What is wrong with it, where in the file. */
  readonly faults: readonly { readonly at: number; readonly expected: string; readonly actual: string }[];
}

const SECTOR = 512;
const align = (at: number, to: number): number => Math.ceil(at / to) * to;

/** The header at the start of these bytes; undefined where its signature is not there. */
export function headerOf(start: Uint8Array): Header | undefined {
  if (start.length < header.size) return undefined;
  const values = header.decode(start);
  if (values.signature !== SIGNATURE) return undefined;
  const first = values.version === 2 ? oldHeader(start) : newHeader(values);
  return { ...first, faults: [...first.faults, ...contradictions(first)] };
}

function newHeader(values: Values<typeof header.fields>): Header {
  const faults = header.violations(values);
  return { ...values, extra: values.blockExtra, faults };
}

function oldHeader(start: Uint8Array): Header {
  const values = headerV0.decode(start);
  const blocksAt = headerV0.size;
  const dataAt = blocksAt + 4 * values.count;
  const parentModified = new Uint8Array(16);
  return { ...values, extra: 0, blocksAt, dataAt, parentModified, faults: headerV0.violations(values) };
}

/** Fields that do not go together. */
function contradictions(h: Header): Header['faults'] {
  const out: { at: number; expected: string; actual: string }[] = [];
  const isOld = h.version === 2;
  const blocks = Math.ceil(h.diskSize / h.blockSize);
  if ((h.blockSize & (h.blockSize - 1)) !== 0)
    out.push({ at: isOld ? 0x168 : 0x178, expected: 'a block size that is a power of two', actual: `${h.blockSize}` });
  if (h.count !== blocks)
    out.push({ at: isOld ? 0x16c : 0x180, expected: `${blocks} blocks for ${h.diskSize} bytes`, actual: `${h.count}` });
  if (!isOld && h.dataAt < h.blocksAt + 4 * h.count)
    out.push({ at: 0x158, expected: `blocks behind their table`, actual: `${h.dataAt}` });
  if (!isOld && h.blocksAt % SECTOR !== 0)
    out.push({ at: 0x154, expected: 'a table at a multiple of 512', actual: `${h.blocksAt}` });
  return out;
}

/** Where the blocks may begin behind a table that ends at `end`, the likeliest first. */
export function dataPlaces(end: number): number[] {
  return [...new Set([align(end, SECTOR), align(end, 4096), align(end, 1024 * 1024)])];
}
