/** Puts the files of an appliance into one archive (OVA): a tar file, its description first. Source: vmconfig.md section 4. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { blake3 } from '../codec/blake3.ts';
import { CHUNK, leavesOf, TreeHash } from '../codec/tree-hash.ts';
import { ExportError, interrupted } from './error.ts';
import { finishPart, openPart } from './output.ts';

const BLOCK = 512;
/** Two empty blocks say that an archive ends; readers take records of this size. */
const RECORD = 20 * BLOCK;
const MODE = 0o644;
/** Sizes up to this are eleven octal digits; larger ones are written in base 256. */
const MAX_OCTAL: number = 8 ** 11 - 1;
const MAX_NAME = 100;

/** SHA-256 of a file that was written, in hexadecimal. */
export async function sha256Of(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of fs.createReadStream(file, { highWaterMark: CHUNK })) {
    if (signal.aborted) throw interrupted();
    hash.update(piece as Buffer);
  }
  return hash.digest('hex');
}

/** Names that the archive cannot hold are refused before anything is written. */
export function checkNames(names: readonly string[]): void {
  const long = names.find((name) => Buffer.byteLength(name) > MAX_NAME);
  if (long === undefined) return;
  const why = `"${long}" has more than ${MAX_NAME} bytes, and importers of archives take no longer names`;
  throw new ExportError('out', `${why}. Leave out --ova, and pack the files under shorter names.`);
}

/** Writes the archive; answers its size and hash. The files are read one after the other, in the order given. */
export function packArchive(
  dir: string,
  name: string,
  names: readonly string[],
  signal: AbortSignal,
): { size: number; tree: string } {
  const sizes = names.map((one) => fs.statSync(path.join(dir, one)).size);
  const used = sizes.reduce((sum, size) => sum + BLOCK + padded(size), 0);
  const size = Math.ceil((used + 2 * BLOCK) / RECORD) * RECORD;
  const full = path.join(dir, name);
  const part = openPart(full, size, false);
  const hash = new TreeHash(size);
  try {
    let at = 0;
    for (const [i, one] of names.entries()) {
      fs.writeSync(part.fd, head(one, sizes[i]), 0, BLOCK, at);
      at += BLOCK;
      copy(path.join(dir, one), part.fd, at, signal);
      at += padded(sizes[i]);
    }
    fs.fsyncSync(part.fd);
    // Read back as it lies, so that the hash is that of the file, not of what was meant.
    const block = new Uint8Array(CHUNK);
    for (let leaf = 0; leaf < leavesOf(size); leaf++) {
      if (signal.aborted) throw interrupted();
      const got = fs.readSync(part.fd, block, 0, CHUNK, leaf * CHUNK);
      hash.leaf(leaf, blake3(block.subarray(0, got)));
    }
    finishPart(part, full, MODE, undefined);
  } finally {
    fs.closeSync(part.fd);
  }
  return { size, tree: hash.root() };
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function copy(file: string, to: number, at: number, signal: AbortSignal): void {
  const from = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const block = new Uint8Array(CHUNK);
    for (let done = 0; ; ) {
      if (signal.aborted) throw interrupted();
      const got = fs.readSync(from, block, 0, CHUNK, done);
      if (got === 0) return;
      for (let put = 0; put < got; ) put += fs.writeSync(to, block, put, got - put, at + done + put);
      done += got;
    }
  } finally {
    fs.closeSync(from);
  }
}

/** The block before each file, in the form of POSIX (ustar). */
function head(name: string, size: number): Buffer {
  const out = Buffer.alloc(BLOCK);
  out.write(name, 0, 'utf8');
  const octal = (value: number, at: number, digits: number): void =>
    void out.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  octal(MODE, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  if (size <= MAX_OCTAL) octal(size, 124, 11);
  else {
    out[124] = 0x80;
    out.writeUInt32BE(Math.floor(size / 2 ** 32), 128);
    out.writeUInt32BE(size % 2 ** 32, 132);
  }
  octal(0, 136, 11);
  out.write('        0', 148, 'latin1');
  out.write('ustar\x0000', 257, 'latin1');
  const sum = out.reduce((total, byte) => total + byte, 0);
  out.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return out;
}
