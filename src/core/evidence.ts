/** The one file that opens evidence: read-only, by paths that a person named, never by names that evidence holds. */
import * as fs from 'node:fs';
import { DATA, LOST, MISSING, type RunList, VERIFIED, type Why } from './run.ts';
import type { Gap, Source } from './source.ts';

/** A path that cannot serve as evidence. The message is a sentence for the person who gave it. */
export class EvidenceError extends Error {}

/** Reads up to this size go straight to the kernel: from the page cache a promise costs more than the read. */
const SYNC_READ = 256 * 1024;
/** After a failed read the stretch is read again in ever smaller units, so that only what is dead is lost. */
const RETRY_UNITS = [64 * 1024, 4096, 512];

/** What a program that copied the device said of a stretch that it could not copy. */
const NOT_COPIED: Why = {
  what: 'the mapfile beside the image says that these bytes were not copied',
  code: 'unreadable',
};
const UNREADABLE: Why = { what: 'the device answered a read with an error', code: 'unreadable' };

/** What tells one piece of evidence from another, and from itself after a change. */
export interface Identity {
  readonly path: string;
  readonly size: number;
  /** Device and inode of the file, as the system names them. */
  readonly device: number;
  readonly inode: number;
  /** Milliseconds since 1970; 0 for block devices, whose nodes are touched at every boot. */
  readonly modified: number;
  readonly block: boolean;
}

/** A file or block device, opened read-only. */
export class FileSource implements Source {
  readonly size: number;
  readonly path: string;
  readonly identity: Identity;
  readonly #fd: number;
  /** Stretches that could not be read, sorted, as [start, end, start, end, …]. */
  readonly #bad: number[] = [];
  /** Stretches that are never read, because a mapfile says that they are not the device's bytes; as above. */
  #excluded: readonly number[] = [];
  #mapfile: string | undefined;
  #direct: DirectReads | undefined;

  /** Opens `path` read-only. Throws EvidenceError with a sentence where it cannot be. */
  constructor(path: string) {
    this.path = path;
    this.identity = identify(path);
    this.size = this.identity.size;
    try {
      this.#fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOCTTY);
    } catch (error) {
      throw new EvidenceError(`${path} cannot be opened for reading: ${reason(error)}.`);
    }
  }

  /** The descriptor, for threads of this process that read beside it. It must never be written to. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * The same file past the page cache, for the same threads, where it has holes. A read from it into memory that begins at
   * an odd address is refused wherever there is data, and costs next to nothing in a hole, of which no page is kept.
   */
  get holesFd(): number | undefined {
    if (this.identity.block || fs.fstatSync(this.#fd).blocks * 512 >= this.size) return undefined;
    this.#direct ??= new DirectReads(this.#fd);
    return this.#direct.fd;
  }

  /** Path of the mapfile that says which of the bytes are not those of the device that was copied, if one is used. */
  get mapfile(): string | undefined {
    return this.#mapfile;
  }

  /** Stretches that are never read because of it, sorted, as [start, end, start, end, …]. */
  get excluded(): readonly number[] {
    return this.#excluded;
  }

  /** Takes what the mapfile of that path says: `excluded` as the property, sorted and not touching each other. */
  useMapfile(path: string, excluded: readonly number[]): void {
    this.#mapfile = path;
    this.#excluded = excluded;
    for (let i = 0; i < excluded.length; i += 2) this.markBad(excluded[i], excluded[i + 1]);
  }

  /**
   * One read, of up to the end or the first error, which is not tried again: for passes that decide by themselves what
   * to split. Answers the bytes had from `offset` on; fewer than asked for means that the next one was refused.
   */
  async attempt(offset: number, into: Uint8Array): Promise<number> {
    const wanted = into.subarray(0, Math.max(0, firstOf(this.#excluded, offset, offset + into.length) - offset));
    if (this.identity.block && isSectors(offset, wanted.length)) {
      this.#direct ??= new DirectReads(this.#fd);
      const had = await this.#direct.read(offset, wanted);
      if (had !== undefined) return had;
    }
    let got = 0;
    while (got < wanted.length) {
      const n = await new Promise<number>((resolve) => {
        const asked = { position: offset + got, offset: got, length: wanted.length - got };
        fs.read(this.#fd, wanted, asked.offset, asked.length, asked.position, (error, bytes) => {
          resolve(error === null ? bytes : 0);
        });
      });
      if (n === 0) break;
      got += n;
    }
    return got;
  }

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    if (this.#touches(offset, into)) return Promise.resolve(this.#around(offset, into));
    if (into.length <= SYNC_READ) return Promise.resolve(this.readSync(offset, into));
    return new Promise((resolve) => {
      fs.read(this.#fd, into, 0, into.length, offset, (error, got) => {
        if (error === null && got === into.length) resolve([]);
        else resolve(this.#patiently(offset, into));
      });
    });
  }

  /** As read, without a promise: for workers, and for small reads. */
  readSync(offset: number, into: Uint8Array): readonly Gap[] {
    if (this.#touches(offset, into)) return this.#around(offset, into);
    try {
      if (fs.readSync(this.#fd, into, 0, into.length, offset) === into.length) return [];
    } catch {
      // Read again below, in parts: some of it may still be had.
    }
    return this.#patiently(offset, into);
  }

  runs(from: number, end: number, out: RunList): number {
    const stop = Math.min(end, this.size);
    let at = from;
    for (let i = after(this.#bad, at); i < this.#bad.length && at < stop; i += 2) {
      const start = Math.min(stop, Math.max(at, this.#bad[i]));
      if (start > at && !out.add(DATA, VERIFIED, start - at, this, at)) return at;
      at = start;
      const till = Math.min(stop, this.#bad[i + 1]);
      if (till > at && !out.add(MISSING, LOST, till - at, this, at, this.#why(at))) return at;
      at = Math.max(at, till);
    }
    if (at < stop && !out.add(DATA, VERIFIED, stop - at, this, at)) return at;
    return Math.max(at, stop);
  }

  /** Enters a stretch that could not be read, so that from now on `runs` says so too. */
  markBad(from: number, end: number): void {
    const first = after(this.#bad, from - 1);
    let last = first;
    let start = from;
    let stop = end;
    for (; last < this.#bad.length && this.#bad[last] <= end; last += 2) {
      start = Math.min(start, this.#bad[last]);
      stop = Math.max(stop, this.#bad[last + 1]);
    }
    this.#bad.splice(first, last - first, start, stop);
  }

  close(): void {
    this.#direct?.close();
    fs.closeSync(this.#fd);
  }

  #why(at: number): Why {
    return firstOf(this.#excluded, at, at + 1) === at ? NOT_COPIED : UNREADABLE;
  }

  #touches(offset: number, into: Uint8Array): boolean {
    if (this.#excluded.length === 0) return false;
    const end = offset + into.length;
    return firstOf(this.#excluded, offset, end) < end;
  }

  /** Reads what lies between the excluded stretches. */
  #around(offset: number, into: Uint8Array): Gap[] {
    const gaps: Gap[] = [];
    const end = offset + into.length;
    let at = offset;
    for (let i = after(this.#excluded, at); at < end; i += 2) {
      const start = Math.min(end, Math.max(at, this.#excluded[i] ?? end));
      if (start > at) gaps.push(...this.readSync(at, into.subarray(at - offset, start - offset)));
      at = Math.min(end, this.#excluded[i + 1] ?? end);
      if (at === start) continue;
      into.fill(0, start - offset, at - offset);
      gaps.push({ offset: start, length: at - start, code: 'unreadable' });
    }
    return gaps;
  }

  /** Reads in ever smaller units and fills with zeros, and names, what does not come. */
  #patiently(offset: number, into: Uint8Array, level = 0): Gap[] {
    const unit = RETRY_UNITS[level];
    const gaps: Gap[] = [];
    for (let done = 0; done < into.length; ) {
      const at = offset + done;
      const length = Math.min(into.length - done, unit - (at % unit));
      const part = into.subarray(done, done + length);
      done += length;
      const got = this.#attempt(at, part);
      if (got === length) continue;
      part.fill(0, Math.max(0, got));
      if (got >= 0) gaps.push({ offset: at + got, length: length - got, code: 'past-end' });
      else if (level + 1 < RETRY_UNITS.length) gaps.push(...this.#patiently(at, part, level + 1));
      else {
        this.markBad(at, at + length);
        gaps.push({ offset: at, length, code: 'unreadable' });
      }
    }
    return gaps;
  }

  /** Bytes read until the end of the file, or −1 after an error. */
  #attempt(at: number, into: Uint8Array): number {
    let got = 0;
    try {
      while (got < into.length) {
        const n = fs.readSync(this.#fd, into, got, into.length - got, at + got);
        if (n === 0) return got;
        got += n;
      }
      return got;
    } catch {
      return -1;
    }
  }
}

/** Bytes of one direct read, at most: the largest sector. */
const DIRECT = 4096;
/** Buffers begin anywhere; devices want theirs at multiples of something between 1 and DIRECT. */
const SHIFT = 16;

/** Whether a stretch is a few whole sectors, as single reads on a failing device are. */
function isSectors(offset: number, length: number): boolean {
  return length > 0 && length <= DIRECT && offset % 512 === 0 && length % 512 === 0;
}

/** Reads past the page cache: through it, a bad sector of 512 bytes takes all of its page of 4 KiB with it. */
class DirectReads {
  readonly fd: number | undefined;
  readonly #buffer = new Uint8Array(2 * DIRECT);
  /** Where in the buffer the device is content to write, as far as is known. */
  #shift = 0;

  /** Opens what `fd` stands for once more. */
  constructor(fd: number) {
    const { O_RDONLY, O_DIRECT } = fs.constants;
    if (O_DIRECT === undefined) return;
    try {
      this.fd = fs.openSync(`/proc/self/fd/${fd}`, O_RDONLY | O_DIRECT);
    } catch {
      // Then it is read through the page cache like everything else.
    }
  }

  /** Bytes had before an error; undefined where the device takes no such reads. */
  async read(offset: number, into: Uint8Array): Promise<number | undefined> {
    for (; this.fd !== undefined && this.#shift < DIRECT; this.#shift += SHIFT) {
      const fd = this.fd;
      const got = await new Promise<number | undefined>((resolve) => {
        fs.read(fd, this.#buffer, this.#shift, into.length, offset, (error, bytes) => {
          if (error === null) resolve(bytes);
          else resolve(error.code === 'EINVAL' ? undefined : 0);
        });
      });
      if (got === undefined) continue;
      into.set(this.#buffer.subarray(this.#shift, this.#shift + got));
      return got;
    }
    return undefined;
  }

  close(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
  }
}

/** Index of the first of sorted stretches [start, end, …] that ends behind `at`. */
function after(stretches: readonly number[], at: number): number {
  let low = 0;
  let high = stretches.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[2 * middle + 1] <= at) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}

/** The first byte of [from, end) that lies in one of sorted stretches, or `end`. */
function firstOf(stretches: readonly number[], from: number, end: number): number {
  const i = after(stretches, from);
  return i < stretches.length ? Math.min(end, Math.max(from, stretches[i])) : end;
}

/**
 * The text of a file that lies beside evidence and explains it. Undefined where there is none, and where it is a link or no
 * regular file. Throws EvidenceError where it cannot be read or is larger than `limit` bytes.
 */
export function textBeside(path: string, limit: number): string | undefined {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    const { size } = fs.fstatSync(fd);
    if (size > limit) throw new Error(`it has ${size} bytes, more than the ${limit} that are taken`);
    return fs.readFileSync(fd, 'latin1');
  } catch (error) {
    throw new EvidenceError(`${path} cannot be read: ${reason(error)}.`);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** Looks at a path without opening it. Throws EvidenceError where it is no regular file and no block device. */
export function identify(path: string): Identity {
  let stat: fs.Stats;
  try {
    stat = fs.statSync(path);
  } catch (error) {
    throw new EvidenceError(`${path} cannot be used as evidence: ${reason(error)}.`);
  }
  if (stat.isBlockDevice()) {
    const size = blockDeviceSize(stat.rdev);
    return { path, size, device: stat.rdev, inode: 0, modified: 0, block: true };
  }
  if (stat.isFile()) {
    return { path, size: stat.size, device: stat.dev, inode: stat.ino, modified: stat.mtimeMs, block: false };
  }
  throw new EvidenceError(
    `${path} is neither a file nor a block device; give an image, a disk or a directory of them.`,
  );
}

/** Major and minor number of a device, split the way Linux packs them. */
export function deviceNumbers(rdev: number): [number, number] {
  const major = (Math.floor(rdev / 0x100) & 0xfff) + (Math.floor(rdev / 2 ** 44) & 0xfffff) * 0x1000;
  const minor = (rdev & 0xff) + (Math.floor(rdev / 2 ** 20) & 0xfff) * 0x100;
  return [major, minor];
}

/** Linux counts a device's size in sectors of 512 bytes, whatever its own sectors are. */
function blockDeviceSize(rdev: number): number {
  const [major, minor] = deviceNumbers(rdev);
  try {
    return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'latin1')) * 512;
  } catch (error) {
    throw new EvidenceError(`the size of block device ${major}:${minor} cannot be read: ${reason(error)}.`);
  }
}

function reason(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES' || code === 'EPERM')
    return process.getuid?.() === 0 ? 'permission denied' : 'permission denied; try as root';
  return error instanceof Error ? error.message : String(error);
}
