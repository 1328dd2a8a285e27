/** What the soak has done so far, kept between calls, and the page about it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { CACHE, PARTS, type Part, ROOT } from './parts.ts';

const FILE = join(CACHE, 'state.json');
export const PAGE: string = join(ROOT, 'docs', 'soak.md');
const GIB = 1024 ** 3;

/** One part's work on one state of the sources. */
export interface Progress {
  /** Git's name of src/ as it was. */
  tree: string;
  commit: string;
  /** In the part's unit. */
  done: number;
  firstSeed: number;
  /** The seed that comes next; it only grows, also over changes of the sources. */
  nextSeed: number;
  seconds: number;
  refused: number;
  failures: string[];
  when: string;
}

export type State = Record<string, Progress>;

function git(...args: string[]): string {
  return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).trim();
}

/** What is being tested: the tree of src/, and whether it has changes that are in no commit. */
export function subject(): { tree: string; commit: string } {
  const dirty = git('status', '--porcelain', 'src') === '' ? '' : '+';
  return { tree: git('rev-parse', 'HEAD:src') + dirty, commit: git('rev-parse', '--short', 'HEAD') + dirty };
}

export function load(): State {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8')) as State;
  } catch {
    return {};
  }
}

export function save(state: State): void {
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(`${FILE}.new`, JSON.stringify(state, null, 1));
  renameSync(`${FILE}.new`, FILE);
}

/** A part's progress on the present sources; what was done on others does not count. */
export function progressOf(state: State, part: Part): Progress {
  const { tree, commit } = subject();
  const known = state[part.id];
  if (known?.tree === tree) return known;
  const nextSeed = known?.nextSeed ?? 1;
  const fresh = { done: 0, firstSeed: nextSeed, nextSeed, seconds: 0, refused: 0, failures: [], when: '' };
  return { tree, commit, ...fresh };
}

function line(part: Part, progress: Progress | undefined): string {
  if (progress === undefined) return `| ${part.id} | ${part.what} | not run | ${part.target} ${part.unit} | | | | |`;
  const { done, firstSeed, nextSeed, seconds, failures, refused, commit, when } = progress;
  const note = refused > 0 ? ` (${refused} seeds make no store)` : '';
  const cells = [part.id, part.what, `${done}${note}`, `${part.target} ${part.unit}`];
  const seeds = `${firstSeed} to ${nextSeed - 1}`;
  return `| ${[...cells, String(failures.length), seeds, `${seconds.toFixed(0)} s`, `${commit}, ${when}`].join(' | ')} |`;
}

/** Writes docs/soak.md from all that is known. */
export function writePage(state: State): void {
  const machine = `${cpus().length} cores of ${cpus()[0]?.model.trim()}, ${(totalmem() / GIB).toFixed(0)} GiB, Linux ${release()}`;
  const failures = PARTS.flatMap((part) => (state[part.id]?.failures ?? []).map((text) => `- ${part.id}: ${text}`));
  const page = `# Soak

Written by \`npm run soak [part…]\`; do not edit. Each call works on each named part for at most ten minutes
(SALVOR_SOAK_MINUTES) and goes on where the last one stopped, until the target is reached. A change in src/ starts the
counts again; seeds go on, so that no run repeats another. The seed of a batch of fuzz and no-lie is its number times
0x9e3779b1 modulo 2**32, as SALVOR_FUZZ_SEED; a random store is \`node test/soak/stores.ts SEED 1\`, a killed recovery
\`node test/soak/kills.ts SEED 1\`.

${machine}, Node ${process.version}

| part | what must hold | done | target | failures | seeds | time | commit, end |
| --- | --- | --- | --- | --- | --- | --- | --- |
${PARTS.map((part) => line(part, state[part.id])).join('\n')}
${failures.length === 0 ? '' : `\n## Failures\n\n${failures.map((text) => text.replace(/\n\s*/g, ' ')).join('\n')}\n`}`;
  writeFileSync(PAGE, page);
}
