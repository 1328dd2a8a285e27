/** What commands print: one JSON document or plain text on stdout, everything else on stderr. */
export { counted, damageLines, graded, modeText, nodeJson, shown, size, time, timeInFull } from '../stack/words.ts';

/** A line for the person beside the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 1)}\n`);
}

/** Characters that a stream gathers before it sends them. */
const STREAM_BYTES = 64 * 1024;

/** Output that may be long: sent in large pieces, and no faster than it is taken. */
export class Stream {
  #waiting = '';

  /** A promise only where what was gathered had to be sent. */
  write(text: string): Promise<void> | undefined {
    this.#waiting += text;
    return this.#waiting.length >= STREAM_BYTES ? this.end() : undefined;
  }

  line(text: string): Promise<void> | undefined {
    return this.write(`${text}\n`);
  }

  /** Sends what is left. */
  async end(): Promise<void> {
    const text = this.#waiting;
    this.#waiting = '';
    if (text !== '' && !process.stdout.write(text)) await drained();
  }
}

/** Waits until standard output takes more, or is gone; leaves no listener behind. */
export function drained(): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      process.stdout.off('drain', done);
      process.stdout.off('close', done);
      resolve();
    };
    process.stdout.on('drain', done);
    process.stdout.on('close', done);
  });
}

/** A JSON array written one element a line, for lists that may be longer than memory. */
export class JsonList {
  readonly #out: Stream;
  #count = 0;

  constructor(out: Stream) {
    this.#out = out;
  }

  add(value: unknown): Promise<void> | undefined {
    return this.#out.write(`${this.#count++ === 0 ? '\n' : ',\n'}${JSON.stringify(value)}`);
  }
}
