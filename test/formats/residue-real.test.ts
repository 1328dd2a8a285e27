/** Files deleted from the real datastores, in memory: everything that physically survives has to come back. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FileSource } from '../../src/core/evidence.ts';
import type { Node } from '../../src/core/node.ts';
import { Stack } from '../../src/stack/stack.ts';
import { type CorpusFile, type CorpusName, corpusAbsent, corpusImage, vmfsTruth } from '../corpus.ts';
import { type Fault, faulty, put, zeroed } from '../faults/faults.ts';
import { belowStack, expectNoLie } from './gone.ts';

type Variant = 'A' | 'B' | 'C' | 'E';

/** Metadata of these images lies within so many bytes. */
const METADATA = 160 * 0x100000;
const INLINE = 0x10d1;

interface Layout {
  readonly six: boolean;
  readonly volume: number;
  readonly image: Buffer;
  readonly fdBytes: number;
}

function layoutOf(name: CorpusName): Layout {
  const truth = vmfsTruth().find((one) => one.name === name)!;
  const image = Buffer.alloc(METADATA);
  const file = openSync(corpusImage(name)!, 'r');
  readSync(file, image, 0, METADATA, 0);
  closeSync(file);
  return { six: name === 'vmfs6', volume: truth.volumeDataOffset, image, fdBytes: truth.fdSize };
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** The bytes that deleting these files changes. Free bits are gathered: several are in one byte. */
function deletion({ six, volume, image, fdBytes }: Layout, files: readonly CorpusFile[], variant: Variant): Fault[] {
  const out: Fault[] = [];
  const meta = six ? 0x1000 : 0x200;
  const bits = new Map<number, number>();
  const counts = new Map<number, number>();
  for (const file of files) {
    const fd = volume + file.fdVolOffset;
    const address = image.readUInt32LE(fd + meta);
    const key = Buffer.concat([
      u32(image.readUInt32LE(fd + meta + 12)),
      u32(address),
      u32(image.readUInt32LE(fd + meta + 4)),
    ]);
    const at = image.indexOf(key, volume + 0x400000);
    expect(at).toBeGreaterThan(0);
    out.push(zeroed(at + 4, 4));
    if (variant !== 'E') {
      const cluster = (address >>> 6) & 0xffff;
      const resource = address >>> 22;
      const groups = six ? volume + 0x710000 + cluster * 0x2000 : volume + 0x410000 + cluster * 1024;
      const byte = groups + (six ? 0x1080 : 0x210) + (resource >>> 3);
      bits.set(byte, (bits.get(byte) ?? image[byte]) | (1 << (resource & 7)));
      const count = groups + (six ? 0x1022 : 0x208);
      counts.set(count, (counts.get(count) ?? image.readUInt16LE(count)) + 1);
    }
    const isInline = image.readUInt32LE(fd + meta + 0x44) === INLINE;
    if (variant === 'B' && !isInline) out.push(zeroed(fd + (six ? 0x1600 : 0x400), six ? 2560 : 1024));
    if (variant === 'C') out.push(zeroed(fd, fdBytes));
  }
  for (const [at, value] of bits) out.push(put(at, Uint8Array.of(value)));
  for (const [at, value] of counts) out.push(put(at, Uint8Array.of(value & 255, value >>> 8)));
  return out;
}

async function hashOf(node: Node): Promise<string | undefined> {
  const source = await node.bytes!();
  const hash = createHash('sha256');
  const block = new Uint8Array(1 << 20);
  for (let at = 0; at < source.size; at += block.length) {
    const part = block.subarray(0, Math.min(block.length, source.size - at));
    if ((await source.read(at, part)).length > 0) return undefined;
    hash.update(part);
  }
  return hash.digest('hex');
}

/** Where pointers or descriptors were cleared there is what is inline, what the journal has twice, and small texts. */
const CASES: [CorpusName, Variant, number][] = [
  ['vmfs3', 'A', 8],
  ['vmfs3', 'B', 4],
  ['vmfs3', 'C', 4],
  ['vmfs3', 'E', 8],
  ['vmfs5', 'A', 6],
  ['vmfs5', 'B', 5],
  ['vmfs5', 'C', 1],
  ['vmfs5', 'E', 6],
  ['vmfs6', 'A', 6],
  ['vmfs6', 'B', 5],
  ['vmfs6', 'C', 0],
  ['vmfs6', 'E', 6],
];

test.skipIf(corpusAbsent !== undefined).each(CASES)(
  'the real %s, variant %s: %i files whole',
  async (name, variant, whole) => {
    const truth = vmfsTruth().find((one) => one.name === name)!;
    const files = truth.files.filter((file) => file.type === 'reg' || file.type === 'symlink');
    const image = new FileSource(corpusImage(name)!);
    const source = faulty(image, deletion(layoutOf(name), files, variant));
    const stack = new Stack([{ name: 'image', source }], { only: true });
    const found = await belowStack(stack);
    let same = 0;
    for (const file of files) {
      const node = found.get(`/${file.path}`);
      if (node === undefined) continue;
      const hash = await hashOf(node);
      if (hash === undefined) continue;
      // What is offered whole has to be right.
      expect([file.path, hash]).toEqual([file.path, file.sha256_own]);
      same++;
    }
    for (const node of found.values()) await expectNoLie(node);
    image.close();
    expect(same).toBe(whole);
  },
);
