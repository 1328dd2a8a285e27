/** Where output may go: never onto, nor into, the evidence. Looks only; makes nothing. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { deviceNumbers, type Identity } from '../core/evidence.ts';
import { ExportError } from './error.ts';

/** Where the system shows its devices, and which of them are mounted where. */
export interface SystemPaths {
  readonly devices: string;
  readonly mounts: string;
}

const LINUX: SystemPaths = { devices: '/sys/dev/block', mounts: '/proc/self/mountinfo' };
/** Devices on top of each other that are followed: partition, RAID, encryption, volume group, … */
const MAX_DEVICES = 256;

/** The real path that `out` is or will be, with the nearest directory above it that exists. */
export function realOut(out: string): { dir: string; ancestor: string } {
  let above = path.resolve(out);
  const missing: string[] = [];
  for (;;) {
    const stat = fs.lstatSync(above, { throwIfNoEntry: false });
    if (stat !== undefined) {
      const real = fs.realpathSync(above);
      if (!fs.statSync(real).isDirectory()) {
        throw new ExportError('out', `${above} is no directory, so nothing can be written below it. Give a directory.`);
      }
      return { dir: path.join(real, ...missing), ancestor: real };
    }
    missing.unshift(path.basename(above));
    above = path.dirname(above);
  }
}

/** Throws ExportError('out') where `dir` lies in a directory of evidence or on a device that is evidence. */
export function checkPlace(
  dir: string,
  ancestor: string,
  directories: readonly string[],
  evidence: readonly Identity[],
  system: SystemPaths = LINUX,
  next = 'Give a directory on another disk with --out.',
): void {
  for (const given of directories) {
    const real = fs.realpathSync(given);
    if (dir === real || dir.startsWith(real.endsWith('/') ? real : `${real}/`)) {
      throw new ExportError('out', `${dir} lies inside ${given}, which is evidence and is never written to. ${next}`);
    }
  }
  const below = devicesBelow(ancestor, system);
  for (const { path: file, device, block } of evidence) {
    const isBelow = block ? below.numbers.has(deviceNumbers(device).join(':')) : below.files.has(realName(file));
    if (!isBelow) continue;
    throw new ExportError(
      'out',
      `${dir} would be stored on ${file}, which is evidence and is never written to. ${next}`,
    );
  }
}

/** All devices that a directory's bytes come to lie on, and the files that loop devices among them stand for. */
export function devicesBelow(directory: string, system: SystemPaths): { numbers: Set<string>; files: Set<string> } {
  const numbers = new Set<string>();
  const files = new Set<string>();
  const waiting = [deviceNumbers(fs.statSync(directory).dev).join(':'), ...mountedFrom(directory, system)];
  while (waiting.length > 0 && numbers.size < MAX_DEVICES) {
    const number = waiting.pop()!;
    if (numbers.has(number)) continue;
    numbers.add(number);
    let device: string;
    try {
      device = fs.realpathSync(path.join(system.devices, number));
    } catch {
      continue; // a file system without a device of its own
    }
    // Of a partition the disk; of a mapped or RAID device what it is made of.
    waiting.push(...numberIn(path.join(device, '..', 'dev')));
    for (const slave of namesIn(path.join(device, 'slaves'))) {
      waiting.push(...numberIn(path.join(device, 'slaves', slave, 'dev')));
    }
    // Of a loop device, the file, and the devices that the file lies on.
    const file = textOf(path.join(device, 'loop', 'backing_file'))?.trim();
    if (file === undefined) continue;
    files.add(realName(file));
    if (!fs.existsSync(file)) continue;
    waiting.push(deviceNumbers(fs.statSync(file).dev).join(':'));
  }
  return { numbers, files };
}

/** A file's one name. One that was deleted while it is open has none; the system calls it the same everywhere. */
function realName(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    try {
      return fs.readlinkSync(file);
    } catch {
      return file;
    }
  }
}

/** Device numbers of what is mounted at the nearest mount point above; file systems over several devices hide theirs. */
function mountedFrom(directory: string, system: SystemPaths): string[] {
  let best = { point: '', number: '', source: '' };
  for (const line of textOf(system.mounts)?.split('\n') ?? []) {
    const [left, right] = line.split(' - ');
    const fields = left.split(' ');
    if (right === undefined || fields.length < 5) continue;
    const point = fields[4].replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const isAbove = directory === point || directory.startsWith(point.endsWith('/') ? point : `${point}/`);
    if (isAbove && point.length >= best.point.length) best = { point, number: fields[2], source: right.split(' ')[1] };
  }
  const source = best.source?.startsWith('/dev/') ? fs.statSync(best.source, { throwIfNoEntry: false }) : undefined;
  const numbers = best.number === '' ? [] : [best.number];
  return source?.isBlockDevice() === true ? [...numbers, deviceNumbers(source.rdev).join(':')] : numbers;
}

function numberIn(file: string): string[] {
  const number = textOf(file)?.trim();
  return number !== undefined && /^\d+:\d+$/.test(number) ? [number] : [];
}

function textOf(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}
