/** Which clusters are in use is asked for one after the other: the bits are read once for many of them. */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Source } from '../../src/core/source.ts';
import { ClusterBitmap, PAGE_CLUSTERS } from '../../src/formats/filesystem/ntfs/bitmap.ts';

test('a page of bits is read once', async () => {
  const bits = new MemorySource(
    Uint8Array.from({ length: (2 * PAGE_CLUSTERS) / 8 }, (_, i) => (i % 2 === 0 ? 0xff : 0)),
  );
  let reads = 0;
  const counted: Source = {
    size: bits.size,
    runs: (from, end, out) => bits.runs(from, end, out),
    read: (at, into) => {
      reads++;
      return bits.read(at, into);
    },
  };
  const bitmap = new ClusterBitmap(counted);
  for (let cluster = 0; cluster < 4096; cluster++)
    expect(await bitmap.isFree(cluster)).toBe(Math.floor(cluster / 8) % 2 === 1);
  expect(reads).toBe(1);
  expect(await bitmap.isFree(PAGE_CLUSTERS)).toBe(false);
  expect(reads).toBe(2);
});
