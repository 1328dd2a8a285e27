/** File systems of guests that are recognised and named; what is in them is not read yet. */
import type { Finder } from '../../core/finder.ts';
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { NotThis } from '../../core/node.ts';
import { guestAt, guestFinders } from './guest.ts';
import { sealedFinders } from './sealed.ts';

/** Below every format that reads what it recognises. */
const SCORE = 5;

/** All that says what it is with what it starts with. */
export const RECOGNISED: readonly Finder[] = [...guestFinders, ...sealedFinders];

export const recognised: Format = {
  id: 'guest',
  layer: 'volume',
  title: 'guest file system',
  spec: 'guestfs.md',
  gaps: [
    'HFS+, APFS, ReFS, UDF, squashfs, swap and Windows dynamic disks are recognised, with what their headers say; their content is not read in this version.',
    'LUKS and BitLocker are recognised; what is encrypted is not decrypted.',
  ],
  async probe(source) {
    return (await guestAt(source, RECOGNISED)) === undefined ? 0 : SCORE;
  },
  async open(source, cx) {
    const hit = await guestAt(source, RECOGNISED);
    if (hit === undefined) throw new NotThis('no file system of a guest that is known starts here');
    const { what = '', bytes, label = '', uuid = '' } = hit.facts ?? {};
    const name = String(what);
    const size = bytes === undefined ? source.size : Number(bytes);
    const short = size > source.size;
    const effect = 'the end of the file system is missing; look for the rest of the image';
    return {
      name: printable(String(label)) || name,
      rawName: name,
      locator: cx.self,
      kind: 'volume',
      state: 'live',
      format: `${name} (recognised, not read in this version)`,
      facts: { size, details: { what: name, label: printable(String(label)), uuid } },
      damage: short ? [cx.damage(source.size, 'guest.cut-off', `${bytes} bytes`, `${source.size} bytes`, effect)] : [],
    };
  },
};
