import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { differences, missing, mounted, run } from './make/check/peers.ts';
import { Walker } from './make/check/walk.ts';
import { type MemoryImage, memoryImages, writeImages } from './make/images.ts';
import { machine } from './make/machines.ts';
import * as stores from './make/stores.ts';
import type { Made, TruthFile } from './make/types.ts';
import { hashMod, nameHash } from './make/vmfs/hash6.ts';

const MIB = 0x100000;
const PE = 256 * MIB;
const CI = process.env.CI === 'true';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'make-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A test that needs peers: skipped by name with the reason where one is missing, failed where CI must have it. */
function peerTest(name: string, peers: readonly string[], body: () => Promise<void> | void): void {
  const reason = peers.map(missing).find((r) => r !== undefined);
  if (reason === undefined) test(name, { timeout: 30_000 }, body);
  else if (CI) test(`${name} (${reason})`, () => expect.fail(reason));
  else test.skip(`${name} (${reason})`, () => {});
}

/** Images of a store, removed again afterwards. */
async function withImages(made: Made, use: (paths: string[], at: string) => void): Promise<void> {
  const at = mkdtempSync(join(dir, 'images-'));
  try {
    use(await writeImages(made, at), at);
  } finally {
    rmSync(at, { recursive: true });
  }
}

function bytes(images: readonly MemoryImage[], member: number, at: number, length: number): DataView {
  const into = new Uint8Array(length);
  images[member]!.read(at, into);
  return new DataView(into.buffer);
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

function fileOf(made: Made, path: string): TruthFile {
  const file = made.truth.files.find((f) => f.path === path);
  if (file === undefined) throw new Error(`no ${path}`);
  return file;
}

/** Known limits of the C readers (vmfs-writing.md 5, vmfs.md 9.1): these files they cannot read. */
function beyond5(file: TruthFile): boolean {
  return file.allocation === 'double' || file.path === '/kinds/pb2';
}

function beyond6(file: TruthFile): boolean {
  const holes = file.extents.some((e) => e.kind === 'hole') && file.allocation === 'direct';
  const stale = file.extents.some((e) => e.kind === 'tbz') && file.sha256 !== undefined; // the large ones by parts
  return holes || stale || ['/kinds/pb2', '/kinds/cow'].includes(file.path);
}

describe('peers read what the makers write', () => {
  const bare = (pes: number) => ({ members: [{ pes }] });
  const cases: [string, () => Made][] = [
    ['small3', () => stores.small3(bare(4))],
    ['small5', () => stores.small5(bare(4))],
    ['small5 mounted', () => stores.small5({ ...bare(4), mounted: true })],
    ['upgraded5 with 2 MiB blocks', () => stores.upgraded5(2 * MIB)],
    ['small6', () => stores.small6(bare(16))],
    ['small6 mounted', () => stores.small6({ ...bare(16), mounted: true })],
    ['many5', () => stores.many5(3000)],
    ['many6', () => stores.many6(3000)],
    ['flatRoot5', () => stores.flatRoot(5)],
    ['flatRoot6', () => stores.flatRoot(6)],
    ['thin3', () => stores.thin(3)],
    ['thin5', () => stores.thin(5)],
    ['thin6', () => stores.thin(6)],
    ['fragmented5', () => stores.fragmented(5)],
    ['fragmented6', () => stores.fragmented(6)],
    ['spanned3', () => stores.spanned(3, 2, 'bare')],
    ['spanned5', () => stores.spanned(5, 3, 'bare')],
    ['spanned6', () => stores.spanned(6, 3, 'bare')],
  ];
  for (const [name, make] of cases) {
    const six = name.includes('6');
    const fuse = six ? 'vmfs6-fuse' : 'vmfs-fuse';
    peerTest(`${fuse} reads every file of ${name}`, [fuse, 'fusermount'], async () => {
      const made = make();
      await withImages(made, (paths, at) => {
        const bad = mounted(fuse, paths, at, (root) => differences(root, made.truth, six ? beyond6 : beyond5));
        expect(bad).toEqual([]);
      });
    });
  }

  for (const [name, make] of [
    ['small3 in an MBR partition', () => stores.small3()],
    ['small5', () => stores.small5(bare(4))],
    ['upgraded5 with 8 MiB blocks', () => stores.upgraded5(8 * MIB)],
    ['many5', () => stores.many5(3000)],
    ['fragmented5', () => stores.fragmented(5)],
  ] as [string, () => Made][]) {
    peerTest(`debugvmfs finds no bitmap error in ${name}`, ['debugvmfs'], async () => {
      const made = make();
      await withImages(made, (paths) => {
        expect(run('debugvmfs', ...paths, 'check_vol_bitmaps').toString()).toContain('Total errors: 0');
      });
    });
  }

  peerTest('debugvmfs lists and prints small5', ['debugvmfs'], async () => {
    const made = stores.small5(bare(4));
    await withImages(made, (paths) => {
      const listing = run('debugvmfs', ...paths, 'ls', '-l', '/kinds').toString();
      for (const file of made.truth.files) {
        const [, name] = /^\/kinds\/([^/]+)$/.exec(file.path) ?? [];
        if (name !== undefined) expect(listing).toMatch(new RegExp(` ${file.size} [-0-9]+ [:0-9]+ ${name}\n`));
      }
      const text = run('debugvmfs', ...paths, 'cat', '/web05/web05.vmx');
      expect(createHash('sha256').update(text).digest('hex')).toBe(fileOf(made, '/web05/web05.vmx').sha256);
    });
  });

  peerTest('debugvmfs6 prints its version line first, then the file', ['debugvmfs6'], async () => {
    const made = stores.small6(bare(16));
    await withImages(made, (paths) => {
      const out = run('debugvmfs6', ...paths, 'cat', '/web06/web06.vmx').toString();
      expect(out.startsWith('VMFS version: 6\n')).toBe(true);
      const text = out.slice(out.indexOf('\n') + 1);
      expect(createHash('sha256').update(text).digest('hex')).toBe(fileOf(made, '/web06/web06.vmx').sha256);
    });
  });

  peerTest('sgdisk accepts both GPTs', ['sgdisk'], async () => {
    for (const made of [stores.small5(), stores.small6()]) {
      await withImages(made, ([path]) => {
        expect(run('sgdisk', '-v', path!).toString()).toContain('No problems found');
        expect(run('sgdisk', '-i', '1', path!).toString()).toContain('AA31E02A-400F-11DB-9590-000C2911D1B8');
      });
    }
  });

  peerTest('qemu-img reads the machine and its snapshots', ['qemu-img', 'vmfs-fuse', 'fusermount'], async () => {
    const made = stores.small5(bare(4));
    const disk = machine(stores.smallMachine(5, MIB)).disks[0]!;
    await withImages(made, (paths, at) => {
      mounted('vmfs-fuse', paths, at, (root) => {
        for (const [level, name] of ['web05.vmdk', 'web05-000001.vmdk', 'web05-000002.vmdk'].entries()) {
          const raw = join(at, `level-${level}.raw`);
          run('qemu-img', 'convert', '-O', 'raw', join(root, 'web05', name), raw);
          const expected = disk.levels[level]!.read(0, disk.size);
          expect(Buffer.compare(readFileSync(raw), expected), name).toBe(0);
        }
      });
    });
  });
});

/** Truth about structures that carry their own volume offset must agree with it, through spans and wraps. */
function selfAddressed(made: Made, images: readonly MemoryImage[]): string[] {
  const wrong: string[] = [];
  for (const s of made.truth.structures) {
    if (!/^(fd\/|heartbeat\/|[a-z0-9]+\.cluster\/)/.test(s.name)) continue;
    const member = made.truth.members[s.member]!;
    const volume = s.at - member.partitionStart - 0x1100000 + member.firstPE * PE;
    if (u64(bytes(images, s.member, s.at, 16), 4) !== volume) wrong.push(s.name);
  }
  return wrong;
}

/** Files whose extents do not tile them, or whose bytes in the images are not the content. */
function misplaced(made: Made, images: readonly MemoryImage[]): string[] {
  const wrong: string[] = [];
  for (const file of made.truth.files) {
    let at = 0;
    for (const e of file.extents) {
      if (e.offset !== at || e.length <= 0) wrong.push(`${file.path} tiles`);
      at = e.offset + e.length;
      if (e.kind === 'hole' || file.content === undefined) continue;
      const length = Math.min(e.length, MIB);
      const got = bytes(images, e.member!, e.at!, length);
      const stale = Buffer.compare(new Uint8Array(got.buffer), file.content.read(e.offset, length)) !== 0;
      if (stale !== (e.kind === 'tbz')) wrong.push(`${file.path} at ${e.offset}`);
    }
    if (file.kind !== 'rdm' && at !== file.size) wrong.push(`${file.path} ends at ${at}`);
  }
  return wrong;
}

describe('the truth is true of the bytes', () => {
  for (const [name, make] of [
    ['small3', () => stores.small3()],
    ['small5', () => stores.small5()],
    ['small6', () => stores.small6()],
    ['spanned5', () => stores.spanned(5, 4)],
    ['spanned6', () => stores.spanned(6, 4)],
    ['huge6 on 32 members', () => stores.huge(6, { members: 32 })],
    ['huge6 on one member', () => stores.huge(6, { members: 1 })],
    ['huge5 on 32 members', () => stores.huge(5, { members: 32 })],
  ] as [string, () => Made][]) {
    test(`of ${name}`, { timeout: 20_000 }, () => {
      const made = make();
      const images = memoryImages(made); // throws where two writes overlap
      expect(selfAddressed(made, images)).toEqual([]);
      expect(misplaced(made, images)).toEqual([]);
      for (const s of made.truth.structures) {
        expect(s.at + s.length <= made.members[s.member]!.size || s.name, s.name).toBe(true);
      }
    });
  }

  for (const [name, make] of [
    ['small3', () => stores.small3()],
    ['small5', () => stores.small5()],
    ['upgraded5', () => stores.upgraded5(4 * MIB)],
    ['small6', () => stores.small6()],
    ['many5', () => stores.many5(5000)],
    ['many6', () => stores.many6(5000)],
    ['spanned6', () => stores.spanned(6, 4)],
    ['huge5', () => stores.huge(5, { members: 32 })],
    ['huge6', () => stores.huge(6, { members: 1 })],
  ] as [string, () => Made][]) {
    test(`the pointers of ${name} lead to where the truth says`, { timeout: 20_000 }, () => {
      const made = make();
      const walker = new Walker(made, memoryImages(made));
      for (const file of made.truth.files) {
        for (const e of file.extents) expect(walker.agrees(file.fdAddress, e), `${file.path} ${e.offset}`).toBe(true);
      }
    });
  }

  test('a store twice is the same bytes', () => {
    const digest = () => {
      const hash = createHash('sha256');
      for (const w of stores.spanned(6, 2).writes()) hash.update(`${w.member} ${w.at}\n`).update(w.bytes);
      return hash.digest('hex');
    };
    expect(digest()).toBe(digest());
  });

  test('free counts equal the bits that are set', () => {
    for (const [made, offset, at] of [
      [stores.small5(), 0x200, 0x10],
      [stores.small6(), 0x1000, 0x80],
    ] as const) {
      const images = memoryImages(made);
      const six = made.truth.version === 6;
      let seen = 0;
      for (const s of made.truth.structures) {
        if (!/^(fdc|sbc|pbc|pb2|jbc|fbb|sfb)\.cluster/.test(s.name)) continue;
        const view = bytes(images, s.member, s.at + offset, 0x300);
        const free = six ? view.getUint16(0x22, true) : view.getUint32(8, true);
        const total = six ? view.getUint16(0x20, true) : view.getUint32(4, true);
        const width = s.name.startsWith('sfb') ? 2 : 1;
        let bits = 0;
        for (let i = 0; i < total * width; i++) bits += (view.getUint8(at + (i >>> 3)) >>> (i & 7)) & 1;
        expect(bits, s.name).toBe(free);
        seen++;
      }
      expect(seen).toBeGreaterThan(10);
    }
  });
});

describe('layouts that recovery depends on', () => {
  test('blocks wrap round inside their cluster', () => {
    for (const version of [3, 5, 6] as const) {
      const made = stores.fragmented(version);
      const cluster = (version === 6 ? 512 : 200) * MIB;
      const extents = fileOf(made, '/wrapped/wrapped-flat.vmdk').extents;
      const blocks = extents.map((e) => e.at! - made.truth.members[0]!.partitionStart - 0x1100000);
      expect(blocks.length).toBeGreaterThan(1);
      expect(blocks[1]!).toBeLessThan(blocks[0]!);
      expect(Math.floor(blocks[1]! / cluster)).toBe(Math.floor(blocks[0]! / cluster));
    }
  });

  test('two disks that grow in turns are interleaved', () => {
    const made = stores.fragmented(5);
    const data = (name: string) => fileOf(made, `/${name}/${name}-flat.vmdk`).extents.filter((e) => e.kind === 'data');
    const left = data('left');
    const ends = new Set(left.map((e) => e.at! + e.length));
    expect(left.length).toBeGreaterThan(20);
    expect(data('right').filter((e) => ends.has(e.at!)).length).toBeGreaterThan(15);
  });

  /** Looks up each name of a VMFS6 directory as vmfs.md 5.2 says; gives the longest chain of link groups. */
  function lookUpAll(made: Made, path: string): { collisions: number; longest: number } {
    const images = memoryImages(made);
    const directory = fileOf(made, path);
    const data = new Uint8Array(directory.size);
    for (const e of directory.extents) images[e.member!]!.read(e.at!, data.subarray(e.offset, e.offset + e.length));
    const view = new DataView(data.buffer);
    const at = (location: number) => 0x10000 + ((location >>> 2) & 0x3fffff) * 4096 + 0x40;
    const fdOf = (location: number) => view.getUint32(at(location) + (location >>> 24) * 0x120 + 4, true);
    const seen = { collisions: 0, longest: 0 };
    for (const file of made.truth.files) {
      if (!file.path.startsWith(`${path}/`)) continue;
      const hash = nameHash(new TextEncoder().encode(file.path.slice(path.length + 1)));
      let location = view.getUint32(0x5f8 + 4 * hashMod(hash, 16001), true);
      const found: number[] = [];
      if ((location & 3) === 1) found.push(fdOf(location));
      else seen.collisions++;
      for (let chain = 1; (location & 3) === 2; chain++) {
        const group = at(location) + (location >>> 24) * 0x54;
        expect(view.getUint16(group, true)).toBe(hashMod(hash, 16001));
        for (let i = 0; i < 12 - view.getUint8(group + 3); i++) {
          if (view.getUint16(group + 10 + 6 * i, true) !== hash[0] >>> 16) continue;
          found.push(fdOf(view.getUint32(group + 6 + 6 * i, true)));
        }
        location = view.getUint32(group + 0x4e, true);
        seen.longest = Math.max(seen.longest, chain);
      }
      expect(found, file.path).toContain(file.fdAddress);
    }
    return seen;
  }

  test('every name of a VMFS6 directory is found through its hash', () => {
    expect(lookUpAll(stores.many6(16_000), '/many').collisions).toBeGreaterThan(1000);
    expect(lookUpAll(stores.small6(), '/kinds/collisions')).toEqual({ collisions: 30, longest: 3 });
  });
});

describe('large volumes', () => {
  /** Physical offset of a PE by the tables alone: header, pairs of bitmap and table, extension blocks (vmfs.md 1.4). */
  function physical(images: readonly MemoryImage[], start: number, pe: number): number {
    const head = bytes(images, 0, start + 0x100000, 512);
    let region = { at: 0x100000, maps: head.getUint32(0xbe, true), next: u64(head, 0xc2) };
    let map = Math.floor(pe / 8192);
    while (map >= region.maps) {
      map -= region.maps;
      const block = bytes(images, 0, start + region.next, 32);
      expect(block.getUint32(0, true)).toBe(0xc001d00d);
      region = { at: region.next, maps: block.getUint32(4, true), next: u64(block, 16) };
    }
    const table = region.at + 0x80200 + map * (1024 + 8192 * 128) + 1024;
    const entry = bytes(images, 0, start + table + (pe % 8192) * 128, 64);
    expect(entry.getUint8(0)).toBe(1);
    expect(u64(entry, 0x11)).toBe(pe * PE);
    return u64(entry, 9);
  }

  test('64 TiB of VMFS5 on one device is reached through extension blocks', { timeout: 20_000 }, () => {
    const made = stores.huge(5, { members: 1 });
    const images = memoryImages(made);
    const { partitionStart: start } = made.truth.members[0]!;
    expect(misplaced(made, images)).toEqual([]);
    const end = fileOf(made, '/far/end.bin').extents[0]!;
    const last = physical(images, start, 262143);
    expect(end.at).toBe(start + last + PE - 6 * MIB);
    expect(physical(images, start, 0)).toBe(0x1100000);
  });

  test('making 64 TiB takes about a second and little memory', { timeout: 20_000 }, () => {
    for (const version of [5, 6] as const) {
      const began = performance.now();
      let written = 0;
      for (const write of stores.huge(version, { members: 32 }).writes()) written += write.bytes.length;
      expect(performance.now() - began).toBeLessThan(5000);
      expect(written).toBeLessThan(256 * MIB);
    }
  });

  test('16,000 files are made in about a second', { timeout: 20_000 }, () => {
    for (const make of [stores.many5, stores.many6]) {
      const began = performance.now();
      const made = make(16_000);
      expect(made.truth.files.length).toBeGreaterThan(16_000);
      expect(performance.now() - began).toBeLessThan(5000);
    }
  });
});

test('the name hash gives the values of a real VMFS6 volume', () => {
  const real = {
    directory: '5f1265850dbc9f66',
    file1: '7b2720d6d2b970eb',
    file4: '599b52377490219a',
    symlink: '6ef0258cfcdd1580',
  };
  for (const [name, expected] of Object.entries(real)) {
    const [low, high] = nameHash(new TextEncoder().encode(name));
    expect(high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')).toBe(expected);
    expect(hashMod([low, high], 16001)).toBe(Number(BigInt(`0x${expected}`) % 16001n));
  }
});
