import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blake3 } from '../src/codec/blake3.ts';
import { CHUNK, TreeHash } from '../src/codec/tree-hash.ts';
import { FileSource } from '../src/core/evidence.ts';
import { data, missing, segments, zeros } from '../src/core/map-source.ts';
import { MemorySource } from '../src/core/memory.ts';
import type { Node } from '../src/core/node.ts';
import { INFERRED, STATED } from '../src/core/run.ts';
import type { Source } from '../src/core/source.ts';
import { PATTERN } from '../src/export/chunk.ts';
import { Copy } from '../src/export/copy.ts';
import { globs } from '../src/export/glob.ts';
import { verify } from '../src/export/index.ts';
import { Journal, readJournal } from '../src/export/journal.ts';
import { type FileEntry, writeManifest } from '../src/export/manifest.ts';
import { Meter } from '../src/export/meter.ts';
import { Names } from '../src/export/names.ts';
import type { RecoverOptions } from '../src/export/options.ts';
import { linkIsSafe } from '../src/export/output.ts';
import { checkPlace, devicesBelow } from '../src/export/place.ts';
import { Threads } from '../src/export/threads.ts';

const MIB = 1024 * 1024;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-copy-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

const out = (name: string): string => path.join(dir, 'out', name);

function file(name: string, source?: Source, more: Partial<Node> = {}): Node {
  const node = {
    name,
    rawName: name,
    locator: `x::${name}`,
    kind: 'file',
    state: 'live',
    facts: {},
    damage: [],
  } as const;
  return { ...node, ...(source && { bytes: async () => source }), ...more };
}

/** Copies nodes into DIR/out and answers their entries. */
async function copy(nodes: readonly Node[], more: Partial<RecoverOptions> = {}): Promise<FileEntry[]> {
  fs.mkdirSync(path.join(dir, 'out/.salvor'), { recursive: true });
  const past = readJournal(path.join(dir, 'out'));
  const journal = new Journal(path.join(dir, 'out'), past, { schema: 1, command: [], evidence: [], options: {} });
  const threads = new Threads();
  const base = { out: dir, fill: 'zero', sha256: false, symlinks: 'text', system: false, command: [] } as const;
  const options: RecoverOptions = { ...base, signal: new AbortController().signal, ...more };
  const meter = new Meter(undefined);
  const copying = new Copy({ dir: path.join(dir, 'out'), options, threads, journal, past, meter });
  try {
    for (const node of nodes) await copying.item({ node, path: node.rawName, renamed: false });
    await copying.finish();
    return copying.entries;
  } finally {
    await copying.settle();
    await threads.close();
    journal.close();
  }
}

function evidence(bytes: Uint8Array): FileSource {
  const name = path.join(dir, `evidence-${fs.readdirSync(dir).length}`);
  fs.writeFileSync(name, bytes);
  return new FileSource(name);
}

describe('gaps', () => {
  const bytes = randomBytes(3 * CHUNK);
  const gap = { what: 'a lost member', code: 'member-missing' };
  const doubt = { what: 'a stale table', code: 'stale' };

  function holed(from: Source): Source {
    return segments([
      data(from, 0, 1000, STATED),
      missing(3000, gap),
      data(from, 4000, CHUNK, INFERRED, doubt),
      zeros(2 * CHUNK, STATED),
      missing(100, gap),
    ]);
  }

  it('take no room where they are larger than any disk', async () => {
    const lost = 2 ** 42;
    const source = segments([data(evidence(bytes), 0, 1000, STATED), missing(lost, gap)]);
    const [entry] = await copy([file('huge', source)], { fill: 'zero' });
    expect(entry).toMatchObject({ size: lost + 1000, gaps: [[1000, lost]], certainty: { worst: 'missing' } });
    expect(fs.statSync(out('huge')).size).toBe(lost + 1000);
    expect(fs.statSync(out('huge')).blocks * 512).toBeLessThan(3 * CHUNK);
  });

  for (const where of ['a file', 'memory'] as const) {
    for (const fill of ['zero', 'pattern', 'skip'] as const) {
      it(`are named, and filled with ${fill}, when the bytes lie in ${where}`, async () => {
        const from = where === 'a file' ? evidence(bytes) : new MemorySource(bytes);
        const source = holed(from);
        const [entry] = await copy([file('f', source)], { fill });
        const tail = 4000 + 3 * CHUNK;
        expect(entry.gaps).toEqual([[1000, 3000], [tail, 100]]); // biome-ignore format: one line reads best
        expect(entry.certainty.worst).toBe('missing');
        expect(entry.certainty.bytes).toEqual({
          verified: 0,
          stated: 1000 + 2 * CHUNK,
          inferred: CHUNK,
          guessed: 0,
          missing: 3100,
        });
        expect(entry.reasons).toEqual([{ code: 'member-missing', bytes: 3100 }, { code: 'stale', bytes: CHUNK }]); // biome-ignore format: one line reads best
        const expected = Buffer.alloc(tail + 100);
        bytes.copy(expected, 0, 0, 1000);
        bytes.copy(expected, 4000, 4000, 4000 + CHUNK);
        if (fill === 'pattern') {
          for (let i = 1000; i < 4000; i++) expected[i] = PATTERN[i % PATTERN.length];
          for (let i = tail; i < tail + 100; i++) expected[i] = PATTERN[i % PATTERN.length];
        }
        expect(fs.readFileSync(out('f')).equals(expected)).toBe(true);
        const tree = new TreeHash(expected.length);
        for (let at = 0; at < expected.length; at += CHUNK)
          tree.leaf(at / CHUNK, blake3(expected.subarray(at, at + CHUNK)));
        expect(entry.tree).toBe(tree.root());
        const onDisk = fs.statSync(out('f')).blocks * 512;
        expect(onDisk).toBeLessThan(CHUNK + 32_768);
      });
    }
  }

  it('that show only while reading are in the manifest all the same', async () => {
    const whole = randomBytes(80 * MIB);
    const small = evidence(whole.subarray(0, 9 * MIB));
    const large = evidence(whole);
    fs.truncateSync(small.path, 6 * MIB + 100); // shrinks after it was opened: reads there fail
    fs.truncateSync(large.path, 70 * MIB);
    const entries = await copy([
      file('small', small),
      file('large', large),
      file('fine', evidence(whole.subarray(0, 10))),
    ]);
    expect(entries[0].gaps).toEqual([[6 * MIB + 100, 3 * MIB - 100]]);
    expect(entries[1].gaps).toEqual([[70 * MIB, 10 * MIB]]);
    expect(entries[1].certainty.bytes.missing).toBe(10 * MIB);
    expect(entries[2].certainty.worst).toBe('verified');
    const got = fs.readFileSync(out('large'));
    expect(got.subarray(0, 70 * MIB).equals(whole.subarray(0, 70 * MIB))).toBe(true);
    expect(got.subarray(70 * MIB).every((byte) => byte === 0)).toBe(true);
    // A run that goes on hears of it from the journal.
    expect(readJournal(path.join(dir, 'out'))?.bad.some((bad) => bad.path === large.path)).toBe(true);
  });
});

describe('what is written', () => {
  it('takes time by what is allocated: 8 TiB of holes around three pieces', async () => {
    const from = evidence(randomBytes(3 * CHUNK));
    const size = 8 * 2 ** 40;
    const middle = size / 2 + 12_345;
    const source = segments([
      data(from, 0, 10, STATED),
      zeros(middle - 10, STATED),
      data(from, 0, 2 * CHUNK, STATED),
      zeros(size - middle - 2 * CHUNK - 5, STATED),
      data(from, 0, 5, STATED),
    ]);
    const started = performance.now();
    const [entry] = await copy([file('huge', source)]);
    expect(performance.now() - started).toBeLessThan(3000);
    expect(entry.size).toBe(size);
    expect(fs.statSync(out('huge')).size).toBe(size);
    expect(fs.statSync(out('huge')).blocks * 512).toBeLessThan(4 * CHUNK);
  });

  it('is verified without reading holes, unless something was put into them', async () => {
    const size = 2 ** 40;
    const from = evidence(randomBytes(2 * CHUNK));
    const source = segments([data(from, 0, 2 * CHUNK, STATED), zeros(size - 2 * CHUNK, STATED)]);
    const files = await copy([file('thin', source)]);
    expect(files[0].holes).toEqual([[2 * CHUNK, size - 2 * CHUNK]]);
    const manifest = { schema: 1, evidence: [], files, machines: [], notes: [], left_out: [] } as const;
    writeManifest(out('.'), manifest);
    const started = performance.now();
    const signal = new AbortController().signal;
    expect((await verify(out('.'), { signal })).intact).toBe(true);
    expect(performance.now() - started).toBeLessThan(3000);
    // 1 TiB would take minutes to read: a smaller one shows that it is read once more than that is allocated.
    const small = segments([data(from, 0, 2 * CHUNK, STATED), zeros(80 * CHUNK, STATED)]);
    writeManifest(out('.'), { ...manifest, files: await copy([file('less', small)]) });
    fs.rmSync(out('thin'));
    const fd = fs.openSync(out('less'), 'r+');
    fs.writeSync(fd, randomBytes(100_000), 0, 100_000, 40 * CHUNK);
    fs.closeSync(fd);
    expect((await verify(out('.'), { signal })).differences.map((d) => d.what)).toEqual(['tree']);
  });

  it('is the same through thousands of fragments', async () => {
    const bytes = randomBytes(70 * MIB);
    const from = evidence(bytes);
    const pieces = Array.from({ length: bytes.length / 4096 }, (_, i) => (i * 7919) % (bytes.length / 4096));
    const source = segments(pieces.map((piece) => data(from, piece * 4096, 4096, STATED)));
    const [entry] = await copy([file('fragments', source)]);
    expect(entry.certainty.bytes.stated).toBe(70 * MIB);
    const got = fs.readFileSync(out('fragments'));
    expect(
      pieces.every(
        (piece, i) => got.compare(bytes, piece * 4096, piece * 4096 + 4096, i * 4096, i * 4096 + 4096) === 0,
      ),
    ).toBe(true);
  });

  it('has mode and time of its origin, without set-uid', async () => {
    await copy([file('f', evidence(randomBytes(10)), { facts: { mode: 0o4755, modified: 1_000_000_000 } })]);
    const stat = fs.statSync(out('f'));
    expect([stat.mode & 0o7777, stat.mtimeMs]).toEqual([0o755, 1_000_000_000_000]);
  });

  it('says what is known by name only', async () => {
    const damage = [
      { code: 'fd.missing', at: 'x@0', expected: 'a descriptor', actual: 'none', effect: 'bytes are missing' },
    ];
    const [lost, empty, doubtful] = await copy([
      file('lost', undefined, { damage }),
      file('empty', new MemorySource(new Uint8Array(0))),
      file('doubtful', new MemorySource(new Uint8Array(0)), { damage: [...damage, ...damage] }),
    ]);
    expect([lost.certainty.worst, empty.certainty.worst, doubtful.certainty.worst]).toEqual([
      'missing',
      'stated',
      'inferred',
    ]);
    expect(doubtful.damage).toEqual(damage); // once
  });

  it('makes links of symbolic links only where they stay inside', async () => {
    const link = (name: string, target: string): Node =>
      file(name, new MemorySource(Buffer.from(target)), { kind: 'symlink', facts: { target } });
    const entries = await copy([link('good', 'sub/f'), link('bad', '../../etc/passwd')], { symlinks: 'links' });
    expect(fs.readlinkSync(out('good'))).toBe('sub/f');
    expect(fs.lstatSync(out('bad')).isFile()).toBe(true);
    expect(fs.readFileSync(out('bad'), 'utf8')).toBe('../../etc/passwd');
    expect([entries[0].link, entries[1].link]).toEqual(['sub/f', undefined]);
  });

  it('names the file and the way on when the disk refuses', async () => {
    fs.mkdirSync(out('.'), { recursive: true });
    const source = segments([zeros(2 ** 52, STATED)]); // more than any file system here takes
    await expect(copy([file('too-large', source)])).rejects.toMatchObject({
      code: 'write',
      message: expect.stringMatching(/too-large.*larger than its file system allows.*same command/),
    });
  });
});

describe('links', () => {
  it('are judged by their text', () => {
    for (const [at, target] of [['l', 'a'], ['d/l', '../a/b'], ['l', './a']]) expect(linkIsSafe(at, target), target).toBe(true); // biome-ignore format: one line reads best
    for (const [at, target] of [['l', '/a'], ['l', '../a'], ['d/l', '../../a'], ['d/l', 'x/../../y'], ['d/l', '..'], ['l', '']]) expect(linkIsSafe(at, target), target).toBe(false); // biome-ignore format: one line reads best
  });
});

describe('names', () => {
  it('are one component, unique, and short enough', () => {
    const names = new Names(['manifest.json']);
    const long = 'é'.repeat(200);
    const raw = [
      'a',
      '..',
      '.',
      '',
      'a/b',
      'a\0b',
      'manifest.json',
      'x',
      'x.part',
      'a%2Fb',
      Buffer.from(long).toString('latin1'),
    ];
    const taken = raw.map((name) => names.take(name, true));
    expect(taken.slice(0, 10)).toEqual(['a', '%2E%2E', '%2E', '%', 'a%2Fb', 'a%00b', 'manifest.json;2', 'x', 'x.part;2', 'a%2Fb;2']); // biome-ignore format: one line reads best
    expect(Buffer.byteLength(taken[10])).toBeLessThanOrEqual(240);
    expect(taken[10]).toMatch(/^é+~[0-9a-f]{12}$/);
  });
});

describe('globs', () => {
  it('know *, **, ? and sets', () => {
    const cases: [string, string, boolean][] = [
      ['*.vmx', 'a/b/c.vmx', true],
      ['a/*.vmx', 'a/b/c.vmx', false],
      ['a/**/*.vmx', 'a/b/c.vmx', true],
      ['a/**', 'a/b/c.vmx', true],
      ['**/c.vmx', 'c.vmx', true],
      ['?.vm[a-x]', 'c.vmx', true],
      ['[!c].vmx', 'c.vmx', false],
      ['c.vm(x)+', 'c.vm(x)+', true],
      ['/a/', 'a', true],
      ['\\*.vmx', '*.vmx', true],
      ['\\*.vmx', 'a.vmx', false],
      ['[]a].vmx', '].vmx', true],
      ['[a', '[a', true],
    ];
    for (const [glob, name, wanted] of cases) expect(globs([glob])(name), `${glob} ${name}`).toBe(wanted);
    expect(() => globs(['[z-a]'])).toThrow('The glob [z-a] has a range that runs backwards.');
  });
});

describe('the place', () => {
  /** A system as /sys shows it: DIR is on a volume (253:0) on a partition (8:1) of a disk (8:0). */
  function system(): { devices: string; mounts: string } {
    const devices = path.join(dir, 'dev');
    const disk = path.join(dir, 'sys/block/sda');
    fs.mkdirSync(path.join(disk, 'sda1'), { recursive: true });
    fs.mkdirSync(path.join(dir, 'sys/block/dm-0/slaves'), { recursive: true });
    fs.mkdirSync(devices);
    fs.writeFileSync(path.join(disk, 'dev'), '8:0\n');
    fs.writeFileSync(path.join(disk, 'sda1/dev'), '8:1\n');
    fs.writeFileSync(path.join(dir, 'sys/block/dm-0/dev'), '253:0\n');
    fs.symlinkSync(path.join(disk, 'sda1'), path.join(dir, 'sys/block/dm-0/slaves/sda1'));
    fs.symlinkSync(path.join(dir, 'sys/block/dm-0'), path.join(devices, '253:0'));
    fs.symlinkSync(path.join(disk, 'sda1'), path.join(devices, '8:1'));
    fs.symlinkSync(disk, path.join(devices, '8:0'));
    const mounts = path.join(dir, 'mountinfo');
    fs.writeFileSync(mounts, '22 1 0:20 / / rw - ext4 /dev/none rw\n31 22 253:0 / /mnt/my\\040disk rw - xfs none rw\n');
    return { devices, mounts };
  }

  it('is known down to the disks it lies on', () => {
    const paths = system();
    fs.writeFileSync(paths.mounts, `31 22 253:0 / ${fs.realpathSync(dir)} rw - btrfs none rw\n`);
    const { numbers } = devicesBelow(fs.realpathSync(dir), paths);
    for (const number of ['253:0', '8:1', '8:0']) expect([...numbers]).toContain(number);
  });

  it('is refused on a disk that is evidence, and below a directory of it', () => {
    const paths = system();
    const real = fs.realpathSync(dir);
    fs.writeFileSync(paths.mounts, `31 22 253:0 / ${real} rw - btrfs none rw\n`);
    const block = { path: '/dev/sda', size: 1, device: 0x800, inode: 0, modified: 0, block: true };
    expect(() => checkPlace(real, real, [], [block], paths)).toThrow('would be stored on /dev/sda');
    expect(() => checkPlace(real, real, [], [{ ...block, device: 0x810 }], paths)).not.toThrow();
    fs.mkdirSync(path.join(dir, 'images'));
    expect(() => checkPlace(path.join(real, 'images/x/y'), real, [path.join(dir, 'images')], [], paths)).toThrow(
      'lies inside',
    );
    expect(() => checkPlace(path.join(real, 'images2'), real, [path.join(dir, 'images')], [], paths)).not.toThrow();
  });
});
