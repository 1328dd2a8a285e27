/** An image of a device that may be failing: good areas first, a map of what is had beside it, hashes in the end. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { StatusMap } from '../codec/mapfile.ts';
import { deviceNumbers, type FileSource, type Identity } from '../core/evidence.ts';
import { printable } from '../core/locator.ts';
import { writeError } from './error.ts';
import { type Hashes, ImageHash } from './image-hash.ts';
import { ImageOutput, replace } from './image-output.ts';
import { Passes } from './image-passes.ts';
import { checkSameDevice, checkSpace, KIND, pastOf, placeOf } from './image-past.ts';
import { lockFile } from './lock.ts';

export interface ImageOptions {
  readonly sha256: boolean;
  /** Times that bad sectors are tried again. */
  readonly retries: number;
  /** Bytes passed over after the first error in a row. */
  readonly skip: number;
  /** Of the program, for the proof. */
  readonly version: string;
  /** As it was typed, for the comments of the map. */
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  /** Called at most ten times a second. */
  onProgress?(progress: ImageProgress): void;
}

export interface ImageProgress {
  readonly phase: 'copy' | 'trim' | 'scrape' | 'retry' | 'hash';
  readonly pass: number;
  /** Where it reads, in bytes. */
  readonly position: number;
  readonly totalBytes: number;
  readonly hadBytes: number;
  /** Bytes of sectors that were tried alone and refused. */
  readonly badBytes: number;
  /** Reads of this run that failed. */
  readonly errors: number;
  readonly bytesPerSecond: number;
}

/** OUT.json. Sizes in bytes, times as ISO 8601. */
export interface ImageReport {
  readonly schema: 1;
  readonly kind: typeof KIND;
  readonly version: string;
  readonly device: Identity;
  readonly image: string;
  readonly size: number;
  readonly had: number;
  readonly lost: number;
  /** Stretches that are lost; the map names each. */
  readonly lost_ranges: number;
  /** Of the image as it is, with what stands in the place of what is lost; see src/codec/tree-hash.ts. */
  readonly tree: string;
  readonly sha256: string | null;
  readonly started: string;
  readonly ended: string;
}

const SAY_EVERY = 100;
const PHASES = { '?': 'copy', '*': 'trim', '/': 'scrape', '-': 'retry', '+': 'hash', F: 'copy', G: 'copy' } as const;

/**
 * Copies `device` to a new file `out`, or goes on with one that has a map. Sectors that cannot be read are in the
 * report; only faults of the call or of the target throw, as ExportError.
 */
export async function image(device: FileSource, out: string, options: ImageOptions): Promise<ImageReport> {
  const { identity } = device;
  const full = placeOf(out, identity);
  const { map, before } = pastOf(full, device.size);
  checkSpace(full, identity, map);
  if (before) await checkSameDevice(full, device, map);
  map.started ??= new Date().toISOString();
  try {
    return await locked(device, full, before, map, options);
  } catch (error) {
    throw writeError(full, error);
  }
}

async function locked(
  device: FileSource,
  full: string,
  before: boolean,
  map: StatusMap,
  options: ImageOptions,
): Promise<ImageReport> {
  const unlock = lockFile(`${full}.lock`, full);
  try {
    // What a map beside the device excludes is not read, and does not get better by trying again.
    exclude(map, device.excluded);
    const retries = device.excluded.length > 0 ? 0 : options.retries;
    // The hashes of an earlier run would be those of another state.
    if (map.bytes('+') < map.size) fs.rmSync(`${full}.json`, { force: true });
    const state = { map, options: { ...options, retries }, started: performance.now(), had: map.bytes('+'), last: 0 };
    const hashes = await copy(device, full, before, state);
    const report = reportOf(device, full, map, options.version, hashes);
    replace(`${full}.json`, `${JSON.stringify(report, null, 1)}\n`);
    return report;
  } finally {
    unlock();
  }
}

/** Marks stretches [start, end, …] as bad, except for what is had from before. */
function exclude(map: StatusMap, stretches: readonly number[]): void {
  for (let i = 0; i < stretches.length; i += 2) {
    const end = stretches[i + 1];
    for (const status of ['?', '*', '/'] as const) {
      for (let todo = map.next(stretches[i], status); todo && todo.at < end; todo = map.next(todo.end, status)) {
        map.set(todo.at, Math.min(end, todo.end), '-');
      }
    }
  }
}

interface State {
  readonly map: StatusMap;
  readonly options: ImageOptions;
  passes?: Passes;
  readonly started: number;
  /** Bytes had before this run. */
  readonly had: number;
  /** When progress was said last. */
  last: number;
}

async function copy(device: FileSource, full: string, before: boolean, state: State): Promise<Hashes> {
  const { map, options } = state;
  const output = new ImageOutput(full, map, { before, comments: () => commentsOf(device, map, options) });
  const hash = new ImageHash(output, map.size, options.sha256);
  const { retries, skip, signal } = options;
  const sector = sectorOf(device.identity);
  const onStep = (): void => {
    output.saveNowAndThen();
    if (options.onProgress !== undefined && performance.now() - state.last >= SAY_EVERY) tell(state);
  };
  state.passes = new Passes(device, hash, map, { sector, skip, retries, signal, onStep });
  try {
    try {
      await state.passes.run();
    } finally {
      await output.save();
    }
  } finally {
    await output.close();
  }
  const started = performance.now();
  return hash.finish(full, signal, (position) => {
    if (performance.now() - state.last < SAY_EVERY) return;
    state.last = performance.now();
    const bytesPerSecond = Math.round((position * 1000) / (performance.now() - started));
    options.onProgress?.({ ...progressOf(state), position, bytesPerSecond });
  });
}

function tell(state: State): void {
  state.last = performance.now();
  state.options.onProgress?.(progressOf(state));
}

function progressOf({ map, passes, started, had }: State): ImageProgress {
  const hadBytes = map.bytes('+');
  const seconds = Math.max(0.001, (performance.now() - started) / 1000);
  return {
    phase: PHASES[map.activity],
    pass: map.pass,
    position: map.position,
    totalBytes: map.size,
    hadBytes,
    badBytes: map.bytes('-'),
    errors: passes?.errors ?? 0,
    bytesPerSecond: Math.round((hadBytes - had) / seconds),
  };
}

function commentsOf(device: FileSource, map: StatusMap, options: ImageOptions): string[] {
  return [
    `Command line: salvor ${shown(options.command.join(' '))}`,
    `Image of ${shown(path.resolve(device.path))}, ${device.size} bytes`,
    `Start time:   ${map.started ?? ''}`,
    `Current time: ${new Date().toISOString()}`,
    map.activity === '+' ? 'Finished' : `${PHASES[map.activity]}, pass ${map.pass}`,
  ];
}

function reportOf(device: FileSource, full: string, map: StatusMap, version: string, hashes: Hashes): ImageReport {
  const had = map.bytes('+');
  let ranges = 0;
  for (const block of map.blocks()) if (block.status !== '+') ranges++;
  return {
    schema: 1,
    kind: KIND,
    version,
    device: { ...device.identity, path: path.resolve(device.path) },
    image: full,
    size: map.size,
    had,
    lost: map.size - had,
    lost_ranges: ranges,
    tree: hashes.tree,
    sha256: hashes.sha256,
    started: map.started ?? '',
    ended: new Date().toISOString(),
  };
}

/** Bytes of a device's sectors; of a file, those of the smallest devices. */
function sectorOf({ block, device }: Identity): number {
  if (!block) return 512;
  const numbers = deviceNumbers(device).join(':');
  // A partition has no queue of its own; its disk lies one directory up.
  for (const above of ['', '../']) {
    try {
      const file = `${fs.realpathSync(`/sys/dev/block/${numbers}`)}/${above}queue/logical_block_size`;
      const sector = Number(fs.readFileSync(file, 'latin1'));
      if (sector === 4096) return 4096;
    } catch {
      // Then it has 512, which is right for every size, only slower.
    }
  }
  return 512;
}

function shown(text: string): string {
  return printable(Buffer.from(text, 'utf8').toString('latin1'));
}
