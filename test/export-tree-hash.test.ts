import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { blake3, nativeBlake3, wasmBlake3 } from '../src/codec/blake3.ts';
import { CHUNK, leavesOf, type Taken, TreeHash, zeroLeaf } from '../src/codec/tree-hash.ts';

/** The definition, written as it reads: recursive and without any state. */
function plainRoot(size: number, leaves: readonly Uint8Array[]): string {
  const top = (from: number, n: number): Uint8Array => {
    if (n === 0) return blake3(new Uint8Array(0));
    if (n === 1) return leaves[from];
    let left = 1;
    while (left * 2 < n) left *= 2;
    return blake3(Buffer.concat([top(from, left), top(from + left, n - left)]));
  };
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(size));
  return Buffer.from(blake3(Buffer.concat([Buffer.from('salvor-tree-1'), length, top(0, leaves.length)]))).toString(
    'hex',
  );
}

function someLeaves(n: number): Uint8Array[] {
  return Array.from({ length: n }, (_, i) => (i % 5 < 2 ? zeroLeaf() : blake3(Buffer.from(`leaf ${i}`))));
}

describe('BLAKE3', () => {
  it('gives the published answer for nothing and for "abc"', () => {
    const hex = (text: string): string => Buffer.from(blake3(Buffer.from(text))).toString('hex');
    expect(hex('')).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
    expect(hex('abc')).toBe('6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85');
  });

  it('is the same natively and in WebAssembly, at the edges of its blocks', async () => {
    const native = await nativeBlake3();
    const wasm = await wasmBlake3();
    for (const size of [0, 1, 63, 64, 65, 1023, 1024, 1025, 65_537, CHUNK]) {
      const bytes = randomBytes(size);
      const expected = Buffer.from(wasm.hash(bytes));
      for (const one of [wasm, native ?? wasm]) {
        const stream = one.stream();
        for (let at = 0; at < size; at += 1000) stream.update(bytes.subarray(at, at + 1000));
        expect(Buffer.from(stream.digest())).toEqual(expected);
        expect(Buffer.from(one.hash(bytes))).toEqual(expected);
      }
    }
  });
});

describe('tree hash', () => {
  it('has the shape of its definition for every number of leaves up to 70', () => {
    for (let n = 0; n <= 70; n++) {
      const leaves = someLeaves(n);
      const size = n * CHUNK;
      const tree = new TreeHash(size);
      for (const [i, leaf] of leaves.entries()) tree.leaf(i, leaf);
      expect(tree.root(), `${n} leaves`).toBe(plainRoot(size, leaves));
    }
  });

  it('takes leaves in any order, and stretches of zeros at once', () => {
    for (const n of [2, 7, 33, 64]) {
      const leaves = someLeaves(n);
      const tree = new TreeHash(n * CHUNK);
      const calls: (() => void)[] = [];
      for (let i = 0; i < n; i++) {
        if (i % 5 === 0) calls.push(() => tree.zeros(i, Math.min(2, n - i)));
        else if (i % 5 > 1) calls.push(() => tree.leaf(i, leaves[i]));
      }
      for (const call of calls.reverse()) call();
      expect(tree.root()).toBe(plainRoot(n * CHUNK, leaves));
    }
  });

  it('knows the hash of zeros without reading them, also of a short last chunk', () => {
    const size = 5 * CHUNK + 12345;
    const leaves = [...Array.from({ length: 5 }, () => blake3(new Uint8Array(CHUNK))), blake3(new Uint8Array(12345))];
    const tree = new TreeHash(size);
    tree.zeros(0, 6);
    expect(tree.root()).toBe(plainRoot(size, leaves));
  });

  it('takes 62 TiB of zeros in no time, wherever they begin', () => {
    const size = 62 * 2 ** 40;
    const started = performance.now();
    const tree = new TreeHash(size);
    tree.leaf(0, blake3(Buffer.from('first')));
    tree.zeros(1, leavesOf(size) - 2);
    tree.leaf(leavesOf(size) - 1, blake3(Buffer.from('last')));
    expect(tree.root()).toMatch(/^[0-9a-f]{64}$/);
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('goes on from any state it gave, and refuses states that cannot be', () => {
    const leaves = someLeaves(23);
    const whole = plainRoot(23 * CHUNK, leaves);
    for (let stop = 0; stop <= 23; stop++) {
      const first = new TreeHash(23 * CHUNK);
      for (let i = 0; i < stop; i++) first.leaf(i, leaves[i]);
      const second = new TreeHash(23 * CHUNK);
      expect(second.restore(first.taken, first.tops())).toBe(true);
      for (let i = stop; i < 23; i++) second.leaf(i, leaves[i]);
      expect(second.root()).toBe(whole);
    }
    expect(new TreeHash(23 * CHUNK).restore(3, [leaves[0]])).toBe(false);
    expect(new TreeHash(23 * CHUNK).restore(24, [leaves[0], leaves[1]])).toBe(false);
  });

  it('tells of leaves in the order of the file, and refuses one twice', () => {
    const heard: [number, Taken][] = [];
    const tree = new TreeHash(4 * CHUNK, (leaf, index) => heard.push([index, leaf]));
    const leaf = blake3(Buffer.from('x'));
    tree.leaf(3, leaf);
    tree.leaf(0, leaf);
    tree.zeros(1, 2);
    expect(heard).toEqual([[0, leaf], [1, 2], [3, leaf]]); // biome-ignore format: one line reads best
    expect(() => tree.leaf(0, leaf)).toThrow('twice');
    expect(() => new TreeHash(CHUNK).root()).toThrow('0 of 1 leaves');
  });
});
