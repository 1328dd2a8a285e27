/** Where the benchmark keeps its images: one directory on the disk under test, gone in the end whatever happens. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeImages } from '../test/make/images.ts';
import type { Content, Made } from '../test/make/types.ts';

const GIB = 1024 ** 3;
const BLOCK = 4 * 1024 * 1024;

export class Workplace {
  readonly dir: string;
  readonly #mounts = new Set<string>();
  readonly #apart = new Set<string>();

  /** Makes the directory below `base`. Throws where less than `gib` GiB are free. */
  constructor(gib: number, base: string = process.env.SALVOR_BENCH_DIR ?? tmpdir()) {
    const { bavail, bsize } = statfsSync(base);
    if (bavail * bsize < gib * GIB) {
      const free = ((bavail * bsize) / GIB).toFixed(1);
      throw new Error(`${base} has ${free} GiB free and ${gib} are needed; name another place with SALVOR_BENCH_DIR.`);
    }
    this.dir = mkdtempSync(join(base, 'salvor-bench-'));
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** A directory in memory, for files larger than a disk's file system allows; undefined where there is none. */
  inMemory(): string | undefined {
    try {
      const dir = mkdtempSync('/dev/shm/salvor-bench-');
      this.#apart.add(dir);
      return dir;
    } catch {
      return undefined;
    }
  }

  images(made: Made): Promise<string[]> {
    return writeImages(made, this.dir);
  }

  /** Writes a content as a plain file, without holes. */
  plain(name: string, content: Content): string {
    const path = this.path(name);
    const fd = openSync(path, 'wx');
    try {
      for (let at = 0; at < content.size; at += BLOCK) {
        writeSync(fd, content.read(at, Math.min(BLOCK, content.size - at)));
      }
    } finally {
      closeSync(fd);
    }
    return path;
  }

  /** Mounts images with a FUSE peer; answers the directory. */
  mount(program: string, images: readonly string[]): string {
    const point = this.path(`mnt-${program}`);
    mkdirSync(point, { recursive: true });
    const done = spawnSync(program, [...images, point], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${program} could not mount: ${done.stderr}`);
    this.#mounts.add(point);
    return point;
  }

  unmount(point: string): void {
    const fuser = spawnSync('sh', ['-c', 'command -v fusermount3']).status === 0 ? 'fusermount3' : 'fusermount';
    const done = spawnSync(fuser, ['-u', point], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${point} could not be unmounted: ${done.stderr}`);
    this.#mounts.delete(point);
  }

  remove(...names: readonly string[]): void {
    for (const name of names) rmSync(name, { recursive: true, force: true });
  }

  /** Unmounts and removes everything. */
  clear(): void {
    for (const point of this.#mounts) this.unmount(point);
    this.remove(this.dir, ...this.#apart);
  }
}

/** Writes back what is dirty, so that one run does not pay for the one before. */
export function settle(): void {
  spawnSync('sync');
}
