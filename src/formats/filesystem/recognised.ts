/** File systems of guests that are recognised and named; what is in them is not read yet. */
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { NotThis } from '../../core/node.ts';
import { guestAt } from './guest.ts';

/** Below every format that reads what it recognises. */
const SCORE = 5;

export const recognised: Format = {
  id: 'guest',
  layer: 'volume',
  title: 'guest file system',
  spec: 'guestfs.md',
  gaps: ['btrfs is recognised, with its size and label; its files are not read in this version.'],
  async probe(source) {
    return (await guestAt(source)) === undefined ? 0 : SCORE;
  },
  async open(source, cx) {
    const hit = await guestAt(source);
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
