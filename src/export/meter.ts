/** Progress: counted always, said at most ten times a second. */
import type { Progress } from './options.ts';

const INTERVAL_MS = 100;

export class Meter {
  phase: Progress['phase'] = 'plan';
  file = '';
  doneBytes = 0;
  totalBytes = 0;
  lostBytes = 0;
  filesDone = 0;
  filesTotal = 0;
  /** Bytes that were done by a run before this one and cost no time. */
  keptBytes = 0;
  readonly #say: ((progress: Progress) => void) | undefined;
  #started = performance.now();
  #last = 0;

  constructor(say: ((progress: Progress) => void) | undefined) {
    this.#say = say;
  }

  start(phase: Progress['phase']): void {
    this.phase = phase;
    this.#started = performance.now();
  }

  /** Says where things are, unless that was said a moment ago. */
  tick(file: string): void {
    this.file = file;
    if (this.#say === undefined) return;
    const now = performance.now();
    if (now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    const { phase, doneBytes, totalBytes, lostBytes, filesDone, filesTotal } = this;
    const seconds = Math.max(0.001, (now - this.#started) / 1000);
    const bytesPerSecond = Math.round(Math.max(0, doneBytes - this.keptBytes) / seconds);
    this.#say({ phase, file, doneBytes, totalBytes, lostBytes, filesDone, filesTotal, bytesPerSecond });
  }
}
