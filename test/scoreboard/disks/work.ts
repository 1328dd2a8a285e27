/** One cell: the damaged disk in a folder, Salvor and qemu-img on it as people run them, and what they brought. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAUNCHER } from '../../cli/salvor.ts';
import type { DiskCase, DiskCell } from './cells.ts';

const SECTOR = 512;
const LIMIT = 60_000; // milliseconds
const MOST_OUTPUT = 1 << 28;
const KILLED = 'SIGKILL';

export type DiskProgram = 'salvor' | 'convert' | 'repair';
export const DISK_PROGRAMS: readonly DiskProgram[] = ['salvor', 'convert', 'repair'];

/** What came back, in bytes of sectors that hold something. */
export interface DiskScore {
  readonly filled: number;
  readonly right: number;
  /** Bytes shown that are others than those of the disk, and those of them that nothing casts doubt on. */
  readonly wrong: number;
  readonly lies: number;
  /** Every byte of the disk is right. */
  readonly whole: boolean;
  readonly note?: string;
}

interface Run {
  readonly offset: number;
  readonly length: number;
  readonly state: string;
  readonly certainty: string;
}

/** Runs all programs on a cell; undefined where its damage does not apply. `spoil` may change what they wrote. */
export function workOnDisk(
  cell: DiskCell,
  programs: readonly DiskProgram[] = DISK_PROGRAMS,
  spoil?: (out: Buffer) => void,
): Partial<Record<DiskProgram, DiskScore>> | undefined {
  const one = cell.make();
  if (one === undefined) return undefined;
  const dir = mkdtempSync(join(tmpdir(), 'salvor-score-disks-'));
  try {
    const out: Partial<Record<DiskProgram, DiskScore>> = {};
    for (const program of programs) {
      const place = join(dir, program);
      mkdirSync(place);
      for (const [name, bytes] of Object.entries(one.files)) writeFileSync(join(place, name), bytes);
      out[program] =
        program === 'salvor' ? bySalvor(cell, one, place, spoil) : byQemu(cell, one, place, program === 'repair');
      rmSync(place, { recursive: true });
    }
    return out;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function ran(program: string, args: readonly string[], cwd: string): { code: number | null; out: string; err: string } {
  const options = { cwd, encoding: 'utf8', timeout: LIMIT, killSignal: KILLED, maxBuffer: MOST_OUTPUT } as const;
  const done = spawnSync(program, args, options);
  return { code: done.status, out: done.stdout ?? '', err: done.stderr ?? '' };
}

function bySalvor({ peer }: DiskCell, one: DiskCase, dir: string, spoil?: (out: Buffer) => void): DiskScore {
  const out = join(dir, 'out.raw');
  // The disk itself, as this format: what is inside of it is named after its file.
  const disk = `${one.top}::${peer === 'vpc' ? 'vhd' : peer}`;
  const map = ran(process.execPath, [LAUNCHER, 'map', disk, '--json'], dir);
  const told = map.out === '' ? undefined : (JSON.parse(map.out) as { runs: readonly Run[] });
  if (told === undefined) return nothing(one.truth, 'not recognised');
  const done = ran(process.execPath, [LAUNCHER, 'convert', disk, out, '--json'], dir);
  if (!existsSync(out)) return nothing(one.truth, done.err.trim().split('\n').at(-1) ?? 'nothing was written');
  const got = headOf(out, one.truth.length);
  spoil?.(got);
  // Reading shows more than metadata: sums that do not agree are told of by then.
  const { gaps } = JSON.parse(done.out) as { gaps: readonly (readonly [number, number])[] };
  const lost = gaps.map(([offset, length]): Run => ({ offset, length, state: 'missing', certainty: 'missing' }));
  return scored(one.truth, got, [...told.runs, ...lost]);
}

function byQemu({ peer }: DiskCell, one: DiskCase, dir: string, isRepair: boolean): DiskScore {
  let note: string | undefined;
  if (isRepair) {
    // A repair writes into the file: this is a copy.
    const repaired = ran('qemu-img', ['check', '-q', '-r', 'all', '-f', peer, one.top], dir);
    const said = repaired.err.trim().split('\n').at(-1) ?? '';
    if (repaired.code !== 0)
      note = said.includes('does not support checks') ? 'no checks' : `check ends with ${repaired.code}`;
  }
  const done = ran('qemu-img', ['convert', '-f', peer, '-O', 'raw', one.top, 'out.raw'], dir);
  const out = join(dir, 'out.raw');
  if (done.code !== 0 || !existsSync(out)) return nothing(one.truth, note ?? 'refuses it');
  const score = scored(one.truth, headOf(out, one.truth.length), undefined);
  return note === undefined ? score : { ...score, note };
}

/** The start of a file: where its size is only what tables could map, it is larger than any memory. */
function headOf(path: string, length: number): Buffer {
  const file = openSync(path, 'r');
  const out = Buffer.alloc(length);
  let done = 0;
  for (let n = 1; n > 0 && done < length; done += n) n = readSync(file, out, done, length - done, done);
  closeSync(file);
  return out.subarray(0, done);
}

const ZEROS = new Uint8Array(SECTOR);
const isFilled = (sector: Uint8Array): boolean => Buffer.compare(sector, ZEROS.subarray(0, sector.length)) !== 0;

function nothing(truth: Uint8Array, note: string): DiskScore {
  let filled = 0;
  for (let at = 0; at < truth.length; at += SECTOR) if (isFilled(truth.subarray(at, at + SECTOR))) filled += SECTOR;
  return { filled, right: 0, wrong: 0, lies: 0, whole: false, note };
}

/** Holds a raw disk against the truth. Without runs everything that was written is taken for what it claims to be. */
function scored(truth: Uint8Array, got: Uint8Array, runs: readonly Run[] | undefined): DiskScore {
  const isMissing = new Uint8Array(Math.ceil(truth.length / SECTOR));
  const isSure = new Uint8Array(isMissing.length).fill(runs === undefined ? 1 : 0);
  for (const { offset, length, state, certainty } of runs ?? []) {
    const [first, end] = [Math.floor(offset / SECTOR), Math.ceil((offset + length) / SECTOR)];
    if (state === 'missing') isMissing.fill(1, first, end);
    else if (certainty === 'stated' || certainty === 'verified') isSure.fill(1, first, end);
  }
  const out = { filled: 0, right: 0, wrong: 0, lies: 0 };
  let whole = true;
  for (let at = 0, i = 0; at < truth.length; at += SECTOR, i++) {
    const expected = truth.subarray(at, at + SECTOR);
    const holds = isFilled(expected);
    if (holds) out.filled += SECTOR;
    if (isMissing[i] === 1 || at + expected.length > got.length) whole = false;
    else if (Buffer.compare(got.subarray(at, at + expected.length), expected) === 0) out.right += holds ? SECTOR : 0;
    else {
      whole = false;
      out.wrong += SECTOR;
      if (isSure[i] === 1) out.lies += SECTOR;
    }
  }
  return { ...out, whole };
}
