/**
 * How a device that fails is read: what comes easily first, so that most of it is safe before it dies.
 *
 *   copy    ?  large blocks: forwards and backwards with growing skips behind errors, then all that was skipped
 *   trim    *  the failed blocks, from both sides, to their first bad sector
 *   scrape  /  the insides, sector by sector
 *   retry   -  the bad sectors again, forwards and backwards in turn
 *
 * The statuses are those of a mapfile (src/codec/mapfile.ts), so that any pass can go on where any program stopped.
 */
import type { Status, StatusMap } from '../codec/mapfile.ts';
import { interrupted } from './error.ts';

/** What is read. */
export interface Reader {
  /** Bytes. */
  readonly size: number;
  /** One read that nothing tries again; answers the bytes had before the first one that was refused. */
  attempt(at: number, into: Uint8Array): Promise<number>;
}

/** What is written to. */
export interface Sink {
  put(at: number, bytes: Uint8Array): Promise<void>;
}

export interface PassOptions {
  /** Bytes of one sector: the smallest read. */
  readonly sector: number;
  /** Bytes passed over after the first error; each further one doubles it. */
  readonly skip: number;
  /** Times that bad sectors are tried again. */
  readonly retries: number;
  readonly signal: AbortSignal;
  /** Called after every read; what it throws stops the passes. */
  onStep?(): void | Promise<void>;
}

/** Bytes of one read while all goes well. */
export const BLOCK: number = 1024 * 1024;
/** Bytes that are passed over at most. */
const MAX_SKIP = 1024 * 1024 * 1024;
/** Passes over what was not tried: forwards, backwards, and without skipping. */
const COPY_PASSES = 3;

export class Passes {
  /** Reads that failed so far. */
  errors = 0;
  readonly #reader: Reader;
  readonly #sink: Sink;
  readonly #map: StatusMap;
  readonly #options: PassOptions;
  /** One is read into while the other is written. */
  readonly #buffers = [new Uint8Array(BLOCK), new Uint8Array(BLOCK)];
  #turn = 0;
  #writing: Promise<unknown> = Promise.resolve();

  /** `map` says what is had already; it is kept true at every moment, so it may be saved between any two reads. */
  constructor(reader: Reader, sink: Sink, map: StatusMap, options: PassOptions) {
    this.#reader = reader;
    this.#sink = sink;
    this.#map = map;
    this.#options = options;
  }

  /** Does all passes that the map leaves to do. Throws ExportError('interrupted') where the signal says so. */
  async run(): Promise<void> {
    try {
      for (let pass = 1; pass <= COPY_PASSES; pass++) {
        this.#begin('?', pass);
        if (pass === 2) await this.#copyBackwards();
        else await this.#copyForwards(pass < COPY_PASSES);
        await this.#written();
      }
      await this.#trim();
      await this.#sectors('/');
      for (let retry = 1; retry <= this.#options.retries && this.#map.next(0, '-') !== undefined; retry++) {
        this.#begin('-', retry);
        if (retry % 2 === 1) await this.#sectors('-');
        else await this.#sectorsBackwards('-');
      }
      this.#begin('+', 1);
    } finally {
      await this.#written();
    }
  }

  #begin(status: Status, pass: number): void {
    this.#map.activity = status;
    this.#map.pass = pass;
    this.#map.position = 0;
  }

  async #copyForwards(skipping: boolean): Promise<void> {
    let { skip } = this.#options;
    let at = 0;
    for (let todo = this.#map.next(at, '?'); todo !== undefined; todo = this.#map.next(at, '?')) {
      at = Math.min(todo.end, above(todo.at, BLOCK));
      if (await this.#move(todo.at, at, '*')) skip = this.#options.skip;
      else if (skipping) {
        at += skip;
        skip = Math.min(2 * skip, MAX_SKIP);
      }
    }
  }

  async #copyBackwards(): Promise<void> {
    let { skip } = this.#options;
    let before = this.#map.size;
    for (let todo = this.#map.previous(before, '?'); todo !== undefined; todo = this.#map.previous(before, '?')) {
      before = Math.max(todo.at, below(todo.end, BLOCK));
      if (await this.#move(before, todo.end, '*')) skip = this.#options.skip;
      else {
        before -= skip;
        skip = Math.min(2 * skip, MAX_SKIP);
      }
    }
  }

  async #trim(): Promise<void> {
    this.#begin('*', 1);
    const { sector } = this.#options;
    for (let todo = this.#map.next(0, '*'); todo !== undefined; todo = this.#map.next(todo.end, '*')) {
      let front = todo.at;
      for (let sound = true; sound && front < todo.end; ) {
        const end = Math.min(todo.end, above(front, sector));
        sound = await this.#move(front, end, '-');
        front = end;
      }
      let back = todo.end;
      for (let sound = true; sound && back > front; ) {
        const start = Math.max(front, below(back, sector));
        sound = await this.#move(start, back, '-');
        back = start;
      }
      this.#map.set(front, back, '/');
      await this.#written(); // what is being written still stands as '*', and the next block is looked for
    }
  }

  async #sectors(status: '/' | '-'): Promise<void> {
    if (status === '/') this.#begin(status, 1);
    let at = 0;
    for (let todo = this.#map.next(at, status); todo !== undefined; todo = this.#map.next(at, status)) {
      at = Math.min(todo.end, above(todo.at, this.#options.sector));
      await this.#move(todo.at, at, '-');
    }
    await this.#written();
  }

  async #sectorsBackwards(status: '-'): Promise<void> {
    let before = this.#map.size;
    for (let todo = this.#map.previous(before, status); todo; todo = this.#map.previous(before, status)) {
      before = Math.max(todo.at, below(todo.end, this.#options.sector));
      await this.#move(before, todo.end, '-');
    }
    await this.#written();
  }

  /** Copies [at, end), of up to a block, with one read. What does not come gets status `failed`; answers if all came. */
  async #move(at: number, end: number, failed: Status): Promise<boolean> {
    const { signal, onStep } = this.#options;
    if (signal.aborted) throw interrupted();
    this.#map.position = at;
    this.#turn = 1 - this.#turn;
    const into = this.#buffers[this.#turn].subarray(0, end - at);
    const got = await this.#reader.attempt(at, into);
    await this.#written();
    // Only what is in the output may be marked as had, and the next read need not wait for that.
    if (got > 0) {
      const writing = this.#sink.put(at, into.subarray(0, got)).then(() => this.#map.set(at, at + got, '+'));
      writing.catch(() => {}); // thrown where it is waited for
      this.#writing = writing;
    }
    if (got < into.length) {
      this.errors++;
      this.#map.set(at + got, end, failed);
    }
    await onStep?.();
    return got === into.length;
  }

  /** Waits until what was read is in the output. */
  async #written(): Promise<void> {
    const writing = this.#writing;
    this.#writing = Promise.resolve();
    await writing;
  }
}

/** The next multiple of `unit` above `at`. */
function above(at: number, unit: number): number {
  return at - (at % unit) + unit;
}

/** The last multiple of `unit` below `at`. */
function below(at: number, unit: number): number {
  return at - 1 - ((at - 1) % unit);
}
