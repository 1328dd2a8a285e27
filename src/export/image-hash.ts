/** The hashes of an image, taken while its bytes go by; only what did not come in order is read back in the end. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { blake3 } from '../codec/blake3.ts';
import { CHUNK, leavesOf, treeOf } from '../codec/tree-hash.ts';
import { ExportError, interrupted, reason } from './error.ts';
import type { Sink } from './image-passes.ts';

const read = promisify(fs.read);

export interface Hashes {
  /** See src/codec/tree-hash.ts. */
  readonly tree: string;
  readonly sha256: string | null;
}

/** Passes bytes on to the output and hashes them meanwhile. Every byte must be put at most once. */
export class ImageHash implements Sink {
  readonly #output: Sink;
  readonly #size: number;
  readonly #leaves: (Uint8Array | undefined)[];
  /** The chunk that is coming together, and how many bytes of it came in order. */
  readonly #chunk = new Uint8Array(CHUNK);
  #index = -1;
  #filled = 0;
  readonly #sha: ReturnType<typeof createHash> | undefined;
  /** Bytes that went into it. */
  #shaAt = 0;

  /** `size`: bytes of the whole image. */
  constructor(output: Sink, size: number, sha256: boolean) {
    this.#output = output;
    this.#size = size;
    this.#leaves = Array.from({ length: leavesOf(size) });
    this.#sha = sha256 ? createHash('sha256') : undefined;
  }

  put(at: number, bytes: Uint8Array): Promise<void> {
    const writing = this.#output.put(at, bytes); // under way in another thread while this one hashes
    this.#collect(at, bytes);
    if (at === this.#shaAt) this.#shaOf(at, bytes);
    return writing;
  }

  /** Hashes what is not hashed yet, from the finished `file`. `onBytes` hears how many bytes of it were passed. */
  async finish(file: string, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<Hashes> {
    const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      for (let i = 0; i < this.#leaves.length; i++) {
        const at = i * CHUNK;
        const bytes = this.#chunk.subarray(0, Math.min(CHUNK, this.#size - at));
        const wantsSha = this.#sha !== undefined && this.#shaAt < at + bytes.length;
        if (this.#leaves[i] !== undefined && !wantsSha) continue;
        if (signal.aborted) throw interrupted();
        await fill(file, fd, bytes, at);
        this.#leaves[i] ??= blake3(bytes);
        if (wantsSha) this.#shaOf(at, bytes);
        onBytes(at + bytes.length);
      }
    } finally {
      fs.closeSync(fd);
    }
    return { tree: treeOf(this.#size, this.#leaves as Uint8Array[]), sha256: this.#sha?.digest('hex') ?? null };
  }

  #collect(at: number, bytes: Uint8Array): void {
    if (at % CHUNK === 0) {
      this.#index = at / CHUNK;
      this.#filled = 0;
    }
    const end = this.#filled + bytes.length;
    if (at !== this.#index * CHUNK + this.#filled || end > CHUNK) {
      this.#index = -1;
      return;
    }
    this.#chunk.set(bytes, this.#filled);
    this.#filled = end;
    const whole = Math.min(CHUNK, this.#size - this.#index * CHUNK);
    if (end === whole) this.#leaves[this.#index] = blake3(this.#chunk.subarray(0, whole));
  }

  #shaOf(at: number, bytes: Uint8Array): void {
    this.#sha?.update(bytes.subarray(this.#shaAt - at));
    this.#shaAt = at + bytes.length;
  }
}

async function fill(file: string, fd: number, into: Uint8Array, at: number): Promise<void> {
  try {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await read(fd, into, done, into.length - done, at + done);
      if (bytesRead === 0) throw new Error(`it ends at ${at + done}`);
      done += bytesRead;
    }
  } catch (error) {
    const next = 'See whether its disk is sound, and run the same command again.';
    throw new ExportError('write', `${file} could not be read back at ${at}: ${reason(error)}. ${next}`);
  }
}
