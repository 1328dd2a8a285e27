/** Jobs of the server: each in a child process of its own, so that one that falls takes nothing with it. */
import type { z } from '@hono/zod-openapi';
import { Child } from './child.ts';
import type { JobOrder, Opening } from './messages.ts';
import { rightsFor } from './rights.ts';
import type { JobView } from './schemas.ts';

type View = z.infer<typeof JobView>;

/** Jobs that may run at once, and that are remembered. */
const MAX_RUNNING = 4;
const MAX_KEPT = 100;

interface Job {
  view: View;
  readonly began: number;
  readonly order: JobOrder;
  child: Child | undefined;
}

export class JobsFull extends Error {}

export class Jobs {
  readonly #jobs = new Map<string, Job>();
  readonly #onChange: (job: View) => void;
  #next = 1;

  /** `onChange` is called whenever something about a job is different. */
  constructor(onChange: (job: View) => void) {
    this.#onChange = onChange;
  }

  get views(): View[] {
    return [...this.#jobs.values()].map(({ view, began }) => seen(view, began));
  }

  /** Begins a job, or answers the one that does the same at this moment. Throws JobsFull. */
  start(opening: Opening, order: JobOrder): View {
    const running = [...this.#jobs.values()].filter(({ child }) => child !== undefined);
    const same = running.find((job) => JSON.stringify(job.order) === JSON.stringify(order));
    if (same !== undefined) return same.view;
    if (running.length >= MAX_RUNNING) {
      throw new JobsFull(`${running.length} jobs are running already. Wait for one to end, or stop one.`);
    }
    const id = `j${this.#next++}`;
    const view: View = {
      id,
      kind: order.kind,
      state: 'running',
      options: { ...order.options },
      progress: {},
      said: [],
      seconds: 0,
    };
    const job: Job = { view, order, began: performance.now(), child: undefined };
    for (const [old, { child }] of this.#jobs) {
      if (this.#jobs.size < MAX_KEPT) break;
      if (child === undefined) this.#jobs.delete(old);
    }
    this.#jobs.set(id, job);
    job.child = new Child(opening, rightsFor(opening, order, []), {
      onProgress: (progress) => this.#change(job, { progress: { ...progress } }),
      onEnded: ({ stopped, said, result }) => {
        const ended = { said: [...said], ...(result !== undefined && { result }) };
        this.#end(job, { state: stopped ? 'stopped' : 'done', ...ended });
      },
      onFault: (fault) => this.#end(job, { state: 'failed', error: fault.message }),
    });
    job.child.work(order);
    this.#onChange(view);
    return view;
  }

  /** Asks a job to stop; false where there is none that runs. */
  stop(id: string): boolean {
    const job = this.#jobs.get(id);
    if (job?.child === undefined) return false;
    job.child.stop();
    this.#change(job, { state: 'stopping' });
    return true;
  }

  /** Asks the process of a job that runs; undefined where there is none. */
  ask<T>(id: string, op: string): Promise<T> | undefined {
    return this.#jobs.get(id)?.child?.ask<T>(op, {});
  }

  get(id: string): View | undefined {
    const job = this.#jobs.get(id);
    return job === undefined ? undefined : seen(job.view, job.began);
  }

  /** Stops all of them; what they did is kept. */
  close(): void {
    for (const { child } of this.#jobs.values()) child?.close();
  }

  #change(job: Job, what: Partial<View>): void {
    job.view = { ...seen(job.view, job.began), ...what };
    this.#onChange(job.view);
  }

  #end(job: Job, what: Partial<View>): void {
    if (job.child === undefined) return;
    const { child } = job;
    job.child = undefined;
    child.close();
    this.#change(job, what);
  }
}

/** A running job's time goes on. */
function seen(view: View, began: number): View {
  const isRunning = view.state === 'running' || view.state === 'stopping';
  return isRunning ? { ...view, seconds: Math.round((performance.now() - began) / 1000) } : view;
}
