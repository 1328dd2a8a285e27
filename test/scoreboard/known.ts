/** What was in a store, in memory: each file's bytes, which of them still lie on the evidence, and where to find a block. */
import { type Case, storedBytes } from './case.ts';

export const SECTOR = 512;
export const BLOCK = 4096;
const MOST_ALIKE = 8;
const ZEROS = Buffer.alloc(BLOCK);

/** A file as it was. Sectors that are all zeros say nothing and count nowhere. */
export interface Known {
  readonly path: string;
  readonly wanted: boolean;
  readonly bytes: Buffer;
  /** What the store holds in its place now. */
  readonly stored: Buffer;
  /** A 1 for each sector that holds something. */
  readonly full: Uint8Array;
  /** A 1 for each of these that lies unchanged on the evidence. */
  readonly survives: Uint8Array;
  /** A 1 for each of these that a program brought back. */
  readonly right: Uint8Array;
  /** Whether one recovered file is all of it, and whether one that holds something of it has its name. */
  whole: boolean;
  named: boolean;
}

export function knownFiles(one: Case): Known[] {
  const seen = new Set<string>();
  return one.files.map(({ file }): Known => {
    const bytes = Buffer.from(file.content!.read(0, file.size));
    const stored = storedBytes(one, file);
    const sectors = Math.ceil(file.size / SECTOR);
    const full = new Uint8Array(sectors);
    const survives = new Uint8Array(sectors);
    for (let i = 0; i < sectors; i++) {
      const at = i * SECTOR;
      const end = Math.min(file.size, at + SECTOR);
      if (bytes.compare(ZEROS, 0, end - at, at, end) === 0) continue;
      full[i] = 1;
      if (stored.there[i] === 1 && bytes.compare(stored.bytes, at, end, at, end) === 0) survives[i] = 1;
    }
    const wanted = one.wanted(file.path) && !seen.has(file.path);
    seen.add(file.path);
    const right = new Uint8Array(sectors);
    return { path: file.path, wanted, bytes, stored: stored.bytes, full, survives, right, whole: false, named: false };
  });
}

/** Bytes in the sectors that are marked. */
export function marked(known: Known, marks: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < marks.length; i++) if (marks[i] === 1) sum += Math.min(SECTOR, known.bytes.length - i * SECTOR);
  return sum;
}

/** Where blocks of known files may be found again by their content. */
export class BlockIndex {
  readonly #places = new Map<string, [file: number, offset: number][]>();
  readonly known: readonly Known[];

  constructor(known: readonly Known[]) {
    this.known = known;
    for (const [file, { bytes }] of known.entries()) {
      for (let offset = 0; offset + BLOCK <= bytes.length; offset += BLOCK) {
        const key = keyOf(bytes, offset);
        if (key === undefined) continue;
        const list = this.#places.get(key);
        if (list === undefined) this.#places.set(key, [[file, offset]]);
        else if (list.length < MOST_ALIKE) list.push([file, offset]);
      }
    }
  }

  /**
   * The known file that shares most blocks with these bytes, and where in it their first byte lies. `missing` marks
   * sectors that a program says it could not have.
   */
  best(bytes: Buffer, missing: Uint8Array): { known: Known; delta: number } | undefined {
    const votes = new Map<string, number>();
    let best: [file: number, delta: number] | undefined;
    let most = 0;
    for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
      const key = keyOf(bytes, at);
      for (const [file, offset] of (key !== undefined && this.#places.get(key)) || []) {
        const name = `${file}:${offset - at}`;
        const count = (votes.get(name) ?? 0) + 1;
        votes.set(name, count);
        if (count <= most) continue;
        most = count;
        best = [file, offset - at];
      }
    }
    if (best === undefined) return this.#small(bytes, missing);
    return { known: this.known[best[0]], delta: best[1] };
  }

  /** Files of less than a block: the one with the longest equal start, if that is most of what is there of it. */
  #small(bytes: Buffer, missing: Uint8Array): { known: Known; delta: number } | undefined {
    let best: Known | undefined;
    let most = 0;
    for (const known of this.known) {
      const length = Math.min(bytes.length, known.bytes.length);
      if (known.bytes.length > 16 * BLOCK || length < most) continue;
      const { lost, same } = equalStart(bytes, known.bytes, missing);
      // Files of one text without a name are one each, not all the first; of a part, its length tells whose it is.
      const isSpent = best?.whole === true && !known.whole;
      const another = same === most && (isSpent || (lost > 0 && same > 0 && closer(bytes, known, best)));
      if ((same <= most && !another) || same * 2 < known.bytes.length - lost) continue;
      most = same;
      best = known;
    }
    return best === undefined ? undefined : { known: best, delta: 0 };
  }
}

/** Bytes from the start that are equal, passing over what is missing, and bytes of that file that are. */
function equalStart(bytes: Buffer, known: Buffer, missing: Uint8Array): { same: number; lost: number } {
  const length = Math.min(bytes.length, known.length);
  let same = 0;
  let lost = 0;
  let at = 0;
  for (; at < length; at++) {
    if (missing[Math.floor(at / SECTOR)] === 1) lost++;
    else if (bytes[at] === known[at]) same++;
    else break;
  }
  for (; at < length; at++) lost += missing[Math.floor(at / SECTOR)];
  return { same, lost };
}

/** Whether the length of a known file is that of these bytes, where the other's is not. */
function closer(bytes: Buffer, known: Known, other: Known | undefined): boolean {
  return known.bytes.length === bytes.length && other?.bytes.length !== bytes.length;
}

/** Bytes from three places of a block; undefined for one of zeros. */
function keyOf(bytes: Buffer, at: number): string | undefined {
  const key =
    bytes.toString('latin1', at, at + 24) +
    bytes.toString('latin1', at + 2000, at + 2024) +
    bytes.toString('latin1', at + 4072, at + BLOCK);
  return /^\0*$/.test(key) && bytes.compare(ZEROS, 0, BLOCK, at, at + BLOCK) === 0 ? undefined : key;
}
