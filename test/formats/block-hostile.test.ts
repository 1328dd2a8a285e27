/** VDI, VHD and VHDX that lie: sizes no file has, tables larger than memory, entries that claim one block. And byte orders. */
import { expect, test } from 'vitest';
import { crc32c } from '../../src/codec/crc32c.ts';
import type { Cx, Format } from '../../src/core/format.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { RunList } from '../../src/core/run.ts';
import { bytes8, struct, TOO_LARGE, u16, u32, u64 } from '../../src/core/struct.ts';
import { Claims } from '../../src/formats/disk/claims.ts';
import { vdi } from '../../src/formats/disk/vdi/index.ts';
import { vhd } from '../../src/formats/disk/vhd/index.ts';
import { vhdx } from '../../src/formats/disk/vhdx/index.ts';
import { disk } from '../make/disk/content.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { makeVhd } from '../make/disk/vhd.ts';
import { crc, makeVhdx } from '../make/disk/vhdx.ts';

const MIB = 1024 * 1024;
const cx: Cx = {
  source: 'x',
  self: 'x::y',
  signal: new AbortController().signal,
  damage: (at, code, expected, actual, effect) => ({ code, at: `x@${at}`, expected, actual, effect }),
  siblings: async () => [],
};
const small = disk(21, MIB, 9, 60);
const open = (format: Format, bytes: Uint8Array, size = bytes.length): Promise<Node> =>
  format.open(new MemorySource([{ at: 0, bytes }], size), cx);

async function certainties(node: Node): Promise<Map<string, number>> {
  const source = await node.bytes!();
  const out = new Map<string, number>();
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const key = `${list.state(i)} ${list.certainty(i)} ${list.why(i)?.code ?? ''}`;
      out.set(key, (out.get(key) ?? 0) + list.length[i]);
    }
  }
  return out;
}

async function codes(node: Node): Promise<string[]> {
  const out: string[] = [];
  for await (const damage of node.check?.(cx.signal) ?? []) out.push(damage.code);
  return out;
}

test('a VDI of 128 TiB whose table is not there costs no memory and little time', async () => {
  const { bytes } = makeVdi({ disk: small });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0x17c - 8, 2 ** 15, true); // 2 ** 47 bytes
  view.setUint32(0x170, 0, true);
  view.setUint32(0x180, 2 ** 27, true);
  view.setUint32(0x158, 0x40000000, true);
  const start = performance.now();
  const node = await open(vdi, bytes);
  expect(node.facts.size).toBe(2 ** 47);
  const source = await node.bytes!();
  expect((await source.read(2 ** 46, new Uint8Array(4096))).length).toBe(1);
  expect(performance.now() - start).toBeLessThan(5000);
});

test('a VHD and a VHDX in files of many tebibytes', async () => {
  for (const [format, { bytes }] of [
    [vhd, makeVhd({ disk: small })],
    [vhdx, makeVhdx({ disk: small })],
    [vdi, makeVdi({ disk: small })],
  ] as const) {
    const start = performance.now();
    const node = await open(format, bytes, 2 ** 46);
    expect(node.facts.size).toBe(small.size);
    await certainties(node);
    expect(performance.now() - start, format.id).toBeLessThan(5000);
  }
});

test('two entries for one block make both inferred, and check names both', async () => {
  const made = makeVdi({ disk: small });
  const map = made.parts.find((part) => part.name === 'map')!;
  const view = new DataView(made.bytes.buffer, made.bytes.byteOffset);
  view.setUint32(map.at + 4 * small.order[1], 0, true);
  const node = await open(vdi, made.bytes);
  expect(node.damage.map((one) => one.code)).toEqual(['vdi.block-twice']);
  expect((await certainties(node)).get('0 2 vdi.block-twice')).toBe(2 * MIB);
  expect((await codes(node)).filter((code) => code === 'vdi.block-twice')).toHaveLength(2);
});

test('a stretch of zeros in a VDI table takes nothing else with it', async () => {
  const many = disk(22, 65536, 300, 100);
  const made = makeVdi({ disk: many });
  const map = made.parts.find((part) => part.name === 'map')!;
  const first = many.order[0] < 128 ? 512 : 0;
  made.bytes.fill(0, map.at + first, map.at + first + 512);
  const node = await open(vdi, made.bytes);
  const found = await certainties(node);
  expect(node.damage.map((one) => one.code)).toEqual(['vdi.allocated', 'vdi.entry']);
  expect(found.get('2 0 vdi.entry')).toBe(128 * 65536);
  expect([...found.keys()].filter((key) => key.includes('twice'))).toEqual([]);
});

test('blocks that overlap by a part are told as well, and what lies on the tables is missing', async () => {
  const made = makeVhd({ disk: small });
  const table = made.parts.find((part) => part.name === 'table')!;
  const view = new DataView(made.bytes.buffer, made.bytes.byteOffset);
  const [a, b, c] = small.order;
  view.setUint32(table.at + 4 * a, view.getUint32(table.at + 4 * b) + 3);
  view.setUint32(table.at + 4 * c, 1);
  const node = await open(vhd, made.bytes);
  expect(node.damage.map((one) => one.code).sort()).toEqual(['vhd.block-reserved', 'vhd.block-twice']);
  const found = await certainties(node);
  expect([...found].filter(([key]) => key.startsWith('2')).map(([, n]) => n)).toEqual([MIB]);
});

test('entries that were lost make what looks empty inferred', async () => {
  const made = makeVhd({ disk: small });
  const table = made.parts.find((part) => part.name === 'table')!;
  made.bytes.fill(0xff, table.at + 4 * small.order[2], table.at + 4 * small.order[2] + 4);
  const node = await open(vhd, made.bytes);
  const found = await certainties(node);
  expect(found.get('1 2 vhd.unclaimed')).toBe((9 - small.order.length + 1) * MIB);
  expect(found.get('1 3 ')).toBeUndefined();
  expect(await codes(node)).toEqual(['vhd.unclaimed']);
});

test('copies of the VHD footer that differ', async () => {
  const made = makeVhd({ disk: small });
  const other = makeVhd({ disk: small, id: new Uint8Array(16).fill(9) });
  made.bytes.set(other.bytes.subarray(0, 512), 0);
  const node = await open(vhd, made.bytes);
  expect(node.damage.map((one) => one.code)).toEqual(['vhd.footer-differs']);
});

test('a torn entry behind the last of a VHDX log', async () => {
  const made = makeVhdx({ disk: small, open: true });
  made.bytes.fill(0x33, MIB + 8192 + 5000, MIB + 8192 + 5100);
  const node = await open(vhdx, made.bytes);
  expect(node.damage.map((one) => one.code)).toContain('vhdx.log-torn');
});

test('claims tell every overlap, and room that nobody claims', () => {
  const claims = new Claims(100 * 512, 10 * 512);
  for (const sector of [0, 10, 25, 34, 60]) claims.add(sector * 512);
  expect([0, 10, 25, 34, 60].map((sector) => claims.isContested(sector * 512))).toEqual([
    false,
    false,
    true,
    true,
    false,
  ]);
  expect(claims.room(0, 100 * 512, [])).toBe(1 + 3);
  expect(claims.room(0, 100 * 512, [[75 * 512, 76 * 512]])).toBe(1 + 2);
});

test('structures of either byte order', () => {
  const raw = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const fields = { a: u16(0), b: u32(2), c: u64(8), d: bytes8(0) };
  expect(struct('big', 16, { a: u16(0), b: u32(2), d: bytes8(0) }, 'big').decode(raw)).toEqual({
    a: 0x0102,
    b: 0x03040506,
    d: { high: 0x01020304, low: 0x05060708 },
  });
  expect(struct('big', 16, fields, 'big').decode(raw).c).toBe(TOO_LARGE);
  raw.set([0, 0], 8);
  expect(struct('big', 16, fields, 'big').decode(raw).c).toBe(0x0b0c0d0e0f10);
  expect(struct('little', 16, fields).decode(raw).a).toBe(0x0201);
});

test('CRC-32C as others compute it', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  const raw = Uint8Array.from({ length: 1001 }, (_, i) => (i * 31) & 0xff);
  const blank = raw.slice().fill(0, 4, 8);
  expect(crc32c(raw, 4)).toBe(crc(blank));
});
