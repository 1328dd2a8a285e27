/** What all writers put their files together from. */
import { type Codec, MadeSource } from '../../../core/made.ts';
import { data, type Segment, segments, zeros } from '../../../core/map-source.ts';
import { MemorySource } from '../../../core/memory.ts';
import type { Occupied } from '../../../core/occupied.ts';
import { STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';

/** The parts of a file, one behind the other. */
export class Parts {
  readonly #list: Segment[] = [];
  /** Bytes so far. */
  at = 0;

  bytes(content: Uint8Array): this {
    return this.source(new MemorySource(content), 0, content.length);
  }

  /** A table of `size` bytes that is made when it is read: tables of large disks are not kept. */
  table(name: string, size: number, fill: (table: Uint8Array) => void): this {
    const codec: Codec = {
      name,
      make() {
        const table = new Uint8Array(size);
        fill(table);
        return table;
      },
    };
    return this.source(new MadeSource(size, codec, []), 0, size);
  }

  source(source: Source, from: number, length: number): this {
    if (length > 0) this.#list.push(data(source, from, length, STATED));
    this.at += length;
    return this;
  }

  /** Zeros up to `to`, which must not be behind. */
  fill(to: number): this {
    if (to < this.at) throw new RangeError(`${to} lies before ${this.at}`);
    if (to > this.at) this.#list.push(zeros(to - this.at, STATED));
    this.at = to;
    return this;
  }

  /** The occupied units of a disk, one behind the other, the last one filled up; `before` stands in front of each. */
  units(disk: Source, occupied: Occupied, before?: Uint8Array): this {
    if (before !== undefined) return this.#framed(disk, occupied, before);
    const { unit, runs } = occupied;
    for (let i = 0; i < runs.length; i += 2) {
      const from = runs[i] * unit;
      const end = runs[i + 1] * unit;
      this.source(disk, from, Math.min(end, disk.size) - from);
      this.fill(this.at + Math.max(0, end - disk.size));
    }
    return this;
  }

  #framed(disk: Source, occupied: Occupied, before: Uint8Array): this {
    const { unit, units } = occupied;
    const head = new MemorySource(before);
    occupied.each(0, units, (i) => {
      const from = i * unit;
      this.source(head, 0, before.length).source(disk, from, Math.min(unit, disk.size - from));
      this.fill(this.at + unit - Math.min(unit, disk.size - from));
    });
    return this;
  }

  /** The whole disk, each unit where it was, and zeros between the occupied ones. */
  spread(disk: Source, { unit, runs }: Occupied): this {
    const start = this.at;
    for (let i = 0; i < runs.length; i += 2) {
      const from = runs[i] * unit;
      this.fill(start + from).source(disk, from, Math.min(runs[i + 1] * unit, disk.size) - from);
    }
    return this.fill(start + disk.size);
  }

  file(): Source {
    return segments(this.#list);
  }
}

export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
