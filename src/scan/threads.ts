/** The scanning threads: each sweeps one shard at a time, and gets the next when it has answered. */
import { Worker } from 'node:worker_threads';
import type { Shard, Swept } from './shard.ts';

const FILE = new URL(import.meta.url.endsWith('.ts') ? './scan-worker.ts' : './scan-worker.js', import.meta.url);

/** Shards of one thread: the one it sweeps, and the next, so that it never waits for what is done with its answers. */
const WAITING = 2;

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
    const answers = answersOf(worker);
    const given: Shard[] = [];
    const give = (): void => {
      while (given.length < WAITING && next < shards.length && !signal.aborted) {
        const shard = shards[next++];
        given.push(shard);
        worker.postMessage(shard);
      }
    };
    try {
      for (give(); given.length > 0; ) {
        const swept = await answers();
        const shard = given.shift()!;
        give();
        await take(shard, swept);
      }
    } finally {
      worker.postMessage(undefined);
      await ended;
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, shards.length) }, one));
}

/** Answers of a thread one after the other, in the order of its shards. */
function answersOf(worker: Worker): () => Promise<Swept> {
  const come: Swept[] = [];
  let failed: { error: unknown } | undefined;
  let wake = (): void => {};
  worker.on('message', (swept: Swept) => {
    come.push(swept);
    wake();
  });
  worker.on('error', (error) => {
    failed = { error };
    wake();
  });
  return async () => {
    while (come.length === 0 && failed === undefined) await new Promise<void>((resolve) => (wake = resolve));
    if (failed !== undefined) throw failed.error;
    return come.shift()!;
  };
}
