import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Made, Write } from './types.ts';

/** Writes each member as a sparse file NAME.img (or NAME-0.img, NAME-1.img, …) in `dir`; refuses to overwrite. */
export async function writeImages(made: Made, dir: string): Promise<string[]> {
  const many = made.members.length > 1;
  const paths = made.members.map((_, i) => join(dir, many ? `${made.name}-${i}.img` : `${made.name}.img`));
  const files: number[] = [];
  try {
    for (const [i, path] of paths.entries()) {
      files.push(openSync(path, 'wx'));
      ftruncateSync(files[i]!, made.members[i]!.size);
    }
    for (const { member, at, bytes } of made.writes()) {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(files[member]!, bytes, done, bytes.length - done, at + done);
      }
    }
  } finally {
    for (const file of files) closeSync(file);
  }
  return paths;
}

/** A member image in memory: only what was written is held, all else reads as zeros. */
export interface MemoryImage {
  readonly size: number;
  /** Sorted by position; a later write wins where pieces overlap. */
  readonly pieces: readonly { at: number; bytes: Uint8Array }[];
  read(offset: number, into: Uint8Array): void;
}

/** Cuts what later writes cover out of earlier ones, so that pieces do not overlap. */
function flatten(writes: Write[]): { at: number; bytes: Uint8Array }[] {
  const order = writes.map((_, i) => i).sort((a, b) => writes[a]!.at - writes[b]!.at || a - b);
  const out: { at: number; bytes: Uint8Array }[] = [];
  for (const i of order) {
    const { at, bytes } = writes[i]!;
    const last = out.at(-1);
    if (last !== undefined && last.at + last.bytes.length > at) {
      throw new Error(`two writes overlap at ${at}`);
    }
    if (bytes.length > 0) out.push({ at, bytes });
  }
  return out;
}

function memoryImage(size: number, writes: Write[]): MemoryImage {
  const pieces = flatten(writes);
  return {
    size,
    pieces,
    read(offset, into) {
      into.fill(0);
      let low = 0;
      let high = pieces.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const p = pieces[middle]!;
        if (p.at + p.bytes.length <= offset) low = middle + 1;
        else high = middle;
      }
      for (let i = low; i < pieces.length; i++) {
        const p = pieces[i]!;
        if (p.at >= offset + into.length) break;
        const from = Math.max(p.at, offset);
        const end = Math.min(p.at + p.bytes.length, offset + into.length);
        into.set(p.bytes.subarray(from - p.at, end - p.at), from - offset);
      }
    },
  };
}

/** All members in memory, for stores whose images would not fit a disk. */
export function memoryImages(made: Made): MemoryImage[] {
  const writes: Write[][] = made.members.map(() => []);
  for (const write of made.writes()) writes[write.member]!.push(write);
  return made.members.map((m, i) => memoryImage(m.size, writes[i]!));
}
