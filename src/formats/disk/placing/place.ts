/**
 * Places for stretches of a disk whose table is lost, by what the guest on it says: bytes that carry their own address,
 * then the layout that agrees best with what its file systems call used and free.
 */
import type { Cx } from '../../../core/format.ts';
import { flatten } from '../../../core/resolve.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Told } from './align.ts';
import { Anchors, type Met, type Question } from './anchors.ts';
import { marksIn, PEEK } from './marks.ts';
import { NOWHERE, type Pieces, sampled, sampleUnit, trialDisk, writtenIn } from './pieces.ts';
import { isTooFine, partitionsOf, positionsOn, usageOf, volumesOn } from './volumes.ts';

const SECTOR = 512;

/** No partition begins before the second track. */
const LEAST_START = 63 * 512;
/** Where a partition begins that no table tells of: nowhere before it, or where installers put it. */
const USUAL_STARTS: readonly number[] = [0, 1024 * 1024, LEAST_START];
/** Heads that are looked at in one piece, and in all. */
const PEEKS_PER_PIECE = 256;
const PEEKS: number = 2 ** 18;
/** Words of a mask that are compared for all pairs of a piece and a slot together. */
const MAX_WORK = 2 ** 28;
/** Times that what a layout shows of the guest is used to lay it out again. */
const MAX_ROUNDS = 6;
/** Pieces that are looked at in one round for what file systems say of their own parts. */
const MAX_LOOKS = 2 ** 18;
const LEAST_UNIT = 4096;

export interface Placing {
  /** The slot of each piece; NOWHERE where nothing gives it one. */
  readonly slotOf: Int32Array;
  /** Pieces that have their place by their own content. */
  readonly byContent: Uint8Array;
  /** What the guest says of use and order agree; else places without content are by order alone. */
  readonly isOrdered: boolean;
  /** A file system was found on the disk. */
  readonly hasGuest: boolean;
  /** What the guest says of use at last; undefined where it was not asked. */
  readonly usage?: Told;
}

/** Finds places. Reads the first bytes of clusters and what file systems keep of themselves. */
export async function placed(question: Question, cx: Cx): Promise<Placing> {
  const { pieces, slots, known } = question;
  const isSampled = question.isSampled === true;
  const { coverage } = pieces;
  const grid = { slots, coverage, unit: unitFor(question), isSampled };
  if (isTooFine(grid)) {
    const byContent = new Uint8Array(known.length);
    return { slotOf: Int32Array.from(known), byContent, isOrdered: false, hasGuest: false };
  }
  const written = await (isSampled ? sampled : writtenIn)(pieces, grid.unit, cx.signal);
  const anchors = new Anchors(question, await marksOf(question, cx.signal));
  anchors.vote((mark) => (mark.kind === 'disk' ? [mark.at] : []));
  const starts = await startsOn(trialDisk(pieces, anchors.slotOf, slots, question.base), cx);
  anchors.vote((mark) => (mark.kind === 'head' ? starts.map((start) => start + mark.at) : []));
  let slotOf = anchors.slotOf;
  let isOrdered = false;
  let hasGuest = false;
  let usage: Told | undefined;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const disk = trialDisk(pieces, slotOf, slots, question.base);
    const volumes = await volumesOn(disk, cx);
    hasGuest = volumes.length > 0;
    const positions = hasGuest ? volumes.map(({ positionOf }) => positionOf) : await positionsOn(disk, cx);
    anchors.vote((mark) => positions.flatMap((positionOf) => positionOf(mark) ?? []));
    const known = volumes.flatMap((volume) => [
      ...(volume.tables === undefined ? [] : [volume.tables]),
      ...volume.known,
    ]);
    for (const one of known.slice(0, Math.ceil(MAX_LOOKS / (1 + pieces.count)))) await anchors.find(one);
    usage = await usageOf(volumes, grid, cx.signal);
    const next = anchors.filled(written, usage);
    isOrdered = next !== undefined;
    const isSame = next === undefined || next.every((slot, piece) => slot === slotOf[piece]);
    slotOf = next ?? anchors.slotOf;
    if (isSame && round > 0) break;
  }
  const byContent = Uint8Array.from(known, (slot, piece) => (slot < 0 && anchors.slotOf[piece] >= 0 ? 1 : 0));
  return { slotOf, byContent, isOrdered, hasGuest, ...(usage && { usage }) };
}

/** Where file systems begin: where a partition table says so, else where one may. */
async function startsOn(disk: Source, cx: Cx): Promise<readonly number[]> {
  const starts = (await partitionsOf(disk, cx)).map(({ start }) => start);
  // A table that covers the disk for the sake of a GPT tells of none.
  return starts.some((start) => start < LEAST_START) ? USUAL_STARTS : starts;
}

/** Places for pieces of which none is known, that follow each other in the order in which they were written to. */
export interface ByOrder {
  readonly slotOf: Int32Array;
  readonly usage: Told;
}

/** Finds such places; undefined where no guest says anything, or where what it says and order do not agree. */
export async function placedByOrder(
  pieces: Pieces,
  question: Pick<Question, 'slots' | 'closed' | 'base'>,
  cx: Cx,
): Promise<ByOrder | undefined> {
  // Sectors tell hardly anything one by one: blocks have empty ones in their middle.
  if (pieces.coverage <= SECTOR) return undefined;
  const known = new Int32Array(pieces.count).fill(NOWHERE);
  const cluster = Math.min(PEEK, pieces.coverage);
  const { hasGuest, isOrdered, slotOf, usage } = await placed(
    { ...question, pieces, known, cluster, isSampled: true },
    cx,
  );
  return hasGuest && isOrdered && usage !== undefined ? { slotOf, usage } : undefined;
}

/** Bytes of a unit of masks: a cluster, or more where there are many pairs to compare. */
function unitFor({ pieces: { coverage, count }, slots, closed, cluster, isSampled }: Question): number {
  const open = closed.reduce((n, one) => n + 1 - one, 0);
  const pairs = count * Math.max(1, open - count + 1);
  let unit = isSampled === true ? sampleUnit(coverage) : Math.min(coverage, Math.max(cluster, LEAST_UNIT));
  const isMuch = (): boolean =>
    (coverage / unit / 32) * pairs > MAX_WORK || isTooFine({ slots, coverage, unit, isSampled: false });
  while (unit < coverage && isMuch()) unit *= 2;
  return unit;
}

async function marksOf({ pieces, cluster, known }: Question, signal: AbortSignal): Promise<Met[][]> {
  const { bytes, count, coverage } = pieces;
  const open = known.reduce((n, slot) => n + Number(slot === NOWHERE), 0);
  const out: Met[][] = [];
  const head = new Uint8Array(Math.min(PEEK, Math.max(SECTOR, cluster)));
  let peeks = 0;
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    const list: Met[] = [];
    out.push(list);
    if (known[piece] !== NOWHERE) continue;
    let own = 0;
    for await (const at of writtenUnits(bytes, piece * coverage, (piece + 1) * coverage, cluster)) {
      if (++own > Math.min(PEEKS_PER_PIECE, Math.max(1, Math.floor(PEEKS / open))) || ++peeks > PEEKS) break;
      if ((await bytes.read(at, head)).length > 0) continue;
      for (const { at: more, mark } of marksIn(head)) list.push({ within: at - piece * coverage + more, mark });
    }
  }
  return out;
}

/** Starts of units of [from, end) in which something was written. */
async function* writtenUnits(bytes: Source, from: number, end: number, unit: number): AsyncGenerator<number> {
  const list = new RunList(256);
  for (let at = from; at < end; ) {
    list.clear();
    let place = at;
    at = await flatten(bytes, at, end, list);
    for (let i = 0; i < list.n; place += list.length[i++]) {
      if (list.state(i) !== DATA) continue;
      for (let one = Math.ceil(place / unit) * unit; one < place + list.length[i]; one += unit) yield one;
    }
  }
}
