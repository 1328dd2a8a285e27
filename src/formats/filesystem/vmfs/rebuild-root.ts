/** The root directory without its descriptor: its block says itself whose it is. Source: vmfs.md sections 5 and 8.1. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { addressText, FILE_BLOCK, fdAddress } from './address.ts';
import type { Descriptor } from './descriptor.ts';
import type { Geometry } from './geometry.ts';
import { DIRECTORY_VERSIONS, dirent, dirent6, fdMetadata, TYPE_DIRECTORY, ZLA_FILE_BLOCK } from './structs.ts';
import type { Volume } from './volume.ts';

/** The root directory is among the first files that a format writes. */
const MAX_BLOCKS = 2048;
const DOT_AT_6 = 0x3b8;
const MODE = 0o1755;

/** Where the root directory's descriptor lies in the volume. */
export function rootAt({ fdcAt, groupOffset, clustersPerGroup, clusterHeaderBytes }: Geometry): number {
  return fdcAt + groupOffset + clustersPerGroup * clusterHeaderBytes;
}

/** The root directory's descriptor: its own, or one made from its block where that or all its pointers are lost. */
export async function rootOf(volume: Volume): Promise<Descriptor | undefined> {
  const own = await volume.descriptor(fdAddress(0, 0));
  const isThere = own?.type === TYPE_DIRECTORY;
  if (isThere && (own.lostPointers.length === 0 || own.pointers.some((word) => word !== 0))) return own;
  const rebuilt = await rebuiltRoot(volume.geometry, volume.volume, rootAt(volume.geometry));
  return rebuilt ?? (isThere ? own : undefined);
}

/** A descriptor for the root, made from the block that it must have pointed to; undefined where no block is one. */
async function rebuiltRoot(g: Geometry, volume: Source, at: number): Promise<Descriptor | undefined> {
  const block = new Uint8Array(g.blockSize);
  for (let number = 0; number < MAX_BLOCKS && (number + 1) * g.blockSize <= volume.size; number++) {
    const head = block.subarray(0, 8192);
    await volume.read(number * g.blockSize, head);
    if (!(g.version === 6 ? isRoot6(head) : isRoot35(head))) continue;
    await volume.read(number * g.blockSize, block);
    return descriptorOf(g, volume, at, number, g.version === 6 ? g.blockSize : lengthOf(block));
  }
  return undefined;
}

/** Entries "." and "..", both of them the root itself. */
function isRoot35(block: Uint8Array): boolean {
  const [self, above] = [dirent.decode(block, 0), dirent.decode(block, dirent.size)];
  const root = fdAddress(0, 0);
  return self.name === '.' && above.name === '..' && self.address === root && above.address === root;
}

function isRoot6(block: Uint8Array): boolean {
  if (!DIRECTORY_VERSIONS.includes(viewOf(block).getUint32(0, true))) return false;
  const self = dirent6.decode(block, DOT_AT_6);
  return self.name === '.' && self.address === fdAddress(0, 0);
}

/** Entries stand one behind the other; the first one without a kind and a name ends them. */
function lengthOf(block: Uint8Array): number {
  let end = 0;
  while (end + dirent.size <= block.length) {
    const { type, name } = dirent.decode(block, end);
    if (type === 0 && name === '') break;
    end += dirent.size;
  }
  return end;
}

function descriptorOf(g: Geometry, volume: Source, at: number, block: number, length: number): Descriptor {
  const root = fdAddress(0, 0);
  const expected = `the root directory's file descriptor ${addressText(root)}`;
  const doubt = {
    at,
    code: 'vmfs.root',
    expected,
    actual: `none; the directory block at ${block * g.blockSize} is used`,
  };
  const inCluster = block % Math.max(1, g.blocksPerCluster);
  const cluster = g.version === 6 ? Math.floor(block / g.blocksPerCluster) : 0;
  const pointers =
    g.version === 6
      ? [((cluster << 15) | FILE_BLOCK) >>> 0, (inCluster << 19) >>> 0]
      : [((block << 6) | FILE_BLOCK) >>> 0];
  return {
    ...fdMetadata.decode(new Uint8Array(fdMetadata.size)),
    address: root,
    generation: 1,
    type: TYPE_DIRECTORY,
    mode: MODE,
    zla: ZLA_FILE_BLOCK,
    length,
    blockSize: g.blockSize,
    blocks: 1,
    at,
    source: volume,
    sourceAt: at,
    unit: g.blockSize,
    pointers: Uint32Array.from(pointers),
    lostPointers: [],
    doubts: [doubt],
    why: { what: 'root directory found by its block', source: volume, at: block * g.blockSize, code: 'vmfs.root' },
  };
}
