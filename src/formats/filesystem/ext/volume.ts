/** An opened ext volume: its layout, its tables, and the bytes of what lies on it. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, MapSource, missing, type Segment, segments } from '../../../core/map-source.ts';
import { INFERRED, type Why, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { type Doubt, TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK } from '../posix.ts';
import { inlineRest } from './attributes.ts';
import { type Claims, claimsOf } from './claims.ts';
import { ExtentMap } from './extents.ts';
import type { Geometry } from './geometry.ts';
import type { Ground } from './ground.ts';
import { Groups } from './groups.ts';
import type { Inode } from './inode.ts';
import { Inodes } from './inodes.ts';
import { PointerMap } from './pointers.ts';
import { EXTENT_MAGIC, FLAG_ENCRYPTED, FLAG_EXTENTS, FLAG_INLINE_DATA, MAP_AT, MAP_BYTES } from './structs.ts';

/** Blocks that a file can have by its map: numbers of blocks in files have 32 bits. */
const MAX_FILE_BLOCKS = 2 ** 32;

export class Volume implements Ground {
  readonly source: Source;
  readonly geometry: Geometry;
  readonly groups: Groups;
  readonly inodes: Inodes;
  readonly cx: Cx;
  readonly damage: Damage[] = [];
  /** Directories by inode, with the first place each was met in. */
  readonly directories = new Map<number, string>();
  /** Why nothing of the volume can be stated, where that is so. */
  readonly doubt: string | undefined;
  claims: Claims | undefined;
  #claiming: Promise<void> | undefined;

  constructor(source: Source, geometry: Geometry, cx: Cx, doubt?: string) {
    this.source = source;
    this.geometry = geometry;
    this.groups = new Groups(source, geometry);
    this.inodes = new Inodes(source, geometry, this.groups);
    this.cx = cx;
    this.doubt = doubt;
  }

  note(doubt: Doubt, effect: string): Damage {
    return this.cx.damage(doubt.at, doubt.code, doubt.expected, doubt.actual, effect);
  }

  /** The bytes of a file, a directory or a link. `failed` is a check beside the inode's own. */
  async bytes(inode: Inode, failed: string | undefined, isDead = false): Promise<Source> {
    const code = failed ?? this.doubt;
    const size = this.sizeOf(inode);
    // What stands in an encrypted file's blocks is not what the file holds.
    const isCipher = (inode.flags & FLAG_ENCRYPTED) !== 0 && inode.type !== TYPE_DIRECTORY;
    if (isCipher) return segments([missing(size, { ...inode.why, code: 'ext.encrypted' })]);
    if ((inode.flags & FLAG_INLINE_DATA) !== 0) return this.#inline(inode, size, code);
    if (isFastLink(inode)) {
      return segments([this.#part(inode, MAP_AT, Math.min(size, MAP_BYTES), code)]);
    }
    if (this.geometry.seed === undefined && inode.type === TYPE_REGULAR && !isDead) await this.#claim();
    const map = this.map(inode, isDead);
    if (code !== undefined) map.doubt(code);
    else if (!isDead && (await this.#miscounts(inode, map))) map.doubt('ext.inode.blocks');
    return new MapSource(size, map);
  }

  /** Finds out once which blocks are claimed twice. Opening the journal comes before, and is not judged. */
  #claim(): Promise<void> {
    this.#claiming ??= claimsOf(this).then((claims) => {
      this.claims = claims;
    });
    return this.#claiming;
  }

  /** The map of what is neither inline nor a short link. */
  map(inode: Inode, isDead = false): ExtentMap | PointerMap {
    return (inode.flags & FLAG_EXTENTS) !== 0
      ? new ExtentMap(this, inode, isDead)
      : new PointerMap(this, inode, isDead);
  }

  /** Bytes; what no map of blocks could reach is left out. */
  sizeOf(inode: Inode): number {
    return Math.min(inode.size, MAX_FILE_BLOCKS * this.geometry.blockSize);
  }

  /**
   * Whether an inode counts other blocks than its map leads to. Where inodes have no sums this is what tells of a
   * pointer that was wiped.
   */
  async #miscounts(inode: Inode, map: ExtentMap | PointerMap): Promise<boolean> {
    const { seed, blockSize, clusterRatio } = this.geometry;
    if (seed !== undefined || clusterRatio > 1) return false;
    const count = await map.blocks();
    return count === undefined || (count + Number(inode.acl !== 0)) * blockSize !== inode.allocated;
  }

  #inline(inode: Inode, size: number, code: string | undefined): Source {
    const first = Math.min(size, MAP_BYTES);
    const out: Segment[] = [this.#part(inode, MAP_AT, first, code)];
    if (size > first) {
      const rest = inlineRest(inode);
      const had = Math.min(size - first, rest?.length ?? 0);
      if (had > 0) out.push(this.#part(inode, rest!.at, had, code));
      if (size > first + had) out.push(missing(size - first - had, { ...inode.why, code: 'ext.inline-data' }));
    }
    return segments(out);
  }

  #part(inode: Inode, at: number, length: number, code: string | undefined): Segment {
    const why: Why = code === undefined ? inode.why : { ...inode.why, code };
    const certainty = code === undefined ? inode.certainty : weaker(inode.certainty, INFERRED);
    return data(inode.source, inode.at + at, length, certainty, why);
  }
}

/** Whether a link's text stands in the inode itself. */
export function isFastLink(inode: Inode): boolean {
  if (inode.type !== TYPE_SYMLINK || inode.size >= MAP_BYTES) return false;
  return (inode.flags & FLAG_EXTENTS) === 0 || viewOf(inode.map).getUint16(0, true) !== EXTENT_MAGIC;
}
