/**
 * Directory entries outside of directories: in the journal, and in sub-blocks that no directory holds any more. They
 * are recognised by their shape. Source: vmfs.md sections 5.1, 5.2 and 8.1.
 */
import { viewOf } from '../../../core/struct.ts';
import { fdNumbers } from './address.ts';
import type { Geometry } from './geometry.ts';
import { type How, makesSense, type Trace } from './residue-dirents.ts';
import { directoryBlock, dirent, dirent6 } from './structs.ts';

/** Entries lie anywhere: fields of theirs are aligned in memory, so they are where the directory began. */
const STEP = 4;
const KIND_ENTRIES = 1;

/** Entries in loose bytes. `directory` and `at` are what is known of their place; 0 where nothing is. */
export function looseEntries(g: Geometry, bytes: Uint8Array, how: How, directory: number, at: number): Trace[] {
  return g.version === 6 ? loose6(g, bytes, how, directory) : loose35(bytes, how, directory, at);
}

function loose35(bytes: Uint8Array, how: How, directory: number, from: number): Trace[] {
  const out: Trace[] = [];
  for (let start = 0; start + dirent.size <= bytes.length; ) {
    const trace = entryAt(bytes, start);
    if (trace === undefined) start += STEP;
    else {
      if (trace.name !== '.' && trace.name !== '..') {
        const before = out.findLast((one) => one.address !== 0)?.address ?? directory;
        const kind: How = trace.address === 0 ? 'cleared' : how;
        out.push({ ...trace, how: kind, directory, at: from + start, before });
      }
      start += dirent.size;
    }
  }
  return out;
}

/** One with a type, a generation, and a name with zeros behind it; its address may have been cleared. */
function entryAt(
  bytes: Uint8Array,
  start: number,
): Pick<Trace, 'type' | 'address' | 'generation' | 'name'> | undefined {
  const view = viewOf(bytes);
  // Most of what is looked at is no entry: its first word tells.
  const word = view.getUint32(start, true);
  if (word === 0 || word > 6) return undefined;
  const { type, address, generation, name } = dirent.decode(bytes, start);
  if ((address !== 0 && fdNumbers(address) === undefined) || generation === 0) return undefined;
  const nameAt = dirent.fields.name.at;
  if (!makesSense(bytes, start, type, name, nameAt) && name !== '.' && name !== '..') return undefined;
  for (let i = start + nameAt + name.length; i < start + dirent.size; i++) if (bytes[i] !== 0) return undefined;
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) < 0x20) return undefined;
  return { type, address, generation, name };
}

function loose6(g: Geometry, bytes: Uint8Array, how: How, directory: number): Trace[] {
  const out: Trace[] = [];
  const { lockBytes: md } = g;
  const perBlock = Math.floor((md - directoryBlock.size) / dirent6.size);
  const view = viewOf(bytes);
  for (let start = 0; start + md <= bytes.length; start += STEP) {
    if (view.getUint32(start, true) !== 0x00010001 || view.getUint16(start + 4, true) !== perBlock) continue;
    if (directoryBlock.decode(bytes, start).kind !== KIND_ENTRIES) continue;
    for (let slot = 0; slot < perBlock; slot++) {
      const inBlock = directoryBlock.size + slot * dirent6.size;
      const { type, address, generation, self, name } = dirent6.decode(bytes, start + inBlock);
      // Its own offset says which slot of a block it is in.
      if ((self - inBlock) % md !== 0 || self < inBlock || fdNumbers(address) === undefined) continue;
      if (!makesSense(bytes, start + inBlock, type, name, dirent6.fields.name.at)) continue;
      out.push({ how, type, address, generation, name, directory, at: self, before: directory });
    }
    start += md - STEP;
  }
  return out;
}
