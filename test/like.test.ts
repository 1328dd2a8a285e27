/** A layer that lost the name of what it lies on: found among the files beside it by its bytes, or not at all. */
import { expect, test } from 'vitest';
import { MemorySource } from '../src/core/memory.ts';
import { flatten } from '../src/core/resolve.ts';
import { GUESSED, INFERRED, RunList, ZERO } from '../src/core/run.ts';
import type { Source } from '../src/core/source.ts';
import { solve } from '../src/stack/solve.ts';
import { Stack } from '../src/stack/stack.ts';
import { damaged, layouts, make, qemuAbsent } from './formats/qcow2-images.ts';
import { seeded } from './make/content.ts';

const overlay = layouts.find(({ backing }) => backing === true)!;
const files = (list: Readonly<Record<string, Uint8Array>>): { name: string; source: Source }[] =>
  Object.entries(list).map(([name, bytes]) => ({ name, source: new MemorySource(bytes) }));

async function opened(list: Readonly<Record<string, Uint8Array>>): Promise<{ source: Source; codes: string[] }> {
  const stack = new Stack(files(list), { only: true });
  const node = (await stack.inside(stack.roots[0]))!;
  return { source: (await node.bytes!())!, codes: node.damage.map(({ code }) => code) };
}

async function headOf(source: Source, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  expect(await source.read(0, bytes)).toEqual([]);
  return bytes;
}

/** The best grade among bytes that are said to be there, and among zeros. */
async function grades(source: Source, end: number): Promise<{ best: number; zeros: number }> {
  const out = { best: 0, zeros: 0 };
  const list = new RunList();
  for (let at = 0; at < end; ) {
    list.clear();
    at = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; i++) {
      out.best = Math.max(out.best, list.certainty(i));
      if (list.state(i) === ZERO) out.zeros = Math.max(out.zeros, list.certainty(i));
    }
  }
  return out;
}

test.skipIf(qemuAbsent !== undefined)('the right base is taken among others, and no more than inferred', async () => {
  const { bytes, truth, backing } = make(overlay);
  const other = make({ ...overlay, backing: false, fill: 'convert' }, 8);
  const noise = seeded(5, backing!.length).read(0, backing!.length);
  const top = damaged(bytes, 'header and l1');
  const found = await opened({ 'top.qcow2': top, 'a.raw': other.truth, 'b.raw': backing!, 'c.raw': noise });
  expect(found.codes).toContain('chain.bytes');
  expect((await headOf(found.source, truth.length)).equals(truth)).toBe(true);
  expect((await grades(found.source, truth.length)).best).toBe(INFERRED);
  const stack = new Stack(files({ 'top.qcow2': top, 'a.raw': other.truth, 'b.raw': backing! }), { only: true });
  const { chains } = await solve(stack);
  const chain = chains.find(({ levels }) => levels[0].disk.file.rawName === 'top.qcow2')!;
  expect(chain.levels.map(({ disk }) => disk.file.rawName)).toEqual(['top.qcow2', 'b.raw']);
  expect(chain.levels[0].tie?.how).toBe('alike-bytes');
});

test.skipIf(qemuAbsent !== undefined)(
  'without its base it is zeros that are guessed; a copy of it is no base',
  async () => {
    const { bytes, truth, backing } = make(overlay);
    const noise = seeded(5, backing!.length).read(0, backing!.length);
    const alone = await opened({ 'top.qcow2': damaged(bytes, 'header'), 'c.raw': noise });
    expect(alone.codes).not.toContain('chain.bytes');
    expect((await grades(alone.source, truth.length)).zeros).toBeLessThanOrEqual(INFERRED);
    const bare = await opened({ 'top.qcow2': damaged(bytes, 'header') });
    expect((await grades(bare.source, truth.length)).zeros).toBe(GUESSED);
    // An image that holds all of a disk, and that disk: what it does not map was never written.
    const whole = make(layouts[0]);
    const copy = Buffer.from(whole.truth);
    copy.fill(9, 12 * 2 ** 20, 12 * 2 ** 20 + 65_536);
    const cloned = await opened({ 'top.qcow2': damaged(whole.bytes, 'header'), 'copy.raw': copy });
    expect(cloned.codes).not.toContain('chain.bytes');
    expect((await headOf(cloned.source, whole.truth.length)).equals(whole.truth)).toBe(true);
  },
);

test.skipIf(qemuAbsent !== undefined)(
  'what lies on a layer by its name is not taken for what is below it',
  async () => {
    const { bytes, truth, backing } = make(overlay);
    const base = make(layouts[0]);
    const list = { 'disk.raw': damaged(base.bytes, 'header'), 'top.qcow2': bytes, 'plain.raw': backing! };
    const stack = new Stack(files(list), { only: true });
    const node = (await stack.inside(stack.roots[0]))!;
    expect(node.damage.map(({ code }) => code)).not.toContain('chain.loop');
    const source = (await node.bytes!())!;
    expect(source.size).toBeGreaterThanOrEqual(truth.length);
    const { chains } = await solve(stack);
    expect(chains.flatMap(({ levels }) => levels.map(({ tie }) => tie?.how))).not.toContain('loop');
  },
);
