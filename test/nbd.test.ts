/** Disks over NBD: what independent clients read is the disk, and nothing that a client does harms the others. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { flatten } from '../src/core/resolve.ts';
import { MISSING, RunList } from '../src/core/run.ts';
import { tcpAddress } from '../src/serve/nbd/address.ts';
import { build, LAUNCHER, salvor } from './cli/salvor.ts';
import { Line, NbdClient } from './make/check/nbd-client.ts';
import { missing } from './make/check/peers.ts';
import { seeded } from './make/content.ts';
import { makeSample } from './make/sample.ts';
import { closeAll, open, serve, wholeOf } from './nbd-serving.ts';

const MIB = 2 ** 20;
const hasPeers = ['qemu-img', 'nbdinfo', 'nbdcopy'].every((program) => missing(program) === undefined);
let dir = '';
let sample = '';
let copies = 0;

beforeAll(async () => {
  build();
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-nbd-'));
  sample = (await makeSample(join(dir, 'sample'))).images[0]!;
  const raw = join(dir, 'disk.raw');
  const fd = fs.openSync(raw, 'w');
  fs.ftruncateSync(fd, 40 * MIB + 512);
  for (const [at, length] of [
    [0, MIB],
    [9 * MIB - 700, 5 * MIB],
    [40 * MIB, 512],
  ] as const)
    fs.writeSync(fd, seeded(at + 1, length).read(0, length), 0, length, at);
  fs.closeSync(fd);
});
afterEach(closeAll);
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** Runs a program while this one serves. */
function run(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 1 << 26 }, (error, out, err) => {
      if (error === null) resolve(out);
      else reject(new Error(`${program} ${args.join(' ')}: ${error.message} ${out} ${err}`));
    });
  });
}

/** A source with a stretch that is missing: an image with a mapfile beside it. */
function holed(name: string): string {
  const file = join(dir, name);
  fs.copyFileSync(join(dir, 'disk.raw'), file);
  const size = fs.statSync(file).size;
  const hex = (n: number): string => `0x${n.toString(16)}`;
  const lines = [
    [0, 10 * MIB, '+'],
    [10 * MIB, 65_536, '-'],
    [10 * MIB + 65_536, size - 10 * MIB - 65_536, '+'],
  ];
  const text = lines.map(([at, length, sign]) => `${hex(at as number)} ${hex(length as number)} ${sign}\n`).join('');
  fs.writeFileSync(`${file}.map`, `0x0 + 1\n${text}`);
  return file;
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe.runIf(hasPeers)('clients that others wrote', () => {
  test.each([
    ['raw', () => join(dir, 'disk.raw'), []],
    ['qcow2', () => join(dir, 'disk.qcow2'), ['-O', 'qcow2']],
    ['VMDK', () => join(dir, 'disk.vmdk'), ['-O', 'vmdk', '-o', 'subformat=monolithicSparse']],
    ['VMDK chain of a snapshot on VMFS6, thin', () => `${sample}::/web01/web01-000001.vmdk`, []],
    ['thick disk on VMFS6', () => `${sample}::/web01/web01-flat.vmdk`, []],
  ] as const)('%s: nbdcopy, qemu-img compare and nbdinfo agree with the disk', async (name, locator, make) => {
    if (make.length > 0) await run('qemu-img', 'convert', '-f', 'raw', ...make, join(dir, 'disk.raw'), locator());
    const { uri, source } = await serve(dir, locator());
    const truth = await wholeOf(source);
    const out = join(dir, `copy-${copies++}.raw`);
    await run('nbdcopy', uri, out);
    expect(sha(fs.readFileSync(out)), name).toBe(sha(truth));
    fs.truncateSync(out, Math.ceil(truth.length / 512) * 512);
    expect(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', out, uri)).toContain('identical');
    expect(Number(await run('nbdinfo', '--size', uri))).toBe(source.size);
    const map = JSON.parse(await run('nbdinfo', '--json', '--map', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    let at = 0;
    for (const extent of map) {
      expect(extent.offset).toBe(at);
      if (extent.type === 3) expect(truth.subarray(at, at + extent.length).every((byte) => byte === 0)).toBe(true);
      at += extent.length;
    }
    expect(at).toBe(source.size);
    const grades = JSON.parse(await run('nbdinfo', '--json', '--map=salvor:certainty', uri)) as {
      length: number;
      type: number;
    }[];
    expect(grades.reduce((sum, { length }) => sum + length, 0)).toBe(source.size);
    expect(grades.every(({ type }) => type >= 3)).toBe(true);
    fs.rmSync(out);
  });

  test('an overlay over it starts no copy, and a second one of that name is refused', async () => {
    const overlay = join(dir, 'over.qcow2');
    const info = 'qemu-img info --output=json "$overlay"';
    const made = spawn(
      process.execPath,
      [LAUNCHER, 'nbd', join(dir, 'disk.raw'), '--overlay', overlay, '--run', info],
      {
        env: { ...process.env, overlay },
      },
    );
    let out = '';
    made.stdout.on('data', (bytes) => (out += bytes));
    expect(await new Promise((resolve) => made.on('exit', resolve))).toBe(0);
    expect(out).toContain('"backing-filename": "nbd+unix:///disk?socket=');
    expect(fs.statSync(overlay).size).toBeLessThan(MIB);
    const again = await salvor('nbd', join(dir, 'disk.raw'), '--overlay', overlay, '--run', 'true');
    expect(again).toMatchObject({ code: 2, err: expect.stringContaining('nothing is ever overwritten') });
    expect(fs.readdirSync(dir).filter((name) => name.startsWith('.salvor-overlay'))).toEqual([]);
  });
});

test('every read agrees, simple and structured, at any offset', async () => {
  const { path, source } = await serve(dir, join(dir, 'disk.raw'));
  const truth = await wholeOf(source);
  for (const structured of [true, false]) {
    const client = await NbdClient.connect(path, { structured });
    open.push(client);
    expect(client.size).toBe(source.size);
    expect(client.flags & 0x103, 'read-only, many connections').toBe(0x103);
    const reads = Array.from({ length: 200 }, async (_, i) => {
      const offset = (i * 7_654_321) % (source.size - 1);
      const length = Math.min(source.size - offset, 1 + ((i * 104_729) % 400_000));
      const { data, error } = await client.read(offset, length, i % 3 === 0 && structured ? 4 : 0);
      expect(error).toBe(0);
      expect(data.equals(truth.subarray(offset, offset + length)), `${offset}+${length}`).toBe(true);
    });
    await Promise.all(reads);
    const large = await client.read(0, 32 * MIB);
    expect(large.data.equals(truth.subarray(0, 32 * MIB))).toBe(true);
    if (structured) expect((await client.read(20 * MIB, MIB)).error).toBe(0);
  }
});

test('zeros are not sent where tables know them', async () => {
  const { path, source } = await serve(dir, `${sample}::/web01/web01-000001.vmdk`);
  const client = await NbdClient.connect(path);
  open.push(client);
  let holes = 0;
  for (let at = 0; at < source.size; at += MIB) holes += (await client.read(at, Math.min(MIB, source.size - at))).holes;
  expect(holes).toBeGreaterThan(source.size / 4);
});

test('block status tiles and says what the runs say', async () => {
  const { path, source } = await serve(dir, `${sample}::/db01/db01-flat.vmdk`);
  const client = await NbdClient.connect(path, { contexts: ['base:allocation', 'salvor:certainty'] });
  open.push(client);
  const list = new RunList(1 << 16);
  await flatten(source, 0, source.size, list);
  const lost = list.meta
    .subarray(0, list.n)
    .reduce((n, _, i) => n + (list.state(i) === MISSING ? list.length[i]! : 0), 0);
  expect(lost).toBe(MIB);
  const seen = { base: 0, missing: 0, certainty: 0 };
  for (const [name, key] of [
    ['base:allocation', 'base'],
    ['salvor:certainty', 'certainty'],
  ] as const) {
    for (let at = 0; at < source.size; ) {
      const pairs = (await client.status(at, source.size - at)).status.get(client.contexts.get(name)!)!;
      expect(pairs.length).toBeGreaterThan(0);
      for (let i = 0; i < pairs.length; i += 2) {
        at += pairs[i]!;
        seen[key] += pairs[i]!;
        if (key === 'certainty' && pairs[i + 1] === 0) seen.missing += pairs[i]!;
      }
    }
  }
  expect(seen).toEqual({ base: source.size, certainty: source.size, missing: lost });
  const one = await client.status(0, source.size, 8);
  for (const pairs of one.status.values()) expect(pairs.length).toBe(2);
});

describe('bytes that are missing', () => {
  test('an error with its place, and all around them', async () => {
    const { path, source, server } = await serve(dir, holed('lost.raw'));
    const truth = await wholeOf(source);
    const from = 10 * MIB - 4096;
    const client = await NbdClient.connect(path);
    open.push(client);
    const { error, errorsAt, data } = await client.read(from, MIB);
    expect({ error, errorsAt }).toEqual({ error: 5, errorsAt: [10 * MIB] });
    expect(data.equals(truth.subarray(from, from + MIB))).toBe(true);
    expect((await client.read(from, MIB, 4)).errorsAt, 'in one piece').toEqual([10 * MIB]);
    expect((await client.read(from, 4096)).error).toBe(0);
    const plain = await NbdClient.connect(path, { structured: false });
    open.push(plain);
    expect((await plain.read(from, MIB)).error).toBe(5);
    expect((await plain.read(10 * MIB + 65_536, MIB)).error).toBe(0);
    expect(server.served).toMatchObject({ lostReads: 3, lostBytes: 3 * 65_536 });
  });

  test('zeros where they are asked for, and counted', async () => {
    const { path, server } = await serve(dir, holed('zeros.raw'), 'zeros');
    const client = await NbdClient.connect(path);
    open.push(client);
    const { error, data } = await client.read(10 * MIB, 65_536);
    expect(error).toBe(0);
    expect(data.every((byte) => byte === 0)).toBe(true);
    expect(server.served).toMatchObject({ lostReads: 1, lostBytes: 65_536 });
  });

  test.runIf(hasPeers)('the program says how many, and nbdcopy fails on them', async () => {
    const file = holed('told.raw');
    const failed = await salvor('nbd', file, '--run', 'nbdcopy "$uri" null:');
    expect(failed.code).not.toBe(0);
    expect(failed.err).toContain('64 KiB in 1 stretches are missing; reads of them get an error');
    expect(failed.err).toContain('that are missing; an error was given');
    const out = join(dir, 'zeroed.raw');
    const copied = await salvor('nbd', file, '--lost', 'zeros', '--run', `nbdcopy "$uri" '${out}'`);
    expect(copied.code).toBe(1);
    expect(copied.err).toContain('reads of them get ZEROS');
    expect(
      fs
        .readFileSync(out)
        .subarray(10 * MIB, 10 * MIB + 65_536)
        .every((byte) => byte === 0),
    ).toBe(true);
  });
});

test('nothing can be written', async () => {
  const { path, source } = await serve(dir, join(dir, 'disk.raw'));
  const before = sha(fs.readFileSync(join(dir, 'disk.raw')));
  const client = await NbdClient.connect(path);
  open.push(client);
  expect((await client.request(1, 0, 4096, 0, Buffer.alloc(4096, 7))).error).toBe(1);
  expect((await client.request(4, 0, 4096)).error, 'trim').toBe(1);
  expect((await client.request(6, 0, 4096)).error, 'write zeroes').toBe(1);
  expect((await client.request(5, 0, 4096)).error, 'cache').toBe(0);
  expect((await client.request(99, 0, 4096)).error).toBe(22);
  expect((await client.read(source.size - 10, 20)).error).toBe(22);
  expect((await client.read(2 ** 52, 20)).error).toBe(22);
  expect((await client.read(0, 0)).error).toBe(22);
  expect((await client.read(0, 33 * MIB)).error).toBe(22);
  expect((await client.read(0, 512)).error).toBe(0);
  expect(sha(fs.readFileSync(join(dir, 'disk.raw')))).toBe(before);
});

test('eight clients at once, and no more than there is room for', async () => {
  const { path, source } = await serve(dir, `${sample}::/web01/web01-000001.vmdk`);
  const truth = await wholeOf(source);
  const clients = await Promise.all(Array.from({ length: 8 }, () => NbdClient.connect(path)));
  open.push(...clients);
  await Promise.all(
    clients.flatMap((client, c) =>
      Array.from({ length: 60 }, async (_, i) => {
        const offset = ((c * 31 + i * 17) * 333_333) % (source.size - 70_000);
        const { data } = await client.read(offset, 65_000);
        expect(data.equals(truth.subarray(offset, offset + 65_000))).toBe(true);
      }),
    ),
  );
  const crowd = Array.from({ length: 80 }, () => new Line(path));
  const greeted = await Promise.allSettled(crowd.map((line) => line.take(18)));
  expect(greeted.filter(({ status }) => status === 'fulfilled').length).toBe(64 - 8);
  for (const { socket } of crowd) socket.destroy();
});

test('the socket is for its owner alone, and goes when the server goes', async () => {
  const { path, server } = await serve(dir, join(dir, 'disk.raw'));
  expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  await server.close();
  expect(fs.existsSync(path)).toBe(false);
  const child = spawn(process.execPath, [LAUNCHER, 'nbd', join(dir, 'disk.raw'), '--json']);
  const said = await new Promise<string>((resolve) => child.stdout.once('data', (bytes) => resolve(String(bytes))));
  const at = JSON.parse(said).path as string;
  expect(fs.statSync(join(at, '..')).mode & 0o777).toBe(0o700);
  child.kill('SIGINT');
  expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(130);
  expect(fs.existsSync(join(at, '..'))).toBe(false);
});

test('only this machine, unless somebody says otherwise', async () => {
  for (const local of ['10809', '127.0.0.1:0', 'localhost:1', '[::1]:10809']) tcpAddress(local, false);
  for (const far of ['0.0.0.0:10809', '[::]:1', '192.168.1.5:10809', 'nas:10809'])
    expect(() => tcpAddress(far, false)).toThrow(/--allow-remote/);
  for (const wrong of ['', 'x', '70000', '1:2:3', ':']) expect(() => tcpAddress(wrong, true)).toThrow(/no address/);
  expect(tcpAddress('0.0.0.0:1', true)).toEqual({ host: '0.0.0.0', port: 1 });
  const taken = join(dir, 'disk.raw');
  expect(await salvor('nbd', taken, '--socket', taken)).toMatchObject({
    code: 2,
    err: expect.stringContaining('in use'),
  });
  expect(fs.statSync(taken).size).toBe(40 * MIB + 512);
});
