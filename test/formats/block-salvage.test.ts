/**
 * VDI, VHD and VHDX with each of their structures gone, against the truth: whatever is not sure is not called sure, and
 * what redundancy there is gives the disk back. SALVOR_SALVAGE_ROUNDS makes more of it, SALVOR_SALVAGE_PAGE=1 prints it.
 */
import { afterAll, expect, test } from 'vitest';
import type { Cx, Format } from '../../src/core/format.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { type Node, NotThis } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { bytes, type Struct, struct, u32, u64 } from '../../src/core/struct.ts';
import { vdi } from '../../src/formats/disk/vdi/index.ts';
import { header as vdiHeader } from '../../src/formats/disk/vdi/structs.ts';
import { vhd } from '../../src/formats/disk/vhd/index.ts';
import { dynamicHeader, footer } from '../../src/formats/disk/vhd/structs.ts';
import { vhdx } from '../../src/formats/disk/vhdx/index.ts';
import { metadataEntry, regionEntry, header as vhdxHeader } from '../../src/formats/disk/vhdx/structs.ts';
import { dice, type Fault, faulty, put, truncated, unreadable, zeroed } from '../faults/faults.ts';
import { mutation } from '../fuzz/mutate.ts';
import { disk, type MadeDisk } from '../make/disk/content.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { makeVhd } from '../make/disk/vhd.ts';
import { makeVhdx } from '../make/disk/vhdx.ts';

const MIB = 1024 * 1024;
const ROUNDS = Number(process.env.SALVOR_SALVAGE_ROUNDS ?? 2);

interface Image {
  readonly name: string;
  readonly format: Format;
  readonly made: MadeDisk;
  readonly raw: Uint8Array;
}

interface Outcome {
  /** Bytes of the disk by what became of them. */
  right: number;
  sure: number;
  wrong: number;
  lost: number;
  /** Wrong ones that were called stated or verified. */
  lies: number;
}

const cx: Cx = {
  source: 'x',
  self: 'x::y',
  signal: new AbortController().signal,
  damage: (at, code, expected, actual, effect) => ({ code, at: `x@${at}`, expected, actual, effect }),
  siblings: async () => [],
};

const kept = new Map<number, Image[]>();
function images(seed: number): Image[] {
  const known = kept.get(seed) ?? made(seed);
  kept.set(seed, known);
  return known;
}

function made(seed: number): Image[] {
  const large = disk(seed, MIB, 12, 50);
  const small = disk(seed + 1, 65536, 300, 50);
  const vhdDisk = disk(seed + 2, 2 * MIB, 8, 50);
  const partial = (sector: number): boolean => sector % 97 < 90;
  const holes = small.raw.map((byte, i) => (partial(Math.floor(i / 512)) ? byte : 0));
  return [
    { name: 'vdi', format: vdi, made: makeVdi({ disk: large }), raw: large.raw },
    { name: 'vdi 1 MiB', format: vdi, made: makeVdi({ disk: large, align: MIB }), raw: large.raw },
    { name: 'vdi fixed', format: vdi, made: makeVdi({ disk: large, type: 2 }), raw: large.raw },
    { name: 'vdi many', format: vdi, made: makeVdi({ disk: small }), raw: small.raw },
    { name: 'vhd', format: vhd, made: makeVhd({ disk: vhdDisk }), raw: vhdDisk.raw },
    { name: 'vhd holes', format: vhd, made: makeVhd({ disk: small, has: partial }), raw: holes },
    { name: 'vhd fixed', format: vhd, made: makeVhd({ disk: vhdDisk, type: 2 }), raw: vhdDisk.raw },
    { name: 'vhdx', format: vhdx, made: makeVhdx({ disk: large }), raw: large.raw },
    { name: 'vhdx fixed', format: vhdx, made: makeVhdx({ disk: large, fixed: true }), raw: large.raw },
    { name: 'vhdx open', format: vhdx, made: makeVhdx({ disk: large, open: true }), raw: large.raw },
  ];
}

async function judged(format: Format, source: Source, raw: Uint8Array): Promise<Outcome | undefined> {
  if ((await format.probe(source, cx)) === 0) return undefined;
  let node: Node;
  try {
    node = await format.open(source, cx);
  } catch (error) {
    if (error instanceof NotThis) return undefined;
    throw error;
  }
  const opened = await node.bytes!();
  const out: Outcome = { right: 0, sure: 0, wrong: 0, lost: 0, lies: 0 };
  const list = new RunList();
  const most = Math.min(opened.size, raw.length);
  for (let at = 0; at < most; ) {
    list.clear();
    const reached = await flatten(opened, at, most, list);
    for (let i = 0; i < list.n; i++) {
      const length = list.length[i];
      if (list.state(i) === MISSING) out.lost += length;
      else await compare(list, i, raw.subarray(at, at + length), out);
      at += length;
    }
    expect(at).toBe(reached);
  }
  out.lost += raw.length - most;
  return out;
}

async function compare(list: RunList, i: number, expected: Uint8Array, out: Outcome): Promise<void> {
  const bytes = new Uint8Array(expected.length);
  if (list.state(i) === DATA) await list.sourceOf(i)!.read(list.at[i], bytes);
  const isSure = list.certainty(i) >= STATED;
  for (let at = 0; at < bytes.length; at += 512) {
    const end = Math.min(bytes.length, at + 512);
    const isRight = Buffer.compare(bytes.subarray(at, end), expected.subarray(at, end)) === 0;
    out[isRight ? 'right' : 'wrong'] += end - at;
    if (isSure) out[isRight ? 'sure' : 'lies'] += end - at;
  }
}

/** Blocks, sizes and flags of VHDX metadata, which have no checksum. */
const ITEMS = struct('VHDX metadata items', 40, {
  block: u32(0),
  flags: u32(4),
  size: u64(8),
  disk: bytes(16, 16),
  sector: u32(32),
});

// biome-ignore lint/suspicious/noExplicitAny: any table will do
const FIELDS: Readonly<Record<string, readonly { at: number; table: Struct<any> }[]>> = {
  vdi: [{ at: 0, table: vdiHeader }],
  vhd: [
    { at: 0, table: footer },
    { at: 512, table: dynamicHeader },
  ],
  vhdx: [
    { at: 0x10000, table: vhdxHeader },
    { at: 0x30010, table: regionEntry },
    { at: 0x200020, table: metadataEntry },
    { at: 0x210000, table: ITEMS },
  ],
};

type Kind = 'zeroed' | 'noise' | 'unreadable';

function fault(kind: Kind, at: number, length: number, random: (below: number) => number): Fault {
  if (kind === 'zeroed') return zeroed(at, length);
  if (kind === 'unreadable') return unreadable(at, length);
  return put(
    at,
    Uint8Array.from({ length }, () => random(256)),
  );
}

const page = new Map<string, Outcome & { n: number; refused: number }>();
function note(key: string, outcome: Outcome | undefined): void {
  const row = page.get(key) ?? { n: 0, refused: 0, right: 0, sure: 0, wrong: 0, lost: 0, lies: 0 };
  row.n++;
  if (outcome === undefined) row.refused++;
  else for (const what of ['right', 'sure', 'wrong', 'lost', 'lies'] as const) row[what] += outcome[what];
  page.set(key, row);
}

afterAll(() => {
  if (process.env.SALVOR_SALVAGE_PAGE !== '1') return;
  const mib = (n: number, of: number): string => (n / MIB / Math.max(1, of)).toFixed(2).padStart(8);
  const lines = [...page].map(([key, row]) => {
    const opened = row.n - row.refused;
    const cells = [row.right, row.sure, row.wrong, row.lost, row.lies].map((n) => mib(n, opened)).join('');
    return `${key.padEnd(36)}${String(row.n).padStart(4)}${String(row.refused).padStart(4)}${cells}`;
  });
  process.stdout.write(
    `${'MiB a disk'.padEnd(36)}   n  no   right    sure   wrong    lost    lies\n${lines.join('\n')}\n`,
  );
});

test('each structure gone, one after the other', async () => {
  const lies: string[] = [];
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = dice(seed);
    for (const { name, format, made, raw } of images(seed * 10)) {
      for (const part of made.parts) {
        for (const kind of ['zeroed', 'noise', 'unreadable'] as const) {
          const source = faulty(new MemorySource(made.bytes), [fault(kind, part.at, part.length, random)]);
          const outcome = await judged(format, source, raw);
          note(`${name}: ${part.name} ${kind}`, outcome);
          if ((outcome?.lies ?? 0) > 0) lies.push(`${seed} ${name}: ${part.name} ${kind}: ${outcome!.lies} bytes`);
        }
      }
    }
  }
  expect(lies).toEqual([]);
});

test('single fields that are wrong', async () => {
  const lies: string[] = [];
  for (let seed = 1; seed <= ROUNDS * 30; seed++) {
    const random = dice(seed + 5000);
    // The footer of a fixed VHD stands elsewhere, and at these places its data.
    const all = images(10 * (1 + (seed % ROUNDS))).filter((one) => one.name !== 'vhd fixed');
    const { name, format, made, raw } = all[random(all.length)];
    const targets = FIELDS[format.id];
    const { at, table } = targets[random(targets.length)];
    const fault = mutation({ member: 0, at, length: table.size, table }, random);
    const outcome = await judged(format, faulty(new MemorySource(made.bytes), [fault]), raw);
    note(`${name}: a field`, outcome);
    if ((outcome?.lies ?? 0) > 0) lies.push(`${seed} ${name}: ${fault.at}+${fault.length}: ${outcome!.lies} bytes`);
  }
  expect(lies).toEqual([]);
});

test('a sector of one, two structures, an end that comes too early', async () => {
  const lies: string[] = [];
  for (let seed = 1; seed <= ROUNDS * 4; seed++) {
    const random = dice(seed + 1000);
    const kinds: Kind[] = ['zeroed', 'noise', 'unreadable'];
    for (const { name, format, made, raw } of images(10 * (1 + (seed % ROUNDS)))) {
      const whole = new MemorySource(made.bytes);
      const choose = (): { at: number; length: number } => {
        const part = made.parts[random(made.parts.length)];
        if (random(2) === 0) return part;
        const at = part.at + 512 * random(Math.ceil(part.length / 512));
        return { at, length: Math.min(512, part.at + part.length - at) };
      };
      const [a, b] = [choose(), choose()];
      const faults = [fault(kinds[random(3)], a.at, a.length, random)];
      const isApart = a.at + a.length <= b.at || b.at + b.length <= a.at;
      if (isApart && random(2) === 0) faults.push(fault(kinds[random(3)], b.at, b.length, random));
      const cut = random(3) === 0 ? random(made.bytes.length) : made.bytes.length;
      const outcome = await judged(format, truncated(faulty(whole, faults), cut), raw);
      note(`${name}: mixed`, outcome);
      if ((outcome?.lies ?? 0) > 0) {
        const what = faults.map((one) => `${one.at}+${one.length}`).join(' ');
        lies.push(`${seed} ${name}: ${what} cut at ${cut} of ${made.bytes.length}: ${outcome!.lies} bytes`);
      }
    }
  }
  expect(lies).toEqual([]);
});
