/** The path table: every directory once more, with the number of the one above it. */
import type { Source } from '../../../core/source.ts';
import type { Descriptor } from './descriptors.ts';
import { pathEntry } from './structs.ts';

/** Bytes of a table: 65,535 directories with long names. */
const MAX_TABLE = 16 * 1024 * 1024;

interface Path {
  readonly at: number;
  readonly start: number;
  readonly parent: number;
  readonly name: Uint8Array;
}

export class PathTable {
  readonly #source: Source;
  readonly #descriptor: Descriptor;
  #all: Promise<readonly Path[]> | undefined;

  constructor(source: Source, descriptor: Descriptor) {
    this.#source = source;
    this.#descriptor = descriptor;
  }

  /** The directories inside the one that starts at a block. */
  async childrenOf(start: number): Promise<Path[]> {
    this.#all ??= this.#read();
    const all = await this.#all;
    const numbers = new Set<number>();
    for (const [i, path] of all.entries()) if (path.start === start) numbers.add(i + 1);
    // The root is its own parent.
    return all.filter(({ parent }, i) => numbers.has(parent) && i > 0);
  }

  async #read(): Promise<Path[]> {
    const { values } = this.#descriptor;
    const base = values.pathTable * values.blockSize;
    const block = new Uint8Array(Math.max(0, Math.min(values.pathTableBytes, MAX_TABLE, this.#source.size - base)));
    await this.#source.read(base, block);
    const out: Path[] = [];
    for (let at = 0; at + pathEntry.size < block.length; ) {
      const one = pathEntry.decode(block, at);
      const isOne = pathEntry.violations(one).length === 0 && one.start < values.blocks && one.parent <= out.length + 1;
      if (!isOne) break;
      const nameAt = at + pathEntry.size;
      out.push({
        at: base + at,
        start: one.start,
        parent: one.parent,
        name: block.subarray(nameAt, nameAt + one.nameLength),
      });
      at = nameAt + one.nameLength + (one.nameLength % 2);
    }
    return out;
  }
}
