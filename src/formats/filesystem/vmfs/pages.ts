/**
 * Pages of file descriptors: read in pieces of 128 KiB, into buffers that are used again. Listing a large directory reads
 * every descriptor once; buffers made anew for each would be most of the memory, and most of the time. Larger pieces
 * would be read on another thread, and waiting for it costs more than the reading.
 */
import { RunList } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';

/** Some descriptors of one cluster as read, and where each part of them lies below the file they were read from. */
export interface FdPage {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
  /** Of the first byte, in the file. */
  readonly offset: number;
  readonly places: RunList;
}

interface Slot {
  buffer: Uint8Array;
  page: FdPage | undefined;
  reading: Promise<void> | undefined;
  /** Callers that wait for the read and have not used the page yet. */
  waiting: number;
}

const SLOTS = 32;

export class FdPages {
  /** Least recently used first. */
  readonly #slots = new Map<number, Slot>();
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
  }

  /**
   * Calls `use` with the page that starts at `offset`: at once where it is in memory, else when it is read.
   * What `use` keeps of the page's bytes it has to copy.
   */
  with<T>(offset: number, length: number, use: (page: FdPage) => T): T | Promise<T> {
    let slot = this.#slots.get(offset);
    if (slot?.page !== undefined) {
      this.#slots.delete(offset);
      this.#slots.set(offset, slot);
      return use(slot.page);
    }
    slot ??= this.#start(offset, length);
    const ready = slot;
    ready.waiting++;
    return slot.reading!.then(() => {
      try {
        return use(ready.page!);
      } finally {
        ready.waiting--;
      }
    });
  }

  #start(offset: number, length: number): Slot {
    const slot: Slot = { buffer: this.#buffer(length), page: undefined, reading: undefined, waiting: 0 };
    slot.reading = this.#read(slot, offset, length);
    slot.reading.catch(() => {}); // whoever waits for it is told; a page that was only read ahead is nobody's
    this.#slots.set(offset, slot);
    return slot;
  }

  async #read(slot: Slot, offset: number, length: number): Promise<void> {
    const bytes = slot.buffer.subarray(0, length);
    const gaps = await this.#source.read(offset, bytes);
    const places = new RunList(8);
    await this.#source.runs(offset, offset + length, places);
    slot.page = { bytes, gaps, offset, places };
  }

  /** A buffer of a page that nobody waits for, or a new one. */
  #buffer(length: number): Uint8Array {
    if (this.#slots.size >= SLOTS) {
      for (const [key, slot] of this.#slots) {
        if (slot.page === undefined || slot.waiting > 0 || slot.buffer.length < length) continue;
        this.#slots.delete(key);
        return slot.buffer;
      }
    }
    return new Uint8Array(length);
  }
}
