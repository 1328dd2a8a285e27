/** What an earlier run left of an image, and whether a new one may go on there. Looks only; writes nothing. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { MAX_MAPFILE_BYTES, MapfileError, parseMapfile, StatusMap } from '../codec/mapfile.ts';
import { type Identity, textBeside } from '../core/evidence.ts';
import { ExportError } from './error.ts';
import type { Reader } from './image-passes.ts';
import { checkPlace, realOut } from './place.ts';

/** What is put behind the name of the output: the map, the proof, and what exists for moments only. */
const ENDINGS = ['', '.map', '.json', '.lock', '.map.part', '.json.part'];
/** Bytes that the file system shall have left when all is written. */
const SPARE_BYTES = 16 * 1024 * 1024;
/** Stretches of an earlier run, and bytes of each, that are compared with the device before it goes on. */
const SAMPLES = 8;
const SAMPLE = 4096;
/** The word in OUT.json that says whose it is. */
export const KIND = 'salvor image';

export interface Past {
  readonly map: StatusMap;
  /** The output is there from before. */
  readonly before: boolean;
}

/** The full path of the output. Throws ExportError where it cannot be there. */
export function placeOf(out: string, device: Identity): string {
  const { dir, ancestor } = realOut(path.dirname(path.resolve(out)));
  if (dir !== ancestor) throw new ExportError('out', `${dir} does not exist. Make it, or give an OUT elsewhere.`);
  const full = path.join(dir, path.basename(path.resolve(out)));
  for (const ending of ENDINGS) {
    const stat = fs.lstatSync(full + ending, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (!stat.isFile()) {
      throw new ExportError('out', `${full}${ending} is there and is no regular file. Give an OUT of another name.`);
    }
    if (!device.block && stat.dev === device.device && stat.ino === device.inode) {
      const what = 'which is evidence and is never written to';
      throw new ExportError('out', `${full}${ending} is ${device.path} itself, ${what}. Give an OUT elsewhere.`);
    }
  }
  checkPlace(full, ancestor, [], [device], undefined, 'Give an OUT on another disk.');
  return full;
}

/** What is there from before. Throws ExportError where that is not an earlier run for a device of this size. */
export function pastOf(full: string, size: number): Past {
  const stat = fs.lstatSync(full, { throwIfNoEntry: false });
  const text = textBeside(`${full}.map`, MAX_MAPFILE_BYTES);
  if (text === undefined) {
    if (stat !== undefined) {
      const next = `Move it away, give an OUT of another name, or bring back ${full}.map to go on.`;
      throw new ExportError(
        'exists',
        `${full} is there and has no map beside it, so nothing may be written to it. ${next}`,
      );
    }
    refuseProof(full, false);
    return { map: new StatusMap(size), before: false };
  }
  const map = parsed(`${full}.map`, text, size);
  const had = lastHad(map);
  if (stat === undefined && had > 0) {
    const next = 'Bring it back to go on, or move the map away to begin anew.';
    throw new ExportError('journal', `${full} is not there, but ${full}.map says what it holds. ${next}`);
  }
  if (stat !== undefined && stat.size < had) {
    const next = 'Bring the whole file back, or move both away to begin anew.';
    throw new ExportError('journal', `${full} has ${stat.size} bytes; its map says that it holds ${had}. ${next}`);
  }
  if (stat !== undefined && stat.size > size) {
    const next = 'Is it the image of another device? Give an OUT of another name.';
    throw new ExportError('journal', `${full} has ${stat.size} bytes, the device ${size}. ${next}`);
  }
  refuseProof(full, stat !== undefined);
  return { map, before: stat !== undefined };
}

function parsed(file: string, text: string, size: number): StatusMap {
  let map: StatusMap;
  try {
    map = parseMapfile(text, size);
  } catch (error) {
    if (!(error instanceof MapfileError)) throw error;
    const next = 'Give an OUT of another name, or bring back the map that belongs to it.';
    throw new ExportError('journal', `${file} is no mapfile: ${error.message}. ${next}`);
  }
  if (map.size === size) return map;
  const next = 'Is it the map of another device? Give an OUT of another name.';
  throw new ExportError('journal', `${file} speaks of ${map.size} bytes, the device has ${size}. ${next}`);
}

function lastHad(map: StatusMap): number {
  return map.previous(map.size, '+')?.end ?? 0;
}

/** OUT.json is replaced in the end, so it must be one of ours. */
function refuseProof(full: string, mayBeOurs: boolean): void {
  const text = textBeside(`${full}.json`, MAX_MAPFILE_BYTES);
  if (text === undefined) return;
  if (mayBeOurs && text.includes(JSON.stringify(KIND))) return;
  const next = 'Move it away, or give an OUT of another name.';
  throw new ExportError('exists', `${full}.json is there and does not belong to an image that goes on. ${next}`);
}

/** Throws ExportError('space') where what is left to do does not fit. Holes of a file are not counted. */
export function checkSpace(full: string, device: Identity, map: StatusMap): void {
  const allocated = device.block ? device.size : fs.statSync(device.path).blocks * 512;
  const wanted = Math.min(map.size - map.bytes('+'), allocated) + SPARE_BYTES;
  const { bavail, bsize } = fs.statfsSync(path.dirname(full));
  if (wanted <= bavail * bsize) return;
  const next = 'Make room, or give an OUT on another disk.';
  throw new ExportError('space', `${full} needs ${wanted} bytes more and has ${bavail * bsize} free. ${next}`);
}

/** Compares a few stretches that are had with the device: going on with another device's image would mix the two. */
export async function checkSameDevice(full: string, reader: Reader, map: StatusMap): Promise<void> {
  const blocks = [...map.blocks()].filter((block) => block.status === '+');
  const fd = fs.openSync(full, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    for (let i = 0; i < Math.min(SAMPLES, blocks.length); i++) {
      const block = blocks[Math.floor((i * blocks.length) / SAMPLES)];
      const middle = block.at + Math.floor((block.end - block.at) / 2);
      const at = middle - ((middle - block.at) % SAMPLE);
      const length = Math.min(SAMPLE, block.end - at);
      const theirs = Buffer.alloc(length);
      const ours = Buffer.alloc(length);
      if ((await reader.attempt(at, theirs)) < length) continue; // no longer readable: all the better that it is had
      fs.readSync(fd, ours, 0, length, at);
      if (ours.equals(theirs)) continue;
      const next = 'Is it the image of another device, or was the device written to? Give an OUT of another name.';
      throw new ExportError('journal', `${full} holds other bytes at ${at} than the device. ${next}`);
    }
  } finally {
    fs.closeSync(fd);
  }
}
