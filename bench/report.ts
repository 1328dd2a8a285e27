/** docs/benchmarks.md: the rows with what they were measured on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { median } from './measure.ts';
import { memoryOf, type Row } from './row.ts';
import { lineOf, ROOT, versions } from './salvor.ts';

export const REPORT: string = join(ROOT, 'docs', 'benchmarks.md');
const GIB = 1024 ** 3;

function milliseconds(runs: readonly number[]): string {
  const whole = (value: number): string => value.toFixed(0);
  return `${whole(median(runs))} (${whole(Math.min(...runs))} to ${whole(Math.max(...runs))})`;
}

function line(row: Row): string {
  const met = row.met === undefined ? '' : row.met ? 'yes' : '**no**';
  const cells = [
    row.job,
    milliseconds(row.salvor),
    row.peer,
    milliseconds(row.peerRuns),
    row.result,
    row.bar,
    met,
    memoryOf(row),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Whether all bars were met, memory among them. */
export function allMet(rows: readonly Row[]): boolean {
  return rows.every((row) => row.met !== false && (row.memory ?? 0) <= (row.memoryBar ?? Infinity));
}

/** The page, from rows and from sentences about what was skipped. */
export function pageOf(rows: readonly Row[], notes: readonly string[], took: number): string {
  const commit = lineOf('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD');
  const changed = lineOf('git', '-C', ROOT, 'status', '--porcelain', 'src') === '' ? '' : ' with changes in src/';
  const machine = `${cpus().length} cores of ${cpus()[0]?.model.trim()}, ${(totalmem() / GIB).toFixed(0)} GiB, Linux ${release()}`;
  const load = readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 3).join(' ');
  return `# Benchmarks

Written by \`npm run bench\`; do not edit. Each job runs as whole processes, from the launcher, in turns with its peer
(peer, salvor, peer, salvor, …) on a warm cache after one run that does not count. Times are medians in milliseconds,
with the fastest and slowest run. Memory is the peak resident memory of all processes of a run, summed, in MB (10^6),
from a run of its own, beside what the job may take.

- ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, commit ${commit}${changed}, ${(took / 1000).toFixed(0)} s in all
- ${machine}; load at the end ${load}
- ${versions().join(', ')}

| job | salvor | peer | peer takes | result | bar | met | memory |
| --- | --- | --- | --- | --- | --- | --- | --- |
${rows.map(line).join('\n')}
${notes.length === 0 ? '' : `\n${notes.map((note) => `- ${note}`).join('\n')}\n`}
A result of 2× means twice as fast as the peer; +100 ms means that much beyond it. While it copies, salvor makes a BLAKE3
tree hash of every byte and keeps a journal; \`cp\` does neither. \`cp and sync\` shows what the disk itself takes.
`;
}

export function writeReport(page: string): void {
  writeFileSync(REPORT, page);
}
