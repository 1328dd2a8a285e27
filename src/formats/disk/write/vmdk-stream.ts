/** VMDK as a stream of compressed grains, as appliances hold it. Source: vmdk.md section 3.1. */
import type { Packer, Packing, PackOptions, Placed } from '../../../core/packer.ts';
import { viewOf } from '../../../core/struct.ts';
import { alignUp } from './parts.ts';
import { checkRoom, directory, ENTRIES, embedded, GRAIN, GRAIN_SECTORS, header, tablesOf } from './vmdk.ts';
import { descriptorText, sectorsOf } from './vmdk-text.ts';

const SECTOR = 512;
/** Grains begin here: behind header and descriptor. */
const OVERHEAD = 128;
/** Sector and length in front of a grain. */
const MARKER = 12;
const END = 0;
const TABLE = 1;
const DIRECTORY = 2;
const FOOTER = 3;
/** Newlines can be tested, grains are compressed, there are markers. */
const FLAGS = 0x30001;
/** The footer says where the directory lies. */
const AT_END = -1;

export const streamPacker: Packer = {
  variants: ['stream'],
  unit: () => GRAIN,
  pack: (options) => new Stream(options),
};

class Stream implements Packing {
  readonly method = 'zlib';
  /** The format knows no plain grains: those that do not shrink are stored inside of their stream. */
  readonly worth: number = Number.POSITIVE_INFINITY;
  readonly #sectors: number;
  readonly #text: Uint8Array;
  readonly #places: Uint32Array;
  #at = OVERHEAD * SECTOR;
  /** The table under way, and which one it is. */
  #table = new Uint8Array(ENTRIES * 4);
  #current = -1;

  constructor({ name, size, occupied }: PackOptions) {
    this.#sectors = sectorsOf({ size });
    checkRoom({ size }, this.#sectors, OVERHEAD);
    const about = { createType: 'streamOptimized', keyword: 'SPARSE', extent: name };
    this.#text = embedded(descriptorText({ ...about, sectors: this.#sectors, occupied: occupied.count }));
    this.#places = new Uint32Array(tablesOf(occupied.units));
  }

  get size(): number {
    return this.#at;
  }

  add(unit: number, bytes: Uint8Array): readonly Placed[] {
    const out: Placed[] = [];
    const table = Math.floor(unit / ENTRIES);
    if (table !== this.#current) out.push(...this.#closeTable());
    this.#current = table;
    viewOf(this.#table).setUint32((unit % ENTRIES) * 4, this.#sector(), true);
    const head = new Uint8Array(MARKER);
    const view = viewOf(head);
    view.setUint32(0, (unit * GRAIN_SECTORS) >>> 0, true);
    view.setUint32(4, Math.floor((unit * GRAIN_SECTORS) / 2 ** 32), true);
    view.setUint32(8, bytes.length, true);
    // The rest of the last sector is never written, and so zeros.
    const at = this.#room(MARKER + bytes.length);
    out.push({ at, bytes: head }, { at: at + MARKER, bytes });
    return out;
  }

  *finish(): Iterable<Placed> {
    yield* this.#closeTable();
    const places = directory(this.#places.length, (i) => this.#places[i]);
    yield this.#put(marker(DIRECTORY, places.length / SECTOR));
    const mainAt = this.#sector();
    yield this.#put(places);
    const about = { version: 3, flags: FLAGS, sectors: this.#sectors, spareAt: 0, compressed: true };
    yield this.#put(marker(FOOTER, 1));
    yield this.#put(header({ ...about, mainAt, overhead: OVERHEAD }));
    yield this.#put(marker(END, 0));
    yield { at: SECTOR, bytes: this.#text };
    yield { at: 0, bytes: header({ ...about, mainAt: AT_END, overhead: OVERHEAD }) };
  }

  #closeTable(): Placed[] {
    if (this.#current < 0) return [];
    const first = this.#put(marker(TABLE, this.#table.length / SECTOR));
    this.#places[this.#current] = this.#sector();
    const second = this.#put(this.#table);
    this.#table = new Uint8Array(ENTRIES * 4);
    return [first, second];
  }

  #sector(): number {
    return this.#at / SECTOR;
  }

  #put(bytes: Uint8Array): Placed {
    return { at: this.#room(bytes.length), bytes };
  }

  #room(length: number): number {
    const at = this.#at;
    this.#at += alignUp(length, SECTOR);
    checkRoom({ size: this.#sectors * SECTOR }, this.#sectors, this.#sector());
    return at;
  }
}

/** A sector that says what the next ones are. */
function marker(type: number, sectors: number): Uint8Array {
  const out = new Uint8Array(SECTOR);
  const view = viewOf(out);
  view.setUint32(0, sectors, true);
  view.setUint32(12, type, true);
  return out;
}
