/** What the maps of files need of the volume that they lie on, and the last step of each: from a block to a run. */
import {
  type Certainty,
  DATA,
  GUESSED,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  type State,
  type Why,
  weaker,
} from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Claims } from './claims.ts';
import { firstOf, type Geometry } from './geometry.ts';
import { bitOf, type Groups, groupOf, UNREADABLE } from './groups.ts';
import type { Inode } from './inode.ts';

export interface Ground {
  readonly source: Source;
  readonly geometry: Geometry;
  readonly groups: Groups;
  /** Present once a file was read of a volume whose inodes have no sums. */
  readonly claims?: Claims | undefined;
}

/** Reasons kept of one map; whys are few, and those of tables read long ago are not asked for again. */
const MAX_REASONS = 64;

export class Placer {
  readonly #ground: Ground;
  readonly #g: Geometry;
  /** A deleted file's: blocks that are in use are somebody else's now. */
  readonly #isDead: boolean;
  readonly #fate: Inode['fate'];
  readonly #reasons = new Map<Why, Map<string, Why>>();

  constructor(ground: Ground, isDead: boolean, fate: Inode['fate']) {
    this.#fate = fate;
    this.#ground = ground;
    this.#g = ground.geometry;
    this.#isDead = isDead;
  }

  /** Whether a block can hold anything of a file. */
  fits(block: number): boolean {
    return block > this.#g.super.firstBlock && block < this.#g.blocks;
  }

  /**
   * What speaks against a map of which `length` blocks from `start` on are a part: it leads outside the volume, or to
   * what something else claims as well. Then it may be an older map, or another file's, and its zeros are in doubt too.
   */
  against(start: number, length: number): string | undefined {
    if (!this.fits(start) || !this.fits(start + length - 1)) return 'ext.pointer-range';
    const isDisputed = !this.#isDead && this.#ground.claims?.disputed(start, start + length) === true;
    return isDisputed ? 'ext.block-claimed' : undefined;
  }

  /** Adds a run of [at, stop) that starts `inner` bytes into `block`; answers the offset reached, `at` where tables lack. */
  place(at: number, stop: number, block: number, inner: number, own: Certainty, why: Why, out: RunList): number {
    const g = this.#g;
    const from = block + Math.floor(inner / g.blockSize);
    if (!this.fits(from)) return this.emit(out, MISSING, LOST, at, stop, this.reason(why, 'ext.pointer-range'));
    const group = groupOf(g, from);
    // A run ends with its group, whose bitmap says whether its blocks are in use, and with the volume.
    const limit = Math.min(firstOf(g, group + 1), g.blocks);
    const skip = inner % g.blockSize;
    const end = Math.min(stop, at + (limit - from) * g.blockSize - skip);
    const last = from + Math.ceil((end - at + skip) / g.blockSize) - 1;
    const used = this.#ground.groups.inUse(group, bitOf(g, from), bitOf(g, last) + 1);
    if (used === 'unread') return at;
    const place = from * g.blockSize + skip;
    if (this.#isDead) {
      // The bitmap says it of the whole run only; block by block it says what of it is still there.
      if (used === false && last > from) return this.#dead(at, end, from, skip, own, why, out);
      const fate = used === false ? this.#fate?.(from) : undefined;
      if (used !== false || fate === 'later') {
        const reason = this.reason(why, used === UNREADABLE ? 'ext.bitmap' : 'ext.block-reused');
        return this.emit(out, MISSING, LOST, at, end, reason, this.#ground.source, place);
      }
      const grade = weaker(own, fate === 'unsure' ? GUESSED : INFERRED);
      const reason = fate === 'unsure' ? this.reason(why, 'ext.block-claimed') : why;
      return this.emit(out, DATA, grade, at, end, reason, this.#ground.source, place);
    }
    const isDisputed = this.#ground.claims?.disputed(from, last + 1) === true;
    const claimed = isDisputed ? 'ext.block-claimed' : undefined;
    const code = used === true ? claimed : used === false ? 'ext.block-free' : 'ext.bitmap';
    const certainty = code === undefined ? own : weaker(own, INFERRED);
    const reason = code === undefined ? why : this.reason(why, code);
    return this.emit(out, DATA, certainty, at, end, reason, this.#ground.source, place);
  }

  #dead(at: number, end: number, from: number, skip: number, own: Certainty, why: Why, out: RunList): number {
    let position = at;
    for (let block = from; position < end; block++) {
      const inner = block === from ? skip : 0;
      const stop = Math.min(end, position + this.#g.blockSize - inner);
      const reached = this.place(position, stop, block, inner, own, why, out);
      if (reached === position) return position;
      position = reached;
    }
    return position;
  }

  /** Loads what `place` needs. */
  async load(block: number): Promise<void> {
    if (this.fits(block)) await this.#ground.groups.load(groupOf(this.#g, block));
  }

  /** Adds a run of [at, stop); answers stop, or `at` where the list is full. */
  emit(
    out: RunList,
    state: State,
    certainty: Certainty,
    at: number,
    stop: number,
    why: Why,
    source?: Source,
    place = 0,
  ): number {
    return out.add(state, certainty, stop - at, source, place, why) ? stop : at;
  }

  /** The same why with the check that failed; the same object each time, so that runs merge. */
  reason(why: Why, code: string): Why {
    let byCode = this.#reasons.get(why);
    if (byCode === undefined) {
      if (this.#reasons.size > MAX_REASONS) this.#reasons.clear();
      byCode = new Map();
      this.#reasons.set(why, byCode);
    }
    let reason = byCode.get(code);
    if (reason === undefined) {
      reason = { ...why, code };
      byCode.set(code, reason);
    }
    return reason;
  }
}
