/** Hosts that ransomware was at: stripes found, nothing invented, every machine put together again. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DATA, MISSING, RunList } from '../src/core/run.ts';
import type { Source } from '../src/core/source.ts';
import { type Manifest, recover, verify } from '../src/export/index.ts';
import { stripesOf, withoutStripes } from '../src/stack/encrypted.ts';
import { locate } from '../src/stack/locate.ts';
import { Stack } from '../src/stack/stack.ts';
import { build, salvor } from './cli/salvor.ts';
import { dice, seeded } from './make/content.ts';
import { writeImages } from './make/images.ts';
import { machine } from './make/machines.ts';
import { makeStore } from './make/stores.ts';
import type { Content } from './make/types.ts';
import type { EntrySpec } from './make/vmfs/spec.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-encrypted-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

/** Letters in an order that comes again every 23 bytes. */
const LETTERS = Uint8Array.from({ length: 1024 }, (_, i) => 97 + ((i * 7) % 23));

/** What guests mostly hold: bytes that are far from random, in another order in each sector. */
function plain(size: number, seed = 1): Content {
  return {
    size,
    read(offset, length) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; ) {
        const at = offset + i;
        const stop = Math.min(length, i + 512 - (at % 512));
        const first = (at + Math.floor(at / 512) * seed * 10) % 23;
        out.set(LETTERS.subarray(first, first + stop - i), i);
        i = stop;
      }
      return out;
    },
  };
}

/** `inner` with the first `length` of every `period` bytes encrypted. */
function striped(inner: Content, length: number, period: number): Content {
  const noise = seeded(99, inner.size);
  return {
    size: inner.size,
    read(offset, count) {
      const out = inner.read(offset, count);
      for (let at = offset; at < offset + count; ) {
        const inside = at % period;
        const stop = Math.min(offset + count, at - inside + (inside < length ? length : period));
        if (inside < length) out.set(noise.read(at, stop - at), at - offset);
        at = stop;
      }
      return out;
    },
  };
}

/** A content as evidence that counts how much of it is read. */
function sourceOf(content: Content): Source & { bytes: number } {
  const source = {
    size: content.size,
    bytes: 0,
    async read(offset: number, into: Uint8Array) {
      source.bytes += into.length;
      into.set(content.read(offset, into.length));
      return [];
    },
    runs(from: number, end: number, out: RunList): number {
      return out.add(DATA, 4, Math.min(end, content.size) - from, source, from) ? Math.min(end, content.size) : from;
    },
  };
  return source;
}

describe('stripes', () => {
  test.each([
    ['1 MiB of every 2', 64 * MIB, MIB, 2 * MIB],
    ['1 MiB of every 10', 120 * MIB, MIB, 10 * MIB],
    ['1 MiB of each hundredth, 10 GiB', 10240 * MIB, MIB, 102 * MIB],
    ['1 MiB of each hundredth, 2 TiB', 2 ** 41, MIB, Math.floor(2 ** 21 / 100) * MIB],
    ['4 MiB of every 16', 256 * MIB, 4 * MIB, 16 * MIB],
    ['3 MiB of every 5', 100 * MIB, 3 * MIB, 5 * MIB],
    ['1 MiB of every 2, where a hundredth is a multiple of it', 1000 * MIB, MIB, 2 * MIB],
    ['1 MiB of every 600, where a hundredth is a multiple of it', 120_000 * MIB, MIB, 600 * MIB],
    ['64 KiB of every 192', 30 * MIB, 64 * KIB, 192 * KIB],
  ])('%s', async (_, size, length, period) => {
    const source = sourceOf(striped(plain(size), length, period));
    expect(await stripesOf(source)).toEqual({ kind: 'regular', length, period });
    expect(source.bytes).toBeLessThan(9 * MIB);
  });

  test('only the start', async () => {
    const source = sourceOf(striped(plain(64 * MIB), 8 * MIB, 64 * MIB));
    expect(await stripesOf(source)).toEqual({ kind: 'start', length: 8 * MIB, period: 64 * MIB });
  });

  test('a sound disk costs one short read, whatever lies further in', async () => {
    const source = sourceOf(plain(64 * MIB));
    expect(await stripesOf(source)).toBeUndefined();
    expect(source.bytes).toBe(4096);
  });

  test.each<[string, Content]>([
    ['random all over', seeded(5, 64 * MIB)],
    ['random, with zeros at regular places as in a thin disk', zeroed(seeded(5, 64 * MIB), 2 * MIB, 4 * MIB)],
    ['random at the start, then zeros', zeroed(seeded(5, 64 * MIB), 8 * MIB, 64 * MIB)],
    ['random and plain without order', shuffled(64 * MIB)],
  ])('%s is noticed, and no byte of it goes missing', async (_, content) => {
    const source = sourceOf(content);
    const stripes = await stripesOf(source);
    expect(stripes?.kind).toBe('unclear');
    expect(withoutStripes(source, stripes!)).toBe(source);
  });

  test('the map says missing for exactly the stripes, and where they lie', () => {
    const source = sourceOf(plain(10 * MIB + 5));
    const masked = withoutStripes(source, { kind: 'regular', length: MIB, period: 3 * MIB });
    const list = new RunList();
    expect(masked.runs(MIB / 2, masked.size, list)).toBe(masked.size);
    const seen = Array.from({ length: list.n }, (_, i) => [list.state(i), list.at[i], list.length[i]]);
    expect(seen.slice(0, 3)).toEqual([
      [MISSING, MIB / 2, MIB / 2],
      [DATA, MIB, 2 * MIB],
      [MISSING, 3 * MIB, MIB],
    ]);
    expect(seen.at(-1)).toEqual([DATA, 10 * MIB, 5]);
    expect(list.why(0)?.code).toBe('encrypted');
  });
});

function zeroed(inner: Content, keep: number, period: number): Content {
  return {
    size: inner.size,
    read(offset, length) {
      const out = inner.read(offset, length);
      for (let i = 0; i < length; i++) if ((offset + i) % period >= keep) out[i] = 0;
      return out;
    },
  };
}

function shuffled(size: number): Content {
  const roll = dice(8);
  const random = new Set(Array.from({ length: size / MIB }, (_, i) => i).filter((i) => i === 0 || roll(2) === 1));
  const [noise, text] = [seeded(4, size), plain(size)];
  return {
    size,
    read(offset, length) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; ) {
        const block = Math.floor((offset + i) / MIB);
        const stop = Math.min(length, (block + 1) * MIB - offset);
        out.set((random.has(block) ? noise : text).read(offset + i, stop - i), i);
        i = stop;
      }
      return out;
    },
  };
}

interface Host {
  readonly entries: EntrySpec[];
  /** The disks' bytes as they lie there, by the path of their flat. */
  readonly flats: Map<string, Content>;
}

const SMALL = /\.(vmx|vmsd|nvram|vmxf)$|(?<!-flat|-delta)\.vmdk$/;

/** A host of machines whose small files are encrypted whole, and whose flats are striped. */
function host(names: readonly string[], rename: (file: string) => string, stripe: (c: Content) => Content): Host {
  const flats = new Map<string, Content>();
  const entries = names.flatMap((name, i) => {
    const made = machine({
      name,
      seed: 20 + i,
      disks: [{ bytes: 24 * MIB }, { bytes: 16 * MIB }],
      snapshots: i === 0 ? 1 : 0,
    });
    return made.entries.map((entry): EntrySpec => {
      const file = entry.path.split('/').pop()!;
      if (entry.kind !== 'file') return entry;
      const at = entry.path.slice(0, -file.length) + rename(file);
      if (file.endsWith('-flat.vmdk')) {
        const content = stripe(plain((entry.content as Content).size, i + 1));
        flats.set(at, content);
        return { ...entry, path: at, content };
      }
      return SMALL.test(file)
        ? { ...entry, path: at, content: seeded(i + file.length, 1536).read(0, 1500) }
        : { ...entry, path: file.endsWith('.log') ? entry.path : at };
    });
  });
  return { entries, flats };
}

async function rescue(
  version: 3 | 5 | 6,
  entries: readonly EntrySpec[],
): Promise<{ manifest: Manifest; image: string }> {
  const store = makeStore(version, { seed: version, members: [{ pes: version === 6 ? 16 : 4 }], entries });
  const [image] = await writeImages(store, dir);
  const stack = new Stack([image]);
  const given = { out: path.join(dir, 'out'), fill: 'zero', sha256: false, symlinks: 'text', system: false } as const;
  try {
    const manifest = await recover(stack, { ...given, command: ['test'], signal: new AbortController().signal });
    return { manifest, image };
  } finally {
    stack.close();
  }
}

const out = (name: string): string => path.join(dir, 'out', name);
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What qemu-img reads through a descriptor. */
function converted(name: string): Uint8Array {
  const raw = path.join(dir, 'raw');
  execFileSync('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', out(name), raw]);
  execFileSync('vmdkinfo', [out(name)]);
  return fs.readFileSync(raw);
}

describe.each([3, 5, 6] as const)('a host on VMFS%i', (version) => {
  test('flats untouched, small files encrypted with notes: every machine is there again', async () => {
    const { entries, flats } = host(
      ['web01', 'db02', 'app03'],
      (file) => file,
      (c) => c,
    );
    const notes = entries
      .filter((e) => e.kind === 'file' && SMALL.test(e.path))
      .map((e): EntrySpec => ({ path: `${e.path}.args`, kind: 'file', content: '1 1 1500\n' }));
    const { manifest } = await rescue(version, [...entries, ...notes]);
    expect(manifest.machines.map((one) => one.name).sort()).toEqual(['app03', 'db02', 'web01']);
    expect(
      manifest.machines.every((one) => one.disks.length === 2 && one.disks.every((disk) => disk.path !== null)),
    ).toBe(true);
    expect(manifest.encrypted).toEqual([]);
    for (const [flat, content] of flats) {
      const raw = converted(`${flat.slice(1).replace('-flat.vmdk', '.regenerated.vmdk')}`);
      expect(sha(raw)).toBe(sha(content.read(0, content.size)));
    }
  });

  test('1 MiB plain, 1 MiB encrypted, names with an ending: stripes are missing, the rest is had', async () => {
    const { entries, flats } = host(
      ['web01', 'db02'],
      (file) => `${file}.akira`,
      (c) => striped(c, MIB, 2 * MIB),
    );
    const { manifest, image } = await rescue(version, entries);
    expect(manifest.machines.map((one) => one.name).sort()).toEqual(['db02', 'web01']);
    expect(manifest.encrypted!.map((one) => one.path).sort()).toEqual(
      [...flats.keys()].map((name) => name.slice(1)).sort(),
    );
    for (const [flat, content] of flats) {
      const entry = manifest.files.find((file) => `/${file.path}` === flat)!;
      expect(entry.certainty.bytes.missing).toBe(content.size / 2);
      expect(entry.gaps.slice(0, 2)).toEqual([
        [0, MIB],
        [2 * MIB, MIB],
      ]);
      expect(entry.reasons).toEqual([{ code: 'encrypted', bytes: content.size / 2 }]);
      // No byte is changed: a key may turn up.
      expect(sha(fs.readFileSync(out(entry.path)))).toBe(sha(content.read(0, content.size)));
      expect(sha(converted(`${flat.slice(1).replace('-flat.vmdk.akira', '.vmdk')}`))).toBe(
        sha(content.read(0, content.size)),
      );
    }
    expect((await verify(out('.'), { signal: new AbortController().signal })).intact).toBe(true);
    const stack = new Stack([image]);
    const { node } = await locate(stack, `${image}::vmfs/db02/+regenerated/db02.vmdk`);
    const disk = await (await stack.inside(node))!.bytes!();
    const into = new Uint8Array(4 * MIB);
    expect(await disk.read(0, into)).toEqual([
      { offset: 0, length: MIB, code: 'encrypted' },
      { offset: 2 * MIB, length: MIB, code: 'encrypted' },
    ]);
    const truth = flats.get('/db02/db02-flat.vmdk.akira')!.read(MIB, MIB);
    expect(sha(into.subarray(MIB, 2 * MIB))).toBe(sha(truth));
    stack.close();
  });
});

test('inspect says beforehand, in plain words, what was met', async () => {
  build();
  const { entries } = host(
    ['web01', 'db02'],
    (file) => file,
    (c) => striped(c, MIB, 2 * MIB),
  );
  const [image] = await writeImages(makeStore(5, { seed: 5, members: [{ pes: 4 }], entries }), dir);
  const before = await salvor('inspect', image);
  expect(before.code).toBe(1);
  expect(before.out).toContain('! small files of 2 machines are encrypted whole');
  expect(before.out).toContain('! web01-flat.vmdk has 1 MiB encrypted of every 2 MiB, by its samples');
  expect(before.out).toContain('! web01.vmdk cannot be used: its bytes look encrypted; salvor recover makes it anew');
  const after = await salvor('recover', image, '--out', path.join(dir, 'out'));
  expect(after.code).toBe(1);
  expect(after.out).toContain('web01/web01-flat.vmdk has 1 MiB encrypted of every 2 MiB');
  expect(after.out).toContain('Made anew beside them, because machines lack them');
  expect(after.out).toContain('Machine "db02": 2 disks, all its descriptors are here');
  const mapped = await salvor('map', `${image}::vmfs/web01/+regenerated/web01-flat.vmdk`);
  expect(mapped.out).toContain('encrypted');
});

test.each([1, 2])('%i footers behind a flat are left out of the disk, and two are named', async (count) => {
  const content = plain(8 * MIB);
  const flat = Buffer.concat([
    striped(content, MIB, 2 * MIB).read(0, 8 * MIB),
    seeded(3, count * 512).read(0, count * 512),
  ]);
  const { manifest } = await rescue(5, [
    { path: '/vm', kind: 'directory' },
    { path: '/vm/vm-flat.vmdk.locked', kind: 'file', content: new Uint8Array(flat) },
    { path: '/vm/vm.vmdk.locked', kind: 'file', content: seeded(6, 1024).read(0, 1000) },
  ]);
  const one = manifest.regenerated!.find(({ path: name }) => name === 'vm/vm.vmdk')!;
  expect(one.notes.join()).toContain(`The last ${count * 512} bytes of vm-flat.vmdk.locked`);
  expect(one.notes.join().includes('encrypted 2 times')).toBe(count === 2);
  expect(converted('vm/vm.vmdk').length).toBe(8 * MIB);
});
