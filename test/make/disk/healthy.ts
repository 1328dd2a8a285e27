/** A disk of a seed as qemu-img makes it: any format and variant it knows, alone or as a chain, with random writes between. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dice, seeded } from '../content.ts';

const MIB = 1024 * 1024;
const SECTOR = 512;
const MAX_LAYERS = 10;

/** A run of `qemu-img map`. */
export interface Mapped {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  /** The format stores it: zero all the same where it lies in a hole of its own file. */
  readonly data: boolean;
}

export interface Healthy {
  /** What it is, for people. */
  readonly what: string;
  /** The file to open; those that it needs lie beside it. */
  readonly top: string;
  /** What qemu-img reads. */
  readonly raw: Uint8Array;
  readonly map: readonly Mapped[];
  /** Holes of the files themselves count as zeros there, or nothing is told of what is zeros. */
  readonly isMapLoose: boolean;
  /**
   * What it leaves empty is no more than inferred: it does not say whether something lies below it (Parallels), or a
   * grain that was zeroed and written again leaves its old place behind, as lost entries do (VMDK).
   */
  readonly isDoubtful: boolean;
}

type Roll = (below: number) => number;

interface Kind {
  readonly format: string;
  readonly ending: string;
  readonly options: string;
  /** It can only be written as a whole. */
  readonly whole?: boolean;
  readonly compressed?: boolean;
  /** Some of its bytes are a raw file in which holes are zeros. */
  readonly loose?: boolean;
}

function qemu(program: string, dir: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd: dir, stdio: 'pipe', encoding: 'utf8', maxBuffer: 1 << 26 });
}

const pick = <T>(roll: Roll, list: readonly T[]): T => list[roll(list.length)];

function qcow2Kind(roll: Roll, isOverlay: boolean): Kind {
  const parts: string[] = [];
  const isOld = roll(5) === 0;
  const bits = 9 + roll(13);
  if (isOld) parts.push('compat=0.10');
  const isExtended = !isOld && bits >= 14 && roll(4) === 0;
  if (isExtended) parts.push('extended_l2=on');
  parts.push(`cluster_size=${2 ** bits}`);
  if (!isOld && roll(4) === 0) parts.push(`refcount_bits=${2 ** roll(7)}`);
  if (!isOld && roll(5) === 0) parts.push('lazy_refcounts=on');
  const compressed = !isOverlay && roll(4) === 0;
  if (compressed && !isOld && roll(2) === 0) parts.push('compression_type=zstd');
  const preallocation = isOverlay || compressed ? 0 : roll(6);
  if (preallocation === 1) parts.push('preallocation=metadata');
  if (preallocation === 2) parts.push('preallocation=falloc');
  if (preallocation === 3) parts.push('preallocation=full');
  const loose = preallocation > 0 && preallocation < 4;
  return { format: 'qcow2', ending: 'qcow2', options: parts.join(','), compressed, loose, whole: compressed };
}

function vmdkKind(roll: Roll, isOverlay: boolean): Kind {
  const kinds = ['monolithicSparse', 'twoGbMaxExtentSparse', 'monolithicFlat', 'twoGbMaxExtentFlat', 'streamOptimized'];
  const subformat = isOverlay ? 'monolithicSparse' : pick(roll, kinds);
  const parts = [`subformat=${subformat}`];
  const isFlat = subformat.endsWith('Flat');
  if (!isFlat && subformat !== 'streamOptimized' && roll(3) === 0) parts.push('zeroed_grain=on');
  if (roll(4) === 0) parts.push('compat6=on');
  const whole = subformat === 'streamOptimized';
  return { format: 'vmdk', ending: 'vmdk', options: parts.join(','), loose: isFlat, whole };
}

function kindOf(roll: Roll): Kind {
  switch (roll(12)) {
    case 0:
      return { format: 'raw', ending: 'img', options: '', loose: true };
    case 1:
      return { format: 'vdi', ending: 'vdi', options: roll(2) === 0 ? 'static=on' : '', loose: true };
    case 2: {
      const fixed = roll(2) === 0;
      const options = `subformat=${fixed ? 'fixed' : 'dynamic'},force_size=on`;
      return { format: 'vpc', ending: 'vhd', options, loose: fixed };
    }
    case 3: {
      const options = [`subformat=${pick(roll, ['dynamic', 'fixed'])}`];
      if (roll(2) === 0) options.push(`block_size=${2 ** roll(4)}M`);
      return { format: 'vhdx', ending: 'vhdx', options: options.join(','), loose: true };
    }
    case 4:
      return { format: 'qcow', ending: 'qcow', options: '' };
    case 5:
      return { format: 'parallels', ending: 'hds', options: roll(2) === 0 ? 'cluster_size=64k' : '', loose: true };
    case 6:
    case 7:
    case 8:
      return vmdkKind(roll, false);
    default:
      return qcow2Kind(roll, false);
  }
}

/** Some writes, zeros and discards at places that seldom end with a cluster. */
function scribble(dir: string, file: string, format: string, size: number, roll: Roll): void {
  const args: string[] = [];
  const count = 2 + roll(12);
  for (let i = 0; i < count; i++) {
    const at = SECTOR * roll(size / SECTOR - 1);
    const most = roll(4) === 0 ? MIB : 96 * 1024;
    const length = Math.min(size - at, SECTOR * (1 + roll(most / SECTOR)));
    const kind = roll(8);
    if (kind === 0) args.push('-c', `write -z ${at} ${length}`);
    else if (kind === 1 && format === 'qcow2') args.push('-c', `discard ${at} ${length}`);
    else args.push('-c', `write -P ${1 + roll(255)} ${at} ${length}`);
  }
  qemu('qemu-io', dir, '-f', format, ...args, file);
}

function content(size: number, roll: Roll): Uint8Array {
  const out = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const length = Math.min(size - at, SECTOR * (1 + roll(1024)));
    const kind = roll(3);
    if (kind === 1) out.set(seeded(roll(1e9), length).read(0, length), at);
    if (kind === 2) out.fill(1 + roll(255), at, at + length);
    at += length;
  }
  return out;
}

/** Makes the first layer of a chain; answers its file. */
function base(dir: string, kind: Kind, size: number, roll: Roll): string {
  const name = `base.${kind.ending}`;
  const options = kind.options === '' ? [] : ['-o', kind.options];
  if (kind.whole === true || roll(2) === 0) {
    writeFileSync(join(dir, 'content'), content(size, roll));
    const compressed = kind.compressed === true ? ['-c'] : [];
    qemu('qemu-img', dir, 'convert', '-f', 'raw', '-O', kind.format, ...compressed, ...options, 'content', name);
    writeFileSync(join(dir, 'content'), '');
  } else qemu('qemu-img', dir, 'create', '-q', '-f', kind.format, ...options, name, String(size));
  if (kind.whole !== true) scribble(dir, name, kind.format, size, roll);
  return name;
}

/** Puts a layer on a chain; answers its file and the size of the disk from then on. */
function layer(dir: string, below: string, under: Kind, n: number, size: number, roll: Roll): [string, Kind, number] {
  const isVmdk = under.format === 'vmdk' && under.options.includes('Sparse') && roll(3) > 0;
  const kind = isVmdk ? vmdkKind(roll, true) : qcow2Kind(roll, true);
  const grown = isVmdk || roll(4) > 0 ? size : size + SECTOR * roll(4096);
  const name = `layer${n}.${kind.ending}`;
  const options = ['-o', kind.options, '-b', below, '-F', under.format];
  qemu('qemu-img', dir, 'create', '-q', '-f', kind.format, ...options, name, ...(isVmdk ? [] : [String(grown)]));
  scribble(dir, name, kind.format, grown, roll);
  if (kind.format === 'qcow2' && roll(5) === 0) {
    qemu('qemu-img', dir, 'snapshot', '-c', `state ${n}`, name);
    scribble(dir, name, kind.format, grown, roll);
  }
  return [name, kind, grown];
}

/** Makes the disk of a seed in a folder that is empty. */
export function healthy(seed: number, dir: string): Healthy {
  const roll = dice(Math.imul(seed, 0x9e3779b1) >>> 0 || 1);
  const first = kindOf(roll);
  // Sizes end anywhere, but for formats that count in larger units.
  const odd = ['parallels', 'vpc', 'vhdx', 'vdi'].includes(first.format) ? 0 : SECTOR * roll(2048);
  let size = MIB * (2 + roll(10)) + odd;
  let kind = first;
  let top = base(dir, first, size, roll);
  const what = [`${first.format} ${first.options}`];
  const layers = roll(2) === 0 ? 0 : 1 + roll(roll(4) === 0 ? MAX_LAYERS - 1 : 3);
  let isMapLoose = first.loose === true;
  let isDoubtful = first.format === 'parallels' || first.options.includes('zeroed_grain');
  for (let n = 1; n <= layers; n++) {
    [top, kind, size] = layer(dir, top, kind, n, size, roll);
    what.push(`${kind.format} ${kind.options}`);
    isMapLoose ||= kind.loose === true;
    isDoubtful ||= kind.options.includes('zeroed_grain');
  }
  qemu('qemu-img', dir, 'convert', '-f', kind.format, '-O', 'raw', top, 'raw.out');
  const map = JSON.parse(qemu('qemu-img', dir, 'map', '-f', kind.format, '--output=json', top)) as Mapped[];
  return {
    what: what.join(' < '),
    top,
    raw: readFileSync(join(dir, 'raw.out')),
    map,
    isMapLoose,
    isDoubtful,
  };
}
