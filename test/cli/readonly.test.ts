/** The proof that evidence is only read: every command under strace, and read errors that strace makes. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeImages } from '../make/images.ts';
import { small5 } from '../make/stores.ts';
import { build, LAUNCHER, type Outcome, outcome } from './salvor.ts';
import { TRACED, violations } from './strace.ts';

const absent = spawnSync('strace', ['-V']).status === 0 ? '' : ' (strace is not installed)';
const CI = process.env.CI === 'true';
let dir = '';
let image = '';

beforeAll(async () => {
  build();
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'salvor-readonly-')));
  [image] = await writeImages(small5(), dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Runs salvor under strace; `options` are strace's. */
function traced(options: readonly string[], ...args: string[]): Promise<Outcome> {
  const command = ['-f', '-y', '-o', join(dir, 'trace'), ...options, process.execPath, LAUNCHER, ...args];
  return outcome(spawn('strace', command, { stdio: ['ignore', 'pipe', 'pipe'] }), 110_000);
}

function trace(): string[] {
  return readFileSync(join(dir, 'trace'), 'utf8').split('\n');
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Folders like those in which Linux describes a disk, with the image in the place of the disk. */
function sysroot(): string {
  const root = join(dir, 'root');
  mkdirSync(join(root, 'sys/block/sdx'), { recursive: true });
  mkdirSync(join(root, 'dev'), { recursive: true });
  writeFileSync(join(root, 'sys/block/sdx/size'), String(statSync(image).size / 512));
  symlinkSync(image, join(root, 'dev/sdx'));
  return root;
}

describe('the checker itself', () => {
  const evidence = '/e/disk.img';
  const good = [
    '12 openat(AT_FDCWD</w>, "/e/disk.img", O_RDONLY|O_NOCTTY|O_CLOEXEC) = 20</e/disk.img>',
    '12 openat(AT_FDCWD</w>, "/e/other", O_RDWR|O_CREAT, 0666) = 21</e/other>',
    '12 write(1<pipe:[1]>, "/e/disk.img, 4 GiB", 18) = 18',
    '12 fcntl(20</e/disk.img>, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)',
    '12 ioctl(20</e/disk.img>, BLKGETSIZE64, [4096]) = 0',
    '12 io_uring_setup(256, {flags=0x10000 /* IORING_SETUP_??? */, sq_thread_cpu=0}) = 4',
  ];
  const bad = [
    '12 openat(AT_FDCWD</w>, "/e/disk.img", O_RDWR|O_CLOEXEC) = 20</e/disk.img>',
    '12 openat(3</e>, "disk.img", O_WRONLY) = 20</e/disk.img>',
    '12 openat(AT_FDCWD</w>, "/e/disk.img", O_RDONLY|O_TRUNC) = -1 EACCES (Permission denied)',
    '12 creat("/e/disk.img", 0666) = 20</e/disk.img>',
    '12 flock(20</e/disk.img>, LOCK_EX) = 0',
    '12 fcntl(20</e/disk.img>, F_SETLK, {l_type=F_RDLCK}) = 0',
    '12 ioctl(20</e/disk.img>, BLKDISCARD, [0, 4096]) = 0',
    '12 write(20</e/disk.img>, "x", 1) = 1',
    '12 pwrite64(20</e/disk.img>, "x", 1, 0 <unfinished ...>',
    '12 ftruncate(20</e/disk.img>, 0) = 0',
    '12 utimensat(AT_FDCWD</w>, "/e/disk.img", NULL, 0) = 0',
    '12 renameat2(AT_FDCWD</w>, "/e/x", AT_FDCWD</w>, "/e/disk.img", 0) = 0',
    '12 io_uring_setup(64, {flags=IORING_SETUP_SQPOLL, sq_thread_cpu=0}) = 5',
  ];

  test('lets reading pass', () => expect(violations(good, evidence)).toEqual([]));
  test.each(bad)('finds %s', (line) => expect(violations([...good, line], evidence)).toEqual([line]));
  test('sees that nothing was traced at all', () => {
    expect(violations([good[2]], evidence)).toEqual([`${evidence} was never opened`]);
  });
});

if (CI && absent !== '') test('strace is here, as CI=true demands', () => expect(absent).toBe(''));

describe.skipIf(absent !== '')(`under strace${absent}`, () => {
  const commands: readonly (readonly [string, ...string[]])[] = [
    ['inspect', ''],
    ['ls', '::/kinds'],
    ['tree', '', '--damaged'],
    ['stat', '::/web05/web05.vmdk::vmdk@4096'],
    ['find', '', '--name', '*.vmx'],
    ['cat', '::/kinds/blocks'],
    ['map', '::/web05/web05.vmdk::vmdk', '--json'],
  ];

  test('no command does anything to the evidence but read it', async () => {
    const before = { sha256: await sha256(image), modified: statSync(image).mtimeMs, mode: statSync(image).mode };
    for (const [command, inner, ...options] of commands) {
      const { code, err } = await traced(['-e', TRACED], command, `${image}${inner}`, ...options);
      expect({ command, code, err }).toEqual({ command, code: 0, err: '' });
      expect({ command, violations: violations(trace(), image) }).toEqual({ command, violations: [] });
    }
    const copy = 'nbdcopy "$uri" null: || true';
    await traced(['-e', TRACED], 'nbd', `${image}::/web05/web05.vmdk`, '--run', copy);
    expect({ command: 'nbd', violations: violations(trace(), image) }).toEqual({ command: 'nbd', violations: [] });
    const { code, out } = await traced(['-e', TRACED], 'devices', '--sysroot', sysroot());
    expect({ code, found: out.includes('VMFS5 file system "Small VMFS5"') }).toEqual({ code: 0, found: true });
    expect(violations(trace(), image)).toEqual([]);
    const after = { sha256: await sha256(image), modified: statSync(image).mtimeMs, mode: statSync(image).mode };
    expect(after).toEqual(before);
  });

  test('the disks of this host are opened for reading only', async () => {
    await traced(['-e', TRACED], 'devices');
    const opened = trace().filter((line) => /open(at)?\(.*"\/dev\/(?!null|tty|u?random|pts)/.test(line));
    for (const line of opened) expect(line).toMatch(/O_RDONLY/);
    expect(opened.filter((line) => /O_WRONLY|O_RDWR|O_TRUNC|O_CREAT/.test(line))).toEqual([]);
  });

  test('a disk with read errors: cat goes on, names the gaps, ends with 1, and all else is exact', async () => {
    // Reads of up to 256 KiB are made by the main thread; strace counts the calls of each thread by itself.
    const length = 256 << 10;
    const args = ['cat', `${image}::/kinds/wrapped`, '--length', String(length)];
    const reads = ['-f', '-o', join(dir, 'trace'), '-P', image, '-e', 'trace=pread64'];
    const sound = bytesOf(args, reads);
    expect([sound.code, sound.bytes.length]).toEqual([0, length]);
    const calls = trace().filter((line) => line.includes('pread64('));
    const last = calls[calls.length - 1];
    expect(last).toContain(`, ${length}, `);
    const first = calls.filter((line) => line.startsWith(`${last.split(' ')[0]} `)).length;
    const hurt = bytesOf(args, [...reads, '-e', `inject=pread64:error=EIO:when=${first}..${first + 150}`]);
    expect([hurt.code, hurt.bytes.length]).toEqual([1, length]);
    const lines = hurt.err.trimEnd().split('\n');
    const expected = Buffer.from(sound.bytes);
    let lost = 0;
    for (const line of lines) {
      const gap = /wrapped@(\d+): (\d+) bytes are missing \(unreadable\); zeros stand in their place\.$/.exec(line)!;
      expected.fill(0, Number(gap[1]), Number(gap[1]) + Number(gap[2]));
      lost += Number(gap[2]);
    }
    // 151 failures: the read itself, then 64 KiB in reads of 64 KiB, 4 KiB and 512 bytes, then a few more sectors.
    expect(lost).toBeGreaterThan(65536);
    expect(lost).toBeLessThan(65536 + 4096);
    expect(hurt.bytes.equals(expected)).toBe(true);
    expect(hurt.bytes.equals(sound.bytes)).toBe(false);
  });

  test('read errors in all metadata: a sentence, no abort, no fault of the program', async () => {
    for (const command of ['inspect', 'ls', 'tree', 'stat', 'find']) {
      const faults = ['-P', image, '-e', 'inject=pread64:error=EIO:when=1+'];
      const { code, err } = await traced(['-e', 'trace=pread64', ...faults], command, image);
      expect(err).not.toContain('fault of the program');
      expect([0, 1, 3]).toContain(code);
    }
  });
});

/** Standard output as bytes, under strace. */
function bytesOf(
  args: readonly string[],
  strace: readonly string[],
): { code: number | null; bytes: Buffer; err: string } {
  const done = spawnSync('strace', [...strace, process.execPath, LAUNCHER, ...args], { maxBuffer: 1 << 28 });
  return { code: done.status, bytes: done.stdout, err: done.stderr.toString() };
}
