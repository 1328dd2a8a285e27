/** Everything that the blocks of a directory still hold: entries in use, freed, cleared, or behind its end. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';
import { directoryBlock, dirent, dirent6, TYPE_DIRECTORY, TYPE_RDM } from './structs.ts';

/** How much an entry still says, surest first. */
export type How = 'used' | 'unlisted' | 'freed' | 'behind' | 'journal' | 'unowned' | 'cleared' | 'empty';

/** An entry as it was found. `address` is 0 where that was cleared. */
export interface Trace {
  readonly how: How;
  readonly type: number;
  readonly address: number;
  readonly generation: number;
  readonly name: string;
  /** Descriptor address of the directory whose blocks hold it; 0 where that is not known. */
  readonly directory: number;
  /** Bytes from the start of the directory file. */
  readonly at: number;
  /** Descriptor address of the entry before it that still has one: made about when this one was. */
  readonly before: number;
}

interface Traces {
  readonly entries: Trace[];
  /** Descriptor address of the directory above, as its ".." says. */
  readonly parent: number | undefined;
}

const BLOCKS_AT = 0x10000;
const KIND_ENTRIES = 1;
const DOTS_AT = 0x4d8;
const MAX_READ = 1 << 20;
/** Bytes of one directory that are looked through: room for half a million names. */
export const MAX_DIRECTORY: number = 256 << 20;

/** All entries in a directory's bytes. `length` is where the directory ends; `bytes` may go on behind it. */
export async function tracesOf(g: Geometry, directory: number, bytes: Source, length: number): Promise<Traces> {
  return g.version === 6 ? traces6(directory, bytes, g.lockBytes) : traces35(directory, bytes, length);
}

async function traces35(directory: number, bytes: Source, length: number): Promise<Traces> {
  const entries: Trace[] = [];
  let parent: number | undefined;
  let before = directory;
  const total = Math.floor(Math.min(MAX_DIRECTORY, bytes.size) / dirent.size);
  const perRead = Math.floor(MAX_READ / dirent.size);
  for (let first = 0; first < total; first += perRead) {
    const count = Math.min(perRead, total - first);
    const block = new Uint8Array(count * dirent.size);
    await bytes.read(first * dirent.size, block);
    for (let i = 0; i < count; i++) {
      const at = (first + i) * dirent.size;
      const { type, address, generation, name } = dirent.decode(block, i * dirent.size);
      if (name === '..' && at === dirent.size && address !== 0) parent = address;
      if (!makesSense(block, i * dirent.size, type, name, dirent.fields.name.at)) continue;
      const how: How = address === 0 ? 'cleared' : at + dirent.size > length ? 'behind' : 'used';
      entries.push({ how, type, address, generation, name, directory, at, before });
      if (address !== 0) before = address;
    }
  }
  return { entries, parent };
}

async function traces6(directory: number, bytes: Source, md: number): Promise<Traces> {
  const entries: Trace[] = [];
  let before = directory;
  const dots = new Uint8Array(dirent6.size);
  if (bytes.size >= BLOCKS_AT) await bytes.read(DOTS_AT, dots);
  const above = dirent6.decode(dots);
  const parent = above.name === '..' && above.self === DOTS_AT ? above.address : undefined;
  const size = Math.min(MAX_DIRECTORY, bytes.size);
  for (let from = BLOCKS_AT; from + md <= size; from += MAX_READ) {
    const block = new Uint8Array(Math.floor(Math.min(MAX_READ, size - from) / md) * md);
    await bytes.read(from, block);
    for (let start = 0; start < block.length; start += md) {
      const { kind, slots, bitmap } = directoryBlock.decode(block, start);
      if (kind !== KIND_ENTRIES) continue;
      const count = Math.min(slots, Math.floor((md - directoryBlock.size) / dirent6.size));
      for (let slot = 0; slot < count; slot++) {
        const offset = start + directoryBlock.size + slot * dirent6.size;
        const { type, address, generation, self, name } = dirent6.decode(block, offset);
        // Each entry stores its own offset: one that does not match is left over from something else.
        if (self !== from + offset || !makesSense(block, offset, type, name, dirent6.fields.name.at)) continue;
        const free = (bitmap[slot >>> 3] & (1 << (slot & 7))) !== 0;
        const how: How = address === 0 ? 'cleared' : free ? 'freed' : 'used';
        entries.push({ how, type, address, generation, name, directory, at: from + offset, before });
        if (address !== 0) before = address;
      }
    }
  }
  return { entries, parent };
}

/** Whether bytes may be an entry. Blocks behind a directory's end hold anything: an entry has a known type, and a name that ends in zeros. */
export function makesSense(block: Uint8Array, start: number, type: number, name: string, nameAt: number): boolean {
  if (type < TYPE_DIRECTORY || type > TYPE_RDM || name === '' || name === '.' || name === '..') return false;
  if (name.includes('/') || name.length > 127) return false;
  return viewOf(block).getUint8(start + nameAt + name.length) === 0;
}
