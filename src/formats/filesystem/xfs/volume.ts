/** An opened XFS volume: its layout, its tables, and the bytes of what lies on it. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, MapSource, missing, type Segment, segments } from '../../../core/map-source.ts';
import { INFERRED, type Why, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { type Doubt, TYPE_SYMLINK } from '../posix.ts';
import { ExtentMap, type Ground } from './extents.ts';
import { FreeSpace } from './free.ts';
import type { Geometry } from './geometry.ts';
import { type Inode, Inodes } from './inodes.ts';
import { FLAG_REALTIME, FORM_BTREE, FORM_LOCAL, LINK_MAGIC, remoteLink } from './structs.ts';

/** Files that claim more than this are damaged: block numbers in files have 54 bits. */
const MAX_BYTES = 2 ** 52;
/** A link's text; longer ones are none. */
const MAX_LINK = 1024;
/** Blocks that the longest text takes, each of 512 bytes with a header in it. */
const MAX_LINK_BLOCKS = 3;

export class Volume implements Ground {
  readonly source: Source;
  readonly geometry: Geometry;
  readonly inodes: Inodes;
  readonly free: FreeSpace;
  readonly cx: Cx;
  readonly damage: Damage[] = [];
  /** Directories by inode, with the first place each was met in. */
  readonly directories = new Map<number, string>();
  /** Why nothing of the volume can be stated, where that is so. */
  readonly doubt: string | undefined;

  constructor(source: Source, geometry: Geometry, cx: Cx, doubt?: string) {
    this.source = source;
    this.geometry = geometry;
    this.inodes = new Inodes(source, geometry);
    this.free = new FreeSpace(source, geometry);
    this.cx = cx;
    this.doubt = doubt;
  }

  note(doubt: Doubt, effect: string): Damage {
    return this.cx.damage(doubt.at, doubt.code, doubt.expected, doubt.actual, effect);
  }

  sizeOf(inode: Inode): number {
    return Math.min(inode.size, MAX_BYTES);
  }

  map(inode: Inode, isDead = false): ExtentMap {
    return new ExtentMap(this, inode, isDead);
  }

  /** The bytes of a file, a directory or a link. `failed` is a check beside the inode's own. */
  async bytes(inode: Inode, failed: string | undefined, isDead = false): Promise<Source> {
    const code = failed ?? this.doubt;
    const size = this.sizeOf(inode);
    if ((inode.flags & FLAG_REALTIME) !== 0) return segments([missing(size, { ...inode.why, code: 'xfs.realtime' })]);
    if (inode.format === FORM_LOCAL) return segments(this.#local(inode, size, code));
    const map = this.map(inode, isDead);
    if (code !== undefined) map.doubt(code);
    else if (!isDead && (await this.#miscounts(inode, map))) map.doubt('xfs.inode.blocks');
    return inode.type === TYPE_SYMLINK ? this.#link(map, size) : new MapSource(size, map);
  }

  #local(inode: Inode, size: number, code: string | undefined): Segment[] {
    const why: Why = code === undefined ? inode.why : { ...inode.why, code };
    const certainty = code === undefined ? inode.certainty : weaker(inode.certainty, INFERRED);
    const had = Math.min(size, inode.fork.length);
    const out = [data(inode.source, inode.forkAt, had, certainty, why)];
    if (had < size) out.push(missing(size - had, { ...inode.why, code: 'xfs.inode.local' }));
    return out;
  }

  /** Whether an inode counts other extents than its tree leads to: where nothing carries sums this tells of damage. */
  async #miscounts(inode: Inode, map: ExtentMap): Promise<boolean> {
    if (this.geometry.isChecked || inode.format !== FORM_BTREE) return false;
    const count = await map.count();
    return count === undefined || count.extents !== inode.extents;
  }

  /** The text of a long link: behind a header in each of its extents, where structures carry sums. */
  async #link(map: ExtentMap, size: number): Promise<Source> {
    const { geometry: g } = this;
    const length = Math.min(size, MAX_LINK);
    if (!g.isChecked) return new MapSource(length, map);
    const blocks = new MapSource(MAX_LINK_BLOCKS * g.blockSize, map);
    const out: Segment[] = [];
    let done = 0;
    for await (const one of map.extents()) {
      const [at, end] = [one.logical * g.blockSize, (one.logical + one.count) * g.blockSize];
      if (done >= length || end > blocks.size) break;
      const block = new Uint8Array(end - at);
      const gaps = await blocks.read(at, block);
      const head = remoteLink.decode(block);
      const isSound = gaps.length === 0 && head.magic === LINK_MAGIC && head.offset === done;
      if (!isSound || head.bytes > block.length - remoteLink.size || head.bytes === 0) break;
      const agrees = crc32c(block, 12) === viewOf(block).getUint32(12, true);
      const take = Math.min(head.bytes, length - done);
      const why: Why = { what: 'XFS remote link', ...(!agrees && { code: 'xfs.link.checksum' }) };
      out.push(data(blocks, at + remoteLink.size, take, agrees ? 3 : INFERRED, why));
      done += take;
    }
    const had = out.reduce((sum, one) => sum + one.length, 0);
    if (had < length) out.push(missing(length - had, { what: 'XFS remote link', code: 'xfs.link' }));
    return segments(out);
  }
}
