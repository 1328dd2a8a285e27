/** Work that several test processes need done once: the first does it, the others wait for it. */
import { mkdirSync, rmSync, statSync } from 'node:fs';

const STALE_MS = 10 * 60_000;
const POLL_MS = 50;

/** Does `work` unless `done` already says so, in one process at a time. `lock` is a path whose folder exists. */
export function once(lock: string, done: () => boolean, work: () => void): void {
  while (!done()) {
    try {
      mkdirSync(lock);
    } catch {
      // A process that was killed leaves its lock behind.
      const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
      if (since !== undefined && Date.now() - since > STALE_MS) rmSync(lock, { recursive: true, force: true });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
      continue;
    }
    try {
      if (!done()) work();
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }
}
