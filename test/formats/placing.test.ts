/** Disks with a guest whose table of blocks is gone: where the guest says what is in use, blocks come back in their places. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { MISSING, RunList, STATED, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { diagnose } from '../../src/stack/diagnosis.ts';
import { Stack } from '../../src/stack/stack.ts';
import { type GuestKind, guestAbsent, guestImage } from '../scoreboard/guests.ts';
import { qemuAbsent } from './qcow2-images.ts';

interface Container {
  readonly name: string;
  /** Of qemu-img. */
  readonly format: string;
  readonly options: readonly string[];
  /** Where its table lies, as [start, end). */
  table(bytes: DataView): readonly [number, number];
}

const CONTAINERS: readonly Container[] = [
  {
    name: 'disk.vdi',
    format: 'vdi',
    options: [],
    table: (view) => [view.getUint32(340, true), view.getUint32(344, true)],
  },
  {
    name: 'disk.vhd',
    format: 'vpc',
    options: ['-o', 'force_size=on'],
    table: (view) => [1536, 1536 + 4 * view.getUint32(512 + 28)],
  },
  {
    name: 'disk.vhdx',
    format: 'vhdx',
    options: ['-o', 'block_size=1M'],
    // The BAT is the first region of the table at 192 KiB.
    table: (view) => {
      const at = Number(view.getBigUint64(0x30000 + 32, true));
      return [at, at + 0x10000];
    },
  },
];

function made({ format, options }: Container, raw: Uint8Array): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-placing-'));
  try {
    writeFileSync(join(dir, 'raw'), raw);
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, 'raw', 'out'], { cwd: dir });
    return readFileSync(join(dir, 'out'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function shares(name: string, bytes: Uint8Array, truth: Uint8Array): Promise<Record<string, number>> {
  const stack = new Stack([{ name, source: new MemorySource(bytes) }]);
  const disk = await stack.inside(stack.roots[0]);
  const source = await disk?.bytes?.();
  return source === undefined ? { right: 0, wrong: 0, lost: truth.length, lies: 0 } : compared(source, truth);
}

async function compared(source: Source, truth: Uint8Array): Promise<Record<string, number>> {
  const out = { right: 0, wrong: 0, lost: 0, lies: 0 };
  const size = Math.min(source.size, truth.length);
  const got = new Uint8Array(size);
  await source.read(0, got);
  const list = new RunList();
  for (let at = 0; at < size; ) {
    list.clear();
    await flatten(source, at, size, list);
    for (let i = 0; i < list.n; at += list.length[i++]) {
      const end = at + list.length[i];
      const isSame = Buffer.compare(got.subarray(at, end), truth.subarray(at, end)) === 0;
      const kind = list.state(i) === MISSING ? 'lost' : isSame ? 'right' : 'wrong';
      out[kind] += end - at;
      if (kind === 'wrong' && list.certainty(i) >= STATED) out.lies += end - at;
    }
  }
  return { ...out, lost: out.lost + truth.length - size };
}

for (const kind of ['ext4', 'ntfs', 'xfs'] as const satisfies readonly GuestKind[]) {
  for (const container of CONTAINERS) {
    const why = qemuAbsent ?? guestAbsent(kind);
    test.skipIf(why !== undefined)(`${container.name} with ${kind} comes back without its table`, async () => {
      const truth = guestImage({ kind, mib: 64, seed: 5, fill: 0.5 });
      const bytes = made(container, truth);
      const [from, end] = container.table(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      const right = { right: truth.length, wrong: 0, lost: 0, lies: 0 };
      expect(await shares(container.name, bytes, truth)).toEqual(right);
      expect(await shares(container.name, bytes.fill(0, from, end), truth)).toEqual(right);
    });
  }
}

/** Bytes that are given as zeros and are none. */
async function falseZeros(
  name: string,
  bytes: Uint8Array,
  truth: Uint8Array,
): Promise<{ zeros: number; wrong: number }> {
  const stack = new Stack([{ name, source: new MemorySource(bytes) }]);
  const source = (await (await stack.inside(stack.roots[0]))!.bytes!())!;
  const list = new RunList();
  const out = { zeros: 0, wrong: 0 };
  for (let at = 0; at < truth.length; ) {
    list.clear();
    await flatten(source, at, truth.length, list);
    for (let i = 0; i < list.n; at += list.length[i++]) {
      if (list.state(i) !== ZERO) continue;
      out.zeros += list.length[i];
      for (const byte of truth.subarray(at, at + list.length[i])) if (byte !== 0) out.wrong++;
    }
  }
  return out;
}

test.skipIf((qemuAbsent ?? guestAbsent('ext4')) !== undefined)(
  'clusters of which neither table nor count is left are not given as zeros',
  async () => {
    const truth = guestImage({ kind: 'ext4', mib: 48, seed: 6, fill: 0.5 });
    const options = ['-o', 'cluster_size=4096,refcount_bits=64'];
    const bytes = made({ name: 'disk.qcow2', format: 'qcow2', options, table: () => [0, 0] }, truth);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const l1 = Number(view.getBigUint64(40));
    for (let slot = 4; slot < view.getUint32(36); slot += 3) {
      const at = Number(view.getBigUint64(l1 + 8 * slot) & 0x00fffffffffffe00n);
      if (at > 0) bytes.fill(0, at, at + 4096);
    }
    expect((await falseZeros('disk.qcow2', bytes, truth)).zeros).toBeGreaterThan(2 ** 20);
    const counts = Number(view.getBigUint64(48));
    bytes.fill(0xff, counts + 8 * 5, counts + 8 * 7);
    expect((await falseZeros('disk.qcow2', bytes, truth)).wrong).toBe(0);
  },
);

test.skipIf((qemuAbsent ?? guestAbsent('ext4')) !== undefined)(
  'a raw disk that was written over the start of an image hides neither itself nor the image',
  async () => {
    const over = guestImage({ kind: 'ext4', mib: 32, seed: 8, fill: 0.3 }).subarray(0, 8 * 2 ** 20);
    const truth = guestImage({ kind: 'ext4', mib: 96, seed: 7, fill: 0.6 });
    const options = ['-o', 'cluster_size=4096'];
    const bytes = made({ name: 'disk.qcow2', format: 'qcow2', options, table: () => [0, 0] }, truth);
    bytes.set(over);
    const stack = new Stack([{ name: 'disk.qcow2', source: new MemorySource(bytes) }], { only: true });
    const { layers } = await diagnose(stack);
    const [table, disk] = layers[0].inside.map(({ node }) => node);
    expect([table.format, disk.format]).toEqual(['MBR partition table', 'QCOW2 disk']);
    expect(disk.damage.map(({ code }) => code)).toEqual(['qcow2.header', 'qcow2.l1']);
    // Nothing that is left knows its place, so that tables are not laid out from the start of the disk either.
    const had = await compared((await disk.bytes!())!, truth);
    expect(had).toEqual({ right: 0, wrong: 0, lost: truth.length, lies: 0 });
  },
);
