/** A child process that reads evidence for the server: asked, waited for, and ended when it hangs. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Fault, FromChild, JobOrder, Opening, ToChild } from './messages.ts';

const FILE = new URL(import.meta.url.endsWith('.ts') ? './serve-child.ts' : './serve-child.js', import.meta.url);
/** Memory of JavaScript objects that one child may take. */
const MAX_HEAP_MIB = 2048;
/** How long one question may take: metadata of a large volume on a slow disk, but no endless loop. */
const ANSWER_MS = 120_000;
/** How long a child that was asked to stop may take until it is ended. */
const STOP_MS = 20_000;

/** A fault that a child told, or its end. */
export class ChildFault extends Error {
  readonly code: string;
  /** A sentence for a person, as opposed to a fault of the program. */
  readonly known: boolean;

  constructor({ message, code, known }: Fault) {
    super(message);
    this.code = code;
    this.known = known;
  }
}

export interface ChildEvents {
  onProgress?(progress: Readonly<Record<string, number | string>>): void;
  onEnded?(end: Extract<FromChild, { kind: 'ended' }>): void;
  /** Its work failed, or it fell; not called for questions. */
  onFault?(fault: ChildFault): void;
  /** The process is gone without having been asked to go. */
  onCrash?(said: string): void;
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: ChildFault) => void;
  readonly timer: NodeJS.Timeout;
}

export class Child {
  /** Settled once the evidence is open, or cannot be opened. */
  readonly opened: Promise<void>;
  readonly #process: ChildProcess;
  readonly #events: ChildEvents;
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;
  #isClosing = false;
  #isGone = false;
  #settleOpened: { resolve: () => void; reject: (error: ChildFault) => void } | undefined;
  #why: string | undefined;

  /** Starts a process with some rights and lets it open the sources; without any, it answers about devices only. */
  constructor(
    opening: Opening | undefined,
    rights: readonly string[],
    events: ChildEvents = {},
    answerMs: number = ANSWER_MS,
  ) {
    this.#events = events;
    this.#answerMs = answerMs;
    this.#process = fork(fileURLToPath(FILE), [], {
      serialization: 'advanced',
      execArgv: [`--max-old-space-size=${MAX_HEAP_MIB}`, ...rights],
      // What a crashing engine prints is no output of the program.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#process.on('message', (message: FromChild) => this.#take(message));
    this.#process.on('exit', (code, signal) => this.#exited(code, signal));
    this.#process.on('error', () => undefined);
    this.opened = new Promise<void>((resolve, reject) => {
      this.#settleOpened = { resolve, reject };
    });
    this.opened.catch(() => undefined);
    if (opening === undefined) this.#settleOpened?.resolve();
    else this.#send({ kind: 'open', opening });
  }

  readonly #answerMs: number;

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Asks, and waits no longer than is sensible: a child that hangs is ended. Rejects with ChildFault. */
  async ask<T>(op: string, args: unknown): Promise<T> {
    await this.opened;
    const id = this.#id++;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#why = `the question "${op}" had no answer after ${this.#answerMs / 1000} seconds`;
        this.#process.kill('SIGKILL');
      }, this.#answerMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#send({ kind: 'ask', id, op, args });
    });
  }

  /** Gives the one job that this child is for. */
  work(job: JobOrder): void {
    this.opened.then(
      () => this.#send({ kind: 'work', job }),
      (fault: ChildFault) => this.#events.onFault?.(fault),
    );
  }

  /** Asks the job to stop where it can be gone on with; ends the process if it does not. */
  stop(): void {
    this.#send({ kind: 'stop' });
    setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS).unref();
  }

  /** Ends the process. */
  close(): void {
    this.#isClosing = true;
    if (this.#process.connected) this.#process.disconnect();
    setTimeout(() => {
      if (!this.#isGone) this.#process.kill('SIGKILL');
    }, STOP_MS).unref();
  }

  /** As close, at once and whatever it is doing. */
  kill(): void {
    this.#isClosing = true;
    this.#process.kill('SIGKILL');
  }

  #send(message: ToChild): void {
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  #take(message: FromChild): void {
    if (message.kind === 'opened') this.#settleOpened?.resolve();
    else if (message.kind === 'progress') this.#events.onProgress?.(message.progress);
    else if (message.kind === 'ended') {
      this.#isClosing = true;
      this.#events.onEnded?.(message);
    } else if (message.kind === 'answer') this.#settled(message.id)?.resolve(message.value as never);
    else if (message.id !== undefined) this.#settled(message.id)?.reject(new ChildFault(message.fault));
    else {
      const fault = new ChildFault(message.fault);
      this.#settleOpened?.reject(fault);
      this.#isClosing = true;
      this.#events.onFault?.(fault);
    }
  }

  #settled(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    return waiting;
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    this.#isGone = true;
    const how = this.#why ?? (signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`);
    const message = this.#isClosing
      ? 'The evidence was opened anew while this was asked. Ask again.'
      : `The process that reads the evidence fell over: ${how}. It was started again; the evidence was not touched.`;
    const fault = new ChildFault({ message, code: 'crash', known: true });
    this.#settleOpened?.reject(fault);
    for (const id of this.#waiting.keys()) this.#settled(id)?.reject(fault);
    if (this.#isClosing) return;
    this.#events.onFault?.(fault);
    this.#events.onCrash?.(how);
  }
}
