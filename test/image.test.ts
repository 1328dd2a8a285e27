/** salvor image, through the program: failing devices, kills, refusals, and work shared with GNU ddrescue. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blake3 } from '../src/codec/blake3.ts';
import { parseMapfile, StatusMap } from '../src/codec/mapfile.ts';
import { CHUNK, treeOf } from '../src/codec/tree-hash.ts';
import { checkSpace } from '../src/export/image-past.ts';
import { build, json, LAUNCHER, type Outcome, outcome, salvor } from './cli/salvor.ts';
import { TRACED, violations } from './cli/strace.ts';

const MIB = 1024 * 1024;
const noStrace = spawnSync('strace', ['-V']).status === 0 ? '' : ' (strace is not installed)';
const noDdrescue = spawnSync('ddrescue', ['-V']).status === 0 ? '' : ' (ddrescue is not installed)';
let dir = '';
const at = (name: string): string => path.join(dir, name);

beforeAll(() => {
  build();
  dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-image-cli-')));
  fs.writeFileSync(at('disk'), Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(2 * MIB), randomBytes(MIB + 99)]));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

if (process.env.CI === 'true') test('the peers are here', () => expect(noStrace + noDdrescue).toBe(''));

/** Runs salvor under strace. Reads come from one thread, so that strace counts them all in one. */
function traced(options: readonly string[], ...args: string[]): ChildProcess {
  const command = ['-f', '-y', '-o', at('trace'), ...options, process.execPath, LAUNCHER, ...args];
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  return spawn('strace', command, { stdio: ['ignore', 'pipe', 'pipe'], env, detached: true });
}

const FAULTS = (when: string): string[] => ['-P', at('disk'), '-e', 'trace=pread64', '-e', `inject=pread64:${when}`];

function statuses(file: string): string[] {
  const map = parseMapfile(fs.readFileSync(file, 'latin1'));
  return [...map.blocks()].map((block) => `${block.at}-${block.end} ${block.status}`);
}

function same(a: string, b: string): boolean {
  return fs.readFileSync(a).equals(fs.readFileSync(b));
}

describe('a sound device', () => {
  test('the image is the device, holes are holes, and the proof is right', async () => {
    const report = await json<Record<string, unknown>>('image', at('disk'), at('sound'), '--sha256');
    expect(same(at('disk'), at('sound'))).toBe(true);
    const bytes = fs.readFileSync(at('disk'));
    const leaves = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, i) =>
      blake3(bytes.subarray(i * CHUNK, (i + 1) * CHUNK)),
    );
    expect(report).toMatchObject({
      had: bytes.length,
      lost: 0,
      tree: treeOf(bytes.length, leaves),
      sha256: createHash('sha256').update(bytes).digest('hex'),
      device: { path: at('disk'), size: bytes.length, inode: fs.statSync(at('disk')).ino },
    });
    expect(JSON.parse(fs.readFileSync(at('sound.json'), 'utf8'))).toEqual(report);
    expect(fs.statSync(at('sound')).blocks * 512).toBeLessThan(6.5 * MIB);
    expect(fs.readdirSync(dir).filter((name) => /part|lock/.test(name))).toEqual([]);
    const again = await salvor('image', at('disk'), at('sound'));
    expect([again.code, again.err]).toEqual([0, '']);
  });

  test('an empty file has an empty image', async () => {
    fs.writeFileSync(at('empty'), '');
    expect((await salvor('image', at('empty'), at('empty.out'))).code).toBe(0);
    expect(fs.statSync(at('empty.out')).size).toBe(0);
  });
});

describe.skipIf(noStrace !== '')(`under strace${noStrace}`, () => {
  test('the device is only read', async () => {
    const done = await outcome(traced(['-e', TRACED], 'image', at('disk'), at('traced')));
    expect([done.code, done.err]).toEqual([0, '']);
    const lines = fs.readFileSync(at('trace'), 'utf8').split('\n');
    expect(violations(lines, at('disk'))).toEqual([]);
  });

  test('a device that dies: all before is had, the rest is named; once it lives again the same command goes on', async () => {
    const dead = traced(FAULTS('error=EIO:when=4+'), 'image', at('disk'), at('dead'), '--retries', '0');
    const done = await outcome(dead);
    expect(done.code).toBe(1);
    const size = fs.statSync(at('disk')).size;
    expect(done.out).toContain(`in 1 range could not be read.`);
    expect(statuses(at('dead.map'))).toEqual([`0-${3 * MIB} +`, `${3 * MIB}-${size} -`]);
    expect(JSON.parse(fs.readFileSync(at('dead.json'), 'utf8'))).toMatchObject({ had: 3 * MIB, lost: size - 3 * MIB });
    const healed = await salvor('image', at('disk'), at('dead'));
    expect([healed.code, healed.err]).toEqual([0, '']);
    expect(statuses(at('dead.map'))).toEqual([`0-${size} +`]);
    expect(same(at('disk'), at('dead'))).toBe(true);
  });

  test('errors that pass: splitting and one retry bring everything', async () => {
    const child = traced(FAULTS('error=EIO:when=2..40'), 'image', at('disk'), at('passing'));
    expect((await outcome(child)).code).toBe(0);
    expect(same(at('disk'), at('passing'))).toBe(true);
  });

  test('Ctrl-C ends between two reads with 130 and a true map, and the same command goes on', async () => {
    const child = traced(FAULTS('delay_enter=300000'), 'image', at('disk'), at('stopped'));
    const done = outcome(child);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    process.kill(-child.pid!, 'SIGINT');
    const { code, err } = await done;
    expect([code, err]).toEqual([
      130,
      'salvor: Interrupted. What is done so far stays; the same command goes on from there.\n',
    ]);
    const map = parseMapfile(fs.readFileSync(at('stopped.map'), 'latin1'));
    expect(map.bytes('+')).toBeGreaterThan(0);
    expect(map.bytes('+')).toBeLessThan(map.size);
    expect(fs.existsSync(at('stopped.json'))).toBe(false);
    expect((await salvor('image', at('disk'), at('stopped'))).code).toBe(0);
    expect(same(at('disk'), at('stopped'))).toBe(true);
  });

  test('a disk that is full: a sentence, a true map, and the same command goes on', async () => {
    const fault = ['-P', at('full'), '-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=ENOSPC:when=3+'];
    refused(await outcome(traced(fault, 'image', at('disk'), at('full'))), 'could not be written: the disk is full');
    expect(statuses(at('full.map'))[0]).toBe(`0-${2 * MIB} +`);
    expect((await salvor('image', at('disk'), at('full'))).code).toBe(0);
    expect(same(at('disk'), at('full'))).toBe(true);
  });

  test('a sync that fails: nothing is called had that may be lost', async () => {
    const fault = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO:when=1'];
    refused(await outcome(traced(fault, 'image', at('disk'), at('unsynced'))), 'the device answered with an error');
    expect(statuses(at('unsynced.map'))).toEqual([`0-${fs.statSync(at('disk')).size} ?`]);
    expect(fs.existsSync(at('unsynced.json'))).toBe(false);
  });

  test('a block device: single sectors are read past the page cache, whose pages are larger', async (context) => {
    fs.writeFileSync(at('backing'), randomBytes(4 * MIB));
    const made = spawnSync('losetup', ['-f', '--show', '-r', at('backing')], { encoding: 'utf8' });
    if (made.status !== 0) context.skip('no loop device can be made here');
    const device = made.stdout.trim();
    try {
      const fault = ['-P', device, '-e', 'trace=pread64,openat', '-e', 'inject=pread64:error=EIO:when=3..12'];
      const { code } = await outcome(traced(fault, 'image', device, at('block'), '--retries', '0'));
      expect(code).toBe(1);
      const lines = fs.readFileSync(at('trace'), 'utf8').split('\n');
      const flags = lines.filter((line) => line.includes('openat('));
      for (const line of flags) expect(line).toMatch(/O_RDONLY/);
      const had = parseMapfile(fs.readFileSync(at('block.map'), 'latin1'));
      const there = fs.readFileSync(at('block'));
      const bytes = fs.readFileSync(at('backing'));
      for (const { at: from, end, status } of had.blocks()) {
        expect([status, from % 512, end % 512]).toEqual([status === '-' ? '-' : '+', 0, 0]);
        if (status === '+') expect(there.subarray(from, end).equals(bytes.subarray(from, end))).toBe(true);
      }
      expect(had.bytes('-')).toBeGreaterThan(0);
      expect(had.bytes('-')).toBeLessThan(12 * 512);
      expect((await salvor('image', device, at('block'))).code).toBe(0);
      expect(same(at('backing'), at('block'))).toBe(true);
    } finally {
      spawnSync('losetup', ['-d', device]);
    }
  });

  test.skipIf(noDdrescue !== '')(`ddrescue goes on with our map, and we with its${noDdrescue}`, async () => {
    const child = traced(FAULTS('error=EIO:when=4+'), 'image', at('disk'), at('ours'), '--retries', '0');
    expect((await outcome(child)).code).toBe(1);
    expect(spawnSync('ddrescuelog', ['-t', at('ours.map')]).status).toBe(0);
    expect(spawnSync('ddrescue', ['-q', '-r1', at('disk'), at('ours'), at('ours.map')]).status).toBe(0);
    expect(same(at('disk'), at('ours'))).toBe(true);
    expect((await salvor('image', at('disk'), at('ours'))).code).toBe(0);
    // ddrescue's own beginning: two MiB somewhere, an output that ends there, and a map of all.
    const part = ['-q', '-i', String(MIB), '-s', String(2 * MIB), at('disk'), at('theirs'), at('theirs.map')];
    expect(spawnSync('ddrescue', part).status).toBe(0);
    expect(fs.statSync(at('theirs')).size).toBe(3 * MIB);
    expect((await salvor('image', at('disk'), at('theirs'))).code).toBe(0);
    expect(same(at('disk'), at('theirs'))).toBe(true);
  });
});

/** When a process started, as /proc says. */
function startOf(pid: number): string {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** One sentence on standard error, exit code 2. */
function refused({ code, err }: Outcome, said: string): void {
  expect([code, err.trimEnd().split('\n').length]).toEqual([2, 1]);
  expect(err).toMatch(/^salvor: .*\.\n$/);
  expect(err).not.toContain('fault of the program');
  expect(err).toContain(said);
}

describe('refusals', () => {
  const mapText = (size: number, status: string): string => `0 ? 1\n0 ${size} ${status}\n`;

  test('an output that has no map, and one that is the device, under any name', async () => {
    fs.writeFileSync(at('mine'), 'mine');
    refused(await salvor('image', at('disk'), at('mine')), 'is there and has no map beside it');
    expect(fs.readFileSync(at('mine'), 'utf8')).toBe('mine');
    refused(await salvor('image', at('disk'), at('disk')), 'which is evidence and is never written to');
    fs.linkSync(at('disk'), at('linked.json'));
    refused(await salvor('image', at('disk'), at('linked')), 'which is evidence and is never written to');
    fs.symlinkSync(at('disk'), at('soft'));
    refused(await salvor('image', at('disk'), at('soft')), 'is no regular file');
    refused(await salvor('image', at('disk'), at('no/where')), 'does not exist. Make it');
    refused(await salvor('image', at('nothing'), at('x')), 'there is no such file');
  });

  test('a map of another device, by its size or by its bytes; a map without its image; no map at all', async () => {
    const size = fs.statSync(at('disk')).size;
    fs.writeFileSync(at('other.map'), mapText(size + 512, '?'));
    refused(await salvor('image', at('disk'), at('other')), `speaks of ${size + 512} bytes, the device has ${size}`);
    fs.writeFileSync(at('bytes'), Buffer.alloc(size, 1));
    fs.writeFileSync(at('bytes.map'), mapText(size, '+'));
    refused(await salvor('image', at('disk'), at('bytes')), 'holds other bytes at');
    fs.writeFileSync(at('gone.map'), mapText(size, '+'));
    refused(await salvor('image', at('disk'), at('gone')), 'is not there, but');
    fs.writeFileSync(at('short'), 'short');
    fs.writeFileSync(at('short.map'), mapText(size, '+'));
    refused(await salvor('image', at('disk'), at('short')), 'its map says that it holds');
    fs.writeFileSync(at('text'), '');
    fs.writeFileSync(at('text.map'), 'nonsense');
    refused(await salvor('image', at('disk'), at('text')), 'is no mapfile: line 1');
    fs.writeFileSync(at('proof.json'), '{}');
    refused(await salvor('image', at('disk'), at('proof')), 'does not belong to an image that goes on');
  });

  test('a file that may not grow so large: a sentence, and later the same command goes on', async () => {
    const command = `trap '' XFSZ; ulimit -f 2000; exec "$0" "$@"`;
    const args = ['-c', command, process.execPath, LAUNCHER, 'image', at('disk'), at('limited')];
    const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    refused(await outcome(child), 'the file is larger than its file system allows');
    expect((await salvor('image', at('disk'), at('limited'))).code).toBe(0);
    expect(same(at('disk'), at('limited'))).toBe(true);
  });

  test('two at once: the second one is refused', async () => {
    fs.writeFileSync(at('busy.lock'), `${process.pid} ${startOf(process.pid)}\n`);
    refused(await salvor('image', at('disk'), at('busy')), `is being written to by process ${process.pid}`);
    fs.writeFileSync(at('busy.lock'), `${process.pid} 1\n`); // a process of that number, but not that one
    expect((await salvor('image', at('disk'), at('busy'))).code).toBe(0);
  });

  test('more than the disk can take', () => {
    const { bavail, bsize } = fs.statfsSync(dir);
    const size = 2 * bavail * bsize;
    const device = { path: '/dev/vast', size, device: 1, inode: 0, modified: 0, block: true };
    expect(() => checkSpace(at('vast'), device, new StatusMap(size))).toThrow(
      /needs \d+ bytes more and has \d+ free\. Make/,
    );
    const almost = new StatusMap(size);
    almost.set(0, size - 512, '+');
    checkSpace(at('vast'), device, almost); // what an earlier run has counts no more
  });

  test.each([
    ['--retries', 'many'],
    ['--skip-size', '5'],
  ])('%s %s is a wrong call that is explained', async (option, value) => {
    const { code, err } = await salvor('image', at('disk'), at('y'), option, value);
    expect(code).toBe(2);
    expect(err).toMatch(/^error: option .* is invalid\. .*\.\n/);
  });
});
