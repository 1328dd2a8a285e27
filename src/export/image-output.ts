/**
 * OUT and OUT.map of an image. The map never says more than what is safely in the output: its text is taken, then the
 * output is synced, then the text is written, synced and put in the place of the one before, in one step.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { formatMapfile, type StatusMap } from '../codec/mapfile.ts';
import { ExportError, writeError } from './error.ts';
import type { Sink } from './image-passes.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
const write = promisify(fs.write);
const read = promisify(fs.read);
const fdatasync = promisify(fs.fdatasync);
/** Zeros of this many bytes, at a multiple of it, are left as a hole. */
const PIECE = 64 * 1024;
const ZEROS = Buffer.alloc(PIECE);
/** Milliseconds between two saves, at least; and never more than a twentieth of the time goes into them. */
const SAVE_EVERY = 5000;
const SAVE_SHARE = 20;

export interface OutputOptions {
  /** The output holds what a run before this one wrote. */
  readonly before: boolean;
  /** Milliseconds between two saves while copying, at least. */
  readonly saveEvery?: number;
  /** Comments of the mapfile. */
  comments(): readonly string[];
}

export class ImageOutput implements Sink {
  readonly #file: string;
  readonly #fd: number;
  readonly #map: StatusMap;
  readonly #options: OutputOptions;
  #saving: Promise<void> | undefined;
  #failed: unknown;
  #lastSave = performance.now();
  #lastTook = 0;

  /** Makes `file`, or opens the one that is there and gives it its full size. */
  constructor(file: string, map: StatusMap, options: OutputOptions) {
    this.#file = file;
    this.#map = map;
    this.#options = options;
    // The map comes first: an output that a kill leaves without one could not be told from a stranger's file.
    if (!options.before) replace(`${file}.map`, formatMapfile(map, options.comments()));
    this.#fd = fs.openSync(file, (options.before ? 0 : O_CREAT | O_EXCL) | O_NOFOLLOW | O_RDWR, 0o600);
    if (fs.fstatSync(this.#fd).size < map.size) fs.ftruncateSync(this.#fd, map.size);
    syncDirectory(file);
  }

  /** Writes all that is not zero. */
  async put(at: number, bytes: Uint8Array): Promise<void> {
    try {
      let start = 0;
      for (let i = 0; i < bytes.length; ) {
        const end = Math.min(bytes.length, i + PIECE - ((at + i) % PIECE));
        if (isZero(bytes.subarray(i, end)) && (!this.#options.before || (await this.#isHole(at + i, end - i)))) {
          await this.#write(at + start, bytes.subarray(start, i));
          start = end;
        }
        i = end;
      }
      await this.#write(at + start, bytes.subarray(start));
    } catch (error) {
      throw writeError(this.#file, error);
    }
  }

  /** Saves the map, if that was not done a moment ago, while the copying goes on. */
  saveNowAndThen(): void {
    if (this.#failed !== undefined) throw this.#failed;
    const due = Math.max(this.#options.saveEvery ?? SAVE_EVERY, SAVE_SHARE * this.#lastTook);
    if (this.#saving !== undefined || performance.now() - this.#lastSave < due) return;
    this.#saving = this.#save()
      .catch((error: unknown) => {
        this.#failed = error;
      })
      .finally(() => {
        this.#saving = undefined;
      });
  }

  /** Saves the map as it is now. Nothing is saved after a sync that failed: what was lost then is not known. */
  async save(): Promise<void> {
    await this.#saving;
    if (this.#failed !== undefined) throw this.#failed;
    try {
      await this.#save();
    } catch (error) {
      this.#failed = error;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#saving;
    fs.closeSync(this.#fd);
  }

  async #save(): Promise<void> {
    const started = performance.now();
    try {
      const text = formatMapfile(this.#map, this.#options.comments());
      await fdatasync(this.#fd);
      replace(`${this.#file}.map`, text);
    } catch (error) {
      throw writeError(this.#file, error);
    } finally {
      this.#lastSave = performance.now();
      this.#lastTook = this.#lastSave - started;
    }
  }

  async #write(at: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await write(this.#fd, bytes, done, bytes.length - done, at + done)).bytesWritten;
    }
  }

  /** Whether zeros stand there already: a run before may have written something, and ended before it was noted. */
  async #isHole(at: number, length: number): Promise<boolean> {
    const there = Buffer.alloc(length);
    const { bytesRead } = await read(this.#fd, there, 0, length, at);
    return bytesRead === length && isZero(there);
  }
}

/** Puts a text in the place of a file of ours, so that at every moment one of the two is there whole. */
export function replace(file: string, text: string): void {
  const part = `${file}.part`;
  const stat = fs.lstatSync(part, { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isFile()) {
    throw new ExportError('exists', `${part} is there and is no file of ours. Move it away and run the command again.`);
  }
  const fd = fs.openSync(part, O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY, 0o644);
  try {
    fs.writeFileSync(fd, text);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(part, file);
  syncDirectory(file);
}

/** A name is safe once the directory is. Not all file systems can be asked for that. */
function syncDirectory(file: string): void {
  const fd = fs.openSync(path.dirname(file), fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(fd);
  } catch {
    // The bytes and the map are synced; what is left is up to the file system.
  } finally {
    fs.closeSync(fd);
  }
}

function isZero(bytes: Uint8Array): boolean {
  return ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}
