/** What a disk holds, as hashes: the same bytes give the same ones, whatever they are kept in. */
import { createHash } from 'node:crypto';
import { blake3 } from '../codec/blake3.ts';
import { CHUNK, leavesOf, TreeHash } from '../codec/tree-hash.ts';
import { flatten } from '../core/resolve.ts';
import { RunList, ZERO } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { interrupted } from './error.ts';
import type { FileEntry } from './manifest.ts';
import { Meter } from './meter.ts';
import type { Progress } from './options.ts';
import { summarize } from './summary.ts';

export interface ContentOptions {
  /** Also SHA-256 of all bytes, zeros with them: that takes its time however empty the disk is. */
  readonly sha256: boolean;
  /** Nothing is known to be wrong with what describes the bytes. */
  readonly intact: boolean;
  readonly name: string;
  readonly signal: AbortSignal;
  onProgress?(progress: Progress): void;
}

export interface Content extends Pick<FileEntry, 'certainty' | 'gaps' | 'reasons'> {
  readonly size: number;
  readonly tree: string;
  readonly sha256?: string;
}

/** Hashes all bytes of a source; what is known to be zeros is not read, and what is missing counts as zeros. */
export async function contentHash(source: Source, options: ContentOptions): Promise<Content> {
  const { signal, sha256, name } = options;
  const { size } = source;
  const tree = new TreeHash(size);
  const sha = sha256 ? createHash('sha256') : undefined;
  const meter = new Meter(options.onProgress);
  meter.totalBytes = size;
  meter.filesTotal = 1;
  meter.start('check');
  const buffers = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
  const zeros = Buffer.alloc(sha256 ? CHUNK : 0);
  const read = (chunk: number): Promise<Buffer | undefined> => readChunk(source, chunk, buffers[chunk % 2]);
  const chunks = leavesOf(size);
  // The next chunk is read while this one is hashed.
  let next = chunks > 0 ? read(0) : undefined;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const bytes = await next;
    next = chunk + 1 < chunks && !signal.aborted ? read(chunk + 1) : undefined;
    if (signal.aborted) throw interrupted();
    if (bytes === undefined) tree.zeros(chunk, 1);
    else tree.leaf(chunk, blake3(bytes));
    const length = Math.min(CHUNK, size - chunk * CHUNK);
    sha?.update(bytes ?? zeros.subarray(0, length));
    meter.doneBytes += length;
    meter.tick(name);
  }
  // Counted when all was read: reading has shown what cannot be read.
  const summary = await summarize(source);
  const digest = sha === undefined ? {} : { sha256: sha.digest('hex') };
  return { size, tree: tree.root(), ...digest, ...summary.entry(options.intact) };
}

/** A chunk's bytes; undefined where it is known to be nothing but zeros. */
async function readChunk(source: Source, chunk: number, buffer: Buffer): Promise<Buffer | undefined> {
  const from = chunk * CHUNK;
  const end = Math.min(source.size, from + CHUNK);
  const list = new RunList(2);
  const reached = await flatten(source, from, end, list);
  if (reached === end && list.n === 1 && list.state(0) === ZERO) return undefined;
  const bytes = buffer.subarray(0, end - from);
  await source.read(from, bytes);
  return bytes;
}
