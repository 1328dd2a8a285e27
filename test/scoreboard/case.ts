/** A damaged store on disk: its images, and all that is known about what was in it. */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dice } from '../make/content.ts';
import { writeImages } from '../make/images.ts';
import type { Made, Structure, TruthFile, Write } from '../make/types.ts';

/** A text that is not in the store any more and can be written again from what is. */
export interface Rebuilt {
  readonly path: string;
  /** What it must hold to be of use. */
  readonly needs: string;
}

export interface Case {
  readonly made: Made;
  /** One for each member; undefined where it is lost. */
  readonly members: (string | undefined)[];
  /** What is given to a program, in this order. */
  images: string[];
  /** Files that were in the store; where two have one name, both. */
  files: { readonly file: TruthFile; readonly made: Made }[];
  /** Paths that the cell is about; all by default. */
  wanted: (path: string) => boolean;
  rebuilt: Rebuilt[];
  /** Descriptors in the chain of each machine's disk, where machines must be put together. */
  chain?: number;
  /** Whether what was damaged are the files' own bytes, so that no metadata can know. */
  altered: boolean;
  /** Whether names are asked for only where the entries of a file and its folder still hold them. */
  byEntry: boolean;
  /** Whether a file system of another kind now lies over the store: its files are nobody's loss. */
  foreign: boolean;
  readonly dir: string;
  readonly seed: number;
}

const STEP = 0x100000;

/** Writes a made store to `dir`, undamaged. */
export async function laid(made: Made, dir: string, seed: number): Promise<Case> {
  const images = await writeImages(made, dir);
  const files = userFiles(made);
  const members = [...images];
  const flags = { altered: false, byEntry: false, foreign: false };
  return { made, members, images, files, wanted: () => true, rebuilt: [], ...flags, dir, seed };
}

/** Files and links with bytes that are not the file system's own. */
export function userFiles(made: Made): Case['files'] {
  return made.truth.files.filter((f) => f.kind === 'file' && f.content !== undefined).map((file) => ({ file, made }));
}

/** Puts bytes over what is there. */
export function overlay(one: Case, writes: Iterable<Write>): void {
  const open = one.members.map((path) => (path === undefined ? -1 : openSync(path, 'r+')));
  try {
    for (const { member, at, bytes } of writes) {
      const file = open[member];
      if (file >= 0)
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done);
    }
  } finally {
    for (const file of open) if (file >= 0) closeSync(file);
  }
}

/** Makes an image as long as it has to be again, after a program wrote to it. */
export function resize(one: Case, member: number): void {
  const file = openSync(one.members[member]!, 'r+');
  ftruncateSync(file, one.made.members[member].size);
  closeSync(file);
}

export function structures(made: Made, names: RegExp): Structure[] {
  const list = made.truth.structures.filter((s) => names.test(s.name));
  if (list.length === 0) throw new Error(`${made.name} has no structure ${names}`);
  return list;
}

/** Zeros structures; of `half` every one that a coin names, at least one. */
export function wipe(one: Case, names: RegExp, half = false): void {
  const all = structures(one.made, names);
  const roll = dice(one.seed);
  const chosen = half ? all.filter((_, i) => i === 0 || roll(2) === 0) : all;
  overlay(
    one,
    chosen.map(({ member, at, length }) => ({ member, at, bytes: new Uint8Array(length) })),
  );
}

/** Bytes of a file where the store keeps them, as they are now; zeros where nothing is kept or the member is lost. */
export function storedBytes(one: Case, file: TruthFile): { bytes: Buffer; there: Uint8Array } {
  const bytes = Buffer.alloc(file.size);
  const there = new Uint8Array(Math.ceil(file.size / 512)).fill(1);
  for (const extent of file.extents) {
    const path = extent.kind === 'data' ? one.members[extent.member!] : undefined;
    if (path === undefined) {
      there.fill(0, Math.floor(extent.offset / 512), Math.ceil((extent.offset + extent.length) / 512));
      continue;
    }
    const handle = openSync(path, 'r');
    for (let done = 0; done < extent.length; done += STEP) {
      readSync(handle, bytes, extent.offset + done, Math.min(STEP, extent.length - done), extent.at! + done);
    }
    closeSync(handle);
  }
  return { bytes, there };
}

/** Whether the entry that names a path still holds its last component. */
export function entryHolds(one: Case, path: string): boolean {
  const pieces = one.made.truth.structures.filter((s) => s.name === `dirent:${path}`);
  const bytes = pieces.map(({ member, at, length }) => {
    const out = Buffer.alloc(length);
    const image = one.members[member];
    if (image === undefined) return out;
    const handle = openSync(image, 'r');
    readSync(handle, out, 0, length, at);
    closeSync(handle);
    return out;
  });
  return Buffer.concat(bytes).includes(`${path.slice(path.lastIndexOf('/') + 1)}\0`);
}
