/** What is open in the server: the sources, the child that reads them, and the jobs over them. */
import { EventEmitter } from 'node:events';
import type { z } from '@hono/zod-openapi';
import { Case } from '../case/case.ts';
import { caseDir } from '../case/place.ts';
import { beginCaseAt } from '../export/index.ts';
import { packers, writers } from '../formats/index.ts';
import { SCAN } from '../jobs/scan.ts';
import { Evidence } from '../stack/evidence.ts';
import { hostOf } from './boot/host.ts';
import { Child, ChildFault } from './child.ts';
import { faultOf } from './faults.ts';
import { Jobs } from './jobs.ts';
import type { JobOrder, Opening } from './messages.ts';
import { rightsFor } from './rights.ts';
import type { JobView, SessionView } from './schemas.ts';

type Session = z.infer<typeof SessionView>;
type Job = z.infer<typeof JobView>;

/** How long looking into all devices may take. */
const DEVICES_MS = 30_000;
/** What was found is seen anew after these. */
const CHANGES_CASE: readonly string[] = ['scan'];

/** Thrown where something is asked of evidence and none is open. */
export class NothingOpen extends Error {}

export class Workspace {
  /** 'change' with nothing: the session or a job is different. */
  readonly events: EventEmitter<{ change: [] }> = new EventEmitter();
  readonly jobs: Jobs;
  readonly #program: string;
  /** Folders of recoveries that the child may read in. */
  #outs: readonly string[] = [];
  #opening: Opening | undefined;
  #child: Child | undefined;
  #state: Session['state'] = 'none';
  #error: string | undefined;
  #isClosed = false;
  #crashes = 0;
  #crash: string | undefined;

  constructor(program: string) {
    this.#program = program;
    this.jobs = new Jobs((job) => this.#jobChanged(job));
    this.events.setMaxListeners(64);
  }

  get view(): Session {
    return {
      version: this.#program,
      state: this.#state,
      sources: [...(this.#opening?.sources ?? [])],
      ...(this.#opening !== undefined && { case: this.#opening.case }),
      ...(this.#error !== undefined && { error: this.#error }),
      crashes: this.#crashes,
      ...(this.#crash !== undefined && { crash: this.#crash }),
      variants: [...writers, ...packers].flatMap((writer) => writer.variants),
      cwd: process.cwd(),
    };
  }

  /** Opens sources in place of those that are open. Rejects with ChildFault where they cannot be. */
  async open(sources: readonly string[], dir?: string): Promise<void> {
    const { hasQemu } = hostOf();
    this.#opening = { sources: [...sources], case: caseDir(dir, sources), program: this.#program, hasQemu };
    this.#crashes = 0;
    this.#crash = undefined;
    await this.#start();
  }

  /** Asks about the evidence. */
  async ask<T>(op: string, args: unknown): Promise<T> {
    if (op === 'report' && this.#opening !== undefined) return this.#ofItsOwn(this.#opening, op, args);
    if (this.#child === undefined) return Promise.reject(new NothingOpen(this.#error ?? 'No evidence is open yet.'));
    return this.#child.ask<T>(op, args);
  }

  /** A report reads manifests of recoveries that were made after the child was given its rights: another one is asked. */
  async #ofItsOwn<T>(opening: Opening, op: string, args: unknown): Promise<T> {
    const outs = outsOf(opening);
    if (this.#child !== undefined && outs.join('\n') === this.#outs.join('\n')) return this.#child.ask<T>(op, args);
    const child = new Child(opening, rightsFor(opening, undefined, outs));
    try {
      return await child.ask<T>(op, args);
    } finally {
      child.kill();
    }
  }

  /** Asks about this machine; a device that hangs is given up after a while. */
  async askHost<T>(op: string): Promise<T> {
    // It looks into all devices of this machine.
    const child = new Child(undefined, [], {}, DEVICES_MS);
    try {
      return await child.ask<T>(op, {});
    } finally {
      child.kill();
    }
  }

  /** Begins a job over what is open. */
  work(order: JobOrder): Job {
    if (this.#opening === undefined || this.#state !== 'open') throw new NothingOpen('No evidence is open yet.');
    return this.jobs.start(this.#opening, order);
  }

  /** For tests of what happens when it falls. */
  get childPid(): number | undefined {
    return this.#child?.pid;
  }

  close(): void {
    this.#isClosed = true;
    // It only reads; what it may be opening at this moment is not waited for.
    this.#child?.kill();
    this.jobs.close();
  }

  async #start(): Promise<void> {
    if (this.#isClosed) return;
    this.#child?.close();
    this.#error = undefined;
    this.#state = 'opening';
    const opening = this.#opening!;
    try {
      beginCase(opening);
    } catch (error) {
      const fault = new ChildFault(faultOf(error));
      this.#failed(fault);
      this.events.emit('change');
      throw fault;
    }
    this.#outs = outsOf(opening);
    const rights = rightsFor(opening, undefined, this.#outs);
    const child = new Child({ ...opening, isLogged: true }, rights, { onCrash: (said) => this.#crashed(child, said) });
    this.#child = child;
    this.events.emit('change');
    try {
      await child.opened;
      if (this.#child === child) this.#state = 'open';
    } catch (error) {
      if (this.#child === child) this.#failed(error);
      throw error;
    } finally {
      this.events.emit('change');
    }
  }

  #failed(error: unknown): void {
    this.#state = 'failed';
    this.#error = error instanceof ChildFault ? error.message : 'The evidence could not be opened.';
    this.#child?.kill();
    this.#child = undefined;
  }

  #crashed(child: Child, said: string): void {
    if (this.#child !== child) return;
    this.#crashes++;
    this.#crash = said;
    // Sources that cannot even be opened are not tried again and again.
    if (this.#state === 'open') this.#start().catch(() => undefined);
    this.events.emit('change');
  }

  #jobChanged(job: Job): void {
    // A scan that came to its end is seen also where the search for files after it was stopped.
    const isWhole = (job.result as { readonly whole?: unknown } | null | undefined)?.whole === true;
    const isFinished = job.state === 'done' || (job.state === 'stopped' && isWhole);
    if (isFinished && CHANGES_CASE.includes(job.kind)) this.#start().catch(() => undefined);
    this.events.emit('change');
  }
}

/** Begins the case where it may be. Evidence is opened for what it is, and not read: a child does that, with fewer rights. */
function beginCase({ case: dir, sources, program }: Opening): void {
  const evidence = new Evidence(sources, true);
  try {
    beginCaseAt(dir, { evidence }, program, SCAN).close();
  } finally {
    for (const file of evidence.opened) file.close();
  }
}

/** Where recoveries of a case went; nothing where it cannot be opened, which the child will say. */
function outsOf({ case: dir, program }: Opening): string[] {
  try {
    const kept = Case.at(dir, program, SCAN);
    const outs = (kept?.runs() ?? [])
      .filter(({ kind }) => kind === 'recover')
      .map(({ options }) => String(options.out));
    kept?.close();
    return [...new Set(outs)];
  } catch {
    return [];
  }
}
