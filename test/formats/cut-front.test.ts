/** Images whose copy was begun behind the start of the partition: the volume is there, its first bytes are not. */
import { expect, test } from 'vitest';
import { slice } from '../../src/core/map-source.ts';
import { INFERRED, VERIFIED } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { makeStore } from '../make/stores.ts';
import { runsOf } from './gone.ts';
import { evidenceOf } from './stores.ts';

const ENTRIES = [{ path: '/one.iso', kind: 'file' as const, content: seeded(1, 3_000_000) }];
/** One sector, the head with the LVM header in part, and all before the logical volume but a sector. */
const CUTS = [512, 2055 * 512, 0x1100000 - 512];

test.each([3, 5, 6] as const)(
  'VMFS%i: what lies before the first byte is missing, the files are had',
  async (version) => {
    const made = makeStore(version, { seed: 5, members: [{ pes: 4 }], entries: ENTRIES });
    const [file] = made.truth.files.filter(({ path }) => path === '/one.iso');
    for (const cut of CUTS) {
      const evidence = evidenceOf(made).map((one) => ({
        ...one,
        source: slice(one.source, cut, one.source.size - cut, VERIFIED),
      }));
      const stack = new Stack(evidence, { only: true });
      const node = (await stack.child(await home(stack), 'one.iso')) ?? expect.unreachable(`cut ${cut}`);
      expect(node.locator).toContain(`::lost/at-${cut}::vmfs`);
      const source = await node.bytes!();
      const had = new Uint8Array(file.size);
      expect(await source.read(0, had)).toEqual([]);
      expect(Buffer.compare(had, file.content!.read(0, file.size))).toBe(0);
      for (const list of await runsOf(source))
        for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThanOrEqual(INFERRED);
    }
  },
);
