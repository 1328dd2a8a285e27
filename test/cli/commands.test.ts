/** tree, find, stat and map on made datastores whose truth is known. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDate, parseSize } from '../../src/cli/find.ts';
import { walk } from '../../src/cli/tree.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { writeImages } from '../make/images.ts';
import { small6, spanned } from '../make/stores.ts';
import { build, json, salvor } from './salvor.ts';

const COMMANDS = ['devices', 'inspect', 'ls', 'tree', 'stat', 'find', 'cat', 'map'];
const made = small6();
let dir = '';
let image = '';
let members: string[] = [];

beforeAll(async () => {
  build();
  dir = mkdtempSync(join(tmpdir(), 'salvor-cli-'));
  [image] = await writeImages(made, dir);
  members = await writeImages(spanned(5, 3), dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Found {
  readonly matches: readonly { locator: string; name: string; size: number; loss?: string }[];
}

interface Mapped {
  readonly size: number;
  readonly runs: readonly { offset: number; length: number; state: string; why?: { what: string; code?: string } }[];
  readonly certainty: { worst: string };
}

interface Way {
  readonly way: readonly { at: string; state?: string; certainty?: string; why?: { what: string; at: string } }[];
}

describe('help', () => {
  test.each(COMMANDS)('salvor %s --help has examples and ends well', async (command) => {
    const { code, out, err } = await salvor(command, '--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('Examples:');
    expect(out).toContain('--json');
  });

  test('salvor --help names every command and the exit codes', async () => {
    const { code, out } = await salvor('--help');
    expect(code).toBe(0);
    for (const command of [...COMMANDS, 'Exit codes: 0']) expect(out).toContain(command);
  });
});

describe('tree', () => {
  test('shows everything below, indented, with sizes', async () => {
    const { code, out } = await salvor('tree', image);
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toBe(`     4 GiB  ${image}::gpt/p1::vmfs  VMFS6 file system  "Small VMFS6"`);
    expect(lines).toContain('     3 MiB      cow');
    expect(lines).toContain('   6 bytes      link -> blocks');
    expect(lines).toContain('                  sub/');
    expect(lines.length).toBe(made.truth.files.length);
  });

  test('goes through partitions and volumes, and no deeper than asked', async () => {
    const { out } = await salvor('tree', `${image}::gpt`, '--depth', '3');
    expect(out).toBe(
      [
        `   4.0 GiB  ${image}::gpt  GPT partition table  "gpt"`,
        '   4.0 GiB    p1',
        `     4 GiB      vmfs-lvm  VMFS LVM volume  ${image}::gpt/p1::vmfs-lvm`,
        `     4 GiB        Small VMFS6  VMFS6 file system  ${image}::gpt/p1::vmfs`,
        '',
      ].join('\n'),
    );
  });

  test('--damaged shows what has lost bytes, and the way there, and nothing else', async () => {
    const { code, out } = await salvor('tree', members[0], '--only', '--damaged');
    expect(code).toBe(1);
    const marks = out.split('\n').filter((line) => line.startsWith('!'));
    expect(marks.length).toBeGreaterThan(0);
    expect(out).toContain('! of its bytes: 8 MiB missing (member-missing)');
    expect(out).toContain('              edges/\n');
    expect(out).not.toContain('.fbb.sf');
    const nested = await json<{ children: { name: string; children: { loss?: string }[] }[] }>(
      'tree',
      members[0],
      '--only',
      '--damaged',
    );
    expect(nested.children.flatMap((child) => child.children).every((child) => child.loss !== undefined)).toBe(true);
    expect(nested.children.flatMap((child) => child.children).length).toBe(marks.length);
  });

  test('a walk that is interrupted ends what it began', async () => {
    const stack = new Stack([image]);
    const abort = new AbortController();
    let open = 0;
    let steps = 0;
    for await (const step of walk({ stack, node: await home(stack) }, 100, abort.signal)) {
      open += step.done ? -1 : 1;
      if (++steps === 20) abort.abort();
    }
    stack.close();
    expect({ open, few: steps < 30 }).toEqual({ open: 0, few: true });
  });

  test('an intact store has nothing damaged', async () => {
    const { code, out } = await salvor('tree', image, '--damaged');
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect((await salvor('tree', ...members, '--damaged')).code).toBe(0);
  });
});

describe('find', () => {
  const names = async (...args: string[]): Promise<string[]> =>
    (await json<Found>('find', image, ...args)).matches.map((match) => match.name);

  test('prints locators that every command takes', async () => {
    const { code, out } = await salvor('find', image);
    expect(code).toBe(0);
    const locators = out.trimEnd().split('\n');
    expect(locators.length).toBe(new Set(locators).size);
    for (const locator of locators.filter((_, i) => i % 20 === 0)) {
      expect(await json('stat', locator)).toMatchObject({ locator });
    }
  });

  test('by name, with and without regard to case, as a glob', async () => {
    expect(await names('--name', '*.vmx')).toContain('web06.vmx');
    expect(await names('--name', '*.VMX')).toEqual([]);
    expect(await names('--iname', 'WEB06.?mx')).toEqual(['web06.vmx']);
    expect(await names('--iname', '*zür*')).toEqual(['Büro Zürich']);
    expect(await names('--name', 'a?:b')).toEqual(['a::b']);
    expect(await names('--name', '[x-z]@[!a-z]*')).toEqual(['x@4096']);
    expect(await names('--name', '\\*')).toEqual([]);
  });

  test('by kind, size and time', async () => {
    expect(await names('--type', 'symlink')).toEqual(['link', 'long-link']);
    expect(await names('--type', 'rdm')).toEqual(['lun-rdm.vmdk']);
    expect(await names('--type', 'file', '--larger', '500G')).toEqual(['double']);
    const tiny = await names('--type', 'file', '--smaller', '2');
    expect(tiny).toEqual(['empty', 'one-byte']);
    expect(await names('--newer', '2100-01-01')).toEqual([]);
    expect((await names('--older', '2100-01-01T00:00Z', '--limit', '3')).length).toBe(3);
  });

  test('says that nothing passes, and ends with 3', async () => {
    const { code, out, err } = await salvor('find', image, '--name', 'nothing like this');
    expect({ code, out, err }).toEqual({ code: 3, out: '', err: 'Nothing passes these tests.\n' });
  });

  test('--damaged finds what has lost bytes', async () => {
    const { code, out } = await salvor('find', members[0], '--only', '--damaged');
    expect(code).toBe(1);
    expect(out).toMatch(/^vmfs-[-0-9a-f]+::vmfs\/edges\/edge-0\.bin$/m);
  });

  test('sizes and dates', () => {
    expect(['4096', '64M', '1GiB', '1.5k', '2tb'].map(parseSize)).toEqual([4096, 67108864, 2 ** 30, 1536, 2 ** 41]);
    expect(['2024-05-01', '2024-05-01T08:30', '2024-05-01 08:30:00Z', '2024-05-01T10:30+02:00'].map(parseDate)).toEqual(
      [1714521600, 1714552200, 1714552200, 1714552200],
    );
    for (const bad of ['', 'M', '-1', '1x', '1e9']) expect(() => parseSize(bad)).toThrow('Write a size');
    for (const bad of ['yesterday', '2024', '2024-13-01', '01.05.2024']) expect(() => parseDate(bad)).toThrow('date');
  });
});

describe('stat', () => {
  test('says every fact in plain words', async () => {
    const { code, out } = await salvor('stat', `${image}::/kinds/holes`);
    expect(code).toBe(0);
    const file = made.truth.files.find((one) => one.path === '/kinds/holes')!;
    expect(out).toContain(`  size           ${file.size} bytes (7.0 MiB)\n`);
    expect(out).toMatch(/ {2}modified {7}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n/);
    expect(out).toContain(`  bytes          ${file.size} stated\n`);
    expect(out).toContain('  holes          5242880 bytes (5 MiB) that read as zeros\n');
    expect(out).toContain('  health         no damage was found\n');
  });

  test('shows the way of a byte of a disk through every layer to the evidence', async () => {
    const { way } = await json<Way>('stat', `${image}::/web06/web06.vmdk::vmdk@1000`);
    expect(way.map((layer) => layer.at.replace(image, '').replace(/@\d+$/, ''))).toEqual([
      '::gpt/p1::vmfs/web06/web06.vmdk::vmdk',
      '::gpt/p1::vmfs/web06/web06-flat.vmdk',
      '::gpt/p1::vmfs-lvm',
      '::gpt/p1',
      '',
    ]);
    expect(way[1].why?.what).toContain('VMFS6 file descriptor');
    // Each layer's locator names the same byte.
    const bytes = await Promise.all(way.map((layer) => salvor('cat', layer.at, '--length', '64')));
    expect(new Set(bytes.map((read) => read.out)).size).toBe(1);
    // And what said so is a place on the evidence that can be looked at.
    expect((await salvor('cat', way[1].why!.at, '--length', '16')).code).toBe(0);
  });

  test('inline data leads through the table that holds it', async () => {
    const { way } = await json<Way>('stat', `${image}::/kinds/one-byte@0`);
    expect(way[1].at).toMatch(/::vmfs\/\.fdc\.sf@\d+$/);
  });

  test('names what is missing and why', async () => {
    const { code, out } = await salvor('stat', members[0], '--only', '::/edges/edge-1.bin@4096');
    expect(code).toBe(1);
    expect(out).toContain('  missing        8388608 bytes (8 MiB)\n');
    expect(out).toContain('[member-missing]');
  });
});

describe('map', () => {
  test('a file of 600 GiB with three stretches of data takes no time', async () => {
    const before = performance.now();
    const { size, runs, certainty } = await json<Mapped>('map', `${image}::/kinds/double`);
    expect(performance.now() - before).toBeLessThan(3000);
    expect(size).toBe(614_400 * 0x100000);
    expect(runs.filter((run) => run.state === 'data').length).toBe(3);
    expect(runs.reduce((at, run) => (run.offset === at ? at + run.length : Number.NaN), 0)).toBe(size);
    expect(certainty.worst).toBe('stated');
  });

  test('text, JSON and mapfile tell the same', async () => {
    const locator = `${members[0]}::/edges/edge-0.bin`;
    const text = await salvor('map', '--only', locator);
    const mapfile = await salvor('map', '--only', '--format', 'mapfile', locator);
    const { runs } = await json<Mapped>('map', '--only', locator);
    expect([text.code, mapfile.code]).toEqual([1, 1]);
    expect(runs.map((run) => run.state)).toEqual(['data', 'missing']);
    expect(runs[1].why?.code).toBe('member-missing');
    expect(text.out.trimEnd().split('\n').length).toBe(1 + runs.length);
    const lines = mapfile.out.split('\n').filter((line) => !line.startsWith('#'));
    expect(lines).toEqual([
      '0x00000000     +               1',
      '0x00000000  0x00400000  +',
      '0x00400000  0x00400000  -',
      '',
    ]);
  });

  const absent = present('ddrescuelog') ? '' : ' (ddrescuelog is not installed)';
  test.skipIf(absent !== '' && process.env.CI !== 'true')(`ddrescuelog reads the mapfile${absent}`, async () => {
    expect(absent).toBe('');
    for (const locator of [`${members[0]}::/edges/edge-0.bin`, `${image}::/kinds/double`]) {
      const { out } = await salvor('map', '--only', '--format', 'mapfile', locator);
      const file = join(dir, 'thing.map');
      writeFileSync(file, out);
      expect(execFileSync('ddrescuelog', ['-t', file], { encoding: 'utf8' })).toContain('rescued:');
    }
  });

  test('--json and a mapfile at once is a wrong call', async () => {
    const { code, err } = await salvor('map', '--json', '--format', 'mapfile', image);
    expect({ code, err }).toEqual({
      code: 2,
      err: 'salvor: --json and --format mapfile are two different formats; give one of them.\n',
    });
  });
});

function present(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
