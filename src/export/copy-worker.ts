/** A copying thread. It reads evidence by descriptors that main opened, and writes only what main names. */
import { createHash, hash } from 'node:crypto';
import * as fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { blake3, blake3Stream } from '../codec/blake3.ts';
import { compress } from '../codec/compress.ts';
import { CHUNK, treeOf, zeroLeaf } from '../codec/tree-hash.ts';
import { addWrite, ChunkReader, filledIn, isAllZeros, readAll, type Writes, writeChunk } from './chunk.ts';
import type {
  Answer,
  ChunkJob,
  ChunkResult,
  FileResult,
  FilesJob,
  FilledJob,
  Job,
  Layout,
  LeafJob,
  Order,
  PackJob,
  PackResult,
  RehashJob,
  RehashResult,
  Results,
  WholeFile,
} from './jobs.ts';
import { stamp } from './times.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = fs.constants;
/** The one buffer of this thread. */
const buffer = new Uint8Array(CHUNK);
/** 1 while a thread makes names. */
const turn = workerData as Int32Array;

function chunk(job: ChunkJob): ChunkResult {
  const bytes = buffer.subarray(0, job.length);
  if (job.expect !== undefined && readAll(job.fd, bytes, job.at) && same(blake3(bytes), job.expect)) {
    return { leaf: job.expect, kept: true };
  }
  const streamed = streamedChunk(job);
  if (streamed !== 'no') return { ...(streamed !== undefined && { leaf: streamed }), kept: false };
  const writes = new ChunkReader(job.layout, job.fill).read(job.at, bytes);
  if (writes === undefined) return { kept: false };
  const leaf = blake3(bytes);
  const isZero = job.layout.fills.length === 0 && same(leaf, zeroLeaf());
  if (!isZero) writeChunk(job.fd, bytes, job.at, writes);
  if (job.before) rewriteIfDifferent(job, leaf);
  return { leaf, kept: false };
}

/** Bytes of a stretch that are looked at first in search of zeros. */
const GLANCE = 4096;
/** Bytes read, hashed and written at a time: they stay in the processor's cache, which makes copying twice as fast. */
const STREAM = 256 * 1024;

/**
 * A chunk all of which lies on the evidence, the common case: its leaf, undefined where it could not be read, or 'no'
 * where it is of another kind, or begins with zeros and so may be left as a hole.
 */
function streamedChunk({ layout, before, at, length, fd }: ChunkJob): Uint8Array | undefined | 'no' {
  if (before || length <= STREAM || !tiles(layout, at, length)) return 'no';
  const { data } = layout;
  const hasher = blake3Stream();
  for (let i = 0; i < data.length; i += 4) {
    const [out, bytes, from, start] = data.subarray(i, i + 4);
    for (let done = 0; done < bytes; done += STREAM) {
      const part = buffer.subarray(0, Math.min(STREAM, bytes - done));
      if (!readAll(from, part, start + done)) return undefined;
      if (i === 0 && done === 0 && part.subarray(0, 64).every((byte) => byte === 0)) return 'no';
      hasher.update(part);
      writeChunk(fd, part, out + done, [0, part.length]);
    }
  }
  return hasher.digest();
}

/** Whether pieces of evidence follow each other from the chunk's first byte to its last. */
function tiles({ data, fills, made }: Layout, at: number, length: number): boolean {
  if (made.length > 0) return false;
  let next = at;
  for (let i = 0; i < data.length && data[i] === next; i += 4) next += data[i + 1];
  return fills.length === 0 && next === at + length;
}

/** Where a run before this one left something else, holes would let it show through. */
function rewriteIfDifferent(job: ChunkJob, leaf: Uint8Array): void {
  const bytes = buffer.subarray(0, job.length);
  if (readAll(job.fd, bytes, job.at) && same(blake3(bytes), leaf)) return;
  new ChunkReader(job.layout, job.fill).read(job.at, bytes);
  writeChunk(job.fd, bytes, job.at, [0, job.length]);
}

/** A file whose bytes are read and hashed, and wait in the buffer to be written. */
interface Ready {
  readonly file: WholeFile;
  readonly bytes: Uint8Array;
  readonly writes: Writes;
}

/** Bytes of short files that wait together: few enough to stay in the processor's cache until they are written. */
const TOGETHER = 1024 * 1024;

/** The files of a job one after the other, each with its part of the layout. */
function files({ files, layout, fill }: FilesJob): FileResult[] {
  let data = 0;
  let fills = 0;
  let room = buffer;
  let ready: Ready[] = [];
  const results = files.map((file) => {
    const own = {
      data: layout.data.subarray(data, data + file.data),
      fills: layout.fills.subarray(fills, fills + file.fills),
      made: layout.made,
    };
    data += file.data;
    fills += file.fills;
    if (ready.length > 0 && buffer.length - room.length + file.size > TOGETHER) {
      writeReady(ready);
      ready = [];
      room = buffer;
    }
    const reader = new ChunkReader(own, fill);
    if (file.size > room.length) return longFile(file, reader);
    const bytes = room.subarray(0, file.size);
    const writes = reader.read(0, bytes);
    if (writes === undefined) return undefined;
    ready.push({ file, bytes, writes });
    room = room.subarray(file.size);
    return { tree: treeOf(file.size, file.size === 0 ? [] : [blake3(bytes)]), sha256: hash('sha256', bytes, 'hex') };
  });
  writeReady(ready);
  return results;
}

/**
 * Writes short files. Each new name and each renaming takes the folder for itself, and two threads that make names side
 * by side spend more time waiting for it than one needs for all: so one does, while the other reads, hashes and writes.
 */
function writeReady(ready: readonly Ready[]): void {
  const open: number[] = [];
  try {
    inTurn(() => {
      for (const { file } of ready) open.push(openPart(file));
    });
    for (const [i, { file, bytes, writes }] of ready.entries()) {
      writeChunk(open[i], bytes, 0, writes);
      complete(open[i], file, writes.at(-1) ?? 0);
    }
    inTurn(() => {
      for (const { file } of ready) place(file.part, file.path);
    });
  } finally {
    for (const fd of open) fs.closeSync(fd);
  }
}

/** Does what changes folders while no other thread does. */
function inTurn(work: () => void): void {
  while (Atomics.compareExchange(turn, 0, 0, 1) !== 0) Atomics.wait(turn, 0, 1);
  try {
    work();
  } finally {
    Atomics.store(turn, 0, 0);
    Atomics.notify(turn, 0, 1);
  }
}

/** Copies a file that is longer than the buffer. Nothing is left of it where it could not be read. */
function longFile(file: WholeFile, reader: ChunkReader): FileResult {
  const leaves: Uint8Array[] = [];
  const sha = createHash('sha256');
  const fd = openPart(file);
  try {
    let end = 0;
    for (let at = 0; at < file.size; at += CHUNK) {
      const bytes = buffer.subarray(0, Math.min(CHUNK, file.size - at));
      const writes = reader.read(at, bytes);
      if (writes === undefined) {
        fs.unlinkSync(file.part);
        return undefined;
      }
      leaves.push(blake3(bytes));
      sha.update(bytes);
      writeChunk(fd, bytes, at, writes);
      if (writes.length > 0) end = at + writes[writes.length - 1];
    }
    complete(fd, file, end);
    place(file.part, file.path);
    return { tree: treeOf(file.size, leaves), sha256: sha.digest('hex') };
  } finally {
    fs.closeSync(fd);
  }
}

/** A file is NAME.part until it is complete. */
function openPart(file: WholeFile): number {
  return fs.openSync(file.part, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600);
}

/** Gives a file of which [0, end) was written its size, mode and time. */
function complete(fd: number, file: WholeFile, end: number): void {
  if (end < file.size) fs.ftruncateSync(fd, file.size);
  fs.fchmodSync(fd, file.mode);
  if (file.modified !== undefined) fs.futimesSync(fd, stamp(file.modified), stamp(file.modified));
}

/** Gives a finished file its name, which must be free. */
function place(part: string, path: string): void {
  if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw Object.assign(new Error('it is there already'), { code: 'EEXIST', path });
  }
  fs.renameSync(part, path);
}

function leaf(job: LeafJob): Uint8Array {
  const bytes = buffer.subarray(0, job.length);
  if (!readAll(job.fd, bytes, job.at)) throw unreadable(job.at, job.length);
  return blake3(bytes);
}

function rehash(job: RehashJob): RehashResult {
  const fd = fs.openSync(job.path, O_RDONLY | O_NOFOLLOW);
  try {
    const leaves: Uint8Array[] = [];
    const sha = job.sha256 ? createHash('sha256') : undefined;
    for (let at = job.from; at < job.size; at += CHUNK) {
      const bytes = buffer.subarray(0, Math.min(CHUNK, job.size - at));
      if (!readAll(fd, bytes, at)) throw unreadable(at, bytes.length);
      if (job.tree) leaves.push(blake3(bytes));
      sha?.update(bytes);
    }
    return sha === undefined ? { leaves } : { leaves, sha256: sha.digest('hex') };
  } finally {
    fs.closeSync(fd);
  }
}

/** Reads what begins with zeros: mostly holes, and those without a detour over the page cache. */
class ZeroReader {
  readonly #fd: number;
  #holes: number | undefined;

  /** `holes`: descriptors of evidence with holes, each with the one that holes are read by. */
  constructor(fd: number, holes: readonly number[]) {
    this.#fd = fd;
    const i = holes.findIndex((own, at) => at % 2 === 0 && own === fd);
    this.#holes = i < 0 ? undefined : holes[i + 1];
  }

  read(into: Uint8Array, at: number): boolean {
    if (this.#holes !== undefined && readAll(this.#holes, into, at)) return true;
    // Zeros that were written: to be refused each time costs more than it is worth.
    this.#holes = undefined;
    return readAll(this.#fd, into, at);
  }
}

function filled({ at, length, layout, step, holes }: FilledJob): readonly number[] | undefined {
  const out: number[] = [];
  const { data, made } = layout;
  if (made.length > 0) {
    const bytes = buffer.subarray(0, length);
    return new ChunkReader(layout, 'zero').read(at, bytes) && filledIn(bytes, 0, step, out);
  }
  for (let i = 0; i < data.length; i += 4) {
    const [to, bytes, fd, from] = data.subarray(i, i + 4);
    const end = Math.min(to + bytes, at + length);
    const zeros = new ZeroReader(fd, holes);
    let isZero = false;
    for (let place = to; place < end; ) {
      // Behind zeros there are mostly more of them: those have to be read. Of all else the first bytes tell that it is
      // some, and the rest of it need not be.
      const unit = isZero ? place + STREAM : (Math.floor(place / step) + 1) * step;
      const stop = Math.min(end, place + STREAM, unit);
      // At an odd address: see FileSource.holesFd.
      const part = buffer.subarray(1, 1 + stop - place);
      const offset = from + place - to;
      if (!isZero) {
        const first = part.subarray(0, GLANCE);
        if (!readAll(fd, first, offset)) return undefined;
        isZero = isAllZeros(first);
      }
      if (isZero) {
        if (!zeros.read(part, offset)) return undefined;
        filledIn(part, place - at, step, out);
        isZero = out[out.length - 1] !== stop - at;
      } else addWrite(out, place - at, stop - at);
      place = stop;
    }
  }
  return out;
}

const NOTHING: Layout = { data: new Float64Array(0), fills: new Float64Array(0), made: new Float64Array(0) };

function pack({ at, length, layout = NOTHING, bytes, unit, method, worth, room }: PackJob): PackResult | undefined {
  const from = bytes ?? buffer.subarray(0, length);
  if (bytes === undefined && new ChunkReader(layout, 'zero').read(at, from) === undefined) return undefined;
  const sizes = new Int32Array(length / unit);
  let end = 0;
  for (let i = 0; i < sizes.length; i++) {
    const plain = from.subarray(i * unit, (i + 1) * unit);
    if (isAllZeros(plain)) continue;
    const packed = compress(method, plain, room.subarray(end, end + worth));
    sizes[i] = packed ?? -1;
    if (packed === undefined) room.set(plain, end);
    end += packed ?? unit;
  }
  return { room, sizes };
}

function unreadable(at: number, length: number): Error {
  return Object.assign(new Error(`${length} bytes at ${at} could not be read back`), { code: 'EIO' });
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function perform(job: Job): Results[keyof Results] {
  switch (job.kind) {
    case 'chunk':
      return chunk(job);
    case 'files':
      return files(job);
    case 'leaf':
      return leaf(job);
    case 'rehash':
      return rehash(job);
    case 'pack':
      return pack(job);
    case 'filled':
      return filled(job);
  }
}

parentPort?.on('message', (order: Order | undefined) => {
  if (order === undefined) {
    parentPort!.close();
    return;
  }
  const { id, job } = order;
  let answer: Answer;
  try {
    answer = { id, result: perform(job) };
  } catch (error) {
    const { path, code, message } = error as { path?: string; code?: string; message: string };
    answer = { id, error: { message, ...(path !== undefined && { path }), ...(code !== undefined && { code }) } };
  }
  // The room is handed over, not copied once more.
  const packed = job.kind === 'pack' ? (answer.result as PackResult | undefined) : undefined;
  parentPort!.postMessage(answer, packed === undefined ? [] : [packed.room.buffer as ArrayBuffer]);
});
