/** One state of a disk as a map: from guest offsets to clusters of the file. Source: qcow2.md section 3. */
import { deflateCluster, zstdCluster } from '../../../codec/cluster.ts';
import { MadeSource } from '../../../core/made.ts';
import { MapSource } from '../../../core/map-source.ts';
import {
  ABSENT,
  type Certainty,
  DATA,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  STATED,
  type Why,
  weaker,
  ZERO,
} from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Census } from './census.ts';
import { type Directory, LOST_TABLE } from './directory.ts';
import {
  COMPRESSED,
  COPIED,
  compressedAt,
  type Geometry,
  offsetOf,
  RESERVED_HIGH,
  RESERVED_LOW,
  readWords,
  type Words,
  ZERO_FLAG,
} from './geometry.ts';

/** Bytes of tables that are loaded at once ahead of where they are needed. */
const AHEAD = 65_536;

/** What all states of one image share. */
export interface Image {
  readonly file: Source;
  readonly geometry: Geometry;
  readonly census: Census;
  /** Where data clusters lie; undefined where that file is not had. The image itself unless it has an external one. */
  readonly data: Source | undefined;
  readonly isExternal: boolean;
  /** The external file where it is the whole disk by itself. */
  readonly rawData: Source | undefined;
  readonly isEncrypted: boolean;
  /** Entries may say that a cluster is zeros: since version 3. */
  readonly hasZeros: boolean;
  /** Tables that were made up for lost ones, by the offset at which those stood. An entry that is in use and leads nowhere is lost. */
  readonly remade: ReadonlyMap<number, Words>;
  /** What no entry maps is asked of the backing file. */
  readonly hasBacking: boolean;
  /** How sure it is that what no entry maps is not mapped, and why it is no more than that. */
  readonly holes: { readonly certainty: Certainty; readonly code?: string };
}

/** An L2 table in memory. */
interface Table {
  readonly words: Words | undefined;
  readonly certainty: Certainty;
  readonly why: Why;
}

/** The disk of `size` bytes that a directory maps. */
export function mapOf(image: Image, directory: Directory, size: number): MapSource {
  return new MapSource(size, new DiskMap(image, directory));
}

class DiskMap {
  readonly #image: Image;
  readonly #directory: Directory;
  readonly #tables = new TableCache<Table>();
  readonly #made = new TableCache<{ readonly length: number; readonly source: MadeSource }>();
  readonly #hole: Why;
  readonly #doubts = new Map<string, Why>();

  constructor(image: Image, directory: Directory) {
    this.#image = image;
    this.#directory = directory;
    const at = Math.max(0, directory.at);
    const { code } = image.holes;
    this.#hole = { what: 'QCOW2 L1 table', source: image.file, at, ...(code !== undefined && { code }) };
  }

  runs(from: number, end: number, out: RunList): number {
    const { coverage } = this.#image.geometry;
    const { tables } = this.#directory;
    let at = from;
    while (at < end) {
      const slot = Math.floor(at / coverage);
      // Nothing is known of what lies behind the last slot, however much that is.
      const stop = slot < tables.length ? Math.min(end, (slot + 1) * coverage) : end;
      const table = slot < tables.length ? tables[slot] : LOST_TABLE;
      if (table === 0 || table === LOST_TABLE) {
        const added = table === 0 ? this.#gap(stop - at, slot, out) : this.#lost(at, stop - at, slot, out);
        if (!added) return at;
        at = stop;
        continue;
      }
      const loaded = this.#tables.get(slot);
      if (loaded === undefined) return at;
      at = this.#entries(loaded, slot, at, stop, out);
      if (at < stop) return at;
    }
    return at;
  }

  async load(at: number, end: number): Promise<void> {
    const { clusterSize, coverage } = this.#image.geometry;
    const { tables } = this.#directory;
    const first = Math.floor(at / coverage);
    const last = Math.min(tables.length, Math.ceil(end / coverage), first + Math.max(1, AHEAD / clusterSize));
    const loading: Promise<void>[] = [];
    for (let slot = first; slot < last; slot++) {
      if (tables[slot] > 0 && (slot === first || this.#tables.get(slot) === undefined)) loading.push(this.#load(slot));
    }
    await Promise.all(loading);
  }

  async #load(slot: number): Promise<void> {
    const { file, geometry, census } = this.#image;
    const at = this.#directory.tables[slot];
    const words = this.#image.remade.get(at) ?? (await readWords(file, at, geometry.clusterSize));
    const state = census.tables.get(at);
    let certainty = weaker(geometry.certainty, this.#directory.grades[slot] as Certainty);
    let code = certainty < STATED ? (this.#directory.codes.get(slot) ?? geometry.code) : undefined;
    const odd =
      state === undefined
        ? undefined
        : state.crossed
          ? 'qcow2.l2-shared'
          : state.bad > 0
            ? 'qcow2.l2-entry'
            : undefined;
    const doubt = odd ?? census.doubtTable(at);
    if (doubt !== undefined && certainty > INFERRED) {
      certainty = INFERRED;
      code = doubt;
    }
    const why = { what: 'QCOW2 L2 table', source: file, at, ...(code !== undefined && { code }) };
    this.#tables.set(slot, { words, certainty, why }, words?.byteLength ?? 64);
  }

  /** Bytes that no table maps. */
  #gap(length: number, slot: number, out: RunList, table?: Table): boolean {
    const { geometry, holes, hasBacking } = this.#image;
    const own =
      table === undefined ? weaker(geometry.certainty, this.#directory.grades[slot] as Certainty) : table.certainty;
    const certainty = weaker(own, holes.certainty);
    let why = table === undefined ? this.#hole : table.why;
    if (certainty < STATED) {
      const code =
        own <= holes.certainty ? (table?.why.code ?? this.#directory.codes.get(slot) ?? geometry.code) : holes.code;
      why = this.#doubtful(why, code ?? 'qcow2.holes');
    }
    // A backing file that shows through is no more certain than it is that nothing lies above it.
    if (hasBacking)
      return out.add(
        ABSENT,
        certainty < STATED ? certainty : LOST,
        length,
        undefined,
        0,
        certainty < STATED ? why : undefined,
      );
    return out.add(ZERO, certainty, length, undefined, 0, why);
  }

  #lost(at: number, length: number, slot: number, out: RunList): boolean {
    const code = this.#directory.codes.get(slot) ?? 'qcow2.l1-short';
    const { rawData } = this.#image;
    if (rawData !== undefined && at + length <= rawData.size) {
      return out.add(DATA, INFERRED, length, rawData, at, this.#doubtful(this.#hole, code));
    }
    return out.add(MISSING, LOST, length, undefined, 0, this.#doubtful(this.#hole, code));
  }

  /** One object for each reason and place, for lists keep them by identity. */
  #doubtful(why: Why, code: string): Why {
    const key = `${why.at}:${code}`;
    const known = this.#doubts.get(key);
    if (known !== undefined) return known;
    if (this.#doubts.size > 4096) this.#doubts.clear();
    const made = { ...why, code };
    this.#doubts.set(key, made);
    return made;
  }

  #entries(table: Table, slot: number, from: number, end: number, out: RunList): number {
    const { clusterSize, coverage, extended, l2Entries } = this.#image.geometry;
    if (table.words === undefined) {
      return out.add(MISSING, LOST, end - from, undefined, 0, this.#doubtful(table.why, 'qcow2.l2-unreadable'))
        ? end
        : from;
    }
    let at = from;
    while (at < end) {
      const inTable = at - slot * coverage;
      const i = Math.floor(inTable / clusterSize);
      const inner = inTable - i * clusterSize;
      const stop = Math.min(end, slot * coverage + (i + 1) * clusterSize);
      const reached = extended
        ? this.#subclusters(table, slot, i, inner, at, stop, out)
        : this.#entry(table, slot * l2Entries + i, slot, inner, at, stop, out);
      if (reached < stop) return reached;
      at = stop;
    }
    return at;
  }

  #entry(table: Table, guest: number, slot: number, inner: number, at: number, stop: number, out: RunList): number {
    const i = guest - slot * this.#image.geometry.l2Entries;
    const high = table.words![2 * i];
    const low = table.words![2 * i + 1];
    const length = stop - at;
    if ((high & COMPRESSED) !== 0) return this.#compressed(table, high, low, inner, length, out) ? stop : at;
    if ((low & ZERO_FLAG) !== 0) return this.#zero(table, high, low, length, out) ? stop : at;
    if (high === 0 && low === 0) return this.#gap(length, slot, out, table) ? stop : at;
    return at + this.#data(table, high, low, guest, inner, length, out);
  }

  #subclusters(table: Table, slot: number, i: number, inner: number, at: number, stop: number, out: RunList): number {
    const { geometry } = this.#image;
    const [high, low, zeros, used] = [0, 1, 2, 3].map((n) => table.words![4 * i + n]);
    if ((high & COMPRESSED) !== 0) return this.#compressed(table, high, low, inner, stop - at, out) ? stop : at;
    const size = geometry.clusterSize / 32;
    let reached = at;
    let within = inner;
    while (reached < stop) {
      const sub = Math.floor(within / size);
      const length = Math.min(stop - reached, (sub + 1) * size - within);
      const isUsed = ((used >>> sub) & 1) === 1;
      let done: number;
      if (isUsed && ((zeros >>> sub) & 1) === 1) done = this.#bad(table, 'qcow2.l2-entry', length, out);
      else if (isUsed) done = this.#data(table, high, low, slot * geometry.l2Entries + i, within, length, out);
      else if (((zeros >>> sub) & 1) === 1) done = this.#zero(table, high, low & ~ZERO_FLAG, length, out) ? length : 0;
      else done = this.#gap(length, slot, out, table) ? length : 0;
      if (done < length) return reached + done;
      reached += length;
      within += length;
    }
    return reached;
  }

  #zero(table: Table, high: number, low: number, length: number, out: RunList): boolean {
    // Version 2 does not know clusters of zeros.
    const sound = (high & RESERVED_HIGH) === 0 && (low & RESERVED_LOW) === 0 && this.#image.hasZeros;
    if (sound) return out.add(ZERO, table.certainty, length, undefined, 0, table.why);
    const why = this.#doubtful(table.why, 'qcow2.l2-entry');
    return out.add(ZERO, weaker(table.certainty, INFERRED), length, undefined, 0, why);
  }

  #bad(table: Table, code: string, length: number, out: RunList): number {
    return out.add(MISSING, LOST, length, undefined, 0, this.#doubtful(table.why, code)) ? length : 0;
  }

  /** Bytes of a cluster that lies in the data file as it is. Answers how many were said. */
  #data(table: Table, high: number, low: number, guest: number, inner: number, length: number, out: RunList): number {
    const { census, data, geometry, isEncrypted, isExternal } = this.#image;
    const offset = offsetOf(high, low);
    if (offset % geometry.clusterSize !== 0) return this.#bad(table, 'qcow2.l2-entry', length, out);
    if (data === undefined) return this.#bad(table, 'qcow2.data-file', length, out);
    // Subclusters that are in use need a cluster; and nothing but the header lies in the first one.
    if (offset === 0 && !isExternal) return this.#bad(table, 'qcow2.l2-entry', length, out);
    const there = Math.max(0, Math.min(length, data.size - offset - inner));
    if (there === 0) return this.#bad(table, 'past-end', length, out);
    if (isEncrypted) {
      const why = this.#doubtful(table.why, 'encrypted');
      return out.add(MISSING, LOST, there, data, offset + inner, why) ? there : 0;
    }
    const reserved = (high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0;
    // In an external file each cluster lies where it lies on the disk.
    const elsewhere = isExternal && offset !== guest * geometry.clusterSize ? 'qcow2.data-offset' : undefined;
    const doubt = reserved ? 'qcow2.l2-entry' : isExternal ? elsewhere : census.doubt(offset, guest);
    const certainty = doubt === undefined ? table.certainty : weaker(table.certainty, INFERRED);
    const why = doubt === undefined || table.certainty < STATED ? table.why : this.#doubtful(table.why, doubt);
    if (!out.add(DATA, certainty, there, data, offset + inner, why)) return 0;
    return there < length ? there + this.#bad(table, 'past-end', length - there, out) : length;
  }

  #compressed(table: Table, high: number, low: number, inner: number, length: number, out: RunList): boolean {
    const { census, file, geometry, isEncrypted, isExternal } = this.#image;
    const place = compressedAt(high, low, geometry.clusterBits);
    const there = Math.min(place.length, file.size - place.at);
    if ((high & COPIED) !== 0 || isExternal) return this.#bad(table, 'qcow2.l2-entry', length, out) > 0;
    if (there <= 0) return this.#bad(table, 'past-end', length, out) > 0;
    if (isEncrypted) return this.#bad(table, 'encrypted', length, out) > 0;
    let known = this.#made.get(place.at);
    if (known?.length !== there) {
      const codec = geometry.zstd ? zstdCluster : deflateCluster;
      const source = new MadeSource(geometry.clusterSize, codec, [{ source: file, at: place.at, length: there }]);
      known = { length: there, source };
      this.#made.set(place.at, known, 256);
    }
    const doubt = census.doubtCompressed(place.at, there);
    const certainty = doubt === undefined ? table.certainty : weaker(table.certainty, INFERRED);
    const why = doubt === undefined || table.certainty < STATED ? table.why : this.#doubtful(table.why, doubt);
    return out.add(DATA, certainty, length, known.source, inner, why);
  }
}
