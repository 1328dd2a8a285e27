/**
 * Places for stretches of a disk whose table is lost, by what the guest on it says: bytes that carry their own address,
 * then the layout that agrees best with what its file systems call used and free.
 */
import type { Cx } from '../../../core/format.ts';
import { flatten } from '../../../core/resolve.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { Anchors, type Met, type Question } from './anchors.ts';
import { marksIn, PEEK } from './marks.ts';
import { trialDisk, writtenIn } from './pieces.ts';
import { usageOf, volumesOn } from './volumes.ts';

const SECTOR = 512;

/** Where a partition begins that no table tells of: nowhere before it, or where installers put it. */
const USUAL_STARTS: readonly number[] = [0, 1024 * 1024, 63 * 512];
/** Heads that are looked at in one piece, and in all. */
const PEEKS_PER_PIECE = 256;
const PEEKS = 65_536;
/** Words of a mask that are compared for all pairs of a piece and a slot together. */
const MAX_WORK = 2 ** 28;
/** Times that what a layout shows of the guest is used to lay it out again. */
const MAX_ROUNDS = 6;
const LEAST_UNIT = 4096;
/** Units of a disk that its guest is asked about. */
const MAX_UNITS = 2 ** 22;

export interface Placing {
  /** The slot of each piece; NOWHERE where nothing gives it one. */
  readonly slotOf: Int32Array;
  /** Pieces that have their place by their own content. */
  readonly byContent: Uint8Array;
  /** What the guest says of use and order agree; else places without content are by order alone. */
  readonly isOrdered: boolean;
  /** A file system was found on the disk. */
  readonly hasGuest: boolean;
}

/** Finds places. Reads the first bytes of clusters and what file systems keep of themselves. */
export async function placed(question: Question, cx: Cx): Promise<Placing> {
  const { pieces, slots, known } = question;
  const unit = question.written?.unit ?? unitFor(question);
  if ((slots * pieces.coverage) / unit > MAX_UNITS)
    return {
      slotOf: Int32Array.from(known),
      byContent: new Uint8Array(known.length),
      isOrdered: false,
      hasGuest: false,
    };
  const written = question.written?.masks ?? (await writtenIn(pieces, unit, cx.signal));
  const anchors = new Anchors(question, await marksOf(question, cx.signal));
  anchors.vote((mark) => (mark.kind === 'disk' ? [mark.at] : []));
  anchors.vote((mark) => (mark.kind === 'head' ? USUAL_STARTS.map((start) => start + mark.at) : []));
  let slotOf = anchors.slotOf;
  const isSampled = question.written !== undefined;
  let isOrdered = false;
  let hasGuest = false;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const volumes = await volumesOn(trialDisk(pieces, slotOf, slots, question.base), cx);
    hasGuest = volumes.length > 0;
    anchors.vote((mark) => volumes.flatMap((volume) => volume.positionOf(mark) ?? []));
    for (const { tables } of volumes) if (tables !== undefined) await anchors.find(tables);
    const usage = await usageOf(volumes, { slots, coverage: pieces.coverage, unit, isSampled }, cx.signal);
    const next = anchors.filled(written, usage);
    isOrdered = next !== undefined;
    const isSame = next === undefined || next.every((slot, piece) => slot === slotOf[piece]);
    slotOf = next ?? anchors.slotOf;
    if (isSame && round > 0) break;
  }
  const byContent = Uint8Array.from(known, (slot, piece) => (slot < 0 && anchors.slotOf[piece] >= 0 ? 1 : 0));
  return { slotOf, byContent, isOrdered, hasGuest };
}

/** Bytes of a unit of masks: a cluster, or more where there are many pairs to compare. */
function unitFor({ pieces: { coverage, count }, slots, cluster }: Question): number {
  let unit = Math.min(coverage, Math.max(cluster, LEAST_UNIT));
  const isMuch = (): boolean =>
    (coverage / unit / 32) * count * (slots - count + 1) > MAX_WORK || (slots * coverage) / unit > MAX_UNITS;
  while (unit < coverage && isMuch()) unit *= 2;
  return unit;
}

async function marksOf({ pieces, cluster }: Question, signal: AbortSignal): Promise<Met[][]> {
  const { bytes, count, coverage } = pieces;
  const out: Met[][] = [];
  const head = new Uint8Array(Math.min(PEEK, Math.max(SECTOR, cluster)));
  let peeks = 0;
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    const list: Met[] = [];
    let own = 0;
    for await (const at of writtenUnits(bytes, piece * coverage, (piece + 1) * coverage, cluster)) {
      if (++own > Math.min(PEEKS_PER_PIECE, Math.ceil(PEEKS / count)) || ++peeks > PEEKS) break;
      if ((await bytes.read(at, head)).length > 0) continue;
      for (const { at: more, mark } of marksIn(head)) list.push({ within: at - piece * coverage + more, mark });
    }
    out.push(list);
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
