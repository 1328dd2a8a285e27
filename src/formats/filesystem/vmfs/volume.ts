/** A VMFS volume being opened: header, geometry, resource files, descriptors. Source: vmfs.md section 2. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, MapSource, missing, segments, slice } from '../../../core/map-source.ts';
import { type Certainty, INFERRED, RunList, STATED } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { addressText, fdAddress, fdNumbers } from './address.ts';
import { Allocation } from './allocation.ts';
import { BlockMap, levelsOf } from './blocks.ts';
import { takeCensus } from './census.ts';
import type { Claims } from './claims.ts';
import { type Descriptor, type Doubt, decodeDescriptor } from './descriptor.ts';
import { type Geometry, geometryOf } from './geometry.ts';
import { openResource, type ResourceFile, type ResourceKind } from './resource.ts';
import { type FsHeader, ZLA_INLINE } from './structs.ts';
import { lostPointers, PointerTables } from './tables.ts';

/** Descriptor numbers of the system files in cluster 0. */
const SYSTEM: Readonly<Record<ResourceKind, number>> = { fbb: 1, fdc: 2, pbc: 3, sbc: 4, pb2: 6 };

/** A cluster of descriptors as read, and where each part of it lies in the logical volume. */
interface FdCluster {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
  readonly offset: number;
  readonly places: RunList;
}

export class Volume {
  readonly header: FsHeader;
  readonly geometry: Geometry;
  readonly volume: Source;
  readonly files: Partial<Record<ResourceKind, ResourceFile>> = {};
  readonly tables: PointerTables;
  readonly damage: Damage[] = [];
  readonly allocation: Allocation;
  /** Directories listed so far and where: each has one parent. */
  readonly directories = new Map<number, string>();
  readonly cx: Cx;
  readonly #clusters = new TableCache<FdCluster>();
  #census: Promise<Claims> | undefined;

  /** Why nothing on this volume can be stated: its header had to be rebuilt. */
  readonly #doubt: string | undefined;

  private constructor(volume: Source, header: FsHeader, cx: Cx, doubt: string | undefined) {
    this.#doubt = doubt;
    this.volume = volume;
    this.header = header;
    this.geometry = geometryOf(header);
    this.tables = new PointerTables(this.geometry, this.files);
    this.allocation = new Allocation(this.geometry, this.files);
    this.cx = cx;
  }

  /** Opens what is there. `header` was checked by the caller; `doubt` is why it is not stated, where it is not. */
  static async open(volume: Source, header: FsHeader, cx: Cx, doubt?: string): Promise<Volume> {
    const opened = new Volume(volume, header, cx, doubt);
    // Pointer blocks first: the other resource files may be mapped through them. On VMFS6 they are sub-blocks.
    const order: ResourceKind[] =
      opened.geometry.version === 6 ? ['pb2', 'sbc', 'pbc', 'fdc', 'fbb'] : ['pb2', 'pbc', 'sbc', 'fdc', 'fbb'];
    for (const kind of order) await opened.#openSystemFile(kind);
    return opened;
  }

  /** The descriptor at an address, or undefined where its slot is empty or out of reach. */
  async descriptor(address: number): Promise<Descriptor | undefined> {
    const numbers = fdNumbers(address);
    const file = this.files.fdc;
    if (numbers === undefined || file === undefined) return undefined;
    const cluster = await this.fdCluster(numbers.cluster);
    const offset = file.offsetOf(numbers.cluster, numbers.resource);
    if (cluster === undefined || offset === undefined) return undefined;
    return this.#decode(cluster, offset, file.source, address);
  }

  /** All descriptors of one cluster that `wanted` asks for, in the order of their numbers. */
  async descriptorsOf(cluster: number, wanted: (resource: number) => boolean): Promise<Descriptor[]> {
    const file = this.files.fdc;
    const block = await this.fdCluster(cluster);
    const out: Descriptor[] = [];
    for (let r = 0; file !== undefined && block !== undefined && r < file.header.perCluster; r++) {
      if (!wanted(r)) continue;
      const fd = this.#decode(block, file.offsetOf(cluster, r)!, file.source, fdAddress(cluster, r));
      if (fd !== undefined) out.push(fd);
    }
    return out;
  }

  /**
   * The bytes of a file. `doubted`: something beside the descriptor itself, its directory entry for one, is in doubt.
   * With `claims` each pointer is checked against what all other descriptors say.
   */
  source(fd: Descriptor, doubted: boolean, claims?: Claims): MapSource {
    const failed = this.#doubt ?? claims?.descriptor(fd.address) ?? (doubted ? 'vmfs.fd.entry' : undefined);
    const sure = fd.doubts.length === 0 && failed === undefined && (this.files.fdc?.sound ?? false);
    const certainty: Certainty = sure ? STATED : INFERRED;
    const why = failed === undefined || fd.why.code !== undefined ? fd.why : { ...fd.why, code: failed };
    const size = Number.isFinite(fd.length) ? fd.length : 0;
    if (fd.zla === ZLA_INLINE) {
      const inside = Math.min(size, this.geometry.inlineBytes);
      const start = fd.sourceAt + this.geometry.inlineAt;
      const rest = size > inside ? [missing(size - inside, { ...why, code: 'vmfs.fd.length' })] : [];
      return segments([data(fd.source, start, inside, certainty, why), ...rest]);
    }
    const levels = levelsOf(fd.zla);
    if (levels === undefined) return segments([missing(size, { ...why, code: 'vmfs.fd.zla' })]);
    return new MapSource(size, new BlockMap(this, { ...fd, why }, levels, certainty, claims));
  }

  /** What all descriptors of the volume claim; read once, when the first file's bytes are wanted. */
  census(): Promise<Claims> {
    this.#census ??= takeCensus(this);
    return this.#census;
  }

  /** A damage at a position of the logical volume. */
  note(doubt: Doubt, effect: string): Damage {
    return this.cx.damage(doubt.at, doubt.code, doubt.expected, doubt.actual, effect);
  }

  async fdCluster(cluster: number): Promise<FdCluster | undefined> {
    const known = this.#clusters.get(cluster);
    if (known !== undefined) return known;
    const file = this.files.fdc!;
    const offset = file.offsetOf(cluster, 0);
    if (offset === undefined || offset >= file.source.size) return undefined;
    const length = Math.min(file.header.perCluster * this.geometry.fdBytes, file.source.size - offset);
    const bytes = new Uint8Array(length);
    const gaps = await file.source.read(offset, bytes);
    const places = new RunList(64);
    await file.source.runs(offset, offset + length, places);
    const read: FdCluster = { bytes, gaps, offset, places };
    this.#clusters.set(cluster, read, length);
    return read;
  }

  #decode(cluster: FdCluster, offset: number, source: Source, address: number): Descriptor | undefined {
    const start = offset - cluster.offset;
    if (start + this.geometry.fdBytes > cluster.bytes.length) return undefined;
    const place = { at: placeOf(cluster.places, start), source, sourceAt: offset };
    const fd = decodeDescriptor(this.geometry, cluster.bytes, start, place, address);
    const end = offset + this.geometry.fdBytes;
    const gaps = cluster.gaps.filter((gap) => gap.offset < end && gap.offset + gap.length > offset);
    return gaps.length === 0 ? fd : this.#withGaps(fd, gaps, offset, place.at);
  }

  /** A descriptor that could be read only in part: what was read counts, the rest is named. */
  #withGaps(fd: Descriptor | undefined, gaps: readonly Gap[], offset: number, at: number): Descriptor | undefined {
    if (fd === undefined) return undefined;
    const lost = lostPointers(gaps, offset + this.geometry.pointersAt, this.geometry.pointerWords * 4);
    const actual = `${gaps[0].code} at ${hex(at + gaps[0].offset - offset)}`;
    const doubt = { at, code: 'vmfs.fd.unreadable', expected: 'a readable file descriptor', actual };
    return { ...fd, lostPointers: lost, doubts: [doubt, ...fd.doubts], why: { ...fd.why, code: doubt.code } };
  }

  async #openSystemFile(kind: ResourceKind): Promise<void> {
    const g = this.geometry;
    const number = SYSTEM[kind];
    if (kind === 'pb2' && g.version === 3) return;
    const at = g.fdcAt + g.groupOffset + g.clustersPerGroup * g.clusterHeaderBytes + number * g.fdBytes;
    const block = new Uint8Array(g.fdBytes);
    const gaps = await this.volume.read(at, block);
    const fd = decodeDescriptor(g, block, 0, { at, source: this.volume, sourceAt: at }, fdAddress(0, number));
    const sure = fd !== undefined && gaps.length === 0 && levelsOf(fd.zla) !== undefined && fd.length > 0;
    if (!sure) {
      const effect = kind === 'fdc' ? 'descriptors are read in a row from where the first one lies' : lossOf(kind);
      const actual = gaps.length > 0 ? gaps[0].code : 'none that makes sense';
      const expected = `the file descriptor of .${kind}.sf, ${addressText(fdAddress(0, number))}`;
      this.damage.push(this.cx.damage(at, `vmfs.${kind}.descriptor`, expected, actual, effect));
      if (kind !== 'fdc') return;
    }
    for (const doubt of fd?.doubts ?? []) this.damage.push(this.note(doubt, `.${kind}.sf is read all the same`));
    const source = sure
      ? new MapSource(fd.length, new BlockMap(this, fd, levelsOf(fd.zla)!, fd.doubts.length === 0 ? STATED : INFERRED))
      : slice(this.volume, g.fdcAt, Math.max(0, this.volume.size - g.fdcAt), INFERRED);
    const file = await openResource(g, kind, source);
    this.files[kind] = file;
    if (file.sound) return;
    const expected = `the header of .${kind}.sf`;
    const effect = 'its numbers follow from the volume, so what it leads to is inferred';
    this.damage.push(this.cx.damage(at, `vmfs.${kind}.header`, expected, 'none that makes sense', effect));
  }
}

function lossOf(kind: ResourceKind): string {
  if (kind === 'fbb') return 'which blocks are free cannot be checked';
  return kind === 'sbc' ? 'small files and directories kept in sub-blocks are missing' : 'large files are missing';
}

/** Position of offset `start` of a window whose runs are known. */
function placeOf(places: RunList, start: number): number {
  let at = 0;
  for (let i = 0; i < places.n; i++) {
    if (start < at + places.length[i]) return places.at[i] + (start - at);
    at += places.length[i];
  }
  return -1;
}
