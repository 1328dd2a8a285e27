/** A VMFS volume being opened: header, geometry, resource files, descriptors. Source: vmfs.md section 2. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, MapSource, missing, segments } from '../../../core/map-source.ts';
import { flatten } from '../../../core/resolve.ts';
import { type Certainty, INFERRED, MISSING, RunList, STATED } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';
import { addressText, fdAddress, fdNumbers } from './address.ts';
import { Allocation } from './allocation.ts';
import { BlockMap, levelsOf } from './blocks.ts';
import { takeCensus } from './census.ts';
import type { Claims } from './claims.ts';
import { type Descriptor, type Doubt, decodeDescriptor } from './descriptor.ts';
import { type Geometry, geometryOf } from './geometry.ts';
import { type FdPage, FdPages } from './pages.ts';
import { rebuiltFile } from './rebuild.ts';
import { openResource, type ResourceFile, type ResourceKind } from './resource.ts';
import { FS_HEADER_AT, type FsHeader, fsHeader, ZLA_INLINE } from './structs.ts';
import { lostPointers, PointerTables } from './tables.ts';

/** Descriptor numbers of the system files in cluster 0. */
const SYSTEM: Readonly<Record<ResourceKind, number>> = { fbb: 1, fdc: 2, pbc: 3, sbc: 4, pb2: 6 };

/** Bytes of descriptors read at once: 256 of VMFS3 and VMFS5, 64 of VMFS6. More than evidence reads at once, so ahead. */
const PAGE_BYTES = 128 * 1024;

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
  readonly #systemMaps: BlockMap[] = [];
  #pages: FdPages | undefined;
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
    const opened = new Volume(volume, header, cx, doubt ?? (await doubtOf(volume)));
    // Pointer blocks first: the other resource files may be mapped through them. On VMFS6 they are sub-blocks.
    const order: ResourceKind[] =
      opened.geometry.version === 6 ? ['pb2', 'sbc', 'pbc', 'fdc', 'fbb'] : ['pb2', 'pbc', 'sbc', 'fdc', 'fbb'];
    for (const kind of order) await opened.#openSystemFile(kind);
    return opened;
  }

  /** The descriptor at an address; undefined where its slot is empty or out of reach, a promise where it is unread. */
  descriptor(address: number): Descriptor | undefined | Promise<Descriptor | undefined> {
    const numbers = fdNumbers(address);
    const offset = numbers === undefined ? undefined : this.files.fdc?.offsetOf(numbers.cluster, numbers.resource);
    if (numbers === undefined || offset === undefined) return undefined;
    return this.#withPage(numbers.cluster, offset, (page) => this.#decode(page, offset, address));
  }

  /** All descriptors of one cluster that `wanted` asks for, in the order of their numbers. */
  async descriptorsOf(cluster: number, wanted: (resource: number) => boolean): Promise<Descriptor[]> {
    const out: Descriptor[] = [];
    const file = this.files.fdc;
    const perCluster = file?.header.perCluster ?? 0;
    for (let r = 0; r < perCluster; ) {
      while (r < perCluster && !wanted(r)) r++;
      const offset = r < perCluster ? file!.offsetOf(cluster, r) : undefined;
      if (offset === undefined) break;
      const first = r;
      // As many as lie in the same page; the next one begins where this one ends.
      const next = await this.#withPage(cluster, offset, (page) => {
        let n = first;
        for (; n < perCluster; n++) {
          const at = file!.offsetOf(cluster, n)!;
          if (at + this.geometry.fdBytes > page.offset + page.bytes.length) break;
          const fd = wanted(n) ? this.#decode(page, at, fdAddress(cluster, n)) : undefined;
          if (fd !== undefined) out.push(fd);
        }
        return n;
      });
      r = Math.max(first + 1, next ?? perCluster);
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
    this.#census ??= takeCensus(this).then((claims) => {
      for (const map of this.#systemMaps) map.check(claims);
      this.tables.forget(); // what was read through them before was not checked
      return claims;
    });
    return this.#census;
  }

  /** A damage at a position of the logical volume. */
  note(doubt: Doubt, effect: string): Damage {
    return this.cx.damage(doubt.at, doubt.code, doubt.expected, doubt.actual, effect);
  }

  /** Calls `use` with the page that holds the descriptor at `offset`; undefined behind the end of the file. */
  #withPage<T>(cluster: number, offset: number, use: (page: FdPage) => T): T | undefined | Promise<T> {
    const { source, groupData } = this.files.fdc!;
    const [start, end] = groupData(cluster);
    const at = start + Math.floor((offset - start) / PAGE_BYTES) * PAGE_BYTES;
    const length = Math.min(PAGE_BYTES, end - at, source.size - at);
    if (length < this.geometry.fdBytes) return undefined;
    this.#pages ??= new FdPages(source);
    return this.#pages.with(at, length, use);
  }

  #decode(page: FdPage, offset: number, address: number): Descriptor | undefined {
    const start = offset - page.offset;
    if (start + this.geometry.fdBytes > page.bytes.length) return undefined;
    const place = { at: placeOf(page.places, start), source: this.files.fdc!.source, sourceAt: offset };
    const fd = decodeDescriptor(this.geometry, page.bytes, start, place, address);
    if (page.gaps.length === 0) return fd;
    const end = offset + this.geometry.fdBytes;
    const gaps = page.gaps.filter((gap) => gap.offset < end && gap.offset + gap.length > offset);
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
    const sure =
      fd !== undefined &&
      gaps.length === 0 &&
      levelsOf(fd.zla) !== undefined &&
      fd.length > 0 &&
      fd.length <= this.volume.size;
    if (!sure) {
      const rebuilt = await rebuiltFile(g, this.volume, kind, this.cx);
      const effect = rebuilt === undefined ? lossOf(kind) : 'it is put together from what knows its own position in it';
      const actual = gaps.length > 0 ? gaps[0].code : 'none that makes sense';
      const expected = `the file descriptor of .${kind}.sf, ${addressText(fdAddress(0, number))}`;
      this.damage.push(this.cx.damage(at, `vmfs.${kind}.descriptor`, expected, actual, effect));
      if (rebuilt !== undefined) this.files[kind] = { ...(await openResource(g, kind, rebuilt)), sound: false };
      return;
    }
    for (const doubt of fd.doubts) this.damage.push(this.note(doubt, `.${kind}.sf is read all the same`));
    const map = new BlockMap(this, fd, levelsOf(fd.zla)!, fd.doubts.length === 0 ? STATED : INFERRED);
    this.#systemMaps.push(map);
    const file = await openResource(g, kind, new MapSource(fd.length, map));
    this.files[kind] = file;
    if (file.sound) return;
    const expected = `the header of .${kind}.sf`;
    const effect = 'its numbers follow from the volume, so what it leads to is inferred';
    this.damage.push(this.cx.damage(at, `vmfs.${kind}.header`, expected, 'none that makes sense', effect));
  }
}

function lossOf(kind: ResourceKind): string {
  if (kind === 'fdc') return 'all files are lost to this reader';
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

/**
 * Why what the volume itself lies on is no more than inferred: a partition that is no longer in its table, for one. Holes
 * have no bytes that would carry that doubt, so it is the volume's.
 */
async function doubtOf(volume: Source): Promise<string | undefined> {
  const list = new RunList(8);
  await flatten(volume, FS_HEADER_AT, Math.min(FS_HEADER_AT + fsHeader.size, volume.size), list);
  for (let i = 0; i < list.n; i++) {
    if (list.certainty(i) < STATED && list.state(i) !== MISSING) return list.why(i)?.code ?? 'vmfs.volume';
  }
  return undefined;
}
