/** Clients that break the protocol, stall or lie: only their own connections end. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Line, NbdClient } from './make/check/nbd-client.ts';
import { seeded } from './make/content.ts';
import { closeAll, open, serve, wholeOf } from './nbd-serving.ts';

const MIB = 2 ** 20;
let dir = '';
let file = '';

beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-nbd-hostile-'));
  file = join(dir, 'disk.raw');
  fs.writeFileSync(file, seeded(3, 40 * MIB).read(0, 40 * MIB));
});
afterEach(closeAll);
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const u32 = (n: number): Buffer => Buffer.from([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
const ask = (option: number, data: Buffer, length = data.length): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), u32(option), u32(length), data]);
const request = (magic: number, command: number, length: number, high = 0): Buffer =>
  Buffer.concat([u32(magic), u32(command), u32(0), u32(1), u32(high), u32(0), u32(length)]);
const flags = u32(3);
const go = Buffer.concat([flags, ask(7, Buffer.concat([u32(4), Buffer.from('disk'), Buffer.alloc(2)]))]);

/** What clients send that do not know the protocol, or know it too well. */
const HOSTILE: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['text', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['zeros', Buffer.alloc(1000)],
  ['ones', Buffer.alloc(1000, 255)],
  ['unknown flags', u32(0xffff0003)],
  ['half a flag', Buffer.from([0, 0])],
  ['a wrong option magic', Buffer.concat([flags, Buffer.from('IHAVENOT'), Buffer.alloc(8)])],
  ['an option that never comes', Buffer.concat([flags, ask(7, Buffer.alloc(4), 4000)])],
  ['an option of 4 GiB', Buffer.concat([flags, ask(7, Buffer.alloc(0), 0xffffffff)])],
  ['an option of 20 KiB', Buffer.concat([flags, ask(7, Buffer.alloc(20_000))])],
  ['a name of 20 KiB', Buffer.concat([flags, ask(1, Buffer.alloc(20_000, 65))])],
  ['a name that is not there', Buffer.concat([flags, ask(1, Buffer.from('other'))])],
  ['a name longer than its option', Buffer.concat([flags, ask(7, Buffer.concat([u32(1000), Buffer.from('x')]))])],
  ['a name of 4 GiB', Buffer.concat([flags, ask(7, Buffer.concat([u32(0xffffffff), Buffer.alloc(10)]))])],
  [
    'more information than its option',
    Buffer.concat([flags, ask(7, Buffer.concat([u32(0), Buffer.from([255, 255])]))]),
  ],
  ['an empty option to start', Buffer.concat([flags, ask(7, Buffer.alloc(0))])],
  ['a listing with data', Buffer.concat([flags, ask(3, Buffer.from('x'))])],
  ['TLS', Buffer.concat([flags, ask(5, Buffer.alloc(0))])],
  ['an unknown option', Buffer.concat([flags, ask(4711, Buffer.from('x'))])],
  ['contexts without structured replies', Buffer.concat([flags, ask(10, Buffer.concat([u32(0), u32(0)]))])],
  [
    'a million queries',
    Buffer.concat([flags, ask(8, Buffer.alloc(0)), ask(10, Buffer.concat([u32(0), u32(1_000_000)]))]),
  ],
  [
    'queries that are not there',
    Buffer.concat([flags, ask(8, Buffer.alloc(0)), ask(10, Buffer.concat([u32(0), u32(3)]))]),
  ],
  [
    'a query that is no text',
    Buffer.concat([
      flags,
      ask(8, Buffer.alloc(0)),
      ask(10, Buffer.concat([u32(0), u32(1), u32(2), Buffer.from([0xc3, 0x28])])),
    ]),
  ],
  ['a thousand options', Buffer.concat([flags, ...Array.from({ length: 1000 }, () => ask(3, Buffer.alloc(0)))])],
  ['a wrong request magic', Buffer.concat([go, request(0x12345678, 0, 512)])],
  ['half a request', Buffer.concat([go, request(0x25609513, 0, 512).subarray(0, 10)])],
  ['a read of 4 GiB', Buffer.concat([go, request(0x25609513, 0, 0xffffffff)])],
  ['a read from beyond all', Buffer.concat([go, request(0x25609513, 0, 512, 0xffffffff)])],
  ['a write of 4 GiB', Buffer.concat([go, request(0x25609513, 1, 0xffffffff)])],
  ['a write that never comes', Buffer.concat([go, request(0x25609513, 1, 1_000_000)])],
  ['all command flags', Buffer.concat([go, request(0x25609513, 0xffff0000, 512)])],
  [
    'ten thousand reads, no answer taken',
    Buffer.concat([go, ...Array.from({ length: 10_000 }, () => request(0x25609513, 0, 65_536))]),
  ],
  ['block status without contexts', Buffer.concat([go, request(0x25609513, 7, 512)])],
];

test('what does not keep to the protocol does no harm to others', async () => {
  const { path, source, server } = await serve(dir, file, 'error', 1500);
  const truth = await wholeOf(source);
  const good = await NbdClient.connect(path);
  open.push(good);
  expect(HOSTILE.length).toBeGreaterThanOrEqual(30);
  const before = process.memoryUsage().rss;
  const lines = HOSTILE.map(([, bytes]) => {
    const line = new Line(path);
    line.socket.pause(); // takes no answer at all
    line.socket.write(bytes);
    return line;
  });
  for (let round = 0; round < 20; round++) {
    const offset = (round * MIB) % (39 * MIB);
    const { data, error } = await good.read(offset, 100_000);
    expect(error).toBe(0);
    expect(data.equals(truth.subarray(offset, offset + 100_000))).toBe(true);
  }
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
  expect(server.served.cut, 'those that broke the rules or were too slow').toBeGreaterThan(10);
  const late = await NbdClient.connect(path);
  open.push(late);
  expect((await late.read(0, 4096)).data.equals(truth.subarray(0, 4096))).toBe(true);
  expect((await good.read(0, 4096)).error).toBe(0);
  for (const { socket } of lines) socket.destroy();
});
