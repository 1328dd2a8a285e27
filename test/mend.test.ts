/** Broken machines on healthy volumes: what is regenerated is taken by independent tools, and shows the true bytes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Manifest, recover, verify } from '../src/export/index.ts';
import type { RecoverOptions } from '../src/export/options.ts';
import { Stack } from '../src/stack/stack.ts';
import { patched, seeded } from './make/content.ts';
import { writeImages } from './make/images.ts';
import { seSparse } from './make/machine/sesparse.ts';
import { type Machine, machine } from './make/machines.ts';
import { makeStore } from './make/stores.ts';
import type { Content } from './make/types.ts';
import type { EntrySpec } from './make/vmfs/spec.ts';

const MIB = 1024 * 1024;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-mend-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

const DISKS = [
  { bytes: 8 * MIB, fill: 0.5, thin: true, partitioned: true },
  { bytes: 5 * MIB, thin: false, partitioned: true },
];

function web01(snapshots = 2): Machine {
  return machine({ name: 'web01', seed: 77, disks: DISKS, snapshots });
}

type Change = (text: string) => Uint8Array | string | undefined;

/** The machine's files with some changed, and some taken away where a change answers nothing. */
function changed(made: Machine, changes: Readonly<Record<string, Change>>): EntrySpec[] {
  const left = new Set(Object.keys(changes));
  const out = made.entries.flatMap((entry) => {
    const name = entry.path.split('/').pop()!;
    const change = changes[name];
    if (change === undefined) return [entry];
    left.delete(name);
    const text = typeof entry.content === 'string' ? entry.content : '';
    const content = change(text);
    return content === undefined ? [] : [{ ...entry, content }];
  });
  expect([...left], 'every file that is to be changed is there').toEqual([]);
  return out;
}

function textOf(made: Machine, ending: string): string {
  const content = made.entries.find((entry) => entry.path.endsWith(ending))?.content;
  return typeof content === 'string' ? content : expect.unreachable(`${ending} is no text`);
}

const gone: Change = () => undefined;
const encrypted: Change = (text) => seeded(text.length, Math.max(512, text.length)).read(0, Math.max(512, text.length));

function options(more: Partial<RecoverOptions> = {}): RecoverOptions {
  const given = { out: path.join(dir, 'out'), fill: 'zero', sha256: false, symlinks: 'text', system: false } as const;
  return { ...given, command: ['test'], signal: new AbortController().signal, ...more };
}

async function rescue(
  version: 3 | 5 | 6,
  entries: readonly EntrySpec[],
  more: Partial<RecoverOptions> = {},
): Promise<Manifest> {
  fs.mkdirSync(path.join(dir, 'lun'));
  const store = makeStore(version, { seed: version, members: [{ pes: version === 6 ? 16 : 4 }], entries });
  await writeImages(store, path.join(dir, 'lun'));
  return again(more);
}

/** The same command once more, on the same evidence. */
async function again(more: Partial<RecoverOptions> = {}): Promise<Manifest> {
  const stack = new Stack(fs.readdirSync(path.join(dir, 'lun')).map((name) => path.join(dir, 'lun', name)));
  try {
    return await recover(stack, options(more));
  } finally {
    stack.close();
  }
}

const out = (name: string): string => path.join(dir, 'out', name);
const text = (name: string): string => fs.readFileSync(out(`web01/${name}`), 'latin1');
const paths = (manifest: Manifest): string[] => (manifest.regenerated ?? []).map((one) => one.path).sort();

/** What qemu-img makes of a disk equals the truth, and vmdkinfo takes each descriptor of it. */
function expectDisk(name: string, truth: Content, tools: 'both' | 'qemu' = 'both'): void {
  const full = out(`web01/${name}`);
  const info = JSON.parse(execFileSync('qemu-img', ['info', '--output=json', full], { encoding: 'utf8' }));
  expect(info.format).toBe('vmdk');
  expect(info['virtual-size']).toBe(truth.size);
  const known = tools === 'both' ? execFileSync('vmdkinfo', [full], { encoding: 'utf8' }) : '';
  if (tools === 'both') expect(known).toContain(`(${truth.size} bytes)`);
  const raw = path.join(dir, 'raw');
  execFileSync('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', full, raw]);
  const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  expect(sha(fs.readFileSync(raw))).toBe(sha(truth.read(0, truth.size)));
}

const DESCRIPTORS = ['web01', 'web01_1']
  .flatMap((stem) => [stem, `${stem}-000001`, `${stem}-000002`])
  .map((n) => `${n}.vmdk`);
const all = (names: readonly string[], change: Change): Record<string, Change> =>
  Object.fromEntries(names.map((name) => [name, change]));

function value(file: string, key: string): string | undefined {
  const found = new RegExp(`^${key.replaceAll('.', '\\.')}\\s*=\\s*"?([^"\\n]*)`, 'im').exec(file);
  return found?.[1];
}

describe.each([3, 5, 6] as const)('VMFS%i', (version) => {
  test('all descriptors lost: disks and snapshots come back with the true bytes, thin stays thin', async () => {
    const made = web01();
    const manifest = await rescue(version, changed(made, all(DESCRIPTORS, gone)));
    expect(paths(manifest)).toEqual(DESCRIPTORS.map((name) => `web01/${name}`).sort());
    for (const [i, disk] of made.disks.entries()) {
      const stem = i === 0 ? 'web01' : 'web01_1';
      expectDisk(`${stem}.vmdk`, disk.levels[0]!);
      expectDisk(`${stem}-000001.vmdk`, disk.levels[1]!);
      expectDisk(`${stem}-000002.vmdk`, disk.levels[2]!);
    }
    expect(value(text('web01.vmdk'), 'ddb.thinProvisioned')).toBe('1');
    expect(text('web01_1.vmdk')).not.toContain('thinProvisioned');
    expect(value(text('web01.vmdk'), 'ddb.virtualHWVersion')).toBe('13');
    for (const { path: name } of manifest.regenerated!) {
      const entry = manifest.files.find((file) => file.path === name)!;
      expect(['inferred', 'guessed']).toContain(entry.certainty.worst);
      expect(entry.certainty.bytes.stated + entry.certainty.bytes.verified).toBe(0);
    }
    const [web] = manifest.machines;
    expect(web.disks.map((disk) => disk.chain.length)).toEqual([3, 3]);
    expect((await verify(out('.'), { signal: options().signal })).intact).toBe(true);
  });

  test('small files encrypted whole: everything is made anew from what is left', async () => {
    const made = web01(1);
    const names = ['web01.vmdk', 'web01-000001.vmdk', 'web01_1.vmdk', 'web01_1-000001.vmdk', 'web01.vmx', 'web01.vmsd'];
    const manifest = await rescue(version, changed(made, all(names, encrypted)));
    expect(paths(manifest)).toEqual(
      ['web01-000001', 'web01', 'web01_1-000001', 'web01_1']
        .map((n) => `web01/${n}.regenerated.vmdk`)
        .concat('web01/web01.regenerated.vmx')
        .sort(),
    );
    expectDisk('web01-000001.regenerated.vmdk', made.disks[0]!.levels[1]!);
    expectDisk('web01_1-000001.regenerated.vmdk', made.disks[1]!.levels[1]!);
    const vmx = text('web01.regenerated.vmx');
    expect(value(vmx, 'scsi0:0.fileName')).toBe('web01-000001.regenerated.vmdk');
    expect(value(vmx, 'scsi0:1.fileName')).toBe('web01_1-000001.regenerated.vmdk');
    expect(vmx).toContain('# From the configuration in vmware.log');
    expect(manifest.machines).toHaveLength(1);
    expect(manifest.machines[0].name).toBe('web01');
    expect(
      manifest.machines[0].disks.every((disk) => disk.path?.includes('regenerated') && disk.chain.length === 2),
    ).toBe(true);
    // What was encrypted is recovered as it lies there.
    expect(fs.readFileSync(out('web01/web01.vmx')).length).toBeGreaterThan(511);
  });
});

describe('one piece at a time', () => {
  test('a healthy machine gets nothing', async () => {
    const manifest = await rescue(5, web01().entries);
    expect(manifest.regenerated).toEqual([]);
    expect(manifest.files.filter((file) => file.path.includes('regenerated'))).toEqual([]);
  });

  test('nothing is made anew where that is turned off', async () => {
    const manifest = await rescue(5, changed(web01(), { 'web01.vmdk': gone, 'web01.vmx': gone }), { mend: false });
    expect(manifest.regenerated).toEqual([]);
    expect(fs.existsSync(out('web01/web01.vmdk'))).toBe(false);
  });

  test('only the base descriptor lost: it gets the content id that its child expects', async () => {
    const made = web01();
    const child = textOf(made, '/web01-000001.vmdk');
    const manifest = await rescue(6, changed(made, { 'web01.vmdk': gone }));
    expect(paths(manifest)).toEqual(['web01/web01.vmdk']);
    expect(value(text('web01.vmdk'), 'CID')).toBe(value(child, 'parentCID'));
    expectDisk('web01-000002.vmdk', made.disks[0]!.levels[2]!);
    expect(manifest.regenerated![0].from).toContain('parent id of web01-000001.vmdk');
  });

  test('a parent named by its whole path is the one in the folder', async () => {
    const made = web01();
    const whole: Change = (t) => t.replace('Hint="', 'Hint="/vmfs/volumes/6553f101-30e988f4-fb7f-000c29cb9e45/web01/');
    const child = textOf(made, '/web01-000001.vmdk');
    await rescue(5, changed(made, { 'web01.vmdk': gone, 'web01-000001.vmdk': whole }));
    expect(value(text('web01.vmdk'), 'CID')).toBe(value(child, 'parentCID'));
  });

  test('a seSparse delta without its descriptor', async () => {
    const made = web01(0);
    const delta = seSparse(DISKS[0].bytes / 512, 5, 0xa7);
    const entries = [
      ...made.entries,
      { path: '/web01/web01-000001-sesparse.vmdk', kind: 'file', content: delta } as const,
    ];
    const manifest = await rescue(6, entries);
    expect(paths(manifest)).toEqual(['web01/web01-000001.vmdk']);
    expect(manifest.regenerated![0].notes.join()).toContain('taken from the numbers');
    expect(value(text('web01-000001.vmdk'), 'createType')).toBe('seSparse');
    const base = made.disks[0]!.levels[0]!;
    // vmdkinfo of 2020 knows no extents of type SESPARSE, whoever wrote them.
    expectDisk('web01-000001.vmdk', patched(base, [{ at: 5 * 4096, bytes: new Uint8Array(4096).fill(0xa7) }]), 'qemu');
  });

  test('a wrong parentCID is put right, and what lies above follows', async () => {
    const made = web01();
    const wrong: Change = (t) => t.replace(/parentCID=\w+/, 'parentCID=0badf00d');
    const manifest = await rescue(5, changed(made, { 'web01-000001.vmdk': wrong }));
    expect(paths(manifest)).toEqual(
      ['web01-000001', 'web01-000002'].map((n) => `web01/${n}.regenerated.vmdk`).concat('web01/web01.regenerated.vmx'),
    );
    expectDisk('web01-000002.regenerated.vmdk', made.disks[0]!.levels[2]!);
    expect(value(text('web01.regenerated.vmx'), 'scsi0:0.fileName')).toBe('web01-000002.regenerated.vmdk');
    expect(value(text('web01.regenerated.vmx'), 'scsi0:1.fileName')).toBe('web01_1-000002.vmdk');
  });

  test('an extent that was renamed is found by its size', async () => {
    const made = web01(0);
    const entries = made.entries.map((entry) =>
      entry.path.endsWith('/web01-flat.vmdk') ? { ...entry, path: '/web01/old-flat.vmdk' } : entry,
    );
    const manifest = await rescue(5, entries);
    expect(paths(manifest)).toEqual(['web01/web01.regenerated.vmdk', 'web01/web01.regenerated.vmx']);
    expectDisk('web01.regenerated.vmdk', made.disks[0]!.levels[0]!);
    expect(manifest.regenerated!.find((one) => one.path.endsWith('.vmdk'))!.notes.join()).toContain(
      'old-flat.vmdk is taken for web01-flat.vmdk',
    );
  });

  test('a size that is one sector short is put right', async () => {
    const made = web01(0);
    const short: Change = (t) => t.replace(/RW (\d+)/, (_, n: string) => `RW ${Number(n) - 1}`);
    await rescue(5, changed(made, { 'web01.vmdk': short }));
    expectDisk('web01.regenerated.vmdk', made.disks[0]!.levels[0]!);
  });

  test.each<[string, Change]>([
    ['CR LF', (t) => t.replaceAll('\n', '\r\n')],
    ['lost LF, CR alone', (t) => t.replaceAll('\n', '\r')],
    ['no line ends at all', (t) => t.replaceAll('\n', '')],
    ['highest bits set', (t) => Uint8Array.from(Buffer.from(t, 'latin1'), (byte) => byte | 0x80)],
    ['cut off in the middle', (t) => t.slice(0, t.indexOf('ddb.geometry') + 5)],
    ['cut off before the extents', (t) => t.slice(0, t.indexOf('createType') + 4)],
    ['a run of zeros in it', (t) => `${t.slice(0, 60)}${'\0'.repeat(40)}${t.slice(100)}`],
    ['empty', () => ''],
  ])('a descriptor with %s', async (_, change) => {
    const made = web01(1);
    const manifest = await rescue(6, changed(made, { 'web01.vmdk': change }));
    expect(paths(manifest)).toContain('web01/web01.regenerated.vmdk');
    expectDisk('web01.regenerated.vmdk', made.disks[0]!.levels[0]!);
    expectDisk('web01-000001.regenerated.vmdk', made.disks[0]!.levels[1]!);
  });

  test('a run that was stopped goes on, and a finished one is known', async () => {
    const made = web01();
    const entries = changed(made, { 'web01.vmdk': gone });
    const first = await rescue(5, entries);
    fs.unlinkSync(out('manifest.json'));
    expect(paths(await again())).toEqual(paths(first));
    expect((await verify(out('.'), { signal: options().signal })).intact).toBe(true);
    fs.appendFileSync(out('web01/web01.vmdk'), '#');
    expect((await verify(out('.'), { signal: options().signal })).differences.map((d) => d.path)).toEqual([
      'web01/web01.vmdk',
    ]);
  });
});

describe('configurations', () => {
  const keys = (file: string): Map<string, string> =>
    new Map([...file.matchAll(/^([\w.:]+) = "(.*)"$/gm)].map((m) => [m[1].toLowerCase(), m[2]] as const));

  test('from the log: all settings that the lost file had', async () => {
    const made = web01();
    const was = textOf(made, '.vmx');
    const manifest = await rescue(5, changed(made, { 'web01.vmx': gone }));
    expect(paths(manifest)).toEqual(['web01/web01.vmx']);
    const now = keys(text('web01.vmx'));
    for (const [key, is] of keys(was)) expect(now.get(key), key).toBe(is);
    expect(manifest.regenerated![0].assumed).toBe(false);
    expect(manifest.machines[0].disks.map((disk) => disk.path)).toEqual([
      'web01/web01-000002.vmdk',
      'web01/web01_1-000002.vmdk',
    ]);
  });

  test('only the backup left: the newest snapshot is used, not what the backup names', async () => {
    const made = web01();
    const was = textOf(made, '.vmx');
    const backup = was.replace('web01-000002.vmdk', 'web01.vmdk');
    const entries = changed(made, { 'web01.vmx': gone, 'vmware.log': gone, 'web01.vmsd': gone });
    await rescue(6, [...entries, { path: '/web01/web01.vmx~', kind: 'file', content: backup }]);
    const vmx = text('web01.vmx');
    expect(value(vmx, 'scsi0:0.fileName')).toBe('web01-000002.vmdk');
    expect(value(vmx, 'memSize')).toBe('4096');
    expect(vmx).toContain('web01.vmx~');
  });

  test('only logs left: the last dump that is whole is used, and says so', async () => {
    const made = web01(0);
    const log = textOf(made, '/vmware.log');
    const older = log.replace('memSize = "4096"', 'memSize = "2048"');
    const torn = log.slice(0, log.indexOf('guestOS'));
    const entries = ['/logs', '/logs/vmware.log', '/logs/vmware-1.log'].map(
      (name, i): EntrySpec =>
        i === 0 ? { path: name, kind: 'directory' } : { path: name, kind: 'file', content: i === 1 ? torn : older },
    );
    const manifest = await rescue(5, entries);
    expect(paths(manifest)).toEqual(['logs/web01.vmx']);
    expect(value(fs.readFileSync(out('logs/web01.vmx'), 'latin1'), 'memSize')).toBe('2048');
    expect(manifest.regenerated![0].from).toContain('the configuration in vmware-1.log');
  });

  test('nothing but disks and .nvram: what is assumed is marked, byte by byte', async () => {
    const made = web01(0);
    const manifest = await rescue(5, changed(made, { 'web01.vmx': gone, 'vmware.log': gone, 'web01.vmsd': gone }));
    const [one] = manifest.regenerated!;
    expect(one).toMatchObject({ path: 'web01/web01.vmx', assumed: true });
    const entry = manifest.files.find((file) => file.path === one.path)!;
    expect(entry.certainty.bytes.guessed).toBeGreaterThan(entry.certainty.bytes.inferred);
    const vmx = text('web01.vmx');
    expect(vmx.indexOf('memSize')).toBeGreaterThan(vmx.indexOf('# assumed'));
    expect([value(vmx, 'scsi0:0.fileName'), value(vmx, 'scsi0:1.fileName')]).toEqual(['web01.vmdk', 'web01_1.vmdk']);
  });

  test('cut off in a line: its own lines first, nothing of the torn one, then what the log says', async () => {
    const made = web01();
    const cut: Change = (t) =>
      `${t.slice(0, t.indexOf('numvcpus')).replace('"4096"', '"8192"')}scsi0:0.fileName = "web01-0000`;
    await rescue(5, changed(made, { 'web01.vmx': cut }));
    const vmx = text('web01.regenerated.vmx');
    expect(value(vmx, 'memSize')).toBe('8192');
    expect(value(vmx, 'numvcpus')).toBe('2');
    expect(value(vmx, 'scsi0:0.fileName')).toBe('web01-000002.vmdk');
    expect(vmx.indexOf('memSize')).toBeLessThan(vmx.indexOf('# From the configuration in vmware.log'));
  });

  test('disks renamed in the configuration alone, as an encryptor does it', async () => {
    const made = web01(0);
    const manifest = await rescue(5, changed(made, { 'web01.vmx': (t) => t.replaceAll('.vmdk"', '1.vmdk"') }));
    expect(paths(manifest)).toEqual(['web01/web01.regenerated.vmx']);
    const vmx = text('web01.regenerated.vmx');
    expect([value(vmx, 'scsi0:0.fileName'), value(vmx, 'scsi0:1.fileName')]).toEqual(['web01.vmdk', 'web01_1.vmdk']);
  });

  test('line ends lost in a transfer: every setting is there again', async () => {
    const made = web01(0);
    const was = textOf(made, '.vmx');
    await rescue(5, changed(made, { 'web01.vmx': (t) => t.replaceAll('\n', ''), 'vmware.log': gone }));
    const now = keys(text('web01.regenerated.vmx'));
    for (const [key, is] of keys(was)) expect(now.get(key), key).toBe(is);
  });

  test('a machine whose configuration is lost is found by its name', async () => {
    const entries = changed(web01(), { 'web01.vmx': gone });
    const other = machine({ name: 'db02', seed: 5, disks: [{ bytes: 4 * MIB }] }).entries;
    const manifest = await rescue(5, [...entries, ...other], { vm: 'web01' });
    expect(manifest.files.every((file) => file.path.startsWith('web01'))).toBe(true);
    expect(paths(manifest)).toEqual(['web01/web01.vmx']);
  });

  test('names that would break out of a text are left alone', async () => {
    const content = seeded(3, 2 * MIB);
    const bad: EntrySpec = { path: '/vm/a"\nRW 1 FLAT "x-flat.vmdk', kind: 'file', content };
    const manifest = await rescue(5, [{ path: '/vm', kind: 'directory' }, bad]);
    expect(manifest.regenerated).toEqual([]);
  });
});
