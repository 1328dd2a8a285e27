/**
 * Disks cut into blocks of one length, with one table that says where each of them lies: VDI, VHD, VHDX. What a format
 * gives here is how an entry is read; what is checked of it, and what follows, is the same for all.
 */
import type { Damage } from '../../core/damage.ts';
import { hex } from '../../core/damage.ts';
import type { Cx } from '../../core/format.ts';
import { MapSource } from '../../core/map-source.ts';
import {
  ABSENT,
  type Certainty,
  DATA,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  STATED,
  type State,
  type Why,
  weaker,
  ZERO,
} from '../../core/run.ts';
import type { Mapping, Source } from '../../core/source.ts';
import { TableCache } from '../../core/tables.ts';
import { Claims } from './claims.ts';

/** What an entry says. */
export const FREE = 0;
export const ZEROS = 1;
export const PRESENT = 2;
/** Present, with a bitmap that says which sectors of it count. */
export const PARTIAL = 3;
/** No entry that the format knows. */
export const BAD = 4;
/** The table cannot be read there. */
export const UNREAD = 5;
/** Found where the whole is looked at: claimed twice, not in the file, where the file keeps its own tables. */
const TWICE = 6;
const TWICE_PARTIAL = 7;
const OUTSIDE = 8;
const RESERVED = 9;

/** Entries of a table, decoded: what each says, and where the block's bytes lie; 0 where it has none. */
export interface Page {
  readonly kind: Uint8Array;
  readonly at: Float64Array;
}

export interface Layout {
  /** Start of all codes: "vdi". */
  readonly id: string;
  /** The table, in the specification's words. */
  readonly what: string;
  /** What blocks lie in, and where the table is read. */
  readonly file: Source;
  /** Bytes of the disk, and of a block. */
  readonly size: number;
  readonly block: number;
  /** Blocks that the table has entries for. */
  readonly count: number;
  /** Bytes that lie before a block's own and belong to it. */
  readonly head: number;
  /** Where the file keeps blocks. */
  readonly from: number;
  readonly end: number;
  /** Stretches in between that hold something else. */
  readonly reserved: readonly (readonly [from: number, end: number])[];
  /** What free blocks are: ABSENT in a disk that has a parent, else ZERO. */
  readonly free: typeof ABSENT | typeof ZERO;
  /** The most that the table can be certain of, and the code of the reason where that is below STATED. */
  readonly most: Certainty;
  readonly doubt?: string;
  /** As `most`, for blocks that are free. */
  readonly freeMost?: Certainty;
  /** Position of entry `i` in the file. */
  entryAt(i: number): number;
  /** Decodes `n` entries. */
  page(first: number, n: number): Promise<Page>;
  /** Which sectors count of a PARTIAL block whose bytes are at `at`; undefined where that cannot be read. */
  bitmap?(block: number, at: number): Promise<Sectors | undefined>;
}

/** One bit for each sector of a block, the lowest first, and what set and clear ones are if not what they usually are. */
export interface Sectors {
  readonly bits: Uint8Array;
  readonly set?: Verdict;
  readonly clear?: Verdict;
}

export interface Verdict {
  readonly state: State;
  readonly certainty: Certainty;
  /** Of the reason. */
  readonly code: string;
}

export interface Census {
  readonly claims: Claims;
  /** Entries that say where their block is, and those of them that may be right: also in what was cut off. */
  readonly allocated: number;
  readonly sound: number;
  readonly damage: readonly Damage[];
  /** Blocks that no entry claims and the file has room for, where entries are free that may have been theirs. */
  readonly unclaimed: number;
}

interface Answer {
  readonly state: State;
  readonly certainty: Certainty;
  readonly why: Why;
}

const SECTOR = 512;
const PAGE = 8192;
/** Entries that are looked at when a disk is opened; those of 64 TiB in blocks of 32 MiB are a quarter of it. */
const MAX_CENSUS: number = 2 ** 23;
/** Bitmaps that are loaded side by side. */
const AHEAD = 32;

/** An empty page. */
export function blankPage(n: number): Page {
  return { kind: new Uint8Array(n), at: new Float64Array(n) };
}

/** Looks at all entries once: how many are allocated, which blocks two of them claim, what lies outside. */
export async function census(layout: Layout, cx: Cx): Promise<Census> {
  const claims = new Claims(layout.file.size, layout.head + layout.block);
  const found = new Map<number, { first: number; at: number; n: number }>();
  let allocated = 0;
  let free = 0;
  let kept = 0;
  const looked = Math.min(layout.count, MAX_CENSUS);
  const each = async (visit: (i: number, kind: number, at: number) => void): Promise<void> => {
    for (let first = 0; first < looked && !cx.signal.aborted; first += PAGE) {
      const page = await layout.page(first, Math.min(PAGE, looked - first));
      for (let i = 0; i < page.kind.length; i++) visit(first + i, page.kind[i], page.at[i]);
    }
  };
  await each((_, kind, at) => {
    if (kind === FREE) free++;
    if (kind < PRESENT && at > 0) kept++;
    if (kind !== PRESENT && kind !== PARTIAL) return;
    allocated++;
    claims.add(at - layout.head);
  });
  const note = (kind: number, i: number, at: number): void => {
    const seen = found.get(kind);
    if (seen === undefined) found.set(kind, { first: i, at, n: 1 });
    else seen.n++;
  };
  // What lies behind the end of a file that was cut off may be as it should: a full disk has room for it.
  const inBetween = layout.reserved.reduce((sum, [from, end]) => sum + end - from, 0);
  const full = layout.from + inBetween + layout.count * (layout.head + layout.block);
  let good = 0;
  await each((i, kind, at) => {
    const judged = judge(layout, claims, kind, at);
    if (judged === PRESENT || judged === PARTIAL || (judged === OUTSIDE && at < full)) good++;
    if (judged >= BAD) note(judged === TWICE_PARTIAL ? TWICE : judged, i, at);
  });
  const damage = [...found].map(([kind, { first, at, n }]) => entryDamage(layout, cx, kind, first, at, n));
  const isKnown = !claims.unchecked && layout.count <= looked;
  const room = isKnown && free > 0 ? claims.room(layout.from, layout.end, layout.reserved) - kept : 0;
  const unclaimed = Math.max(0, room);
  return { claims, allocated, sound: good, damage, unclaimed };
}

/** All faults of the table, entry by entry. */
export async function* faults(layout: Layout, { claims, unclaimed }: Census, cx: Cx): AsyncGenerator<Damage> {
  for (let first = 0; first < layout.count && !cx.signal.aborted; first += PAGE) {
    const page = await layout.page(first, Math.min(PAGE, layout.count - first));
    for (let i = 0; i < page.kind.length; i++) {
      const kind = judge(layout, claims, page.kind[i], page.at[i]);
      if (kind >= BAD) yield entryDamage(layout, cx, kind === TWICE_PARTIAL ? TWICE : kind, first + i, page.at[i], 1);
    }
  }
  if (unclaimed > 0) {
    const effect = 'entries may have been lost, so that blocks that look empty are inferred; or space only is wasted';
    yield cx.damage(
      layout.from,
      `${layout.id}.unclaimed`,
      'no block without an entry',
      `room for ${unclaimed}`,
      effect,
    );
  }
}

/** What an entry is worth once the whole is known. */
function judge(layout: Layout, claims: Claims, kind: number, at: number): number {
  if (kind !== PRESENT && kind !== PARTIAL) return kind;
  const start = at - layout.head;
  if (at >= layout.file.size) return OUTSIDE;
  if (start < layout.from) return RESERVED;
  for (const [from, end] of layout.reserved) if (start < end && at + layout.block > from) return RESERVED;
  if (claims.isContested(start)) return kind === PRESENT ? TWICE : TWICE_PARTIAL;
  return kind;
}

function entryDamage(layout: Layout, cx: Cx, kind: number, i: number, at: number, n: number): Damage {
  const { id, what } = layout;
  const more = n > 1 ? ` (and ${n - 1} more)` : '';
  const say = (code: string, expected: string, actual: string, effect: string): Damage =>
    cx.damage(layout.entryAt(i), `${id}.${code}`, expected, `${actual}${more}`, effect);
  const block = `entry ${i} of the ${what}`;
  switch (kind) {
    case TWICE:
      return say(
        'block-twice',
        'blocks that one entry each claims',
        `${block} and another one claim ${hex(at)}`,
        'these blocks are inferred: one of the two is wrong',
      );
    case OUTSIDE:
      return say(
        'block-outside',
        `a place in the ${hex(layout.file.size)} bytes of the file`,
        `${block} says ${hex(at)}`,
        'the block is missing',
      );
    case RESERVED:
      return say(
        'block-reserved',
        'a place where blocks lie',
        `${block} says ${hex(at)}, where the file keeps its own tables`,
        'the block is missing',
      );
    case UNREAD:
      return say(
        'table-unreadable',
        `a readable ${what}`,
        `${block} cannot be read`,
        'the blocks it names are missing',
      );
    default:
      return say('entry', 'an entry that the format knows', `${block} is none`, 'the block is missing');
  }
}

/** The disk's bytes, as its table says. */
export function blockMap(layout: Layout, found: Census): MapSource {
  return new MapSource(layout.size, new BlockMapping(layout, found));
}

class BlockMapping implements Mapping {
  readonly #layout: Layout;
  readonly #claims: Claims;
  readonly #answers: readonly Answer[];
  readonly #cut: Why;
  readonly #past: Why;
  readonly #unreadBits: Why;
  readonly #pages = new TableCache<Page>();
  readonly #bitmaps = new TableCache<{ bits: Uint8Array; set?: Answer; clear?: Answer } | null>();

  constructor(layout: Layout, { claims, unclaimed }: Census) {
    this.#layout = layout;
    this.#claims = claims;
    const { id, what, file, most, doubt } = layout;
    const why = (code?: string): Why => ({
      what,
      source: file,
      at: layout.entryAt(0),
      ...(code && { code: `${id}.${code}` }),
    });
    const sure: Why = { ...why(), ...(most < STATED && doubt !== undefined && { code: doubt }) };
    const stated = weaker(STATED, most);
    // Unclaimed blocks may be those of entries that were lost and say "free" now.
    const lostEntries = unclaimed > 0;
    const empty = weaker(lostEntries ? INFERRED : STATED, layout.freeMost ?? most);
    const free: Answer = {
      state: layout.free,
      // Of what is not here a certainty says how sure that is, where it is not.
      certainty: layout.free === ABSENT && empty >= STATED ? LOST : empty,
      why: lostEntries && most >= STATED ? why('unclaimed') : sure,
    };
    const doubtful = claims.unchecked || layout.count > MAX_CENSUS;
    const present: Answer = doubtful
      ? { state: DATA, certainty: weaker(INFERRED, most), why: why('unchecked') }
      : { state: DATA, certainty: stated, why: sure };
    const twice: Answer = { state: DATA, certainty: weaker(INFERRED, most), why: why('block-twice') };
    const lost = (code: string): Answer => ({ state: MISSING, certainty: LOST, why: why(code) });
    this.#answers = [
      free,
      { state: ZERO, certainty: stated, why: sure },
      present,
      present,
      lost('entry'),
      lost('table-unreadable'),
      twice,
      twice,
      lost('block-outside'),
      lost('block-reserved'),
    ];
    this.#cut = why('truncated');
    this.#past = why('table-short');
    this.#unreadBits = why('bitmap-unreadable');
  }

  runs(from: number, end: number, out: RunList): number {
    const { block, count } = this.#layout;
    let at = from;
    let pageNumber = -1;
    let page: Page | undefined;
    while (at < end) {
      const i = Math.floor(at / block);
      if (i >= count) return out.add(MISSING, LOST, end - at, undefined, 0, this.#past) ? end : at;
      const n = Math.floor(i / PAGE);
      if (n !== pageNumber) {
        page = this.#pages.get(n);
        pageNumber = n;
      }
      if (page === undefined) return at;
      const kind = page.kind[i % PAGE];
      const stop = Math.min(end, (i + 1) * block);
      const isPartial = kind === PARTIAL || kind === TWICE_PARTIAL;
      const reached = isPartial
        ? this.#sectors(i, page.at[i % PAGE], kind, at, stop, out)
        : this.#say(this.#answers[kind], at, stop, page.at[i % PAGE] + (at - i * block), out);
      if (reached < stop) return reached;
      at = stop;
    }
    return at;
  }

  /** Adds [at, stop) with one answer; answers how far it came. */
  #say(answer: Answer, at: number, stop: number, place: number, out: RunList): number {
    const { state, certainty, why } = answer;
    if (state !== DATA) return out.add(state, certainty, stop - at, undefined, 0, why) ? stop : at;
    const { file } = this.#layout;
    const there = Math.max(0, Math.min(stop - at, file.size - place));
    if (!out.add(DATA, certainty, there, file, place, why)) return at;
    return out.add(MISSING, LOST, stop - at - there, file, place + there, this.#cut) ? stop : at + there;
  }

  #sectors(i: number, place: number, kind: number, from: number, stop: number, out: RunList): number {
    const sectors = this.#bitmaps.get(i);
    const { block } = this.#layout;
    if (sectors === undefined) return from;
    if (sectors === null) return out.add(MISSING, LOST, stop - from, undefined, 0, this.#unreadBits) ? stop : from;
    const { bits, set: ifSet = this.#answers[kind], clear: ifClear = this.#answers[FREE] } = sectors;
    let at = from;
    while (at < stop) {
      const inner = at - i * block;
      const first = Math.floor(inner / SECTOR);
      const set = (bits[first >> 3] >> (first & 7)) & 1;
      let next = first + 1;
      const last = Math.ceil((stop - i * block) / SECTOR);
      while (next < last && ((bits[next >> 3] >> (next & 7)) & 1) === set) next++;
      const till = Math.min(stop, i * block + next * SECTOR);
      const reached = this.#say(set === 1 ? ifSet : ifClear, at, till, place + inner, out);
      if (reached < till) return reached;
      at = till;
    }
    return at;
  }

  async load(at: number, end: number): Promise<void> {
    const layout = this.#layout;
    const i = Math.floor(at / layout.block);
    const n = Math.floor(i / PAGE);
    let page = this.#pages.get(n);
    if (page === undefined) {
      page = await layout.page(n * PAGE, Math.min(PAGE, layout.count - n * PAGE));
      for (let k = 0; k < page.kind.length; k++) page.kind[k] = judge(layout, this.#claims, page.kind[k], page.at[k]);
      this.#pages.set(n, page, page.kind.length * 9);
    }
    if (layout.bitmap === undefined) return;
    const wanted: Promise<void>[] = [];
    const last = Math.min(layout.count, Math.ceil(end / layout.block), (n + 1) * PAGE);
    for (let k = i; k < last && wanted.length < AHEAD; k++) {
      const kind = page.kind[k % PAGE];
      if (kind !== PARTIAL && kind !== TWICE_PARTIAL) continue;
      if (this.#bitmaps.get(k) === undefined) wanted.push(this.#loadBits(k, page.at[k % PAGE]));
    }
    await Promise.all(wanted);
    // What was loaded first is the oldest of it, and must be there when the map is asked again.
    this.#pages.set(n, page, page.kind.length * 9);
  }

  async #loadBits(i: number, at: number): Promise<void> {
    const sectors = await this.#layout.bitmap!(i, at);
    const answer = (verdict: Verdict): Answer => {
      const why: Why = {
        what: 'sector bitmap',
        source: this.#layout.file,
        at: at - this.#layout.head,
        code: verdict.code,
      };
      return { state: verdict.state, certainty: weaker(verdict.certainty, this.#layout.most), why };
    };
    const kept = sectors && {
      bits: sectors.bits,
      ...(sectors.set && { set: answer(sectors.set) }),
      ...(sectors.clear && { clear: answer(sectors.clear) }),
    };
    this.#bitmaps.set(i, kept ?? null, (kept?.bits.length ?? 0) + 64);
  }
}
