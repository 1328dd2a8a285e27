/** The copying threads: jobs go to the one with the least to do, and never more than a few wait. */
import { Worker } from 'node:worker_threads';
import { interrupted } from './error.ts';
import type { Answer, Job, Results } from './jobs.ts';

/** Reading, hashing and writing together keep two busy; more share one disk's queue and take memory. */
const THREADS = 2;
/** Jobs of one thread: the one it does, and the next. */
const WAITING = 2;
const FILE = new URL(import.meta.url.endsWith('.ts') ? './copy-worker.ts' : './copy-worker.js', import.meta.url);

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, { resolve: (result: never) => void; reject: (error: unknown) => void }>;
}

export class Threads {
  readonly #threads: Thread[] = [];
  readonly #waiting: (() => void)[] = [];
  #id = 0;
  #broken: unknown;

  constructor() {
    for (let i = 0; i < THREADS; i++) {
      const thread: Thread = { worker: new Worker(FILE), jobs: new Map() };
      thread.worker.on('message', (answer: Answer) => this.#answered(thread, answer));
      thread.worker.on('error', (error) => this.#failed(error));
      this.#threads.push(thread);
    }
  }

  /** Waits until one more job can be taken without a queue growing. */
  async slot(): Promise<void> {
    while (this.#broken === undefined && !this.#threads.some((thread) => thread.jobs.size < WAITING)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Hands out a job; call after `slot`. Rejects with what the system said where a write failed. */
  run<K extends Job['kind']>(job: Extract<Job, { kind: K }>): Promise<Results[K]> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    const [first, ...rest] = this.#threads;
    const thread = rest.reduce((least, other) => (other.jobs.size < least.jobs.size ? other : least), first);
    const id = this.#id++;
    return new Promise<Results[K]>((resolve, reject) => {
      thread.jobs.set(id, { resolve, reject });
      thread.worker.postMessage({ id, job });
    });
  }

  async close(): Promise<void> {
    this.#failed(interrupted());
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #answered(thread: Thread, answer: Answer): void {
    const job = thread.jobs.get(answer.id);
    thread.jobs.delete(answer.id);
    if (answer.error === undefined) job?.resolve(answer.result as never);
    else job?.reject(Object.assign(new Error(answer.error.message), answer.error));
    this.#waiting.shift()?.();
  }

  #failed(error: unknown): void {
    this.#broken ??= error;
    for (const thread of this.#threads) {
      for (const job of thread.jobs.values()) job.reject(error);
      thread.jobs.clear();
    }
    for (const go of this.#waiting.splice(0)) go();
  }
}
