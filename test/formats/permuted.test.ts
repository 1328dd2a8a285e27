/** A volume whose extents do not lie in its order, on a disk without a table: one volume, where its header says. */
import { expect, test } from 'vitest';
import type { Found } from '../../src/core/finder.ts';
import { data, segments, zeros } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { vmfsFinder } from '../../src/formats/filesystem/vmfs/find.ts';
import { lvmFinder } from '../../src/formats/volume/vmfs-lvm/find.ts';
import { sweepSource } from '../../src/scan/shard.ts';
import { merged, Sweep } from '../../src/scan/sweep.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, put } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { makeStore } from '../make/stores.ts';

const MIB = 2 ** 20;
const PE = 256 * MIB;
const DATA_AT = 17 * MIB;
/** Where the table of extents of a VMFS5 begins, the bytes of an entry, and its physical place. */
const TABLE_AT = 0x180600;
const ENTRY = 128;
const PHYSICAL = 9;
const START = 3 * MIB;

/** The device with its two extents changed about, and so its table. */
function turned(device: Source): Source {
  const why = { what: 'test' };
  const part = (at: number, length: number): ReturnType<typeof data> => data(device, at, length, STATED, why);
  const place = (index: number, at: number): ReturnType<typeof put> => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(at), true);
    return put(START + TABLE_AT + index * ENTRY + PHYSICAL, bytes);
  };
  const rest = device.size - DATA_AT - 2 * PE;
  const parts = [
    part(0, DATA_AT),
    part(DATA_AT + PE, PE),
    part(DATA_AT, PE),
    ...(rest > 0 ? [part(DATA_AT + 2 * PE, rest)] : []),
  ];
  return faulty(segments([zeros(START, STATED, why), ...parts]), [place(0, DATA_AT + PE), place(1, DATA_AT)]);
}

test('of two readings that share the same clusters the one with its header stays', { timeout: 60_000 }, async () => {
  const content = seeded(4, 3 * MIB);
  const store = makeStore(5, {
    seed: 8,
    members: [{ pes: 2 }],
    entries: [{ path: '/a.iso', kind: 'file', content, place: 0.8 }],
  });
  const pieces = [...store.writes()].map(({ at, bytes }) => ({ at, bytes }));
  const source = turned(new MemorySource(pieces, store.members[0].size));
  const hits = merged(await sweepSource(new Sweep([vmfsFinder, lvmFinder]), source, 0, source.size));
  const found: Found = {
    hits: (evidence, kind) => (evidence === source ? hits.filter((hit) => hit.kind === kind) : []),
    whole: (one) => one === source,
  };
  const stack = new Stack([{ name: 'm0.img', source }], { only: true, found });
  const nodes = [];
  for (const root of stack.roots) nodes.push(...(await filesystems(stack, root)));
  expect(nodes.map(({ locator }) => locator)).toEqual([`m0.img::lost/at${START}::vmfs`]);
  const file = (await stack.child(nodes[0], 'a.iso'))!;
  const bytes = new Uint8Array(3 * MIB);
  expect(await (await file.bytes!()).read(0, bytes)).toEqual([]);
  expect(Buffer.compare(bytes, content.read(0, bytes.length))).toBe(0);
});
