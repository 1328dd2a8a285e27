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

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
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
    for (let i = 0; i < this.#bad.length && at < stop; i += 2) {
      if (this.#bad[i + 1] <= at) continue;
      const start = Math.min(stop, Math.max(at, this.#bad[i]));
      if (start > at && !out.add(DATA, VERIFIED, start - at, this, at)) return at;
      at = start;
      const till = Math.min(stop, this.#bad[i + 1]);
      if (till > at && !out.add(MISSING, LOST, till - at, this, at, UNREADABLE)) return at;
      at = Math.max(at, till);
    }
    if (at < stop && !out.add(DATA, VERIFIED, stop - at, this, at)) return at;
    return Math.max(at, stop);
  }

  /** Enters a stretch that could not be read, so that from now on `runs` says so too. */
  markBad(from: number, end: number): void {
    let first = 0;
    while (first < this.#bad.length && this.#bad[first + 1] < from) first += 2;
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
    fs.closeSync(this.#fd);
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
