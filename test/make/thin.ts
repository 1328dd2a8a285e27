/** Metadata of thin pools as the tools of device mapper write it, and what a pool in use makes of it later. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';

/** Bytes of a block of data. */
export const THIN: number = 64 * 1024;
export const NODE = 4096;
const SUPER_SALT = 160_774;
const NODE_SALT = 121_107;

export const thinAbsent: string | undefined =
  spawnSync('thin_restore', ['--version']).status === 0 ? undefined : 'thin_restore is not there';

/** [first block of the device, block of data, blocks]. */
export type Range = readonly [at: number, block: number, length: number];

/** Metadata of 4 MiB with devices 1, 2 and so on. */
export function thinMetadata(dir: string, devices: readonly (readonly Range[])[], blocks: number): Buffer {
  const xml = devices.map((list, i) => {
    const mapped = list.reduce((sum, [, , length]) => sum + length, 0);
    const ranges = list.map(
      ([at, block, length]) =>
        `<range_mapping origin_begin="${at}" data_begin="${block}" length="${length}" time="0"/>`,
    );
    return `<device dev_id="${i + 1}" mapped_blocks="${mapped}" transaction="0" creation_time="0" snap_time="0">${ranges.join('')}</device>`;
  });
  const head = `<superblock uuid="" time="0" transaction="1" data_block_size="${THIN / 512}" nr_data_blocks="${blocks}">`;
  const [text, file] = [join(dir, 'thin.xml'), join(dir, 'tmeta')];
  fs.writeFileSync(text, `${head}${xml.join('')}</superblock>`);
  fs.writeFileSync(file, Buffer.alloc(4 * 2 ** 20));
  const done = spawnSync('thin_restore', ['-i', text, '-o', file], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(done.stderr);
  return fs.readFileSync(file);
}

/** Lines of the segments of a pool and of a device in it. */
export const poolLines = (transaction = 1): string[] => [
  'type = "thin-pool"',
  'metadata = "pool_tmeta"',
  'pool = "pool_tdata"',
  `transaction_id = ${transaction}`,
  `chunk_size = ${THIN / 512}`,
];
export const deviceLines = (id: number): string[] => [
  'type = "thin"',
  'thin_pool = "pool"',
  'transaction_id = 0',
  `device_id = ${id}`,
];

/** The block of the root of all devices, by the superblock. */
export const rootOf = (metadata: Buffer): number => Number(metadata.readBigUInt64LE(320));

/** The entries of a node. */
export function entriesOf(metadata: Buffer, block: number): [key: number, value: number][] {
  const at = block * NODE;
  const most = metadata.readUInt32LE(at + 20);
  return Array.from({ length: metadata.readUInt32LE(at + 16) }, (_, i) => [
    Number(metadata.readBigUInt64LE(at + 32 + 8 * i)),
    Number(metadata.readBigUInt64LE(at + 32 + 8 * (most + i))),
  ]);
}

/** A copy of a node at another block, with these entries, as it comes to be when something in a tree is changed. */
export function shadow(metadata: Buffer, from: number, to: number, entries = entriesOf(metadata, from)): void {
  const at = to * NODE;
  metadata.copy(metadata, at, from * NODE, (from + 1) * NODE);
  const most = metadata.readUInt32LE(at + 20);
  metadata.writeBigUInt64LE(BigInt(to), at + 8);
  metadata.writeUInt32LE(entries.length, at + 16);
  for (const [i, [key, value]] of entries.entries()) {
    metadata.writeBigUInt64LE(BigInt(key), at + 32 + 8 * i);
    metadata.writeBigUInt64LE(BigInt(value), at + 32 + 8 * (most + i));
  }
  seal(metadata, to, NODE_SALT);
}

/** Lets the superblock lead to another root. */
export function setRoot(metadata: Buffer, block: number): void {
  metadata.writeBigUInt64LE(BigInt(block), 320);
  seal(metadata, 0, SUPER_SALT);
}

function seal(metadata: Buffer, block: number, salt: number): void {
  const bytes = metadata.subarray(block * NODE + 4, (block + 1) * NODE);
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ 0x82f63b78 : sum >>> 1;
  }
  metadata.writeUInt32LE((sum ^ salt) >>> 0, block * NODE);
}
