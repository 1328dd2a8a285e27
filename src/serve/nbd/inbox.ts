/** What has arrived from a client: taken in exact pieces, buffered no further than a little. */
import type { Socket } from 'node:net';
import { Cut } from './protocol.ts';

/** Bytes that may wait before no more are read from the socket. */
const ENOUGH = 64 * 1024;
/** The longest that a timer can wait, in milliseconds. */
const FOREVER = 2 ** 31 - 1;
const NOTHING: Buffer = Buffer.alloc(0);

export class Inbox {
  readonly #socket: Socket;
  #held: Buffer = NOTHING;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
      if (this.#held.length >= ENOUGH) socket.pause();
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
  }

  /** Whether the client is gone and has left nothing behind. */
  get empty(): boolean {
    return this.#ended && this.#held.length === 0;
  }

  /** Exactly `length` bytes, at once where they are there. Throws Cut when the client is gone or takes too long. */
  take(length: number, time?: number): Buffer | Promise<Buffer> {
    return this.#held.length >= length ? this.#cut(length) : this.#wait(length, time);
  }

  /** Undefined where something is there; else a promise, for as long as it takes, until it is or the client is gone. */
  something(): Promise<void> | undefined {
    return this.#held.length > 0 || this.#ended ? undefined : this.#more();
  }

  /** Passes over `length` bytes without keeping them. */
  async skip(length: number, time: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = Math.min(left, Math.max(1, this.#held.length));
      await this.take(piece, time);
      left -= piece;
    }
  }

  async #wait(length: number, time?: number): Promise<Buffer> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake?.();
    }, time ?? FOREVER);
    try {
      while (this.#held.length < length) {
        if (this.#ended) throw new Cut('the client is gone');
        if (late) throw new Cut(`the client sent ${this.#held.length} of ${length} bytes in ${time} ms`);
        await this.#more();
      }
      return this.#cut(length);
    } finally {
      clearTimeout(timer);
    }
  }

  #more(): Promise<void> {
    this.#socket.resume();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #cut(length: number): Buffer {
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.length === length ? NOTHING : this.#held.subarray(length);
    if (this.#held.length < ENOUGH && this.#socket.isPaused()) this.#socket.resume();
    return taken;
  }
}
