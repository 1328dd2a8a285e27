/** The picture of a disk: how many bytes of which state and certainty lie in each of so many equal parts. */
import type { z } from '@hono/zod-openapi';
import { CERTAINTY_NAMES, MISSING, STATE_NAMES, STATED, type Why, ZERO } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { type Placed, placed, runJson } from '../stack/placed.ts';
import type { Hex, Picture } from './schemas.ts';

export const PICTURE_CLASSES = ['verified', 'stated', 'inferred', 'guessed', 'zero', 'missing'] as const;
/** Runs that one picture counts; a disk that has more is drawn as far as that goes, and the rest as not looked at. */
const MAX_RUNS = 1_500_000;
/** Runs that are handed out one by one. */
const MAX_SHOWN = 64;
const ZEROS = PICTURE_CLASSES.indexOf('zero');
const LOST = PICTURE_CLASSES.indexOf('missing');

/** Index in PICTURE_CLASSES of what a run is. Zeros that are in doubt count as their doubt. */
function classOf({ state, certainty }: Placed): number {
  if (state === MISSING) return LOST;
  if (state === ZERO && certainty >= STATED) return ZEROS;
  return CERTAINTY_NAMES.length - 1 - certainty;
}

/** Draws [from, to) of a source in `count` parts. */
export async function pictureOf(
  locator: string,
  source: Source,
  range: { from: number; to: number; count: number },
  signal: AbortSignal,
): Promise<z.infer<typeof Picture>> {
  const { from, to } = range;
  const count = Math.max(1, Math.min(range.count, to - from));
  const width = (to - from) / count;
  const buckets = Array.from({ length: count }, () => PICTURE_CLASSES.map(() => 0));
  const shown: Placed[] = [];
  let counted = from;
  let runs = 0;
  for await (const run of placed(source, from, to, signal)) {
    if (++runs > MAX_RUNS) break;
    if (shown.length <= MAX_SHOWN) shown.push({ ...run });
    add(buckets, run, { from, width });
    counted = run.offset + run.length;
  }
  const places = new Map<Why, string | undefined>();
  const listed = [];
  if (shown.length <= MAX_SHOWN) for (const run of shown) listed.push(await runJson(run, places));
  const base = { locator, size: source.size, from, to, buckets, counted };
  return { ...base, runs: listed as z.infer<typeof Picture>['runs'] };
}

function add(buckets: number[][], run: Placed, grid: { from: number; width: number }): void {
  const kind = classOf(run);
  const start = run.offset - grid.from;
  const end = start + run.length;
  const last = Math.min(buckets.length - 1, Math.ceil(end / grid.width) - 1);
  for (let i = Math.min(last, Math.floor(start / grid.width)); i <= last; i++) {
    const overlap = Math.min(end, (i + 1) * grid.width) - Math.max(start, i * grid.width);
    if (overlap > 0) buckets[i][kind] += overlap;
  }
}

/** Bytes of a source with what is known of each stretch of them. */
export async function hexOf(
  source: Source,
  from: number,
  length: number,
  signal: AbortSignal,
): Promise<Omit<z.infer<typeof Hex>, 'fields'>> {
  const bytes = new Uint8Array(Math.max(0, Math.min(length, source.size - from)));
  // Read first: what cannot be read is known as missing only then.
  const gaps = bytes.length === 0 ? [] : await source.read(from, bytes);
  const runs: z.infer<typeof Hex>['runs'] = [];
  for await (const run of placed(source, from, from + bytes.length, signal)) {
    runs.push({
      offset: run.offset,
      length: run.length,
      state: STATE_NAMES[run.state],
      certainty: CERTAINTY_NAMES[run.certainty],
    });
  }
  for (const gap of gaps) runs.push({ offset: gap.offset, length: gap.length, state: 'missing', certainty: 'missing' });
  return { offset: from, size: source.size, base64: Buffer.from(bytes).toString('base64'), runs };
}
