/**
 * Grains whose tables are lost: put where the guest on the disk has something, in the order in which they lie in the
 * file, or where they say themselves that they belong. Source: vmdk.md 11.
 */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, MapSource, segments, zeros } from '../../../core/map-source.ts';
import { DATA, GUESSED, INFERRED, LOST, MISSING, type RunList, STATED, type Why, ZERO } from '../../../core/run.ts';
import type { Mapping, Source } from '../../../core/source.ts';
import { saysUnused } from '../placing/align.ts';
import { PEEK } from '../placing/marks.ts';
import { NOWHERE, piecesAt } from '../placing/pieces.ts';
import { type Placing, placed } from '../placing/place.ts';
import { joined, type Layer, type Part } from './layer.ts';
import { BLANK, KNOWN, type Lost } from './lost.ts';

/** Of entries that are blank and of which the guest has something in use, so many have to be explained by grains. */
const LEAST_EXPLAINED = 0.9;

/** What a grain is given in place of what its table says. */
const KEPT = -1;
const UNUSED = -2;
const NOT_HAD = -3;

export interface Assembled {
  readonly parts: readonly Part[];
  readonly layers: readonly Layer[];
}

/** The parts of a disk with grains put back into those that lost tables; tells of it in `damage`. */
export async function withLost({ parts, layers }: Assembled, damage: Damage[], cx: Cx): Promise<readonly Part[]> {
  const out = [...parts];
  for (const layer of layers) {
    const lost = await layer.lost?.();
    const i = out.findIndex(({ mapping }) => mapping === layer.mapping);
    if (lost === undefined || i < 0) continue;
    const start = out.slice(0, i).reduce((sum, { length }) => sum + length, 0);
    // Stretches of one length are laid out from the start of the disk.
    if (start % lost.grain !== 0) continue;
    const found = await answersFor(lost, out, start, cx);
    if (found === undefined) continue;
    out[i] = { length: out[i].length, mapping: new PlacedMapping(out[i].mapping, lost, found.answers) };
    const isOwn = ({ at, code }: Damage): boolean => layer.damage.some((one) => one.at === at && one.code === code);
    for (const [n, one] of damage.entries())
      if (LOSSES.has(one.code) && isOwn(one)) damage[n] = { ...one, effect: found.effect };
  }
  return out;
}

/** Codes of what speaks of lost tables. */
const LOSSES: ReadonlySet<string> = new Set(['vmdk.table-lost', 'vmdk.grains-unclaimed']);

interface Answers {
  /** Of each grain: its place in `places`, or KEPT, UNUSED, NOT_HAD; and whether it says so itself. */
  readonly answers: { readonly of: Int32Array; readonly isOwn: Uint8Array };
  readonly effect: string;
}

async function answersFor(lost: Lost, parts: readonly Part[], start: number, cx: Cx): Promise<Answers | undefined> {
  const { entries, grain, places, source } = lost;
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  const slots = Math.ceil(size / grain);
  const first = start / grain;
  const closed = new Uint8Array(slots).fill(1);
  for (const [i, entry] of entries.entries()) if (first + i < slots && entry !== KNOWN) closed[first + i] = 0;
  const found = await placed(
    {
      pieces: piecesAt(source, places, grain),
      slots,
      known: new Int32Array(places.length).fill(NOWHERE),
      closed,
      cluster: Math.min(PEEK, grain),
      isSampled: true,
      base: baseOf(parts, size, closed, grain),
    },
    cx,
  );
  return found.hasGuest ? judged(lost, found, first) : undefined;
}

/** What is known of the disk, with nothing where grains are lost. */
function baseOf(parts: readonly Part[], size: number, closed: Uint8Array, grain: number): Source {
  const inner = joined(parts);
  const why: Why = { what: 'a grain whose table is lost', code: 'vmdk.table-lost' };
  const slots = closed.length;
  const runs = (from: number, end: number, out: RunList): number => {
    for (let at = from; at < end; ) {
      const slot = Math.floor(at / grain);
      let next = slot + 1;
      while (next < slots && closed[next] === closed[slot]) next++;
      const stop = Math.min(end, next * grain);
      const reached = closed[slot] === 1 ? inner.runs(at, stop, out) : gap(at, stop, why, out);
      if (reached < stop) return reached;
      at = stop;
    }
    return end;
  };
  const known = new MapSource(size, { runs, load: async (at, end) => inner.load?.(at, end) });
  return segments([data(known, 0, size, STATED), zeros(slots * grain - size, STATED)]);
}

function gap(at: number, stop: number, why: Why, out: RunList): number {
  return out.add(MISSING, LOST, stop - at, undefined, 0, why) ? stop : at;
}

/** What to make of a layout; undefined where what is known without it is better. */
function judged({ entries, isAll, isOrdered, places }: Lost, found: Placing, first: number): Answers | undefined {
  const { byContent, slotOf, usage } = found;
  const pieceIn = new Int32Array(entries.length).fill(NOWHERE);
  let own = 0;
  for (const [piece, slot] of slotOf.entries()) {
    if (slot < first || slot >= first + entries.length) continue;
    pieceIn[slot - first] = piece;
    own += byContent[piece];
  }
  if (!found.isOrdered && (own === 0 || isOrdered)) return undefined;
  const isNeeded = (i: number): boolean => usage !== undefined && usage.needed[first + i] > 0;
  let [blank, explained] = [0, 0];
  for (const [i, entry] of entries.entries()) {
    if (entry !== BLANK || !isNeeded(i)) continue;
    blank++;
    explained += Number(pieceIn[i] !== NOWHERE);
  }
  const isExplained = explained >= blank * LEAST_EXPLAINED;
  const of = new Int32Array(entries.length).fill(KEPT);
  const isOwn = new Uint8Array(entries.length);
  const count = { own: 0, guessed: 0, unused: 0, missing: 0 };
  for (const [i, entry] of entries.entries()) {
    if (entry === KNOWN) continue;
    const piece = pieceIn[i];
    const isSaid = piece !== NOWHERE && byContent[piece] === 1;
    if (piece !== NOWHERE && (isSaid || (found.isOrdered && (entry !== BLANK || (isExplained && isNeeded(i)))))) {
      of[i] = piece;
      isOwn[i] = Number(isSaid);
      count[isSaid ? 'own' : 'guessed']++;
    } else if (entry === BLANK) continue;
    else if (found.isOrdered && (isAll || (usage !== undefined && saysUnused(usage, first + i)))) {
      of[i] = UNUSED;
      count.unused++;
    } else {
      of[i] = NOT_HAD;
      count.missing++;
    }
  }
  if (count.own + count.guessed === 0) return undefined;
  const effect =
    `of ${places.length} grains that no table claims ${count.own} say themselves where they belong, which is inferred, and ${count.guessed} ` +
    `are put where the file systems on the disk have something in use, in the order in which they lie, which is guessed; ` +
    `${count.unused} grains of the disk were never written by what these say, and ${count.missing} are missing`;
  return { answers: { of, isOwn }, effect };
}

/** A mapping with grains laid over it. */
class PlacedMapping implements Mapping {
  readonly #inner: Mapping;
  readonly #lost: Lost;
  readonly #answers: Answers['answers'];
  readonly #whys: readonly [guess: Why, own: Why, lost: Why];

  constructor(inner: Mapping, lost: Lost, answers: Answers['answers']) {
    this.#inner = inner;
    this.#lost = lost;
    this.#answers = answers;
    const why = (what: string, code: string): Why => ({ what, source: lost.source, at: lost.places[0], code });
    this.#whys = [
      why('VMDK grains in the order of the file, by what the guest has in use', 'vmdk.order'),
      why('VMDK grains that say where they belong', 'vmdk.content'),
      why('a VMDK grain table', 'vmdk.table-lost'),
    ];
  }

  runs(from: number, end: number, out: RunList): number {
    const { grain } = this.#lost;
    const { of } = this.#answers;
    for (let at = from; at < end; ) {
      const i = Math.floor(at / grain);
      let next = i + 1;
      if (of[i] === KEPT) while (next < of.length && of[next] === KEPT) next++;
      const stop = Math.min(end, next * grain);
      const reached = of[i] === KEPT ? this.#inner.runs(at, stop, out) : this.#say(i, at, stop, out);
      if (reached < stop) return reached;
      at = stop;
    }
    return end;
  }

  async load(at: number, end: number): Promise<void> {
    await this.#inner.load?.(at, end);
  }

  #say(i: number, at: number, stop: number, out: RunList): number {
    const { grain, places, source } = this.#lost;
    const [guess, own, lost] = this.#whys;
    const answer = this.#answers.of[i];
    if (answer === NOT_HAD) return gap(at, stop, lost, out);
    if (answer === UNUSED) return out.add(ZERO, GUESSED, stop - at, undefined, 0, guess) ? stop : at;
    const isOwn = this.#answers.isOwn[i] === 1;
    const place = places[answer] + (at - i * grain);
    return out.add(DATA, isOwn ? INFERRED : GUESSED, stop - at, source, place, isOwn ? own : guess) ? stop : at;
  }
}
