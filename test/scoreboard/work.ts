/** Runs one cell: makes the damaged store, lets programs at it, judges what they brought, and leaves nothing behind. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Case } from './case.ts';
import type { Cell } from './cell.ts';
import { Judge, type Score } from './judge.ts';
import { type Outcome, runFuse, runPhotorec, runSalvor } from './programs.ts';
import type { Program } from './record.ts';

export interface Result {
  readonly program: Program;
  readonly seconds: number;
  readonly note?: string;
  readonly score?: Score;
}

type Run = (one: Case, dir: string) => Outcome;

const RUNS: Record<Program, Run> = { salvor: runSalvor, fuse: runFuse, photorec: runPhotorec };

/** Runs programs on a cell. `spoil` may change what they wrote before it is judged: the canary does. */
export async function workOn(
  cell: Cell,
  programs: readonly Program[],
  spoil?: (outcome: Outcome) => void,
): Promise<Result[]> {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-score-'));
  const out: Result[] = [];
  try {
    const evidence = join(dir, 'evidence');
    mkdirSync(evidence);
    const one = await cell.damage.make(cell.version, cell.size, evidence, cell.seed);
    const judge = new Judge(one, cell.size);
    for (const program of programs) {
      const place = join(dir, program);
      if (program !== 'salvor') mkdirSync(place);
      const outcome = RUNS[program](one, place);
      spoil?.(outcome);
      const { seconds, note } = outcome;
      const absent = note?.startsWith('there is no ') || note?.endsWith('is not installed');
      const score = absent ? undefined : judge.score(outcome.files, outcome.assembled);
      out.push({
        program,
        seconds,
        ...(note !== undefined && { note: note.replaceAll(dir, '…') }),
        ...(score && { score }),
      });
      rmSync(place, { recursive: true, force: true });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return out;
}

/** Bytes brought back of those that survive, 0 to 1; undefined where nothing survives. */
export function shareOf({ right, recoverable }: { right: number; recoverable: number }): number | undefined {
  return recoverable === 0 ? undefined : right / recoverable;
}

/** Whether a score meets its cell's bar; lies never do. */
export function meets(cell: Cell, score: Score): boolean {
  const { bytes, names, thin } = cell.damage.bar;
  const enough = (share: number | undefined, bar: number): boolean => share === undefined || share >= bar;
  if (score.lies > 0) return false;
  if (names !== undefined && score.nameable > 0 && score.names / score.nameable < names) return false;
  if (thin === undefined) return enough(shareOf(score), bytes);
  return enough(shareOf(score.thick), bytes) && enough(shareOf(score.thin), thin);
}

/** A share as the page and the output show it: 100.0 % only where it is all. */
export function percent(share: number | undefined): string {
  return share === undefined ? '–' : `${(Math.floor(share * 1000) / 10).toFixed(1)}`;
}

/** A result as one line. */
export function lineOf(cell: Cell, { program, seconds, note, score }: Result): string {
  if (score === undefined) return `${cell.id} ${program}: ${note}`;
  const parts = [
    `machines ${score.machines.join('/')}, files ${score.files.join('/')} whole/part/lost`,
    `bytes right ${score.right} of ${score.recoverable} (${percent(shareOf(score))} %)`,
    `names ${score.names} of ${score.nameable}`,
    `lies ${score.lies}, doubtful and wrong ${score.doubtfulWrong}, altered ${score.altered}`,
    `${seconds.toFixed(1)} s`,
  ];
  const verdict = program === 'salvor' ? (meets(cell, score) ? ' (bar met)' : ' (BAR MISSED)') : '';
  const liars = score.lies > 0 && program === 'salvor' ? ` LIES: ${score.liars.join('; ')}` : '';
  return `${cell.id} ${program}: ${parts.join('; ')}${verdict}${note === undefined ? '' : ` [${note}]`}${liars}`;
}
