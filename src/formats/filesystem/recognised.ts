/** File systems of guests that are recognised and named; what is in them is not read yet. */
import type { Hit } from '../../core/finder.ts';
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { NotThis } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import { guestFinders } from './guest.ts';

/** Below every format that reads what it recognises. */
const SCORE = 5;
const HEAD = 72 * 1024;

export const recognised: Format = {
  id: 'guest',
  layer: 'volume',
  title: 'guest file system',
  spec: 'guestfs.md',
  gaps: [],
  async probe(source) {
    return (await lookAt(source)) === undefined ? 0 : SCORE;
  },
  async open(source, cx) {
    const hit = await lookAt(source);
    if (hit === undefined) throw new NotThis('no file system of a guest that is known starts here');
    const { what = '', bytes = 0, label = '', uuid = '' } = hit.facts ?? {};
    const name = String(what);
    const short = Number(bytes) > source.size;
    const effect = 'the end of the file system is missing; look for the rest of the image';
    return {
      name: printable(String(label)) || name,
      rawName: name,
      locator: cx.self,
      kind: 'volume',
      state: 'live',
      format: `${name} (recognised, not read in this version)`,
      facts: { size: Number(bytes), details: { what: name, label: printable(String(label)), uuid } },
      damage: short ? [cx.damage(source.size, 'guest.cut-off', `${bytes} bytes`, `${source.size} bytes`, effect)] : [],
    };
  },
};

async function lookAt(source: Source): Promise<Hit | undefined> {
  const head = new Uint8Array(Math.min(HEAD, source.size));
  await source.read(0, head);
  const hits: Hit[] = [];
  for (const finder of guestFinders) {
    const block = head.subarray(0, finder.need);
    const key = finder.keys[0];
    const there = key.bytes.every((byte, i) => block[key.offset + i] === byte);
    if (there) finder.examine(block, 0, (hit) => hits.push(hit));
  }
  return hits[0];
}
