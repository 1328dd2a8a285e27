/** Where the bytes of logical volumes lie, segment by segment. Source: volumes.md section 5. */
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import { type Certainty, INFERRED, type Why, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { copiesOf, mirrored, tenfold } from '../raid/mirrored.ts';
import { doubleParityRow, parity, parityRow, type Row } from '../raid/parity.ts';
import { type Column, type Grade, striped } from '../raid/striped.ts';
import type { Group, LogicalSpec, SegmentSpec } from './group.ts';
import type { Physical } from './physical.ts';
import { legStates } from './raid-state.ts';
import { snapshot } from './snapshot.ts';
import { SECTOR } from './structs.ts';
import { listIn, numberIn, textIn } from './text.ts';
import { ThinPool } from './thin.ts';
import { readSuper } from './thin-nodes.ts';

/** Volumes that lie on volumes; more is a loop or a joke. */
const MAX_LEVELS = 12;
/** Columns of one segment. */
const MAX_COLUMNS = 256;

/** Layouts of parity, as Linux numbers them, by the name of the segment's type. */
const FIVE: Readonly<Record<string, number>> = { la: 0, ra: 1, ls: 2, rs: 3, n: 5 };
const SIX: Readonly<Record<string, number>> = {
  zr: 8, nr: 9, nc: 10, la_6: 16, ra_6: 17, ls_6: 18, rs_6: 19, n_6: 5, '0_6': 20,
}; // biome-ignore format: a table

interface Members {
  readonly group: Group;
  /** Physical volumes that are had, by the names that the text gives them. */
  readonly physical: ReadonlyMap<string, Physical>;
  readonly certainty: Certainty;
  /** The text that says all this. */
  readonly why: Why;
}

/** A pool of which the superblock is lost, or counts other transactions than the text of the group. */
export interface PoolFault {
  readonly pool: string;
  readonly expected: number;
  readonly actual?: number;
}

export class LogicalVolumes {
  readonly #members: Members;
  readonly #pools = new Map<string, Promise<ThinPool | undefined>>();
  readonly #lost: Why;

  constructor(members: Members) {
    this.#members = members;
    this.#lost = { ...members.why, what: 'a physical volume that is not there', code: 'member-missing' };
  }

  /** Bytes of a volume; what a missing physical volume held is missing, what cannot be followed as well. */
  async source(volume: LogicalSpec, level = 0): Promise<Source> {
    const { group } = this.#members;
    const unit = group.extentBytes;
    const out: Segment[] = [];
    let at = 0;
    for (const one of volume.segments) {
      const start = one.start * unit;
      if (start < at) continue; // an overlap: the first one is believed
      if (start > at) out.push(missing(start - at, this.#because('lvm2.segment-gap', 'a gap between segments')));
      const length = one.count * unit;
      out.push(...(await this.#segment(one, length, level)));
      at = start + length;
    }
    return segments(out);
  }

  #because(code: string, what: string): Why {
    return { ...this.#members.why, what, code };
  }

  get #grade(): Grade {
    return { certainty: this.#members.certainty, why: this.#members.why, lost: this.#lost };
  }

  async #segment(segment: SegmentSpec, length: number, level: number): Promise<Segment[]> {
    const source = await this.#inner(segment, length, level);
    if (source === undefined) {
      const what = `a segment of type ${segment.type}, which cannot be followed`;
      return [missing(length, this.#because('lvm2.segment-type', what))];
    }
    const had = Math.min(length, source.size);
    const { certainty, why } = this.#members;
    const out = [data(source, 0, had, certainty, why)];
    if (had < length)
      out.push(missing(length - had, this.#because('lvm2.segment-short', 'a volume that is too short')));
    return out;
  }

  async #inner({ type, section }: SegmentSpec, length: number, level: number): Promise<Source | undefined> {
    if (level > MAX_LEVELS) return undefined;
    const chunk = numberIn(section, 'stripe_size') * SECTOR;
    if (type === 'zero') return segments([{ length, state: 1, certainty: this.#members.certainty }]);
    if (type === 'striped' || type === 'linear') {
      const columns = await this.#columns(listIn(section, 'stripes'), 2, level);
      if (columns === undefined) return undefined;
      return columns.length === 1 ? mirrored(columns, length, this.#grade) : this.#striped(columns, chunk, length);
    }
    if (type === 'mirror') return this.#mirror(listIn(section, 'mirrors'), length, level);
    if (type.startsWith('raid')) return this.#raid(type, section, chunk, length, level);
    if (type === 'thin') return this.#thin(section, length, level);
    if (type === 'snapshot') return undefined;
    // What the cache holds and was not written back is newer than this.
    if (/^(cache|writecache)$/.test(type)) return this.#stale(textIn(section, 'origin'), length, level);
    if (type === 'thin-pool') return this.#named(textIn(section, 'pool'), level);
    return undefined;
  }

  #striped(columns: readonly Column[], chunk: number, length: number): Source | undefined {
    return chunk > 0 ? striped(columns, chunk, length, this.#grade) : undefined;
  }

  /** The older kind of mirror: its first leg is the one that the others are copied from. */
  async #mirror(list: readonly (string | number)[], length: number, level: number): Promise<Source | undefined> {
    const columns = await this.#columns(list, 2, level);
    if (columns === undefined) return undefined;
    const names = list.filter((_, i) => i % 2 === 0);
    this.#spare(columns, this.#torn(names), columns.length - 1);
    const isFirst = columns[0].source !== undefined;
    return mirrored(
      columns,
      length,
      isFirst ? this.#grade : this.#doubt('lvm2.mirror-log', 'a leg that may lag behind'),
    );
  }

  async #raid(
    type: string,
    section: SegmentSpec['section'],
    chunk: number,
    length: number,
    level: number,
  ): Promise<Source | undefined> {
    // Each column is a pair: its metadata, then its data. Stripes without redundancy need no metadata.
    const list = listIn(section, type === 'raid0' ? 'raid0_lvs' : 'raids');
    const data = type === 'raid0' && list.length > 0 ? list : listIn(section, 'raids').filter((_, i) => i % 2 === 1);
    const columns = await this.#columns(data, 1, level);
    if (columns === undefined) return undefined;
    const n = columns.length;
    if (type.startsWith('raid0')) return chunk > 0 ? striped(columns, chunk, length, this.#grade) : undefined;
    // Legs that are being laid out anew, or were, hold their data elsewhere than this reads it.
    const isMoved = [numberIn(section, 'reshape_count'), numberIn(section, 'data_offset')].some((value) => value > 0);
    const settled = await this.#settled(
      columns,
      data,
      listIn(section, 'raids').filter((_, i) => i % 2 === 0),
      type,
      level,
    );
    const grade = isMoved ? this.#doubt('lvm2.reshape', 'a RAID volume that was laid out anew') : settled;
    if (type === 'raid1') return mirrored(columns, length, grade);
    if (!(chunk > 0)) return undefined;
    const whole = columns.reduce((most, { source }) => Math.max(most, source?.size ?? 0), 0);
    if (type.startsWith('raid10')) return tenfold(columns, chunk, length, copiesOf(0x102, whole), grade);
    const [, kind, layout] = /^raid([456])(?:_(\w+))?$/.exec(type) ?? [];
    let row: (stripe: number) => Row | undefined;
    if (kind === '6') row = (stripe) => doubleParityRow(SIX[layout ?? 'zr'] ?? -1, n, stripe);
    else if (kind === '4') row = (stripe) => parityRow(layout === undefined ? 4 : -1, n, stripe);
    else if (kind === '5') row = (stripe) => parityRow(FIVE[layout ?? 'ls'] ?? -1, n, stripe);
    else return undefined;
    if (n < 3 || row(0) === undefined) return undefined;
    return parity({ columns, chunk, size: length, row: (stripe) => row(stripe)!, grade });
  }

  /** Takes out legs that are torn or stale, as far as the others do without them; answers what the rest is worth. */
  async #settled(
    columns: Column[],
    data: readonly (string | number)[],
    metadata: readonly (string | number)[],
    type: string,
    level: number,
  ): Promise<Grade> {
    const most = type === 'raid1' ? columns.length - 1 : type.startsWith('raid6') ? 2 : 1;
    const torn = this.#torn(data);
    const beside = await Promise.all(metadata.map((name) => this.#named(String(name), level)));
    const { stale, isSure } = await legStates(beside);
    const behind = stale.flatMap((is, i) => (is && !torn.includes(i) ? [i] : []));
    const isSpared = this.#spare(columns, [...torn, ...behind], most);
    if (!isSpared) this.#spare(columns, torn, most);
    // A leg that is not there has no notes; what the others say is all there is to know then.
    const known = isSure || (torn.length > 0 && behind.length === 0 && (await this.#agree(beside, torn)));
    if (known || (isSpared && behind.length > 0 && (await this.#agree(beside, [...torn, ...behind]))))
      return this.#grade;
    return this.#doubt('lvm2.raid-state', 'legs of a RAID volume of which nothing says that they are alike');
  }

  /** Whether the legs that are there say of themselves that they were alike. */
  async #agree(beside: readonly (Source | undefined)[], without: readonly number[]): Promise<boolean> {
    return (await legStates(beside.filter((_, i) => !without.includes(i)))).isSure;
  }

  #doubt(code: string, what: string): Grade {
    return { ...this.#grade, certainty: weaker(this.#members.certainty, INFERRED), why: this.#because(code, what) };
  }

  /** Which of these volumes lie on what is not there. */
  #torn(names: readonly (string | number)[]): number[] {
    return names.flatMap((name, i) => (this.#isWhole(String(name), 0) ? [] : [i]));
  }

  /** Takes out columns, where there are not more of them than the others can do without. */
  #spare(columns: Column[], out: readonly number[], most: number): boolean {
    if (out.length > most) return false;
    for (const i of out) columns[i] = { at: columns[i].at };
    return true;
  }

  /** Whether all of a volume lies on physical volumes that are there. */
  #isWhole(name: string, level: number): boolean {
    const { group, physical } = this.#members;
    if (group.physical.has(name)) return physical.has(name);
    const volume = group.logical.get(name);
    if (volume === undefined || level > MAX_LEVELS) return false;
    return volume.segments.every(({ section }) =>
      listIn(section, 'stripes').every((one, i) => i % 2 === 1 || this.#isWhole(String(one), level + 1)),
    );
  }

  async #thin(section: SegmentSpec['section'], length: number, level: number): Promise<Source | undefined> {
    // What such a device does not hold itself is in another volume, which is not read through.
    if (textIn(section, 'external_origin') !== '') return undefined;
    const name = textIn(section, 'thin_pool');
    let pool = this.#pools.get(name);
    if (pool === undefined) {
      pool = this.#pool(name, level);
      this.#pools.set(name, pool);
    }
    return (await pool)?.device(numberIn(section, 'device_id'), length);
  }

  /** What is wrong with the pools of thin volumes themselves. */
  async poolFaults(): Promise<PoolFault[]> {
    const out: PoolFault[] = [];
    for (const { name, segments: list } of this.#members.group.logical.values()) {
      const section = list.find(({ type }) => type === 'thin-pool')?.section;
      const metadata = section && (await this.#named(textIn(section, 'metadata'), 0));
      if (section === undefined || metadata === undefined) continue;
      const found = await readSuper(metadata);
      const fault = { pool: name, expected: numberIn(section, 'transaction_id') };
      const actual = found?.values.transaction;
      if (actual === undefined || actual !== fault.expected)
        out.push({ ...fault, ...(actual !== undefined && { actual }) });
    }
    return out;
  }

  async #pool(name: string, level: number): Promise<ThinPool | undefined> {
    const section = this.#members.group.logical.get(name)?.segments.find(({ type }) => type === 'thin-pool')?.section;
    if (section === undefined) return undefined;
    const metadata = await this.#named(textIn(section, 'metadata'), level);
    const pool = await this.#named(textIn(section, 'pool'), level);
    const unit = numberIn(section, 'chunk_size') * SECTOR;
    return metadata && pool && ThinPool.open(metadata, pool, unit, this.#members.certainty);
  }

  async #stale(name: string, length: number, level: number): Promise<Source | undefined> {
    const origin = await this.#named(name, level);
    const why = this.#because('lvm2.cache', 'a cache that may hold newer bytes than its origin');
    const certainty = weaker(this.#members.certainty, INFERRED);
    return origin && segments([data(origin, 0, Math.min(length, origin.size), certainty, why)]);
  }

  /** An old kind of snapshot: what was copied away of its origin, over the origin. Undefined where it is none. */
  async snapshotOf(volume: LogicalSpec): Promise<Source | undefined> {
    for (const one of this.#members.group.logical.values()) {
      const section = one.segments.find(({ type }) => type === 'snapshot')?.section;
      if (section === undefined || textIn(section, 'cow_store') !== volume.name) continue;
      const origin = await this.#named(textIn(section, 'origin'), 0);
      return origin && snapshot(origin, await this.source(volume), this.#members);
    }
    return undefined;
  }

  async #named(name: string, level: number): Promise<Source | undefined> {
    const volume = this.#members.group.logical.get(name);
    return volume === undefined || level > MAX_LEVELS ? undefined : this.source(volume, level + 1);
  }

  /** Places as a text lists them: a physical volume and an extent of it, or another volume and one of its extents. */
  async #columns(list: readonly (string | number)[], step: number, level: number): Promise<Column[] | undefined> {
    const out: Column[] = [];
    if (list.length === 0 || list.length > MAX_COLUMNS * step) return undefined;
    const { group, physical } = this.#members;
    for (let i = 0; i < list.length; i += step) {
      const extent = step === 1 ? 0 : Number(list[i + 1]);
      const spec = group.physical.get(String(list[i]));
      if (!(extent >= 0)) return undefined;
      if (spec !== undefined) {
        const source = physical.get(spec.name)?.source;
        const isInside = extent < spec.extents && Number.isSafeInteger(spec.start);
        out.push({ at: spec.start + extent * group.extentBytes, ...(source && isInside && { source }) });
        continue;
      }
      const volume = await this.#named(String(list[i]), level);
      out.push({ at: extent * group.extentBytes, ...(volume && { source: volume }) });
    }
    return out;
  }
}
