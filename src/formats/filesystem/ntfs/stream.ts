/** Streams: the value of one attribute, wherever it lies. */
import { lznt1 } from '../../../codec/lznt1.ts';
import { MadeSource } from '../../../core/made.ts';
import { data, MapSource, missing, type Segment, segments } from '../../../core/map-source.ts';
import { type Certainty, DATA, INFERRED, type RunList, STATED, type Why, weaker, ZERO } from '../../../core/run.ts';
import type { Mapping, Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { type Ground, Placer } from './ground.ts';
import type { Attribute, FileRecord } from './record.ts';
import { decodeRuns, Extents, LOST_RUN, SPARSE } from './runs.ts';
import { ATTRIBUTE_COMPRESSED, ATTRIBUTE_ENCRYPTED, ATTRIBUTE_SPARSE, DATA_ATTRIBUTE, STRIDE } from './structs.ts';

/** Clusters of a compression unit, as a power of two; Windows writes 4. */
const MAX_UNIT = 8;
/** Bytes of a stream that are mapped; NTFS itself ends at 16 TiB less 64 KiB, or at 8 PiB since Windows 10. */
const MAX_STREAM = 2 ** 53 - 65_536;
/** The stream of bad clusters is as large as the volume, has none, and is not marked as sparse. */
const BAD_CLUSTERS = '$Bad';

export interface Stream {
  readonly type: number;
  readonly name: string;
  readonly flags: number;
  readonly size: number;
  /** What lies behind was never written: zeros. */
  readonly initialized: number;
  readonly allocated: number;
  readonly resident?: Attribute;
  /** Number of the file's first record, and when that was last changed, as the log counts. */
  readonly owner: number;
  readonly changedAt: number;
  readonly extents?: Extents;
  /** Clusters of a compression unit; 0 where it is not compressed. */
  readonly unit: number;
  readonly certainty: Certainty;
  readonly why: Why;
  /** The check that failed, where one did. */
  readonly doubt?: string;
}

/** The number of the first record of the file that a record belongs to. */
export function ownerOf({ base, number }: FileRecord): number {
  return base === 0 ? number : base;
}

/** One stream of its pieces, in any order. `cluster` and `bytes` are the volume's. */
export function streamOf(pieces: readonly Attribute[], cluster: number, bytes: number): Stream {
  const sorted =
    pieces.length === 1 ? pieces : [...pieces].sort((a, b) => (a.lying?.firstVcn ?? 0) - (b.lying?.firstVcn ?? 0));
  const first = sorted[0];
  const weak = sorted.find((one) => one.record.certainty < STATED);
  const code = weak?.record.doubts[0]?.code;
  const { type, name, flags } = first;
  const why: Why = weak === undefined ? first.record.why : { ...first.record.why, code: code ?? 'ntfs.record' };
  const certainty: Certainty = weak === undefined ? STATED : INFERRED;
  const { changedAt } = first.record;
  const owner = ownerOf(first.record);
  if (first.resident !== undefined) {
    const { size } = first.resident;
    const own = { type, name, flags, owner, changedAt, certainty, why, size, initialized: size, allocated: 0 };
    return code === undefined
      ? { ...own, resident: first, unit: 0 }
      : { ...own, resident: first, unit: 0, doubt: code };
  }
  const extents = new Extents();
  const broken = sorted.map((one) => addPiece(extents, one)).find((one) => one !== undefined);
  const head = first.lying!.firstVcn === 0 ? first.lying! : undefined;
  const room = Math.min(extents.end * cluster, MAX_STREAM);
  const failed = code ?? broken ?? wrongSize(head, room, name === BAD_CLUSTERS ? ATTRIBUTE_SPARSE : flags, extents);
  const isSized = head !== undefined && Number.isSafeInteger(head.size) && (head.size <= room || head.size <= bytes);
  const size = isSized ? head.size : room;
  const shift = head?.unit ?? 0;
  const isCompressed = (flags & ATTRIBUTE_COMPRESSED) !== 0 && shift > 0 && shift <= MAX_UNIT;
  const whole = {
    type,
    name,
    flags,
    owner,
    changedAt,
    certainty,
    why,
    size,
    initialized: isSized ? Math.min(size, head.initialized) : size,
    allocated: allocatedOf(extents) * cluster,
    extents,
    unit: isCompressed ? 2 ** shift : 0,
  };
  if (failed === undefined) return whole;
  return { ...whole, certainty: INFERRED, doubt: failed, why: { ...first.record.why, code: failed } };
}

/** Adds the runs of one piece; answers why they are not all, or undefined. */
function addPiece(extents: Extents, { record, at, length, lying }: Attribute): string | undefined {
  if (lying === undefined) return 'ntfs.attribute.piece';
  const { firstVcn, lastVcn } = lying;
  let code: string | undefined;
  if (firstVcn < extents.end) return 'ntfs.attribute.piece';
  if (firstVcn > extents.end) {
    code = 'ntfs.attribute.piece';
    extents.add(firstVcn - extents.end, LOST_RUN);
  }
  const add = (count: number, lcn: number): void => extents.add(count, lcn);
  const broken = decodeRuns(record.bytes, at + lying.runsAt, at + length, add);
  code ??= broken ?? (extents.end === lastVcn + 1 ? undefined : 'ntfs.runs.count');
  // What the list should say and does not is not a hole.
  if (extents.end < lastVcn + 1) extents.add(lastVcn + 1 - extents.end, LOST_RUN);
  return code;
}

function wrongSize(
  head: Attribute['lying'] | undefined,
  room: number,
  flags: number,
  extents: Extents,
): string | undefined {
  if (head === undefined) return 'ntfs.attribute.piece';
  if (head.allocated !== room) return 'ntfs.allocated';
  if (!(head.size <= room) || !(head.initialized <= head.size)) return 'ntfs.size';
  const mayHaveHoles = (flags & (ATTRIBUTE_SPARSE | ATTRIBUTE_COMPRESSED)) !== 0;
  return !mayHaveHoles && extents.lcn.includes(SPARSE) ? 'ntfs.runs.sparse' : undefined;
}

function allocatedOf(extents: Extents): number {
  let count = 0;
  for (let i = 0; i < extents.n; i++) if (extents.lcn[i] >= 0) count += extents.endOf(i) - extents.vcn[i];
  return count;
}

/** The bytes of a stream. `failed` is a check beside its own; `isDead` where the file is deleted. */
export function bytesOf(ground: Ground, stream: Stream, failed?: string, isDead = false): Source {
  const code = stream.doubt ?? failed;
  const why = code === undefined ? stream.why : { ...stream.why, code };
  const own = code === undefined && !isDead ? stream.certainty : weaker(stream.certainty, INFERRED);
  // What stands in an encrypted file's clusters is not what the file holds.
  if ((stream.flags & ATTRIBUTE_ENCRYPTED) !== 0)
    return segments([missing(stream.size, { ...why, code: 'ntfs.encrypted' })]);
  if (stream.resident !== undefined) return segments(residentSegments(stream.resident, own, why));
  // Compressed in units of a length that nobody writes: what stands in the clusters is not what the file holds.
  const isUnknown = (stream.flags & ATTRIBUTE_COMPRESSED) !== 0 && stream.unit === 0 && stream.type === DATA_ATTRIBUTE;
  if (isUnknown) return segments([missing(stream.size, { ...why, code: 'ntfs.compressed.unit' })]);
  return new MapSource(stream.size, new StreamMap(ground, { ...stream, certainty: own, why }, isDead));
}

/** A value in its record, with the bytes that its update sequence keeps for it. */
function residentSegments({ record, resident }: Attribute, certainty: Certainty, why: Why): Segment[] {
  const out: Segment[] = [];
  const end = resident!.at + resident!.size;
  for (let at = resident!.at; at < end; ) {
    const sector = Math.floor(at / STRIDE);
    const tail = (sector + 1) * STRIDE - 2;
    const isTail = at >= tail;
    const stop = Math.min(end, isTail ? tail + 2 : tail);
    if (!isTail) out.push(data(record.source, record.at + at, stop - at, certainty, why));
    else if (record.torn.includes(sector)) out.push(missing(stop - at, { ...why, code: 'ntfs.record.torn' }));
    else out.push(data(record.source, record.at + keptAt(record, sector) + at - tail, stop - at, certainty, why));
    at = stop;
  }
  return out;
}

function keptAt({ usaAt }: FileRecord, sector: number): number {
  return usaAt + 2 * (sector + 1);
}

class StreamMap implements Mapping {
  readonly #placer: Placer;
  readonly #unit: number;
  readonly #stream: Stream;
  readonly #extents: Extents;
  /** The clusters of a compressed stream as they lie, for what is made of them. */
  readonly #stored: Source | undefined;
  readonly #made = new TableCache<MadeSource>();

  constructor(ground: Ground, stream: Stream, isDead: boolean) {
    const { owner: who, changedAt: order } = stream;
    const { later } = ground;
    const fate = later && ((from: number, end: number) => later.fate({ from, end, order, who }));
    this.#placer = new Placer(ground, isDead, fate);
    this.#unit = ground.cluster;
    this.#stream = stream;
    this.#extents = stream.extents!;
    if (stream.unit === 0) return;
    const size = Math.min(stream.extents!.end * ground.cluster, MAX_STREAM);
    this.#stored = new MapSource(size, new StreamMap(ground, { ...stream, unit: 0, size, initialized: size }, isDead));
  }

  runs(from: number, end: number, out: RunList): number {
    const { initialized, certainty, why } = this.#stream;
    for (let at = from; at < end; ) {
      const isWritten = at < initialized;
      const reached = isWritten
        ? this.#step(at, Math.min(end, initialized), out)
        : out.add(ZERO, certainty, end - at, undefined, 0, why)
          ? end
          : at;
      if (reached === at) return at;
      at = reached;
    }
    return end;
  }

  async load(at: number): Promise<void> {
    const vcn = Math.floor(at / this.#unit);
    const i = this.#extents.indexOf(vcn);
    if (i >= 0 && this.#extents.lcn[i] >= 0) await this.#placer.load(this.#extents.lcn[i] + vcn - this.#extents.vcn[i]);
  }

  #step(at: number, end: number, out: RunList): number {
    const vcn = Math.floor(at / this.#unit);
    if (this.#stream.unit > 0) return this.#compressed(at, end, vcn - (vcn % this.#stream.unit), out);
    return this.#plain(at, end, vcn, out);
  }

  #plain(at: number, end: number, vcn: number, out: RunList): number {
    const { certainty, why } = this.#stream;
    const extents = this.#extents;
    if (vcn >= extents.end) return this.#placer.lost(at, end, this.#placer.reason(why, 'ntfs.runs.short'), out);
    const i = extents.indexOf(vcn);
    const stop = Math.min(end, extents.endOf(i) * this.#unit);
    const lcn = extents.lcn[i];
    if (lcn === LOST_RUN) {
      return this.#placer.lost(at, stop, this.#placer.reason(why, this.#stream.doubt ?? 'ntfs.runs'), out);
    }
    if (lcn === SPARSE) return out.add(ZERO, certainty, stop - at, undefined, 0, why) ? stop : at;
    return this.#placer.place(at, stop, lcn, at - extents.vcn[i] * this.#unit, certainty, why, out);
  }

  /** One unit of a compressed stream: all clusters as they are, none of them, or some that hold all. */
  #compressed(at: number, end: number, first: number, out: RunList): number {
    const { certainty, why, unit, initialized } = this.#stream;
    const start = first * this.#unit;
    const stop = Math.min(end, start + unit * this.#unit);
    let stored = 0;
    let isBroken = first + unit > this.#extents.end;
    for (let vcn = first, i = this.#extents.indexOf(first); vcn < first + unit && i >= 0 && i < this.#extents.n; i++) {
      const length = Math.min(this.#extents.endOf(i), first + unit) - vcn;
      if (this.#extents.lcn[i] === LOST_RUN) isBroken = true;
      // What is stored stands in front of the hole.
      if (this.#extents.lcn[i] >= 0 && vcn !== first + stored) isBroken = true;
      if (this.#extents.lcn[i] >= 0) stored += length;
      vcn += length;
    }
    if (isBroken) return this.#placer.lost(at, stop, this.#placer.reason(why, 'ntfs.compressed.unit'), out);
    if (stored === 0) return out.add(ZERO, certainty, stop - at, undefined, 0, why) ? stop : at;
    if (stored === unit) return this.#plain(at, stop, Math.floor(at / this.#unit), out);
    let made = this.#made.get(first);
    if (made === undefined) {
      const input = { source: this.#stored!, at: start, length: stored * this.#unit };
      made = new MadeSource(Math.min(unit * this.#unit, initialized - start), lznt1, [input]);
      this.#made.set(first, made, 512);
    }
    return out.add(DATA, certainty, stop - at, made, at - start, why) ? stop : at;
  }
}
