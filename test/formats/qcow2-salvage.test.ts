/**
 * Images with structures gone: what comes back is right, or it is said not to be had. A few layouts in every run, all of
 * them with SALVOR_QCOW2_MATRIX=1; SALVOR_QCOW2_SEED above 0 puts noise in place of zeros.
 */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import {
  type DamageName,
  damaged,
  damages,
  type Image,
  layoutAbsent,
  layouts,
  make,
  type Places,
  placesOf,
  qemuAbsent,
  smaller,
} from './qcow2-images.ts';

const ALL = process.env.SALVOR_QCOW2_MATRIX !== undefined;
const SEED = Number(process.env.SALVOR_QCOW2_SEED ?? 0);
const FEW = new Set(['v3 64K', 'v3 4K', 'v3 8K', 'zstd 16K', 'subclusters 64K', 'snapshots 4K', 'overlay 64K']);
const wanted = layouts.filter((layout) => ALL || FEW.has(layout.name));
const chosen = wanted.filter((layout) => layoutAbsent(layout) === undefined);
const absent = wanted.filter((layout) => layoutAbsent(layout) !== undefined);

export interface Outcome {
  readonly right: number;
  readonly wrong: number;
  readonly lost: number;
  /** Bytes that are wrong and graded stated or better. */
  readonly lies: number;
}

async function opened(image: Image, bytes: Uint8Array): Promise<Source | undefined> {
  const given = [{ name: 'disk.qcow2', source: new MemorySource(bytes) }];
  if (image.backing !== undefined) given.push({ name: 'disk.raw', source: new MemorySource(image.backing) });
  const stack = new Stack(given);
  return (await stack.inside(stack.roots[0]))?.bytes?.();
}

async function compare(source: Source | undefined, truth: Uint8Array): Promise<Outcome> {
  const out = { right: 0, wrong: 0, lost: 0, lies: 0 };
  if (source === undefined) return { ...out, lost: truth.length };
  const list = new RunList();
  const size = Math.min(source.size, truth.length);
  const bytes = new Uint8Array(size);
  await source.read(0, bytes);
  out.lost = truth.length - size;
  for (let at = 0; at < size; ) {
    list.clear();
    await flatten(source, at, size, list);
    for (let i = 0; i < list.n; i++) {
      const end = at + list.length[i];
      if (list.state(i) === MISSING) out.lost += list.length[i];
      else {
        const same = Buffer.compare(bytes.subarray(at, end), truth.subarray(at, end)) === 0;
        let bad = 0;
        for (let b = at; !same && b < end; b++) if (bytes[b] !== truth[b]) bad++;
        out.wrong += bad;
        out.right += list.length[i] - bad;
        if (list.certainty(i) >= STATED) out.lies += bad;
      }
      at = end;
    }
  }
  return out;
}

const isWhole = ({ lost, wrong }: Outcome): boolean => lost === 0 && wrong === 0;

test.skipIf(qemuAbsent !== undefined)('images without their tables come back', async () => {
  const rows: string[] = [];
  let whole = 0;
  let lies = 0;
  let cells = 0;
  const unexpected: string[] = [];
  for (const layout of chosen) {
    const image = make(layout);
    expect(await compare(await opened(image, image.bytes), image.truth), layout.name).toEqual({
      right: image.truth.length,
      wrong: 0,
      lost: 0,
      lies: 0,
    });
    const cell = async (what: DamageName): Promise<string> => {
      const result = await compare(await opened(image, damaged(image.bytes, what, SEED)), image.truth);
      lies += result.lies;
      if (what !== 'l2') cells++;
      if (what !== 'l2' && isWhole(result)) whole++;
      else if (what !== 'l2') unexpected.push(`${layout.name}, ${what}`);
      if (isWhole(result)) return 'whole';
      const part = (n: number): string => `${((n / image.truth.length) * 100).toFixed(1)} %`;
      return `${part(result.right)} right, ${part(result.wrong)} wrong, ${part(result.lost)} lost, ${result.lies} lies`;
    };
    const row: string[] = [];
    for (const what of damages) row.push(`${what}: ${await cell(what)}`);
    rows.push(`${layout.name}: ${row.join(' | ')}`);
  }
  const report = `${whole} of ${cells} whole, ${lies} lies\n${rows.join('\n')}`;
  if (ALL) console.log(report);
  expect(lies, report).toBe(0);
  expect(unexpected, report).toEqual([]);
});

for (const layout of absent) test.skip(`${layout.name}: ${layoutAbsent(layout)}`, () => {});

const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 25);

/** One word of metadata that says something else: a flipped bit, another offset, zeros, noise. */
function misled(bytes: Uint8Array, random: (below: number) => number): { name: string; bytes: Uint8Array } {
  const out = Uint8Array.from(bytes);
  const view = new DataView(out.buffer);
  const { cluster, l1, l2, refcounts } = placesOf(bytes);
  const areas = [{ at: 8, length: 96 }, l1, ...l2.map((at) => ({ at, length: cluster })), ...refcounts];
  const { at, length } = areas[random(3) === 0 ? random(2) : random(areas.length)];
  // Words in use are the ones worth a change.
  let place = at + 8 * random(length / 8);
  for (let i = 0; i < 64 && view.getUint32(place + 4) === 0; i++) place = at + 8 * random(length / 8);
  const kind = random(5);
  if (kind === 0) out[place + random(8)] ^= 1 << random(8);
  else if (kind === 1) view.setUint32(place + 4, cluster * random(bytes.length / cluster));
  else if (kind === 2) out.fill(0, place, place + 8);
  else if (kind === 3) out.fill(0, place - (place % 512), place - (place % 512) + 512);
  else for (let i = 0; i < 8; i++) out[place + i] = random(256);
  return { name: `kind ${kind} at ${place} in [${at}, ${at + length})`, bytes: out };
}

/** What no metadata can show: that bytes are zeros, or which subclusters are in use; and the size of the disk. */
function isUndetectable(
  before: Uint8Array,
  after: Uint8Array,
  { l2 }: Places,
  cluster: number,
  extended: boolean,
): boolean {
  for (const at of l2) {
    for (let i = at; i < at + cluster; i += 8) {
      const changed = Buffer.compare(before.subarray(i, i + 8), after.subarray(i, i + 8)) !== 0;
      const isWiped = after.subarray(i, i + 8).every((byte) => byte === 0);
      const isBitmap = extended && (i - at) % 16 === 8;
      const saysZeros = !isWiped && ((before[i + 7] ^ after[i + 7]) & 1) === 1;
      const changesKind = !isWiped && (after[i] & 0x40) !== (before[i] & 0x40);
      if (changed && (isBitmap || saysZeros || changesKind)) return true;
    }
  }
  return Buffer.compare(before.subarray(24, 32), after.subarray(24, 32)) !== 0;
}

test.skipIf(qemuAbsent !== undefined)('no stated byte is wrong after damage to metadata', async () => {
  const lies: string[] = [];
  const random = dice(Number(process.env.SALVOR_FUZZ_SEED ?? 11));
  // What lies on the disk does not matter here.
  for (const layout of wanted.filter((one) => one.size <= 32)) {
    const image = make(smaller(layout, 8));
    const places = placesOf(image.bytes);
    for (let round = 0; round < ROUNDS; round++) {
      const { bytes, name } = misled(image.bytes, random);
      if (isUndetectable(image.bytes, bytes, places, places.cluster, layout.options.includes('extended'))) continue;
      const result = await compare(await opened(image, bytes), image.truth);
      if (result.lies > 0) lies.push(`${layout.name}, round ${round}, ${name}: ${result.lies}`);
    }
  }
  expect(lies).toEqual([]);
});
