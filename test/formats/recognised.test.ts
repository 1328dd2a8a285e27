/** Headers that are recognised: what they say, and that nothing else looks like them. */
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { sealedFinders } from '../../src/formats/filesystem/sealed.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';

const SIZE = 128 * 1024;
const ID = '0f0e0d0c-1111-4222-8333-444455556666';

type Put = readonly [at: number, bytes: string | readonly number[]];

function block(...puts: readonly Put[]): Buffer {
  const out = Buffer.alloc(SIZE);
  for (const [at, bytes] of puts) out.set(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, at);
  return out;
}

const le = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
const be = (value: number): number[] => le(value).reverse();
const raw = [...Buffer.from(ID.replaceAll('-', ''), 'hex')];

const headers: readonly [string, Buffer, number | undefined, string | undefined][] = [
  ['LUKS1, encrypted', block([0, 'LUKS\xba\xbe'], [6, [0, 1]], [168, ID]), undefined, ID],
  ['LUKS2, encrypted', block([0, 'LUKS\xba\xbe'], [6, [0, 2]], [24, 'secret'], [168, ID]), undefined, ID],
  [
    'BitLocker, encrypted',
    block([3, '-FVE-FS-'], [11, [0, 2]], [40, le(200)], [510, [0x55, 0xaa]]),
    102_400,
    undefined,
  ],
  ['HFS+', block([1024, 'H+'], [1026, [0, 4]], [1064, be(4096)], [1068, be(30)], [1072, be(3)]), 122_880, undefined],
  ['HFSX', block([1024, 'HX'], [1026, [0, 5]], [1064, be(4096)], [1068, be(30)], [1072, be(3)]), 122_880, undefined],
  ['APFS container', block([8, [1]], [24, [1]], [32, 'NXSB'], [36, le(4096)], [40, le(20)], [72, raw]), 81_920, ID],
  [
    'ReFS 3.4',
    block([3, 'ReFS'], [16, 'FSRS'], [24, le(200)], [32, le(512)], [40, [3, 4]]),
    102_400,
    '0000000000000000',
  ],
  ['UDF', block([32_769, 'BEA01'], [34_817, 'NSR03'], [36_865, 'TEA01']), undefined, undefined],
  [
    'Linux swap',
    block([1024, le(1)], [1028, le(29)], [1036, raw], [1052, 'paging'], [4086, 'SWAPSPACE2']),
    122_880,
    ID,
  ],
  [
    'squashfs',
    block([0, 'hsqs'], [12, le(131_072)], [22, [17, 0]], [28, [4, 0]], [40, le(100_000)]),
    100_000,
    undefined,
  ],
];

test.each(headers)('%s is recognised', async (what, bytes, size, uuid) => {
  const stack = new Stack([{ name: 'x', source: new MemorySource(bytes) }], { only: true });
  const found = (await stack.inside(stack.roots[0]))!;
  expect(found.format).toBe(`${what} (recognised, not read in this version)`);
  expect(found.facts.size).toBe(size ?? SIZE);
  if (uuid !== undefined) expect(found.facts.details!.uuid).toBe(uuid);
  stack.close();
});

test('a mark alone is not enough', async () => {
  for (const finder of sealedFinders) {
    for (let seed = 0; seed < 20; seed++) {
      const noise = Buffer.from(seeded(seed, SIZE).read(0, SIZE));
      for (const { offset, bytes } of finder.keys) noise.set(bytes, offset);
      finder.examine(noise.subarray(0, finder.need), 0, (hit) => expect(hit, `seed ${seed}`).toBeUndefined());
    }
  }
});

test('noise and zeros are nothing', async () => {
  for (const bytes of [new Uint8Array(SIZE), seeded(5, 4 * SIZE).read(0, 4 * SIZE)]) {
    const stack = new Stack([{ name: 'x', source: new MemorySource(bytes) }], { only: true });
    expect(await stack.inside(stack.roots[0])).toBeUndefined();
    stack.close();
  }
});

test('what is packed as a whole is named, with what unpacks it', async () => {
  const plain = seeded(3, 50_000).read(0, 50_000);
  const packed = new Map([
    ['gzip', gzipSync(plain)],
    ['Zstandard', zstdCompressSync(plain)],
  ]);
  for (const [what, bytes] of packed) {
    const stack = new Stack([{ name: `backup.vma.${what}`, source: new MemorySource(bytes) }], { only: true });
    const found = (await stack.inside(stack.roots[0]))!;
    expect(found.format).toBe(`${what}, packed as a whole`);
    expect(found.advice?.[0]).toMatch(/unpack it where there is room \((zstd|gzip) -dk FILE\)/);
    bytes[3] ^= 0xff;
    const other = new Stack([{ name: 'other', source: new MemorySource(bytes) }], { only: true });
    expect(await other.inside(other.roots[0])).toBeUndefined();
  }
});
