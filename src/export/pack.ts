/** Writes a file of compressed units: threads compress stretches ahead, and what they give is placed in order. */
import * as fs from 'node:fs';
import { flattenChecked } from '../core/checked.ts';
import { FileSource } from '../core/evidence.ts';
import { data, type Segment, segments, zeros } from '../core/map-source.ts';
import type { Occupied } from '../core/occupied.ts';
import type { Packing, Placed } from '../core/packer.ts';
import { RunList, STATED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { interrupted } from './error.ts';
import type { PackResult } from './jobs.ts';
import { eachRun } from './large.ts';
import { LayoutBuilder } from './layout.ts';
import type { Meter } from './meter.ts';
import type { Threads } from './threads.ts';

/** Bytes that a thread compresses in one go. */
const STRETCH = 1024 * 1024;
/** Bytes by which a unit that cannot shrink may grow; units are no larger than a stretch. */
const GROWTH = 1024;
/** Stretches under way or waiting for their turn: 8 MiB of results at most. */
const AHEAD = 8;

export interface PackedFile {
  readonly name: string;
  readonly fd: number;
  readonly disk: Source;
  readonly occupied: Occupied;
  readonly packing: Packing;
  readonly signal: AbortSignal;
}

/** Writes it all. Throws what a write threw, RangeError where the format is full, or ExportError('interrupted'). */
export async function pack(file: PackedFile, threads: Threads, meter: Meter): Promise<void> {
  const { occupied, packing, fd, signal } = file;
  const sequence = sequenceOf(file.disk, occupied);
  const units = unitsOf(occupied);
  const pending: { result: Promise<PackResult>; length: number }[] = [];
  const rooms: Uint8Array[] = [];
  const take = async (): Promise<void> => {
    const { result, length } = pending.shift()!;
    const packed = await result;
    place(fd, packing, units, packed, occupied.unit);
    rooms.push(packed.room);
    meter.doneBytes += length;
    meter.tick(file.name);
  };
  try {
    for await (const stretch of stretchesOf(sequence)) {
      await threads.slot();
      if (signal.aborted) throw interrupted();
      const room = rooms.pop() ?? roomFor(occupied.unit);
      const result = compressed(file, sequence, stretch, room, threads, meter);
      // It is waited for in its turn; a fault before that must not count as nobody's.
      result.catch(() => undefined);
      pending.push({ result, length: stretch.length });
      if (pending.length > AHEAD) await take();
    }
    while (pending.length > 0) await take();
    for (const placed of packing.finish()) write(fd, placed);
    fs.ftruncateSync(fd, packing.size);
  } finally {
    await Promise.allSettled(pending.map((one) => one.result));
  }
}

function roomFor(unit: number): Uint8Array {
  return new Uint8Array(STRETCH + (STRETCH / unit) * GROWTH);
}

/** The occupied units one behind the other, the last one filled up. */
function sequenceOf(disk: Source, { unit, runs }: Occupied): Source {
  const list: Segment[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    const from = runs[i] * unit;
    const end = runs[i + 1] * unit;
    list.push(data(disk, from, Math.min(end, disk.size) - from, STATED));
    if (end > disk.size) list.push(zeros(end - disk.size, STATED));
  }
  return segments(list);
}

function* unitsOf({ runs }: Occupied): Generator<number, undefined> {
  for (let i = 0; i < runs.length; i += 2) for (let unit = runs[i]; unit < runs[i + 1]; unit++) yield unit;
  return undefined;
}

interface Stretch {
  readonly at: number;
  readonly length: number;
  /** Where it lies; undefined where threads cannot read all of it. */
  readonly layout: ReturnType<LayoutBuilder['take']> | undefined;
}

async function* stretchesOf(sequence: Source): AsyncGenerator<Stretch> {
  const builder = new LayoutBuilder('zero', true);
  const list = new RunList();
  for (let at = 0; at < sequence.size; ) {
    const end = Math.min(sequence.size, at + STRETCH);
    for (let reached = at; reached < end; ) {
      list.clear();
      const from = reached;
      reached = await flattenChecked(sequence, from, end, list, true);
      for (let i = 0, to = from; i < list.n; to += list.length[i++]) builder.add(list, i, to, 0, list.length[i]);
    }
    const { foreign } = builder;
    const layout = builder.take();
    yield { at, length: end - at, layout: foreign ? undefined : layout };
    at = end;
  }
}

async function compressed(
  { occupied, packing }: PackedFile,
  sequence: Source,
  { at, length, layout }: Stretch,
  room: Uint8Array,
  threads: Threads,
  meter: Meter,
): Promise<PackResult> {
  const { method, worth } = packing;
  const job = { kind: 'pack', at, length, unit: occupied.unit, method, worth } as const;
  const result = layout === undefined ? undefined : await threads.run<'pack'>({ ...job, room, layout });
  if (result !== undefined) return result;
  const bytes = new Uint8Array(length);
  for (const gap of await sequence.read(at, bytes)) {
    meter.lostBytes += gap.length;
    // Runs have to say so too, so that the gaps that are told of agree with what was written.
    await eachRun(sequence, gap.offset, gap.offset + gap.length, (list, i) => {
      const evidence = list.sourceOf(i);
      if (evidence instanceof FileSource) evidence.markBad(list.at[i], list.at[i] + list.length[i]);
    });
  }
  // A room that was handed over for nothing did not come back.
  const again = room.length > 0 ? room : roomFor(occupied.unit);
  return (await threads.run<'pack'>({ ...job, room: again, bytes }))!;
}

/** Hands the units of a result to the format, and writes what it makes of them. */
function place(fd: number, packing: Packing, units: Generator<number>, { room, sizes }: PackResult, unit: number) {
  let at = 0;
  for (const size of sizes) {
    const which = units.next().value as number;
    // Units of zeros that nobody called zeros need no room.
    if (size === 0) continue;
    const length = size < 0 ? unit : size;
    for (const placed of packing.add(which, room.subarray(at, at + length), size > 0)) write(fd, placed);
    at += length;
  }
}

function write(fd: number, { at, bytes }: Placed): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done);
  }
}
