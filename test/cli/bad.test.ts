/** Bad input, through the program: one clear sentence, the right exit code, no stack trace, and all that is left. */
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corpusAbsent, corpusImage, vmfsTruth } from '../corpus.ts';
import { build, json, LAUNCHER, type Outcome, outcome, salvor } from './salvor.ts';

const ON_NODES = ['ls', 'tree', 'stat', 'find', 'cat', 'map'];
const ON_EVIDENCE = ['inspect', ...ON_NODES];
let dir = '';
const at = (name: string): string => join(dir, name);

beforeAll(() => {
  build();
  dir = mkdtempSync(join(tmpdir(), 'salvor-bad-'));
  writeFileSync(at('empty.img'), '');
  writeFileSync(at('text.txt'), 'This is no disk.\n');
  mkdirSync(at('folder'));
  execFileSync('mkfifo', [at('pipe'), at('folder/pipe')]);
  symlinkSync('/dev/zero', at('folder/link'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** One sentence on standard error, and nothing that only a programmer could read. */
function clear({ err }: Outcome): void {
  expect(err).not.toMatch(/\n {4}at |fault of the program|undefined|NaN|\[object/);
  expect(err.trimEnd().split('\n').length).toBe(1);
  expect(err).toMatch(/^salvor: .*\.(\s|$)|^salvor: .*'\n$/);
}

describe.each(ON_EVIDENCE)('salvor %s', (command) => {
  test('a path that does not exist', async () => {
    const result = await salvor(command, at('nothing.img'));
    expect(result.code).toBe(2);
    clear(result);
    expect(result.err).toContain(`${at('nothing.img')} does not exist here`);
  });

  test('a pipe is refused and does not hang', async () => {
    const child = spawn(process.execPath, [LAUNCHER, command, at('pipe')], { stdio: ['ignore', 'pipe', 'pipe'] });
    const result = await outcome(child, 15_000);
    expect(result.code).toBe(2);
    clear(result);
    expect(result.err).toContain('neither a file nor a block device');
  });

  test('/dev/zero, a character device, is refused', async () => {
    const result = await salvor(command, '/dev/zero');
    expect(result.code).toBe(2);
    clear(result);
  });

  test('a directory without disks: pipes and links in it are left alone', async () => {
    const result = await salvor(command, at('folder'));
    expect(result.err).not.toContain('fault of the program');
    expect(result.code).toBe({ inspect: 3, find: 3, cat: 2, map: 2 }[command] ?? 0);
    expect(result.out).not.toContain('link');
  });

  test.each(['empty.img', 'text.txt'])('%s holds nothing that is known', async (name) => {
    const { code, out, err } = await salvor(command, at(name));
    expect(err).not.toContain('fault of the program');
    // The thing itself can still be listed, looked at and read.
    expect(code).toBe({ inspect: 3, tree: 3, find: 3 }[command] ?? 0);
    if (command === 'cat') expect(out).toBe(name === 'text.txt' ? 'This is no disk.\n' : '');
  });

  test('no source at all', async () => {
    const result = await salvor(command);
    expect(result.code).toBe(2);
    expect(result.err).toMatch(/^error: missing required argument/);
  });

  test('--as that is no FORMAT@OFFSET', async () => {
    const { code, err } = await salvor(command, at('text.txt'), '--as', 'vmfs');
    expect(code).toBe(2);
    expect(err).toContain('Write it as FORMAT@OFFSET');
  });
});

test('a command that does not exist', async () => {
  const { code, err } = await salvor('recoover', at('text.txt'));
  expect(code).toBe(2);
  expect(err).toContain("unknown command 'recoover'");
});

test.each([
  ['tree', '--depth', 'deep'],
  ['find', '--larger', 'big'],
  ['find', '--newer', 'yesterday'],
  ['find', '--name', '[z-a]'],
  ['find', '--type', 'machine'],
  ['find', '--limit', '-1'],
  ['map', '--format', 'yaml'],
])('salvor %s %s %s is a wrong call that is explained', async (command, option, value) => {
  const { code, err } = await salvor(command, at('text.txt'), option, value);
  expect(code).toBe(2);
  expect(err).toMatch(/^error: option .* is invalid\. .*\.\n/);
});

const reason = corpusAbsent === undefined ? '' : ` (${corpusAbsent})`;

describe.skipIf(corpusAbsent !== undefined)(`a real datastore${reason}`, () => {
  const image = corpusImage('vmfs5') ?? '';
  const truth = vmfsTruth().find((one) => one.name === 'vmfs5')!;

  /** A copy that can be spoiled, sparse like its origin. */
  function copied(name: string): string {
    execFileSync('cp', ['--sparse=always', image, at(name)]);
    execFileSync('chmod', ['600', at(name)]);
    return at(name);
  }

  function zeroed(name: string, start: number, length: number): string {
    const path = copied(name);
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(length), 0, length, truth.volumeDataOffset + start);
    closeSync(file);
    return path;
  }

  describe.each(ON_NODES)('salvor %s', (command) => {
    test.each([
      ['::vfms', '"vfms" is no format. There are: gpt, mbr,'],
      ['::gpt', 'is no gpt: there is VMFS LVM volume'],
      ['::vmfs/directory/file9', '"file9": nothing of that name in'],
      ['::/Directory', '"Directory": nothing of that name in'],
      ['::vmfs/directory/file4/inner', 'is no directory'],
      ['::vmfs/directory/file4::vmdk', 'is no vmdk: there is nothing that is known'],
    ])('%s leads nowhere, and it says how far it led', async (inner, said) => {
      const result = await salvor(command, `${image}${inner}`);
      expect(result.code).toBe(2);
      clear(result);
      expect(result.err).toContain(said);
    });
  });

  test.each(['stat', 'cat', 'map'])('salvor %s of a byte past the end', async (command) => {
    for (const [locator, size] of [
      [`${image}::/directory/file5@8194`, 8193],
      [`${image}@999999999999`, truth.bytes],
    ]) {
      const result = await salvor(command, String(locator));
      expect(result.code).toBe(2);
      clear(result);
      expect(result.err).toContain(`has ${size} bytes`);
    }
  });

  test.each(['tree', 'find'])('salvor %s of a byte', async (command) => {
    const result = await salvor(command, `${image}::/directory@0`);
    expect(result.code).toBe(2);
    clear(result);
  });

  test.each(['vmfs@999999999999', 'nonsense@0'])('--as %s is refused', async (as) => {
    const result = await salvor('ls', image, '--as', as);
    expect(result.code).toBe(2);
    clear(result);
  });

  test('cut inside a file: all is listed, and what is lost is named', async () => {
    const { runs } = await json<{ runs: { at: number }[] }>('map', `${image}::/directory/file5`);
    const path = copied('cut.img');
    truncateSync(path, runs[0].at + 4096);
    const listed = await salvor('find', path);
    expect(listed.out.trimEnd().split('\n').length).toBe(truth.files.length - 1);
    const lost = await salvor('tree', path, '--damaged');
    expect(lost.code).toBe(1);
    expect(lost.out).toContain('file5\n                ! of its bytes: 4.0 KiB missing (past-end)\n');
    const read = await salvor('cat', `${path}::/directory/file5`);
    expect(read.code).toBe(1);
    expect(read.out.length).toBe(8193);
    expect(read.err).toContain('file5@4096: 4097 bytes are missing (past-end); zeros stand in their place.');
    expect((await salvor('cat', `${path}::/directory/file4`)).code).toBe(0);
  });

  test('only the first 20 MiB: what is there is said, what is lost is damage', async () => {
    truncateSync(copied('head.img'), 20 * 0x100000);
    for (const command of ['inspect', 'ls', 'tree']) {
      const { code, out, err } = await salvor(command, at('head.img'));
      expect(code).toBe(1);
      expect(out).toContain('VMFS5 Test');
      expect(out + err).toContain("expected the root directory's file descriptor 0x00000004");
      expect(err).not.toContain('fault of the program');
    }
  });

  test('file descriptors of some files zeroed: their names are listed, everything else can be had', async () => {
    const of = (name: string) => truth.files.find((file) => file.path === `directory/${name}`)!.fdVolOffset;
    const path = zeroed('some.img', of('file1'), 4 * truth.fdSize);
    const { code, out } = await salvor('tree', path);
    expect(code).toBe(1);
    expect(out.match(/known by name only/g)?.length).toBe(4);
    for (const command of ['cat', 'map']) {
      const lost = await salvor(command, `${path}::/directory/file4`);
      expect(lost.out).toBe('');
      expect(lost.err).not.toContain('fault of the program');
      expect(lost.code).toBe(1);
    }
    expect((await salvor('stat', `${path}::/directory/file4`)).out).toContain(
      '  bytes          none that can be had\n',
    );
    expect((await salvor('cat', `${path}::/directory/file5`)).code).toBe(0);
    const { out: found } = await salvor('find', path, '--damaged');
    expect(
      found
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(-5)),
    ).toEqual(['file1', 'file2', 'file3', 'file4']);
  });

  test('the whole array of file descriptors zeroed: the names of the root, nothing behind them, and no fault', async () => {
    const root = truth.files.find((file) => file.path === '/')!;
    const path = zeroed('none.img', root.fdVolOffset, 64 * truth.fdSize);
    for (const command of ['inspect', 'ls', 'tree', 'stat']) {
      const { code, out, err } = await salvor(command, path);
      expect(code).toBe(1);
      expect(out + err).toContain('vmfs.root');
      expect(err).not.toContain('fault of the program');
    }
    const { out } = await salvor('tree', path);
    expect(out).toContain('directory');
    expect(out).toContain('known by name only');
  });
});
