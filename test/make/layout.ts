/** Disks of guests: partition tables around volumes, written as files with holes. */
import * as fs from 'node:fs';
import { gptParts, mbrSector } from './wrap.ts';

const MIB = 2 ** 20;
const SECTOR = 512;

/** GUIDs as they lie on disks: the first three fields are little-endian. */
export function guidBytes(text: string): Uint8Array {
  const b = Buffer.from(text.replaceAll('-', ''), 'hex');
  return Uint8Array.from([b[3]!, b[2]!, b[1]!, b[0]!, b[5]!, b[4]!, b[7]!, b[6]!, ...b.subarray(8)]);
}

export const ESP: Uint8Array = guidBytes('C12A7328-F81F-11D2-BA4B-00A0C93EC93B');
export const BIOS_BOOT: Uint8Array = guidBytes('21686148-6449-6E6F-744E-656564454649');
export const LINUX: Uint8Array = guidBytes('0FC63DAF-8483-4772-8E79-3D69D8477DE4');
export const MSR: Uint8Array = guidBytes('E3C9E316-0B5C-4DB8-817D-F92DF00215AE');
export const BASIC: Uint8Array = guidBytes('EBD0A0A2-B9E5-4433-87C0-68B6B72699C7');
export const BSD_BOOT: Uint8Array = guidBytes('83BD6B9D-7F41-11DC-BE0B-001560B84F0F');
export const BSD_UFS: Uint8Array = guidBytes('516E7CB6-6ECF-11D6-8FF8-00022D09712B');

/** A partition and the image of its volume; without one it is 1 MiB of nothing. */
export interface Placed {
  readonly type: Uint8Array;
  readonly volume?: string;
}

export interface MbrPlaced {
  readonly type: number;
  readonly volume?: string;
}

function lengthOf({ volume }: { readonly volume?: string }): number {
  return volume === undefined ? MIB : Math.ceil(fs.statSync(volume).size / MIB) * MIB;
}

/** Copies what is not zeros. */
function pour(fd: number, at: number, volume: string): void {
  const from = fs.openSync(volume, 'r');
  const block = Buffer.alloc(MIB);
  for (let done = 0; ; ) {
    const got = fs.readSync(from, block, 0, MIB, done);
    if (got === 0) break;
    const part = block.subarray(0, got);
    if (part.some((byte) => byte !== 0)) fs.writeSync(fd, part, 0, got, at + done);
    done += got;
  }
  fs.closeSync(from);
}

/** A disk of GPT partitions from the first MiB on; answers the GUID of each as it lies in its entry. */
export function gptDisk(file: string, parts: readonly Placed[], seed: number, code = ''): Uint8Array[] {
  const size = parts.reduce((sum, one) => sum + lengthOf(one), 2 * MIB);
  const fd = fs.openSync(file, 'wx');
  fs.ftruncateSync(fd, size);
  let at = MIB;
  const list = parts.map((one) => {
    if (one.volume !== undefined) pour(fd, at, one.volume);
    const entry = { type: one.type, first: at / SECTOR, sectors: lengthOf(one) / SECTOR, name: '' };
    at += lengthOf(one);
    return entry;
  });
  const table = gptParts(size, list, seed);
  for (const part of table) fs.writeSync(fd, part.bytes(), 0, part.length, part.at);
  if (code !== '') fs.writeSync(fd, Buffer.from(code), 0, code.length, 0x80);
  fs.closeSync(fd);
  const entries = table.find(({ name }) => name === 'gpt.primary.entries')!.bytes();
  return parts.map((_, i) => entries.slice(i * 128 + 16, i * 128 + 32));
}

/** A disk of MBR partitions from the first MiB on; `active` is the one that is started, of those with code. */
export function mbrDisk(file: string, parts: readonly MbrPlaced[], signature: number, code = '', active = 0): void {
  const fd = fs.openSync(file, 'wx');
  fs.ftruncateSync(
    fd,
    parts.reduce((sum, one) => sum + lengthOf(one), MIB),
  );
  let sector: Uint8Array = new Uint8Array(0);
  let at = MIB;
  for (const [i, one] of parts.entries()) {
    if (one.volume !== undefined) pour(fd, at, one.volume);
    const isActive = code !== '' && i === active;
    const own = mbrSector(one.type, at / SECTOR, lengthOf(one) / SECTOR, signature, isActive);
    if (i === 0) sector = own;
    else sector.set(own.subarray(446, 462), 446 + i * 16);
    at += lengthOf(one);
  }
  if (code !== '') sector.set(Buffer.from(code), 0x60);
  fs.writeSync(fd, sector, 0, SECTOR, 0);
  fs.closeSync(fd);
}
