/** npm run bench [-- JOB...]: salvor beside its peers. A run of all jobs writes docs/benchmarks.md. */
import { convert } from './jobs/convert.ts';
import { copy } from './jobs/copy.ts';
import { guest } from './jobs/guest.ts';
import { huge, start } from './jobs/huge.ts';
import type { Job } from './jobs/job.ts';
import { ls } from './jobs/ls.ts';
import { nbd } from './jobs/nbd.ts';
import { scan } from './jobs/scan.ts';
import { sparse } from './jobs/sparse.ts';
import { web } from './jobs/web.ts';
import { allMet, pageOf, REPORT, writeReport } from './report.ts';
import { type Row, textOf } from './row.ts';
import { Workplace } from './workplace.ts';

const JOBS: readonly Job[] = [start, huge, ls, scan, sparse, copy, convert, nbd, guest, web];

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !JOBS.some((job) => job.id === name));
  if (unknown !== undefined) {
    console.error(`"${unknown}" is no job. There are: ${JOBS.map((job) => job.id).join(', ')}.`);
    return 2;
  }
  const jobs = names.length === 0 ? JOBS : JOBS.filter((job) => names.includes(job.id));
  const began = performance.now();
  const rows: Row[] = [];
  const notes: string[] = [];
  const place = new Workplace(Math.max(...jobs.map((job) => job.gib)));
  const stop = () => {
    place.clear();
    process.exit(130);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    for (const job of jobs) {
      for await (const result of job.run(place)) {
        if (typeof result === 'string') notes.push(result);
        else rows.push({ ...result, memoryBar: job.memory });
        console.log(typeof result === 'string' ? result : textOf(rows.at(-1)!));
      }
    }
  } finally {
    place.clear();
  }
  if (names.length === 0) {
    writeReport(pageOf(rows, notes, performance.now() - began));
    console.log(`Written: ${REPORT}`);
  }
  const right = allMet(rows) && !notes.some((note) => note.includes('WRONG'));
  console.log(right ? 'All bars are met.' : 'Not all bars are met.');
  return right ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
