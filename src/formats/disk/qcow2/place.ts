/**
 * Which stretch of the disk a table without a place maps: what copies of lost tables say, what it shares with tables
 * that have a place, what the guest wrote there, and last the order in which tables were made. Source: qcow2.md 11.3.
 */
import type { Cx } from '../../../core/format.ts';
import { GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { NOWHERE, type Pieces } from '../placing/pieces.ts';
import { placed } from '../placing/place.ts';
import { Census } from './census.ts';
import { blankDirectory, type Directory, LOST_TABLE } from './directory.ts';
import { COMPRESSED, type Geometry, offsetOf } from './geometry.ts';
import { mapOf } from './map.ts';
import type { Table } from './survey.ts';

/** What the tables at these places map, side by side. */
export function piecesOf(file: Source, geometry: Geometry, tables: readonly number[]): Pieces {
  const directory = blankDirectory(-1, tables.length, LOST_TABLE, INFERRED, 'qcow2.l1');
  directory.tables.set(tables);
  const { coverage } = geometry;
  return { bytes: plainMap(file, geometry, directory, tables.length * coverage), count: tables.length, coverage };
}

/** What a directory maps, as long as nobody has looked who else claims it: to see what the guest says. */
export function plainMap(file: Source, geometry: Geometry, directory: Directory, size: number): Source {
  const image = {
    file,
    geometry,
    census: new Census(file, geometry, false),
    data: file,
    isExternal: false,
    rawData: undefined,
    isEncrypted: false,
    hasZeros: true,
    remade: new Map(),
    hasBacking: false,
    holes: { certainty: INFERRED, code: 'qcow2.l1' } as const,
  };
  return mapOf(image, directory, size);
}

/** How many tables got a place, by what gave it. */
export interface Placed {
  copies: number;
  shared: number;
  content: number;
  order: number;
  /** Tables that nothing gives a place. */
  readonly left: Table[];
}

/** Gives tables places among those of `directory` that are lost, and says how sure that is. */
export class Placer {
  readonly #file: Source;
  readonly #geometry: Geometry;
  readonly #directory: Directory;
  readonly #words: (at: number) => Promise<Uint32Array | undefined>;
  readonly placed: Placed = { copies: 0, shared: 0, content: 0, order: 0, left: [] };
  /** Where positions came from copies: tables that were written later take their place. */
  readonly #fromCopies = new Set<number>();

  constructor(
    file: Source,
    geometry: Geometry,
    directory: Directory,
    words: (at: number) => Promise<Uint32Array | undefined>,
  ) {
    this.#file = file;
    this.#geometry = geometry;
    this.#directory = directory;
    this.#words = words;
  }

  /** Takes over what an L1 table that is not the live one says of slots that are lost. */
  copy(from: Directory): void {
    const { tables } = this.#directory;
    for (let slot = 0; slot < Math.min(tables.length, from.tables.length); slot++) {
      if (tables[slot] !== LOST_TABLE || !(from.tables[slot] > 0)) continue;
      // Where it is the L2 table that is lost, what the copy leads to is an older state of the same stretch.
      const isOlder = this.#directory.codes.get(slot) === 'qcow2.l2';
      this.#put(slot, from.tables[slot], isOlder ? GUESSED : INFERRED, 'qcow2.l1-copy');
      this.#fromCopies.add(slot);
      this.placed.copies++;
    }
  }

  /** Finds places for tables of which none is in use. */
  async place(orphans: readonly Table[], cx: Cx): Promise<Placed> {
    let left = [...orphans].sort((a, b) => a.at - b.at);
    left = await this.#byShared(left);
    left = await this.#byGuest(left, cx);
    left = this.#byOrder(left);
    this.placed.left.push(...left);
    return this.placed;
  }

  #put(slot: number, at: number, grade: typeof INFERRED | typeof GUESSED, code: string): void {
    this.#directory.tables[slot] = at;
    this.#directory.grades[slot] = grade;
    this.#directory.codes.set(slot, code);
  }

  /** Two tables that lead to the same cluster by the same entry are of one stretch: the later one took it over. */
  async #byShared(orphans: readonly Table[]): Promise<Table[]> {
    if (this.#fromCopies.size === 0 && orphans.length === 0) return [...orphans];
    const { tables } = this.#directory;
    const slotOf = new Map<number, number>();
    const step = this.#geometry.extended ? 4 : 2;
    for (let slot = 0; slot < tables.length; slot++) {
      if (!(tables[slot] > 0)) continue;
      const words = await this.#words(tables[slot]);
      for (let i = 0; words !== undefined && i < words.length; i += step) {
        const offset = entryOffset(words[i], words[i + 1]);
        if (offset > 0) slotOf.set(offset, slot * words.length + i);
      }
    }
    return orphans.filter((table) => {
      for (let i = 0; i < table.words.length; i += step) {
        const known = slotOf.get(entryOffset(table.words[i], table.words[i + 1]));
        if (known === undefined || known % table.words.length !== i) continue;
        const slot = Math.floor(known / table.words.length);
        // A table that is used by a live directory stays; what shares with it is an older state of it.
        if (!this.#fromCopies.has(slot)) return false;
        this.#put(slot, table.at, INFERRED, 'qcow2.l2-shared-entries');
        this.placed.shared++;
        return false;
      }
      return true;
    });
  }

  /** What the guest says of places gives tables theirs, and where order agrees with it also those it says nothing of. */
  async #byGuest(orphans: readonly Table[], cx: Cx): Promise<Table[]> {
    const { tables, codes } = this.#directory;
    if (orphans.length === 0 || tables.length < 2) return [...orphans];
    const slotAt = new Map<number, number>();
    tables.forEach((at, slot) => {
      if (at > 0) slotAt.set(at, slot);
    });
    const places = [...new Set([...slotAt.keys(), ...orphans.map((table) => table.at)])].sort((a, b) => a - b);
    const isTaken = (slot: number): boolean => tables[slot] === LOST_TABLE && codes.get(slot) === 'qcow2.l2';
    const question = {
      pieces: piecesOf(this.#file, this.#geometry, places),
      slots: tables.length,
      known: Int32Array.from(places, (at) => slotAt.get(at) ?? NOWHERE),
      closed: Uint8Array.from(tables, (at, slot) => (at === 0 || isTaken(slot) ? 1 : 0)),
      cluster: this.#geometry.clusterSize,
    };
    const { byContent, slotOf } = await placed(question, cx);
    const left = new Set(orphans);
    const pieceOf = new Map(places.map((at, piece) => [at, piece]));
    for (const table of orphans) {
      const piece = pieceOf.get(table.at)!;
      const slot = slotOf[piece];
      if (slot < 0 || tables[slot] !== LOST_TABLE) continue;
      if (byContent[piece] === 1) this.#put(slot, table.at, INFERRED, 'qcow2.l2-content');
      else this.#put(slot, table.at, GUESSED, 'qcow2.l2-order');
      this.placed[byContent[piece] === 1 ? 'content' : 'order']++;
      left.delete(table);
    }
    return [...left];
  }

  /** Tables are made when a stretch is first written to: most disks are filled from their start. */
  #byOrder(orphans: readonly Table[]): Table[] {
    const { tables } = this.#directory;
    const left: Table[] = [];
    // Between two tables whose places are known lie those that were made between them.
    const fences: { slot: number; at: number }[] = [{ slot: -1, at: -1 }];
    for (let slot = 0; slot < tables.length; slot++) {
      if (tables[slot] > fences[fences.length - 1].at) fences.push({ slot, at: tables[slot] });
    }
    fences.push({ slot: tables.length, at: Number.POSITIVE_INFINITY });
    for (let f = 0; f + 1 < fences.length; f++) {
      const between = orphans.filter((table) => table.at > fences[f].at && table.at < fences[f + 1].at);
      const free: number[] = [];
      for (let slot = fences[f].slot + 1; slot < fences[f + 1].slot; slot++)
        if (tables[slot] === LOST_TABLE) free.push(slot);
      if (between.length > free.length) {
        left.push(...between);
        continue;
      }
      // The one place there is needs no guess.
      const sure = free.length === 1 && tables.length === 1;
      for (const [i, table] of between.entries()) {
        this.#put(free[i], table.at, sure ? INFERRED : GUESSED, sure ? 'qcow2.l1' : 'qcow2.l2-order');
        this.placed.order++;
      }
    }
    return left;
  }
}

/** What tells two entries' clusters apart: the offset of a plain or of a compressed one; 0 where there is none. */
function entryOffset(high: number, low: number): number {
  if ((high & COMPRESSED) !== 0) return (high & 0x1ffff) * 2 ** 32 + low;
  return offsetOf(high, low);
}
