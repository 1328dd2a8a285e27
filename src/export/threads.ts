/** The copying threads: jobs go to the one with the least to do, and never more than a few wait. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { interrupted } from './error.ts';
import type { Answer, Job, Order, Results } from './jobs.ts';

/** Reading, hashing and writing together keep two busy; more share one disk's queue and take memory. */
const THREADS = 2;
/** Jobs of one thread: the one it does, and the next. */
const WAITING = 2;
/** Results are short-lived: with more room they pile up before the collector looks. */
const LIMITS = { maxYoungGenerationSizeMb: 4 };
const FILE = new URL(import.meta.url.endsWith('.ts') ? './copy-worker.ts' : './copy-worker.js', import.meta.url);

/**
 * Keeps the room of new objects as small as it is, for the rest of the process: by itself it grows to 32 MiB, and nothing
 * gets faster by it where all is short-lived. Not for every run: what is loaded from now on is compiled from its source,
 * for the runtime does not trust what it kept under other settings.
 */
export function keepYoungRoomSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, { resolve: (result: never) => void; reject: (error: unknown) => void }>;
  readonly ended: Promise<void>;
}

export class Threads {
  /** Started when they are first needed, if not before. */
  readonly #threads: Thread[] = [];
  readonly #waiting: (() => void)[] = [];
  /** By which they take turns in making names: 1 while one of them does. */
  readonly #turn = new Int32Array(new SharedArrayBuffer(4));
  #id = 0;
  #broken: unknown;

  /** Starts all of them before there is anything to do: loading takes a moment in which main has other work. */
  startAll(): void {
    while (this.#threads.length < THREADS) this.#start();
  }

  /** Waits until one more job can be taken without a queue growing. */
  async slot(): Promise<void> {
    while (this.#broken === undefined && this.#free() === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Hands out a job; call after `slot`. Rejects with what the system said where a write failed. */
  run<K extends Job['kind']>(job: Extract<Job, { kind: K }>): Promise<Results[K]> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    const thread = this.#free() ?? this.#threads[this.#id % THREADS];
    const id = this.#id++;
    return new Promise<Results[K]>((resolve, reject) => {
      thread.jobs.set(id, { resolve, reject });
      const handed = 'room' in job ? [job.room.buffer as ArrayBuffer] : [];
      thread.worker.postMessage({ id, job } satisfies Order, handed);
    });
  }

  /**
   * Lets all threads end by themselves, after what they still have to do. They are never terminated: a native library
   * that is being loaded or called at that moment takes the whole process down with it.
   */
  async close(): Promise<void> {
    for (const { worker } of this.#threads) worker.postMessage(undefined);
    await Promise.all(this.#threads.map((thread) => thread.ended));
    this.#failed(interrupted());
  }

  /** The thread with the least to do, if it can take more; a new one rather than one that is busy. */
  #free(): Thread | undefined {
    let least: Thread | undefined;
    for (const thread of this.#threads) if (least === undefined || thread.jobs.size < least.jobs.size) least = thread;
    if ((least === undefined || least.jobs.size > 0) && this.#threads.length < THREADS) return this.#start();
    return least !== undefined && least.jobs.size < WAITING ? least : undefined;
  }

  #start(): Thread {
    const worker = new Worker(FILE, { resourceLimits: LIMITS, workerData: this.#turn });
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const thread: Thread = { worker, jobs: new Map(), ended };
    worker.on('message', (answer: Answer) => this.#answered(thread, answer));
    worker.on('error', (error) => this.#failed(error));
    this.#threads.push(thread);
    return thread;
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
