/** LVM2 volume groups. Written from volumes.md section 5; `pvck` and `vgcfgrestore` accept labels and texts like these. */
import { Bytes, utf8 } from './bytes.ts';
import { laidOut } from './raid.ts';

const SECTOR = 512;
const EXTENT_SECTORS = 2048;
const EXTENT = EXTENT_SECTORS * SECTOR;
const AREA_AT = 4096;
const AREA = 1024 * 1024 - AREA_AT;

export interface LvSpec {
  readonly name: string;
  readonly type: 'linear' | 'striped' | 'raid1' | 'raid5_ls' | 'raid6_zr' | 'other';
  /** Lines of the segment of a volume of another type, which lies on volumes of the group. */
  readonly segment?: readonly string[];
  readonly isHidden?: boolean;
  /** Fills whole extents, and whole rows; of another type, as long as the volume. */
  readonly content: Uint8Array;
  /** Of striped and raid volumes, bytes. */
  readonly chunk?: number;
  /** Physical volumes that it lies on. */
  readonly on: readonly number[];
  /** Legs of a RAID volume that missed the last changes. */
  readonly stale?: readonly number[];
  /** Removed again before the last text was written. */
  readonly isRemoved?: boolean;
}

interface Texts {
  readonly name: string;
  readonly lines: string[];
  readonly isRemoved: boolean;
}

/** The physical volumes of a group, as whole devices. */
export function makeLvm2(seed: number, devices: number, volumes: readonly LvSpec[]): Uint8Array[] {
  const used = Array.from({ length: devices }, () => 0);
  const data: Uint8Array[] = Array.from({ length: devices }, () => new Uint8Array(64 * EXTENT));
  const texts: Texts[] = [];
  const place = (pv: number, bytes: Uint8Array): number => {
    const at = used[pv];
    data[pv].set(bytes, at * EXTENT);
    used[pv] += Math.ceil(bytes.length / EXTENT);
    return at;
  };
  for (const [i, volume] of volumes.entries()) texts.push(...volumeTexts(seed * 100 + i * 10, volume, place));
  const live = texts.filter(({ isRemoved }) => !isRemoved);
  const all = texts.flatMap(({ lines }) => lines);
  const generations = [[], all, live.flatMap(({ lines }) => lines)];
  return data.map((bytes, pv) => {
    const extents = Math.max(...used) + 1;
    const size = 1024 * 1024 + extents * EXTENT;
    const out = new Uint8Array(size);
    out.set(bytes.subarray(0, extents * EXTENT), 1024 * 1024);
    out.set(label(uuidOf(seed, pv), size), SECTOR);
    const group = generations.map((lines, g) => text(seed, devices, size, extents, lines, g + 1));
    out.set(area(group), AREA_AT);
    return out;
  });
}

export function uuidOf(seed: number, n: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(
    { length: 32 },
    (_, i) => letters[(seed * 31 + n * 17 + i * 7 + ((seed * i) >> 3)) % letters.length],
  ).join('');
}

function dashed(uuid: string): string {
  return [6, 4, 4, 4, 4, 4, 6]
    .reduce<[string[], number]>(([parts, at], n) => [[...parts, uuid.slice(at, at + n)], at + n], [[], 0])[0]
    .join('-');
}

function linesOf(lv: string, uuid: string, extents: number, isVisible: boolean, segment: readonly string[]): string[] {
  return [
    `${lv} {`,
    `id = "${dashed(uuid)}"`,
    `status = ["READ", "WRITE"${isVisible ? ', "VISIBLE"' : ''}]`,
    'flags = []',
    'creation_time = 1700000000',
    'creation_host = "maker"',
    'segment_count = 1',
    '',
    'segment1 {',
    'start_extent = 0',
    `extent_count = ${extents}`,
    '',
    ...segment,
    '}',
    '}',
    '',
  ];
}

function volumeTexts(
  seed: number,
  { name, type, content, chunk = 0, on, isRemoved = false, isHidden = false, segment: given = [], stale = [] }: LvSpec,
  place: (pv: number, bytes: Uint8Array) => number,
): Texts[] {
  const one = (lv: string, id: number, extents: number, isVisible: boolean, segment: readonly string[]): Texts => ({
    name: lv,
    isRemoved,
    lines: linesOf(lv, uuidOf(seed, id), extents, isVisible, segment),
  });
  const extents = content.length / EXTENT;
  if (type === 'other') return [one(name, 0, extents, !isHidden, given)];
  if (type === 'linear' || type === 'striped') {
    const columns = laidOut({ level: 0, layout: 0, devices: on.length, chunk: chunk || EXTENT }, content);
    const at = columns.map((bytes, i) => `"pv${on[i]}", ${place(on[i], bytes)}`);
    const size = chunk > 0 ? [`stripe_size = ${chunk / SECTOR}`] : [];
    return [
      one(name, 0, extents, !isHidden, [
        'type = "striped"',
        `stripe_count = ${on.length}`,
        ...size,
        '',
        `stripes = [`,
        at.join(',\n'),
        ']',
      ]),
    ];
  }
  const level = type === 'raid1' ? 1 : type === 'raid5_ls' ? 5 : 6;
  const columns = laidOut({ level, layout: level === 6 ? 8 : 2, devices: on.length, chunk: chunk || EXTENT }, content);
  const parts = columns.flatMap((bytes, i) => {
    const stripe = (what: Uint8Array): string[] => [
      'type = "striped"',
      'stripe_count = 1',
      '',
      'stripes = [',
      `"pv${on[i]}", ${place(on[i], what)}`,
      ']',
    ];
    return [
      one(`${name}_rmeta_${i}`, i * 2 + 1, 1, false, stripe(raidNotes(on.length, i, level, stale.includes(i)))),
      one(`${name}_rimage_${i}`, i * 2 + 2, bytes.length / EXTENT, false, stripe(bytes)),
    ];
  });
  const raids = on.map((_, i) => `"${name}_rmeta_${i}", "${name}_rimage_${i}"`).join(',\n');
  const segment = [
    `type = "${type}"`,
    `device_count = ${on.length}`,
    ...(chunk ? [`stripe_size = ${chunk / SECTOR}`] : []),
    'region_size = 1024',
    '',
    'raids = [',
    raids,
    ']',
  ];
  return [one(name, 0, extents, true, segment), ...parts];
}

/** What the kernel notes beside each leg: whole, in step with the others, or left behind by them. */
function raidNotes(devices: number, position: number, level: number, isStale: boolean): Uint8Array {
  const out = new Bytes(EXTENT);
  out
    .u32(0, 0x64526d44)
    .u32(8, devices)
    .u32(12, position)
    .u64(16, isStale ? 40 : 44);
  for (let at = 32; at < 48; at += 4) out.u32(at, 0xffffffff);
  return out.u32(48, level).data;
}

function text(
  seed: number,
  devices: number,
  size: number,
  extents: number,
  volumes: readonly string[],
  seqno: number,
): string {
  const pvs = Array.from({ length: devices }, (_, pv) => [
    `pv${pv} {`,
    `id = "${dashed(uuidOf(seed, pv))}"`,
    `device = "/dev/sd${'abcdef'[pv]}1"\t# Hint only`,
    'status = ["ALLOCATABLE"]',
    'flags = []',
    `dev_size = ${size / SECTOR}`,
    'pe_start = 2048',
    `pe_count = ${extents}`,
    '}',
    '',
  ]).flat();
  return `${[
    `vg${seed} {`,
    `id = "${dashed(uuidOf(seed, 99))}"`,
    `seqno = ${seqno}`,
    'format = "lvm2"',
    'status = ["RESIZEABLE", "READ", "WRITE"]',
    'flags = []',
    `extent_size = ${EXTENT_SECTORS}`,
    'max_lv = 0',
    'max_pv = 0',
    'metadata_copies = 0',
    '',
    'physical_volumes {',
    '',
    ...pvs,
    '}',
    '',
    ...(volumes.length === 0 ? [] : ['logical_volumes {', '', ...volumes, '}', '']),
    '}',
    '# Generated by LVM2 version 2.03.16(2)',
    '',
    'contents = "Text Format Volume Group"',
    'version = 1',
    '',
    `description = "Write from lvcreate -n \\"data\\"."`,
    '',
    'creation_host = "maker"',
    'creation_time = 1700000000',
    '',
  ].join('\n')}\n\0`;
}

/** The checksum of LVM, bit by bit. */
function sum(bytes: Uint8Array): number {
  let crc = 0xf597a6cf;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return crc >>> 0;
}

function label(uuid: string, size: number): Uint8Array {
  const out = new Bytes(SECTOR);
  out.text(0, 'LABELONE').u64(8, 1).u32(20, 32).text(24, 'LVM2 001');
  out
    .text(32, uuid)
    .u64(64, size)
    .u64(72, 1024 * 1024)
    .u64(80, 0)
    .u64(104, AREA_AT)
    .u64(112, AREA);
  out.u32(136, 2).u32(140, 1);
  return out.u32(16, sum(out.data.subarray(20))).data;
}

/** All texts, each behind the one before it; the header names the last one. */
function area(texts: readonly string[]): Uint8Array {
  const out = new Bytes(AREA);
  let at = SECTOR;
  let last: { at: number; bytes: Uint8Array } = { at: 0, bytes: new Uint8Array(0) };
  for (const one of texts) {
    const bytes = utf8(one);
    out.raw(at, bytes);
    last = { at, bytes };
    at += Math.ceil(bytes.length / SECTOR) * SECTOR;
  }
  out.raw(4, Buffer.from('204c564d3220785b35412572304e2a3e', 'hex')).u32(20, 1);
  out.u64(24, AREA_AT).u64(32, AREA).u64(40, last.at).u64(48, last.bytes.length).u32(56, sum(last.bytes));
  return out.u32(0, sum(out.data.subarray(4, SECTOR))).data;
}
