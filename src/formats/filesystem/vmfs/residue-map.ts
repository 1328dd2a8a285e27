/**
 * Where the bytes of a file lie that is no longer there: as BlockMap says it, but nothing is stated, blocks that a live
 * file holds are missing, and pointers of zero are holes only where all blocks are accounted for. vmfs.md 4.3 and 8.5.
 */
import { data, type MapSource, missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import { type Certainty, GUESSED, INFERRED, type Why } from '../../../core/run.ts';
import {
  addressText,
  FILE_BLOCK,
  fileBlockAt,
  fileBlockFits,
  LARGE_BLOCK,
  SUB_BLOCK,
  TBZ_NO,
  tbzOf,
  typeOf,
} from './address.ts';
import { levelsOf } from './blocks.ts';
import type { Descriptor } from './descriptor.ts';
import type { FileClaims } from './residue-claims.ts';
import type { Chain } from './residue-pointers.ts';
import { OVERWRITTEN, type TakenWhy } from './residue-share.ts';
import { ZLA_INLINE } from './structs.ts';
import { isLost, type PointerTable, resourceAt } from './tables.ts';
import type { Volume } from './volume.ts';

/** What live files claim, and what files do that are gone. */
interface Claimed {
  readonly live: FileClaims;
  readonly gone: FileClaims;
  /** What pointer blocks without a descriptor lead to. */
  readonly unowned: FileClaims;
}

/** The bytes of a descriptor that nothing live leads to. `code` says why they are inferred at most. */
export async function residualSource(
  volume: Volume,
  claims: Claimed,
  fd: Descriptor,
  code: string,
): Promise<MapSource> {
  const size = Number.isFinite(fd.length) ? fd.length : 0;
  const why: Why = { ...fd.why, code };
  if (fd.zla === ZLA_INLINE) {
    const inside = Math.min(size, volume.geometry.inlineBytes);
    const start = fd.sourceAt + volume.geometry.inlineAt;
    const rest = size > inside ? [missing(size - inside, { ...why, code: 'vmfs.fd.length' })] : [];
    return segments([data(fd.source, start, inside, INFERRED, why), ...rest]);
  }
  const levels = levelsOf(fd.zla);
  if (levels === undefined) return segments([missing(size, { ...why, code: 'vmfs.fd.zla' })]);
  return new PointerWalk(volume, claims, fd, size, why, INFERRED).segments(levels);
}

/** The bytes that pointer blocks without a descriptor lead to. What they are is at best inferred from what fits. */
export function chainSource(volume: Volume, claims: Claimed, chain: Chain, certainty: Certainty): Promise<MapSource> {
  const why: Why = {
    what: `VMFS${volume.geometry.version} pointer blocks from ${chain.name} on`,
    source: chain.file.source,
    at: chain.at,
    code: certainty === GUESSED ? 'vmfs.pointers-unowned' : 'vmfs.pointers-matched',
  };
  const { pointers, blocks, size } = chain;
  const like = { pointers, blocks, lostPointers: [], unit: volume.geometry.blockSize };
  return new PointerWalk(volume, claims, like, size, why, certainty, true).segments(chain.levels);
}

/** What pointers are walked from: a descriptor, or what stands for one. */
type Pointers = Pick<Descriptor, 'pointers' | 'lostPointers' | 'blocks' | 'unit'>;

/** Stretches and pointers that are looked at for one file; behind them its bytes are missing. */
const MAX_SEGMENTS = 1 << 20;
const MAX_POINTERS = 1 << 27;

class PointerWalk {
  readonly #volume: Volume;
  readonly #claims: Claimed;
  readonly #fd: Pointers;
  readonly #size: number;
  readonly #why: Why;
  readonly #certainty: Certainty;
  readonly #list: Segment[] = [];
  readonly #reasons = new Map<string, Why>();
  /** Pointers of zero: holes, or pointers that were cleared. */
  readonly #hole: Why;
  /** Whether something else that is gone claims the block at this byte of the volume. */
  readonly #contested: (at: number) => boolean;
  /** Below a pointer block that another file claims as well. */
  #inContested = false;
  #leaves = 0;
  /** Pointers that stood in pointer blocks that are not to be had. */
  #unknown = 0;
  #large = false;
  #looked = 0;
  #reached = 0;

  /** `unowned`: nothing that is gone has claimed these blocks itself. */
  constructor(
    volume: Volume,
    claims: Claimed,
    fd: Pointers,
    size: number,
    why: Why,
    certainty: Certainty,
    unowned = false,
  ) {
    const { gone } = claims;
    const others = claims.unowned;
    this.#contested = (at) => (unowned ? gone.block(at) || others.blockTwice(at) : gone.blockTwice(at));
    this.#certainty = certainty;
    this.#volume = volume;
    this.#claims = claims;
    this.#fd = fd;
    this.#size = size;
    this.#why = why;
    this.#hole = { ...why };
  }

  async segments(levels: number): Promise<MapSource> {
    const { pointers: words, lostPointers: lost } = this.#fd;
    await this.#table({ words, lost, certainty: this.#certainty, why: this.#why }, levels, 0);
    if (this.#reached < this.#size) {
      this.#lost(this.#size - this.#reached, this.#full ? 'vmfs.residue-limit' : 'vmfs.no-pointer');
    }
    return segments(this.#list.map((one) => (one.why === this.#hole ? this.#holeOr(one) : one)));
  }

  /** A hole is believed only where the pointers that are left are as many as the descriptor counts. */
  #holeOr(segment: Segment): Segment {
    const { blocks } = this.#fd;
    const counted = this.#large ? this.#leaves > 0 : this.#leaves + this.#unknown >= blocks;
    if (!counted) return missing(segment.length, this.#reason('vmfs.pointers-zeroed'));
    // A file of holes only cannot be told from one whose pointers and counts were cleared.
    if (blocks === 0) return { ...segment, certainty: GUESSED, why: this.#reason('vmfs.pointers-none') };
    return segment;
  }

  get #full(): boolean {
    return this.#list.length >= MAX_SEGMENTS || this.#looked >= MAX_POINTERS;
  }

  #span(level: number): number {
    return this.#fd.unit * this.#volume.geometry.pointersPerBlock ** level;
  }

  async #table(table: PointerTable, level: number, from: number): Promise<void> {
    const span = this.#span(level);
    const step = this.#volume.geometry.pointerWords;
    const count = table.words.length / step;
    for (let i = 0; i < count; i++) {
      const at = from + i * span;
      if (at >= this.#size || this.#full) return;
      this.#looked++;
      const length = Math.min(span, this.#size - at);
      const low = table.words[i * step];
      const high = step === 2 ? table.words[i * step + 1] : 0;
      if (low === 0 && high === 0) {
        const large = level === 0 ? this.#largeBelow(table, i) : undefined;
        if (large !== undefined) this.#leaf(large[0], large[1], at, length);
        else if (isLost(table, i)) this.#lost(length, 'vmfs.pointers-unreadable', this.#pointersOf(level));
        else this.#push(zeros(length, this.#certainty, this.#hole));
      } else if (level === 0) this.#leaf(low, high, at, length);
      else await this.#below(low, high, level, at, length);
    }
  }

  async #below(low: number, high: number, level: number, at: number, length: number): Promise<void> {
    const { live, gone } = this.#claims;
    const pointers = this.#pointersOf(level);
    if (live.resource(low, high)) {
      this.#overwritten(length, live.ownerOfResource(low, high), pointers);
      return;
    }
    const table = await this.#volume.tables.load(low, high);
    if (table === undefined) {
      this.#lost(length, 'vmfs.pointer-block', pointers);
      return;
    }
    // Of two that claim a pointer block at most one wrote it.
    const before = this.#inContested;
    this.#inContested ||= gone.resourceTwice(low, high);
    await this.#table(table, level - 1, at);
    this.#inContested = before;
  }

  #pointersOf(level: number): number {
    return this.#volume.geometry.pointersPerBlock ** level;
  }

  #leaf(low: number, high: number, at: number, length: number): void {
    this.#leaves++;
    const type = typeOf(low);
    const large = type === LARGE_BLOCK && this.#volume.geometry.version === 6;
    if (type === SUB_BLOCK) this.#subBlock(low, high, length);
    else if (type === FILE_BLOCK || large) this.#blocks(low, high, at, length);
    else this.#lost(length, 'vmfs.pointer-type');
  }

  #blocks(low: number, high: number, at: number, length: number): void {
    const g = this.#volume.geometry;
    const type = typeOf(low);
    if (type === LARGE_BLOCK) this.#large = true;
    const size = type === LARGE_BLOCK ? g.largeBlock : g.blockSize;
    const start = fileBlockAt(g, low, high);
    const inner = at % Math.max(size, this.#fd.unit);
    if (start + size > this.#volume.volume.size || inner + length > size || !fileBlockFits(g, low, high)) {
      this.#lost(length, 'vmfs.pointer-range');
      return;
    }
    if (tbzOf(g, low) !== TBZ_NO) {
      this.#push(zeros(length, this.#certainty, this.#reason('vmfs.tbz')));
      return;
    }
    for (let done = 0; done < length; done += g.blockSize) {
      const part = Math.min(g.blockSize, length - done);
      const place = start + inner + done;
      if (this.#claims.live.block(place)) this.#overwritten(part, this.#claims.live.ownerOf(place));
      else if (this.#inContested || this.#contested(place)) {
        this.#push(data(this.#volume.volume, place, part, GUESSED, this.#reason('vmfs.claimed-twice')));
      } else this.#push(data(this.#volume.volume, place, part, this.#certainty, this.#why));
    }
  }

  #subBlock(low: number, high: number, length: number): void {
    const place = resourceAt(this.#volume.geometry, this.#volume.files, low, high);
    if (this.#claims.live.resource(low, high)) {
      this.#overwritten(length, this.#claims.live.ownerOfResource(low, high));
      return;
    }
    const inside = place === undefined ? 0 : Math.min(length, this.#volume.geometry.subBlockSize);
    const contested = this.#inContested || this.#claims.gone.resourceTwice(low, high);
    const certainty = contested ? GUESSED : this.#certainty;
    const why = contested ? this.#reason('vmfs.claimed-twice') : this.#why;
    if (inside > 0) this.#push(data(place!.file.source, place!.offset, inside, certainty, why));
    if (inside < length) this.#lost(length - inside, 'vmfs.pointer-range');
  }

  /** The large block that covers an empty slot, where only the first of its 512 slots names it (VMFS6). */
  #largeBelow(table: PointerTable, index: number): readonly [number, number] | undefined {
    const g = this.#volume.geometry;
    if (g.version !== 6 || this.#fd.unit !== g.blockSize) return undefined;
    const first = index - (index % g.blocksPerCluster);
    const low = table.words[2 * first];
    return first !== index && typeOf(low) === LARGE_BLOCK ? [low, table.words[2 * first + 1]] : undefined;
  }

  /** What a live file has taken is never shown as this one's. */
  #overwritten(length: number, owner: number | undefined, pointers = 0): void {
    this.#unknown += pointers;
    const key = `${OVERWRITTEN} ${owner}`;
    let why: TakenWhy | undefined = this.#reasons.get(key);
    if (why === undefined) {
      const what = owner === undefined ? this.#why.what : `${this.#why.what}, overwritten by ${addressText(owner)}`;
      why = { ...this.#why, what, code: OVERWRITTEN, ...(owner !== undefined && { owner }) };
      this.#reasons.set(key, why);
    }
    this.#push(missing(length, why));
  }

  #lost(length: number, code: string, pointers = 0): void {
    this.#unknown += pointers;
    this.#push(missing(length, this.#reason(code)));
  }

  /** Appends a segment, joined with the one before where it simply continues it. */
  #push(segment: Segment): void {
    this.#reached += segment.length;
    const last = this.#list.at(-1);
    if (
      last !== undefined &&
      last.why === segment.why &&
      last.state === segment.state &&
      last.source === segment.source
    ) {
      if (segment.source === undefined || last.at! + last.length === segment.at) {
        this.#list[this.#list.length - 1] = { ...last, length: last.length + segment.length };
        return;
      }
    }
    this.#list.push(segment);
  }

  #reason(code: string): Why {
    let reason = this.#reasons.get(code);
    if (reason === undefined) {
      reason = { ...this.#why, code };
      this.#reasons.set(code, reason);
    }
    return reason;
  }
}
