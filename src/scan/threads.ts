/** The scanning threads: each sweeps one shard at a time, and gets the next when it has answered. */
import { Worker } from 'node:worker_threads';
import type { Shard, Swept } from './shard.ts';

const FILE = new URL(import.meta.url.endsWith('.ts') ? './scan-worker.ts' : './scan-worker.js', import.meta.url);

/**
 * Sweeps all `shards` with so many threads; `take` gets each answer as it comes, in no order, and is waited for.
 * Rejects with what `take` threw. Shards that were not begun when `signal` fires are left.
 */
export async function sweepShards(
  shards: readonly Shard[],
  threads: number,
  take: (shard: Shard, swept: Swept) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    if (next >= shards.length) return;
    const worker = new Worker(FILE);
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    try {
      while (next < shards.length && !signal.aborted) {
        const shard = shards[next++];
        const answer = answerOf(worker);
        worker.postMessage(shard);
        const swept = await answer;
        await take(shard, swept);
      }
    } finally {
      worker.postMessage(undefined);
      await ended;
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, shards.length) }, one));
}

function answerOf(worker: Worker): Promise<Swept> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      worker.off('message', answered);
      worker.off('error', failed);
      end();
    };
    const answered = (swept: Swept): void => settle(() => resolve(swept));
    const failed = (error: unknown): void => settle(() => reject(error));
    worker.on('message', answered);
    worker.on('error', failed);
  });
}
