/** Members of MD arrays. Written from volumes.md section 6; `mdadm --examine` agrees with what this writes. */
import { Bytes } from './bytes.ts';
import { type Layout, laidOut } from './raid.ts';

const SECTOR = 512;
const OLD = 4096;

export interface MdSpec extends Layout {
  readonly version: '0.90' | '1.0' | '1.1' | '1.2';
  readonly seed: number;
  readonly name?: string;
  readonly events?: number;
}

/** The devices of an array that holds `content`, each with its superblock. */
export function makeMd(spec: MdSpec, content: Uint8Array): Uint8Array[] {
  return laidOut(spec, content).map((data, i) => (spec.version === '0.90' ? oldDevice : newDevice)(spec, data, i));
}

function newDevice(spec: MdSpec, data: Uint8Array, index: number): Uint8Array {
  const { version, devices, level, layout, chunk, seed } = spec;
  const dataSector = version === '1.0' ? 0 : 2048;
  const size = dataSector * SECTOR + data.length + (version === '1.0' ? 128 * SECTOR : 0);
  const superSector = { '1.0': (Math.floor(size / SECTOR) - 16) & ~7, '1.1': 0, '1.2': 8 }[version as '1.0'];
  const max = 128;
  const block = new Bytes(256 + max * 2);
  block.u32(0, 0xa92b4efc).u32(4, 1);
  for (let i = 0; i < 16; i++) block.u8(16 + i, (seed * 7 + i * 13) & 0xff).u8(168 + i, (seed + index * 31 + i) & 0xff);
  block.text(32, spec.name ?? `host:${seed}`).u64(64, 1_700_000_000);
  block
    .u32(72, level)
    .u32(76, layout)
    .u64(80, data.length / SECTOR)
    .u32(88, level === 1 ? 0 : chunk / SECTOR);
  block
    .u32(92, devices)
    .u64(128, dataSector)
    .u64(136, data.length / SECTOR)
    .u64(144, superSector);
  block
    .pair(152, 0xffffffff, 0xffffffff)
    .u32(160, index)
    .u64(192, 1_700_000_100)
    .u64(200, spec.events ?? 17);
  block.pair(208, 0xffffffff, 0xffffffff).u32(220, max);
  for (let i = 0; i < max; i++) block.u16(256 + i * 2, i < devices ? i : 0xffff);
  let sum = 0;
  const view = new DataView(block.data.buffer);
  for (let at = 0; at < block.data.length; at += 4) sum += view.getUint32(at, true);
  block.u32(216, ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) >>> 0);
  const out = new Uint8Array(size);
  out.set(data, dataSector * SECTOR);
  out.set(block.data, superSector * SECTOR);
  return out;
}

function oldDevice(spec: MdSpec, data: Uint8Array, index: number): Uint8Array {
  const { devices, level, layout, chunk, seed } = spec;
  const used = Math.ceil(data.length / 65_536) * 65_536;
  const out = new Uint8Array(used + 65_536);
  const block = new Bytes(OLD);
  const word = (at: number, value: number): Bytes => block.u32(at * 4, value >>> 0);
  word(0, 0xa92b4efc);
  word(2, 90);
  word(5, seed * 0x1010101).u32(24, 1_600_000_000);
  word(7, level);
  word(8, data.length / 1024);
  word(9, devices);
  word(10, devices);
  word(13, seed + 1);
  word(14, seed + 2);
  word(15, seed + 3);
  word(32, 1_600_000_100);
  word(33, 1);
  for (const at of [34, 35]) word(at, devices);
  word(39, spec.events ?? 17);
  word(64, layout);
  word(65, level === 1 ? 0 : chunk);
  for (let i = 0; i < devices; i++) {
    const at = 128 + i * 32;
    word(at, i);
    word(at + 3, i);
    word(at + 4, 6);
  }
  word(992, index);
  word(995, index);
  word(996, 6);
  const view = new DataView(block.data.buffer);
  let sum = 0;
  for (let at = 0; at < OLD; at += 4) sum += view.getUint32(at, true);
  word(38, (sum % 2 ** 32) + Math.floor(sum / 2 ** 32));
  out.set(data);
  out.set(block.data, used);
  return out;
}
