/** The scan: one pass over the whole of each piece of evidence with all finders, kept in a case shard by shard. */
import type { Case, JobRecord, Scan } from '../case/case.ts';
import type { FileSource } from '../core/evidence.ts';
import { finders } from '../formats/index.ts';
import { type Shard, type Swept, sweepSource } from '../scan/shard.ts';
import { Sweep } from '../scan/sweep.ts';
import { sweepShards } from '../scan/threads.ts';

/** The version is raised whenever a finder is added or changed: older findings are then not all there is. */
export const SCAN: Scan = { kind: 'scan', version: '2' };
/** Bytes of a shard: seconds of work on a slow disk, and few enough transactions on a fast one. */
const SHARD = 64 * 1024 * 1024;

export interface ScanProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  readonly hits: number;
}

export interface ScanOptions {
  /** Threads that read and sweep; two suit most machines. */
  readonly threads: number;
  readonly signal: AbortSignal;
  onProgress?(progress: ScanProgress): void;
}

export interface ScanReport {
  /** Bytes swept now, and those a run before this one had done. */
  readonly swept: number;
  readonly before: number;
  readonly seconds: number;
  /** Whether every shard of every file is done. */
  readonly whole: boolean;
}

/** Scans `files` into `into`, going on where an earlier scan of the same files was stopped. */
export async function scan(into: Case, files: readonly FileSource[], options: ScanOptions): Promise<ScanReport> {
  const began = performance.now();
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let before = 0;
  let swept = 0;
  let hits = 0;
  const sweep = new Sweep(finders);
  const jobs = files.map((file) => ({ file, job: into.job(file, SCAN, SHARD) }));
  for (const { file, job } of jobs) for (const shard of job.done) before += lengthOf(file, job, shard);
  for (const { file, job } of jobs) {
    const take = async (shard: Shard, found: Swept): Promise<void> => {
      const late = [];
      for (let i = 0; i < found.unread.length; i += 2)
        late.push(...(await sweepSource(sweep, file, found.unread[i], found.unread[i + 1])));
      const all = late.length === 0 ? found.hits : [...found.hits, ...late].sort((a, b) => a.at - b.at);
      into.finishShard(job, shard.from / job.shard, all);
      swept += shard.end - shard.from;
      hits += all.length;
      const seconds = (performance.now() - began) / 1000;
      options.onProgress?.({ doneBytes: before + swept, totalBytes: total, bytesPerSecond: swept / seconds, hits });
    };
    await sweepShards(openShards(file, job), options.threads, take, options.signal);
    if (!options.signal.aborted) into.endJob(job);
  }
  return { swept, before, seconds: (performance.now() - began) / 1000, whole: before + swept === total };
}

/** What is still to do of a file. */
function openShards(file: FileSource, job: JobRecord): Shard[] {
  const out: Shard[] = [];
  for (let i = 0; i < job.shards; i++) {
    if (job.done.has(i)) continue;
    const from = i * job.shard;
    out.push({ fd: file.fd, from, end: from + lengthOf(file, job, i), size: file.size, excluded: file.excluded });
  }
  return out;
}

function lengthOf(file: FileSource, job: JobRecord, shard: number): number {
  return Math.min(job.shard, file.size - shard * job.shard);
}
