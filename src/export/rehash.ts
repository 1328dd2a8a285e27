/** Reads what was written again, and hashes it: for believing a journal, and for verifying. */
import * as fs from 'node:fs';
import { CHUNK, TreeHash } from '../codec/tree-hash.ts';
import { interrupted } from './error.ts';
import { WHOLE_FILE } from './jobs.ts';
import type { PastFile } from './journal.ts';
import type { Threads } from './threads.ts';

export interface Rehashed {
  readonly tree: string;
  readonly sha256?: string;
}

export interface Wanted {
  readonly sha256: boolean;
  /** Believed as it stands. */
  readonly synced?: PastFile['synced'];
  /** Holes where nothing is allocated: zeros that need no reading. [offset, length], whole chunks, sorted. */
  readonly holes?: readonly (readonly [number, number])[];
}

/** The hashes of a file that is there. Throws what a read threw. */
export async function rehash(
  threads: Threads,
  file: string,
  size: number,
  wanted: Wanted,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Rehashed> {
  const tree = new TreeHash(size);
  const { synced, sha256 } = wanted;
  if (synced !== undefined) tree.restore(synced.chunks, synced.tops);
  const from = tree.taken * CHUNK;
  if (size - from <= WHOLE_FILE) {
    await threads.slot();
    const whole = from === 0;
    const job = { kind: 'rehash', path: file, size, from, tree: true, sha256: sha256 && whole } as const;
    const result = await threads.run<'rehash'>(job);
    for (const [i, leaf] of result.leaves.entries()) tree.leaf(from / CHUNK + i, leaf);
    onBytes(size);
    const sha = sha256 && !whole ? await shaOf(threads, file, size) : result.sha256;
    return { tree: tree.root(), ...(sha !== undefined && { sha256: sha }) };
  }
  onBytes(from);
  await leaves(threads, file, size, tree, wanted.holes ?? [], signal, onBytes);
  return { tree: tree.root(), ...(sha256 && { sha256: await shaOf(threads, file, size) }) };
}

/** SHA-256 of a file that is there, in order, in one thread. */
export async function shaOf(threads: Threads, file: string, size: number): Promise<string> {
  await threads.slot();
  const job = { kind: 'rehash', path: file, size, from: 0, tree: false, sha256: true } as const;
  return (await threads.run<'rehash'>(job)).sha256!;
}

async function leaves(
  threads: Threads,
  file: string,
  size: number,
  tree: TreeHash,
  holes: readonly (readonly [number, number])[],
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  const running = new Set<Promise<void>>();
  let failed: unknown;
  let hole = 0;
  try {
    for (let at = tree.taken * CHUNK; at < size && failed === undefined; at += CHUNK) {
      while (hole < holes.length && holes[hole][0] < at) hole++;
      if (holes[hole]?.[0] === at) {
        const count = Math.ceil(holes[hole][1] / CHUNK);
        tree.zeros(at / CHUNK, count);
        onBytes(holes[hole][1]);
        at += (count - 1) * CHUNK;
        continue;
      }
      await threads.slot();
      if (signal.aborted) throw interrupted();
      const length = Math.min(CHUNK, size - at);
      const task = threads
        .run<'leaf'>({ kind: 'leaf', fd, at, length })
        .then((leaf) => {
          tree.leaf(at / CHUNK, leaf);
          onBytes(length);
        })
        .catch((error: unknown) => {
          failed ??= error;
        });
      running.add(task);
      void task.then(() => running.delete(task));
    }
    await Promise.all(running);
    if (failed !== undefined) throw failed;
  } finally {
    await Promise.all(running);
    fs.closeSync(fd);
  }
}
