/** VDI of VirtualBox, dynamic. Source: vdi.md sections 1 to 3. */
import { viewOf } from '../../../core/struct.ts';
import type { Writer } from '../../../core/writer.ts';
import { identity } from './identity.ts';
import { alignUp, Parts } from './parts.ts';

const BLOCK = 1024 * 1024;
const MAP_AT = BLOCK;
const HEADER = 400;
const MAX_BLOCKS = 0xfffffff0;

export const vdiWriter: Writer = {
  variants: ['vdi'],
  endings: ['.vdi'],
  unit: () => BLOCK,
  plan(disk, { occupied, name }) {
    const blocks = Math.ceil(disk.size / BLOCK);
    if (blocks > MAX_BLOCKS) throw new RangeError(`a disk of ${disk.size} bytes is too large for VDI`);
    const dataAt = alignUp(MAP_AT + blocks * 4, BLOCK);
    const map = new Uint8Array(blocks * 4).fill(0xff);
    const view = viewOf(map);
    occupied.each(0, blocks, (unit, index) => view.setUint32(unit * 4, index, true));
    const parts = new Parts();
    parts
      .bytes(header(disk.size, blocks, occupied.count, dataAt, name))
      .fill(MAP_AT)
      .bytes(map)
      .fill(dataAt)
      .units(disk, occupied);
    return [{ suffix: '', source: parts.file() }];
  },
};

function header(size: number, blocks: number, allocated: number, dataAt: number, name: string): Uint8Array {
  const out = new Uint8Array(0x48 + HEADER);
  const view = viewOf(out);
  const text = '<<< Oracle VM VirtualBox Disk Image >>>\n';
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  view.setUint32(0x40, 0xbeda107f, true);
  view.setUint32(0x44, 0x00010001, true);
  view.setUint32(0x48, HEADER, true);
  view.setUint32(0x4c, 1, true); // dynamic
  view.setUint32(0x154, MAP_AT, true);
  view.setUint32(0x158, dataAt, true);
  view.setUint32(0x168, 512, true);
  view.setUint32(0x170, size >>> 0, true);
  view.setUint32(0x174, Math.floor(size / 2 ** 32), true);
  view.setUint32(0x178, BLOCK, true);
  view.setUint32(0x180, blocks, true);
  view.setUint32(0x184, allocated, true);
  // The identity follows from what is written and how it is called: VirtualBox refuses two disks of one identity.
  let named = 0;
  for (const c of name) named = Math.imul(named ^ c.codePointAt(0)!, 0x01000193) >>> 0;
  identity(out.subarray(0x188, 0x198), size + named, allocated);
  identity(out.subarray(0x198, 0x1a8), allocated + named, blocks);
  return out;
}
