import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ExportError, recover, verify } from '../src/export/index.ts';
import type { RecoverOptions } from '../src/export/options.ts';
import { Stack } from '../src/stack/stack.ts';

const MIB = 1024 * 1024;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-export-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

function write(name: string, bytes: Uint8Array | string): void {
  const full = path.join(dir, 'evidence', name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, bytes);
}

function options(more: Partial<RecoverOptions> = {}): RecoverOptions {
  const given = { out: path.join(dir, 'out'), fill: 'zero', sha256: false, symlinks: 'text', system: false } as const;
  return { ...given, command: ['test'], signal: new AbortController().signal, ...more };
}

async function run(more: Partial<RecoverOptions> = {}, given: readonly string[] = [path.join(dir, 'evidence')]) {
  const stack = new Stack(given);
  try {
    return await recover(stack, options(more));
  } finally {
    stack.close();
  }
}

async function refusal(promise: Promise<unknown>): Promise<ExportError> {
  return promise.then(
    () => expect.unreachable('it was not refused'),
    (error: ExportError) => error,
  );
}

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const out = (name: string): string => path.join(dir, 'out', name);

function machine(): void {
  const vmx = 'config.version = "8"\nvirtualHW.version = "19"\nguestOS = "linux"\ndisplayName = "Web One"\n';
  write('web01/web01.vmx', `${vmx}scsi0:0.fileName = "web01-000001.vmdk"\nscsi0:0.present = "TRUE"\n`);
  const text = (parent: string, extent: string, cid = 2): string =>
    `# Disk DescriptorFile\nversion=1\nCID=0000000${cid}\n${parent}createType="vmfs"\nRW 2048 ${extent}\nddb.adapterType = "lsilogic"\n`;
  const parent = 'parentCID=00000001\nparentFileNameHint="web01.vmdk"\n';
  write('web01/web01-000001.vmdk', text(parent, 'VMFSSPARSE "web01-000001-delta.vmdk"'));
  write('web01/web01-000001-delta.vmdk', randomBytes(5000));
  write('web01/web01.vmdk', text('parentCID=ffffffff\n', 'VMFS "web01-flat.vmdk" 0', 1));
  write('web01/web01-flat.vmdk', randomBytes(MIB));
  write('other/notes.txt', 'not of the machine');
}

describe('recover', () => {
  it('copies a tree with hashes, modes and times, and verifies it', async () => {
    const big = randomBytes(70 * MIB + 123);
    big.fill(0, 8 * MIB, 24 * MIB);
    write('a/big.bin', big);
    write('a/empty', '');
    write('b/medium.bin', big.subarray(0, 9 * MIB + 1));
    write('small.txt', 'hello');
    const manifest = await run();
    expect(manifest.files.map((f) => f.path)).toEqual(['a', 'a/big.bin', 'a/empty', 'b', 'b/medium.bin', 'small.txt']);
    for (const file of manifest.files) {
      const sum = Object.values(file.certainty.bytes).reduce((a, b) => a + b, 0);
      expect(sum).toBe(file.size);
      if (file.tree === null) continue;
      const copy = fs.readFileSync(out(file.path));
      expect(copy.equals(fs.readFileSync(path.join(dir, 'evidence', file.path)))).toBe(true);
      expect(file.sha256).toBe(file.size > 64 * MIB ? null : sha256(copy));
    }
    // Whole chunks of zeros became holes.
    expect(fs.statSync(out('a/big.bin')).blocks * 512).toBeLessThan(58 * MIB);
    const checked = await verify(out('.'), { signal: options().signal });
    expect(checked).toMatchObject({ intact: true, differences: [], unknown: [] });
  });

  it('gives large files a SHA-256 when asked, and the same tree hash either way', async () => {
    write('big.bin', randomBytes(66 * MIB));
    const plain = await run();
    const asked = await run({ out: path.join(dir, 'second'), sha256: true });
    expect(asked.files[0].sha256).toBe(sha256(fs.readFileSync(path.join(dir, 'evidence/big.bin'))));
    expect(asked.files[0].tree).toBe(plain.files[0].tree);
  });

  it('finds machines, their chains, and copies one alone', async () => {
    machine();
    const all = await run();
    expect(all.machines).toHaveLength(1);
    const { name, config, disks, note } = all.machines[0];
    expect([name, config, disks[0].slot, disks[0].path]).toEqual([
      'Web One',
      'web01/web01.vmx',
      'scsi0:0',
      'web01/web01-000001.vmdk',
    ]);
    expect(disks[0].chain.map((l) => path.basename(l))).toEqual(['web01-000001.vmdk', 'web01.vmdk']);
    expect(note).toContain('reads the disk as a snapshot sees it');
    for (const vm of ['web one', 'WEB01', 'web01.vmx']) {
      const alone = await run({ out: path.join(dir, vm), vm });
      expect(alone.files.filter((f) => f.tree !== null)).toHaveLength(5);
      expect(fs.existsSync(path.join(dir, vm, 'other'))).toBe(false);
    }
    const error = await refusal(run({ out: path.join(dir, 'x'), vm: 'nobody' }));
    expect([error.code, error.message]).toEqual(['nothing', expect.stringContaining('there is Web One')]);
  });

  it('copies only what globs name, with the directories on the way', async () => {
    machine();
    const paths = async (globs: string[]): Promise<string[]> => {
      const target = fs.mkdtempSync(path.join(dir, 'glob-'));
      const manifest = await run({ out: target, paths: globs });
      return manifest.files.filter((f) => f.tree !== null).map((f) => f.path);
    };
    expect(await paths(['*.txt'])).toEqual(['other/notes.txt']);
    expect(await paths(['web01/web01-??????.vmdk'])).toEqual(['web01/web01-000001.vmdk']);
    expect(await paths(['**/web01.vm[dx]*'])).toEqual(['web01/web01.vmdk', 'web01/web01.vmx']);
    expect(await paths(['other'])).toEqual(['other/notes.txt']);
    expect((await refusal(paths(['nothing*']))).code).toBe('nothing');
  });

  it('says how large it will be before it writes, and stops when told', async () => {
    write('a.bin', randomBytes(10_000));
    const controller = new AbortController();
    let said: unknown;
    const error = await refusal(
      run({
        signal: controller.signal,
        onEstimate: (estimate) => {
          said = estimate;
          expect(fs.existsSync(out('.'))).toBe(false);
          controller.abort();
        },
      }),
    );
    expect(error.code).toBe('interrupted');
    expect(said).toMatchObject({ files: 1, bytes: 10_000, bytesOnDisk: 12_288, gapsBytes: 0 });
  });

  it('keeps NAME and NAME.part apart, and its own names', async () => {
    for (const name of ['x', 'x.part', 'x.part.part', 'manifest.json', '.salvor/journal.ndjson'])
      write(name, `I am ${name}`);
    const manifest = await run();
    const texts = manifest.files.filter((f) => f.tree !== null).map((f) => fs.readFileSync(out(f.path), 'utf8'));
    expect(texts.sort()).toEqual(
      ['x', 'x.part', 'x.part.part', 'manifest.json', '.salvor/journal.ndjson'].map((n) => `I am ${n}`).sort(),
    );
    expect((await verify(out('.'), { signal: options().signal })).intact).toBe(true);
  });
});

describe('refusals', () => {
  it('leaves alone what appears under a name meanwhile, for a short file and for a long one', async () => {
    for (const size of [100, MIB]) {
      fs.rmSync(dir, { recursive: true });
      write('one', randomBytes(size));
      const appear = (): void => {
        fs.mkdirSync(out('.'));
        fs.writeFileSync(out('one'), 'theirs');
      };
      const error = await refusal(run({ onEstimate: appear }));
      expect([error.code, error.message]).toEqual(['write', expect.stringMatching(/something of that name appeared/)]);
      expect(fs.readFileSync(out('one'), 'utf8')).toBe('theirs');
    }
  });

  it('never writes over what it did not make', async () => {
    write('a/one', 'new');
    fs.mkdirSync(out('a'), { recursive: true });
    fs.writeFileSync(out('a/one'), 'old');
    const error = await refusal(run());
    expect([error.code, error.message]).toEqual(['exists', expect.stringMatching(/a\. Nothing was written/)]);
    expect(fs.readFileSync(out('a/one'), 'utf8')).toBe('old');
    expect(fs.existsSync(out('.salvor'))).toBe(false);
  });

  it('does not follow a link that lies in the way', async () => {
    write('a/one', 'new');
    fs.mkdirSync(path.join(dir, 'elsewhere'));
    fs.mkdirSync(out('.'));
    fs.symlinkSync(path.join(dir, 'elsewhere'), out('a'));
    expect((await refusal(run())).code).toBe('exists');
    expect(fs.readdirSync(path.join(dir, 'elsewhere'))).toEqual([]);
  });

  it('does not write into evidence, a file, or beside nothing', async () => {
    write('a', 'x');
    expect((await refusal(run({ out: path.join(dir, 'evidence/out') }))).code).toBe('out');
    expect((await refusal(run({ out: path.join(dir, 'evidence/a') }))).code).toBe('out');
    const none = await refusal(run({}, [path.join(dir, 'evidence/a')]));
    expect([none.code, none.message]).toEqual([
      'nothing',
      expect.stringMatching(/No file system was found.*--deep.*salvor scan/),
    ]);
    expect(fs.readdirSync(path.join(dir, 'evidence'))).toEqual(['a']);
  });

  it('goes on only with the same evidence and options', async () => {
    write('a', 'x');
    await run();
    const options = await refusal(run({ fill: 'skip' }));
    expect([options.code, options.message]).toEqual([
      'journal',
      expect.stringContaining('fill was "zero" and is "skip"'),
    ]);
    expect((await run()).files).toHaveLength(1); // a finished run answers at once
    fs.rmSync(out('a'));
    expect((await refusal(run())).code).toBe('changed');
    write('a', 'longer');
    const evidence = await refusal(run());
    expect([evidence.code, evidence.message]).toEqual(['journal', expect.stringContaining('size (1 then, 6 now)')]);
  });
});

describe('verify', () => {
  it('names each thing that differs, and what it does not know', async () => {
    for (const name of ['gone', 'bit', 'short', 'kind']) write(name, randomBytes(5000));
    await run();
    fs.rmSync(out('gone'));
    fs.truncateSync(out('short'), 4999);
    fs.rmSync(out('kind'));
    fs.mkdirSync(out('kind'));
    const bytes = fs.readFileSync(out('bit'));
    bytes[4999] ^= 1;
    fs.writeFileSync(out('bit'), bytes);
    fs.writeFileSync(out('stranger'), '');
    const result = await verify(out('.'), { signal: options().signal });
    expect(result.differences.map((d) => `${d.path} ${d.what}`)).toEqual([
      'bit tree',
      'bit sha256',
      'gone missing',
      'kind kind',
      'short size',
    ]);
    expect(result.unknown).toEqual(['stranger']);
    expect(result.intact).toBe(false);
  });

  it('refuses a manifest that leads out of the directory', async () => {
    write('a', 'x');
    await run();
    const text = fs.readFileSync(out('manifest.json'), 'utf8');
    fs.writeFileSync(out('manifest.json'), text.replace('"path":"a"', '"path":"../evidence/a"'));
    expect((await refusal(verify(out('.'), { signal: options().signal }))).code).toBe('manifest');
  });
});
