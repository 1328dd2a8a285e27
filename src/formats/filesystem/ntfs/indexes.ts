/** Directories: a tree of nodes in $INDEX_ROOT and in blocks of $INDEX_ALLOCATION, each with its entries in order. */
import type { Gap, Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { type File, type Name, nameIn, valueIn } from './file.ts';
import { fixUp } from './fixup.ts';
import type { Doubt } from './record.ts';
import { Extents, SPARSE } from './runs.ts';
import {
  ENTRY_HAS_CHILD,
  ENTRY_LAST,
  FILE_NAME,
  INDEX_ALLOCATION,
  INDEX_BLOCK_NODE,
  INDEX_ENTRY_HEAD,
  INDEX_ROOT,
  INDEX_ROOT_HEAD,
  indexBlock,
  indexEntry,
  indexRoot,
  nodeHeader,
  STRIDE,
} from './structs.ts';
import type { Volume } from './volume.ts';

export const NAMES = '$I30';
const MAX_BLOCK = 65_536;
/** Levels, and blocks, of one tree. */
const MAX_LEVELS = 32;
const MAX_BLOCKS = 2 ** 22;
/** Bytes of nodes that are read at once; no node is larger. */
const PAGE = 65_536;
/** Entries handed out at once. */
const BATCH = 256;

export interface Entry extends Name {
  readonly record: number;
  readonly sequence: number;
  /** Bytes from the start of the volume. */
  readonly at: number;
  /** The check of its node that failed, where one did. */
  readonly doubt: string | undefined;
}

interface Page {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
}

interface Slot {
  readonly entry: Entry | undefined;
  readonly child: number | undefined;
}

interface Frame {
  readonly slots: readonly Slot[];
  i: number;
  isBelow: boolean;
}

/** The tree of one directory. */
export class Index {
  readonly #volume: Volume;
  readonly #report: (doubt: Doubt) => void;
  readonly #file: File;
  readonly #doubt: string | undefined;
  #block = 0;
  #blocks: Source | undefined;
  #extents: Extents | undefined;
  readonly #pages = new TableCache<Page>();

  /** `failed`: why nothing that the directory says is stated. */
  constructor(volume: Volume, file: File, report: (doubt: Doubt) => void, failed?: string) {
    this.#volume = volume;
    this.#file = file;
    this.#report = report;
    this.#doubt = failed;
  }

  /** All entries in order, in batches; what cannot be read is reported. */
  async *batches(): AsyncGenerator<Entry[]> {
    const root = this.#root();
    const stack: Frame[] = root === undefined ? [] : [{ slots: root, i: 0, isBelow: false }];
    const seen = new Set<number>();
    let batch: Entry[] = [];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const slot = frame.slots[frame.i];
      if (slot === undefined) {
        stack.pop();
        continue;
      }
      if (slot.child !== undefined && !frame.isBelow) {
        frame.isBelow = true;
        const isNew = !seen.has(slot.child) && seen.size < MAX_BLOCKS && stack.length < MAX_LEVELS;
        if (!isNew)
          this.#fail(this.#at, 'ntfs.index.loop', 'a node that was not seen before', `node ${slot.child} again`);
        seen.add(slot.child);
        const below = isNew ? await this.#node(slot.child) : undefined;
        if (below !== undefined) stack.push({ slots: below, i: 0, isBelow: false });
        continue;
      }
      if (slot.entry !== undefined) batch.push(slot.entry);
      frame.i++;
      frame.isBelow = false;
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  get #at(): number {
    return this.#file.record.place;
  }

  #fail(at: number, code: string, expected: string, actual: string): undefined {
    this.#report({ at, code, expected, actual });
    return undefined;
  }

  #root(): Slot[] | undefined {
    const attribute = this.#file.attributes.find((one) => one.type === INDEX_ROOT && one.name === NAMES);
    const value = attribute === undefined ? undefined : valueIn(attribute);
    const head = value === undefined || value.length < 32 ? undefined : indexRoot.decode(value);
    if (attribute === undefined || value === undefined || head === undefined || head.type !== FILE_NAME) {
      return this.#fail(this.#at, 'ntfs.index.root', 'the root of a directory', 'none');
    }
    const isBlock = head.block >= STRIDE && head.block <= MAX_BLOCK && head.block % STRIDE === 0;
    const stream = this.#volume.stream(this.#file, INDEX_ALLOCATION, NAMES);
    if (isBlock && stream !== undefined) {
      this.#block = head.block;
      this.#blocks = this.#volume.checked(stream);
      this.#extents = stream.extents ?? new Extents();
    }
    const place = attribute.record.place + attribute.resident!.at;
    return this.#slots(value, INDEX_ROOT_HEAD, place, this.#doubt ?? attribute.record.doubts[0]?.code);
  }

  async #node(vcn: number): Promise<Slot[] | undefined> {
    const expected = `node ${vcn} of directory record ${this.#file.record.number}`;
    const { cluster } = this.#volume.geometry;
    const at = vcn * (this.#block >= cluster ? cluster : STRIDE);
    const isInside = this.#blocks !== undefined && at + this.#block <= this.#blocks.size;
    if (!isInside || (at % PAGE) + this.#block > PAGE) {
      return this.#fail(this.#at, 'ntfs.index.node', expected, 'one behind the end of all');
    }
    const page = this.#pages.get(at - (at % PAGE)) ?? (await this.#read(at - (at % PAGE)));
    const place = this.#placeOf(at);
    const bytes = page.bytes.slice(at % PAGE, (at % PAGE) + this.#block);
    if (page.gaps.some((gap) => gap.offset < at + this.#block && gap.offset + gap.length > at))
      return this.#fail(place, 'ntfs.index.unreadable', expected, 'none that can be read');
    if (bytes[0] !== 0x49 || bytes[1] !== 0x4e || bytes[2] !== 0x44 || bytes[3] !== 0x58) {
      return this.#fail(place, 'ntfs.index.node', expected, 'none');
    }
    const head = indexBlock.decode(bytes);
    const fixed = fixUp(bytes, head.usaAt, head.usaCount);
    if (fixed === undefined) return this.#fail(place, 'ntfs.index.node', expected, 'none');
    if (head.vcn !== vcn) return this.#fail(place + 16, 'ntfs.index.vcn', expected, `node ${head.vcn}`);
    const isTorn = fixed.torn.length > 0;
    if (isTorn) this.#fail(place, 'ntfs.index.torn', 'sectors that were written together', 'some of another time');
    return this.#slots(bytes, INDEX_BLOCK_NODE, place, this.#doubt ?? (isTorn ? 'ntfs.index.torn' : undefined));
  }

  async #read(at: number): Promise<Page> {
    const bytes = new Uint8Array(Math.min(PAGE, this.#blocks!.size - at));
    const page = { bytes, gaps: await this.#blocks!.read(at, bytes) };
    this.#pages.set(at, page, bytes.length);
    return page;
  }

  #placeOf(at: number): number {
    const { cluster } = this.#volume.geometry;
    const i = this.#extents!.indexOf(Math.floor(at / cluster));
    const lcn = i < 0 ? SPARSE : this.#extents!.lcn[i];
    return lcn < 0 ? this.#at : (lcn - this.#extents!.vcn[i]) * cluster + at;
  }

  /** The entries of the node whose header stands at `from`. */
  #slots(bytes: Uint8Array, from: number, place: number, doubt: string | undefined): Slot[] {
    const out: Slot[] = [];
    const view = viewOf(bytes);
    const { fields } = indexEntry;
    const head = nodeHeader.decode(bytes, from);
    const end = from + head.used;
    let at = from + head.first;
    let isEnded = false;
    while (!isEnded && end <= bytes.length && at >= from + nodeHeader.size && at + INDEX_ENTRY_HEAD <= end) {
      // Field by field: there are as many entries as files.
      const length = view.getUint16(at + fields.length.at, true);
      const keyLength = view.getUint16(at + fields.keyLength.at, true);
      const flags = view.getUint16(at + fields.flags.at, true);
      const next = at + length;
      if (length < INDEX_ENTRY_HEAD || length % 8 !== 0 || next > end) break;
      isEnded = (flags & ENTRY_LAST) !== 0;
      const hasChild = (flags & ENTRY_HAS_CHILD) !== 0 && length >= INDEX_ENTRY_HEAD + 8;
      const child = hasChild ? readU64(view, next - 8) : undefined;
      const name = isEnded ? undefined : nameIn(bytes, view, at + INDEX_ENTRY_HEAD, keyLength);
      const isWhole = isEnded || (name !== undefined && keyLength + INDEX_ENTRY_HEAD <= length);
      if (!isWhole) break;
      if (name === undefined) out.push({ entry: undefined, child });
      else {
        const record = view.getUint32(at, true) + view.getUint16(at + fields.recordHigh.at, true) * 2 ** 32;
        const sequence = view.getUint16(at + fields.sequence.at, true);
        const { name: text, parent, parentSequence, isDos } = name;
        out.push({
          entry: { name: text, parent, parentSequence, isDos, record, sequence, at: place + at, doubt },
          child,
        });
      }
      at = next;
    }
    if (!isEnded) this.#fail(place + at, 'ntfs.index.entry', 'an entry that ends within its node', 'none');
    return out;
  }
}
