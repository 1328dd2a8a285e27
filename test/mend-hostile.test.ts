/** Folders with any bytes in their texts: menders answer, and never claim more than they can. */
import { expect, test } from 'vitest';
import { MemorySource } from '../src/core/memory.ts';
import type { Node } from '../src/core/node.ts';
import { INFERRED } from '../src/core/run.ts';
import { Pieces } from '../src/stack/mend.ts';
import { dice } from './make/content.ts';
import { machine } from './make/machines.ts';

const MIB = 1024 * 1024;
const RUNS = 150;

function fileNode(name: string, bytes: Uint8Array): Node {
  const source = new MemorySource(bytes);
  const facts = { size: bytes.length };
  return {
    name,
    rawName: name,
    locator: name,
    kind: 'file',
    state: 'live',
    facts,
    damage: [],
    bytes: async () => source,
  };
}

/** Some bytes changed, a stretch repeated, or the end cut off. */
function mutated(bytes: Uint8Array, roll: (below: number) => number): Uint8Array {
  const out = Uint8Array.from(bytes);
  if (out.length === 0) return out;
  const kind = roll(4);
  if (kind === 0) return out.subarray(0, roll(out.length));
  if (kind === 1) return new Uint8Array(Buffer.concat([out, out.subarray(roll(out.length))]));
  for (let i = 0; i <= roll(40); i++) out[roll(out.length)] = kind === 2 ? roll(256) : 0x0a;
  return out;
}

test('any bytes in, and what comes out is inferred at most, in lines without control characters', async () => {
  const made = machine({ name: 'web01', seed: 3, disks: [{ bytes: 4 * MIB }, { bytes: 4 * MIB }], snapshots: 2 });
  const files = made.entries.flatMap(({ path, content }) => {
    if (content === undefined) return [];
    const isText = typeof content === 'string';
    const bytes = isText
      ? Buffer.from(content)
      : content instanceof Uint8Array
        ? content
        : new Uint8Array(content.size);
    return [{ name: path.split('/').pop()!, bytes: new Uint8Array(bytes), isText }];
  });
  expect(files.filter((file) => file.isText).length).toBeGreaterThan(8);
  let texts = 0;
  for (let run = 0; run < RUNS; run++) {
    const roll = dice(run);
    const pieces = new Pieces();
    for (const { name, bytes, isText } of files) {
      if (roll(6) > 0) pieces.see(fileNode(name, isText && roll(2) === 0 ? mutated(bytes, roll) : bytes));
    }
    const folder = { ...fileNode('web01', new Uint8Array(0)), kind: 'directory' as const };
    for (const one of await pieces.mend(folder)) {
      texts++;
      for (const line of one.lines) {
        expect(line.certainty).toBeLessThanOrEqual(INFERRED);
        expect(line.text).not.toMatch(/(?![\x80-\x9f])\p{Cc}/u);
      }
      const names = new Set(files.map((file) => file.name));
      expect(names.has(one.rawName) && one.rawName === one.replaces, one.rawName).toBe(false);
    }
  }
  expect(texts).toBeGreaterThan(RUNS);
});
