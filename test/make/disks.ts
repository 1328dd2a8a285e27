/** Disks that qemu-img writes, as bytes: an independent hand for every kind of VMDK that it knows. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dice, seeded } from './content.ts';

const GRAIN = 65536;

/** Why disks cannot be made here, or undefined where they can. */
export const qemuAbsent: string | undefined =
  spawnSync('qemu-img', ['--version']).status === 0 ? undefined : 'qemu-img is not there';

export function qemu(program: 'qemu-img' | 'qemu-io', args: readonly string[]): string {
  const done = spawnSync(program, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** Runs `work` with a folder of its own, which is gone afterwards; answers all files that are left in it. */
export function files(work: (dir: string) => void): Record<string, Uint8Array> {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-disks-'));
  try {
    work(dir);
    return Object.fromEntries(readdirSync(dir).map((name) => [name, new Uint8Array(readFileSync(join(dir, name)))]));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A raw disk: about `fill` of its 64 KiB grains hold something, some of it easy to compress, in stretches. */
export function rawDisk(bytes: number, seed: number, fill = 0.4): Uint8Array {
  const out = new Uint8Array(bytes);
  const roll = dice(seed);
  let isData = true;
  for (let at = 0; at < bytes; ) {
    const length = Math.min(bytes - at, (1 + roll(isData ? 12 : Math.ceil(12 * (1 / fill - 1)))) * GRAIN);
    if (isData) {
      const part = seeded(seed ^ at, length).read(0, length);
      if (roll(2) === 0) for (let i = 0; i < length; i++) part[i] &= 0x13;
      out.set(part, at);
    }
    at += length;
    isData = !isData;
  }
  return out;
}

/** One disk in one subformat of VMDK; its files by name, the descriptor or the disk itself is `d.vmdk`. */
export function converted(raw: Uint8Array, subformat: string, more = ''): Record<string, Uint8Array> {
  return files((dir) => {
    const from = join(dir, 'raw');
    writeFileSync(from, raw);
    const options = `subformat=${subformat}${more}`;
    qemu('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', '-o', options, from, join(dir, 'd.vmdk')]);
    rmSync(from);
  });
}
