/** The search for files by their content: what no live file has of each piece of evidence, kept in a case part by part. */
import { CARVE, type Case } from '../case/case.ts';
import type { FileSource } from '../core/evidence.ts';
import { CARVED_HIT, type Hit } from '../core/finder.ts';
import type { Node } from '../core/node.ts';
import { GUESSED, INFERRED } from '../core/run.ts';
import { endOf, filesIn, type Ground, groundOf, hitOf, placeIn } from '../stack/carve-search.ts';
import type { Stack } from '../stack/stack.ts';

/** Bytes of a part: what is lost of the work where the power fails. */
const PART = 256 * 1024 * 1024;
/** Files that are kept of one piece of evidence; what is shown has the same limit. */
const MAX_KEPT = 1_000_000;

export interface CarveProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly files: number;
}

export interface CarveOptions {
  /** What the log of the case calls who asked. */
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  onProgress?(progress: CarveProgress): void;
}

interface Searched {
  readonly file: FileSource;
  readonly ground: Ground;
}

/** Looks for files on all evidence of a stack, going on where an earlier search was stopped. Answers whether all is done. */
export async function carve(into: Case, stack: Stack, options: CarveOptions): Promise<boolean> {
  // What a scan found may say how a volume is laid out, and so what of it is free.
  stack.use(into);
  into.log(options.command, 'search for files by their content begun');
  const isDone = await searchedAll(into, stack, options);
  into.log(options.command, isDone ? 'search for files ended' : 'search for files stopped');
  return isDone;
}

async function searchedAll(into: Case, stack: Stack, options: CarveOptions): Promise<boolean> {
  const all: Searched[] = [];
  for (const { node, source } of await stack.files()) {
    const ground = await groundOf(stack, node, false);
    if (ground !== undefined) all.push({ file: source, ground });
  }
  const totalBytes = all.reduce((sum, { ground }) => sum + ground.source.size, 0);
  let [before, files] = [0, 0];
  for (const one of all) {
    const report = (done: number, found: number): void =>
      options.onProgress?.({ doneBytes: before + done, totalBytes, files: files + found });
    const found = await searched(into, one, options.signal, report);
    if (found === undefined) return false;
    before += one.ground.source.size;
    files += found;
  }
  return true;
}

/** How many files a piece of evidence has; undefined where the search was stopped. */
async function searched(
  into: Case,
  { file, ground }: Searched,
  signal: AbortSignal,
  report: (done: number, found: number) => void,
): Promise<number | undefined> {
  const { size } = ground.source;
  const job = into.job(file, CARVE, PART, size);
  // What lies inside a file that is whole belongs to it, also where that began in a part that was done before.
  let [count, covered] = [0, 0];
  for (const hit of into.soFar(job.id, CARVED_HIT)) {
    count++;
    const place = placeIn(hit);
    if (place !== undefined) covered = Math.max(covered, endOf(place));
  }
  for (let part = 0; part < job.shards; part++) {
    if (job.done.has(part)) continue;
    const [from, end] = [part * PART, Math.min(size, (part + 1) * PART)];
    const hits: Hit[] = [];
    for await (const place of filesIn(ground, { everywhere: false, signal, from, end }, covered)) {
      covered = Math.max(covered, endOf(place));
      if (count + hits.length < MAX_KEPT) hits.push(hitOf(place));
    }
    if (signal.aborted) return undefined;
    into.finishShard(job, part, hits, ({ facts }) => (facts?.proved === 1 ? INFERRED : GUESSED));
    count += hits.length;
    report(end, count);
  }
  // A list of everything from before has none of them.
  if (job.done.size < job.shards) into.nodes.forget();
  into.endJob(job);
  return count;
}

/** What a search found on a piece of evidence, by the names of its kinds, the most frequent first. */
export function kindsOf(
  kept: Case,
  { source }: { readonly node: Node; readonly source: FileSource },
): [string, number][] {
  const counts = new Map<string, number>();
  for (const { facts } of kept.carved(source) ?? []) {
    const what = String(facts?.what);
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}
