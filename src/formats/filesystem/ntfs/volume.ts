/** An opened NTFS volume: its layout, its records, and the bytes of what lies on it. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { Claimants } from '../claimants.ts';
import { Claims, ClusterBitmap } from './bitmap.ts';
import type { Geometry } from './boot.ts';
import { Census } from './census.ts';
import { type File, fileOf, streamIn } from './file.ts';
import type { Ground } from './ground.ts';
import { type Attribute, type Doubt, type FileRecord, isInUse } from './record.ts';
import type { Records } from './records.ts';
import type { Origin } from './recycled.ts';
import { decodeRuns, SPARSE } from './runs.ts';
import { bytesOf, ownerOf, type Stream } from './stream.ts';
import { BITMAP_RECORD, DATA_ATTRIBUTE } from './structs.ts';

/** Volumes with more clusters, or records, are not looked through for clusters that two files claim. */
const MAX_CLUSTERS = 2 ** 30;
const MAX_RECORDS = 2 ** 24;

export class Volume {
  readonly source: Source;
  readonly geometry: Geometry;
  readonly records: Records;
  readonly cx: Cx;
  readonly damage: Damage[] = [];
  /** Directories by record, with the first place each was met in. */
  readonly directories = new Map<number, string>();
  /** Why nothing of the volume can be stated, where that is so. */
  readonly doubt: string | undefined;
  /** The clusters as they are, for what holds checks of its own. */
  readonly plain: Ground;
  /** What recycle bins say of where things came from, by the record of their directory. */
  readonly recycled = new Map<number, Promise<Map<string, Origin>>>();
  #census: Promise<Census> | undefined;
  #ground: Promise<Ground> | undefined;
  #deadGround: Promise<Ground> | undefined;
  #bitmap: Promise<ClusterBitmap> | undefined;

  constructor(source: Source, geometry: Geometry, records: Records, cx: Cx, doubt?: string) {
    this.source = source;
    this.geometry = geometry;
    this.records = records;
    this.cx = cx;
    this.doubt = doubt;
    this.plain = { source, cluster: geometry.cluster, clusters: geometry.clusters };
  }

  note(doubt: Doubt, effect: string): Damage {
    return this.cx.damage(Math.max(0, doubt.at), doubt.code, doubt.expected, doubt.actual, effect);
  }

  /** All attributes of a file; a promise only where they are spread over several records. */
  file(record: FileRecord, isDead = false): File | Promise<File> {
    return fileOf(this.plain, record, (number) => this.records.raw(number), isDead);
  }

  /** A stream of a file; undefined where it has none of that type and name. */
  stream(file: File, type: number, name = ''): Stream | undefined {
    return streamIn(this.plain, file, type, name);
  }

  /** What a stream that checks itself holds: indexes, and the bitmaps that others are checked with. */
  checked(stream: Stream, isDead = false): Source {
    return bytesOf(this.plain, stream, this.doubt, isDead);
  }

  /** What a stream holds. `failed` is a check beside its own. */
  async bytes(stream: Stream, failed: string | undefined, isDead = false): Promise<Source> {
    const ground = stream.resident === undefined ? await (isDead ? this.#dead() : this.#live()) : this.plain;
    return bytesOf(ground, stream, failed ?? this.doubt, isDead);
  }

  /** Who calls which directory its own, by one pass over all records. */
  census(): Promise<Census> {
    this.#census ??= Census.take(this);
    return this.#census;
  }

  /** The bits of the clusters in use. */
  bitmap(): Promise<ClusterBitmap> {
    this.#bitmap ??= this.#readBitmap();
    return this.#bitmap;
  }

  #live(): Promise<Ground> {
    // Found out once, before the first byte is handed out: which clusters are claimed twice.
    this.#ground ??= this.bitmap().then(async (bitmap) => ({ ...this.plain, bitmap, claims: await this.#claims() }));
    return this.#ground;
  }

  #dead(): Promise<Ground> {
    this.#deadGround ??= this.bitmap().then(async (bitmap) => ({ ...this.plain, bitmap, later: await this.#later() }));
    return this.#deadGround;
  }

  async #readBitmap(): Promise<ClusterBitmap> {
    const record = await this.records.raw(BITMAP_RECORD);
    const stream = record === undefined ? undefined : this.stream(await this.file(record), DATA_ATTRIBUTE);
    const isThere = stream !== undefined && stream.size * 8 >= this.geometry.clusters;
    return new ClusterBitmap(isThere ? this.checked(stream) : undefined);
  }

  /** Which clusters the files that are gone had, and when. */
  async #later(): Promise<Claimants> {
    const out = new Claimants();
    for await (const block of this.records.all(this.cx.signal)) {
      for (const record of block) {
        const { changedAt: order } = record;
        const who = ownerOf(record);
        const add = (from: number, count: number): void => out.add({ from, end: from + count, order, who });
        if (!isInUse(record)) for (const one of record.attributes) eachRun(one, add);
      }
    }
    return out;
  }

  async #claims(): Promise<Claims | undefined> {
    const { cluster } = this.geometry;
    const clusters = Math.min(this.geometry.clusters, Math.ceil(this.source.size / cluster));
    if (clusters > MAX_CLUSTERS || this.records.count > MAX_RECORDS) return undefined;
    const claims = new Claims(clusters);
    const enter = (lcn: number, count: number): void => claims.add(lcn, count);
    for await (const block of this.records.all(this.cx.signal)) {
      for (const record of block)
        if (isInUse(record) && !claims.isHopeless) for (const one of record.attributes) eachRun(one, enter);
    }
    return claims;
  }
}

function eachRun({ record, lying, at, length }: Attribute, visit: (lcn: number, count: number) => void): void {
  if (lying === undefined) return;
  decodeRuns(record.bytes, at + lying.runsAt, at + length, (count, lcn) => {
    if (lcn !== SPARSE) visit(lcn, count);
  });
}
