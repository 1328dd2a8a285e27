/**
 * The invariants that every Source keeps, whatever it is made of. One suite for all; a canary proves that it can fail.
 * Tile: runs cover [0, size) without gap or overlap. Agree: read equals runs. Honest: what was not had is named.
 * Random reads equal sequential reads.
 */
import { flatten } from '../../src/core/resolve.ts';
import { ABSENT, DATA, MISSING, RunList, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';

/** Bytes read at once; odd on purpose, so that block borders fall inside. */
const STEP = 1_000_003;
/** Sources larger than this are sampled, not read whole. */
const MOST_READ = 256 * 1024 * 1024;

/** All broken invariants of a source, as sentences; empty when it keeps them. */
export async function brokenInvariants(source: Source, seed = 1): Promise<string[]> {
  const out: string[] = [];
  out.push(...(await tiles(source, (from, end, list) => source.runs(from, end, list), 'runs')));
  out.push(...(await tiles(source, (from, end, list) => flatten(source, from, end, list), 'flattened runs')));
  if (source.size <= MOST_READ) out.push(...(await agrees(source)));
  out.push(...(await randomReads(source, seed)));
  return out;
}

type Ask = (from: number, end: number, list: RunList) => number | Promise<number>;

async function tiles(source: Source, ask: Ask, what: string): Promise<string[]> {
  const out: string[] = [];
  // A small list, so that refilling in the middle is exercised too.
  const list = new RunList(7);
  let at = 0;
  while (at < source.size && out.length === 0) {
    list.clear();
    const reached = await ask(at, source.size, list);
    let covered = at;
    for (let i = 0; i < list.n; i++) {
      if (!(list.length[i] > 0)) out.push(`${what}: a run of ${list.length[i]} bytes at ${covered}`);
      const state = list.state(i);
      if (state === DATA && list.sourceOf(i) === undefined) out.push(`${what}: data without a source at ${covered}`);
      if (state === MISSING && list.certainty(i) !== 0)
        out.push(`${what}: missing bytes with a certainty at ${covered}`);
      if (state === MISSING && list.why(i)?.code === undefined)
        out.push(`${what}: missing without a reason at ${covered}`);
      if (state !== MISSING && state !== ABSENT && list.certainty(i) === 0)
        out.push(`${what}: bytes without a certainty at ${covered}`);
      covered += list.length[i];
    }
    if (covered !== reached) out.push(`${what}: said to reach ${reached}, covered ${covered}`);
    if (reached <= at) out.push(`${what}: did not move on from ${at}`);
    at = reached;
  }
  if (out.length === 0 && at !== source.size) out.push(`${what}: cover ${at} of ${source.size} bytes`);
  return out;
}

/** Reads it all and compares with what the flattened runs say, byte for byte and gap for gap. */
async function agrees(source: Source): Promise<string[]> {
  const out: string[] = [];
  const list = new RunList();
  for (let at = 0; at < source.size && out.length === 0; at += STEP) {
    const bytes = new Uint8Array(Math.min(STEP, source.size - at)).fill(0xee);
    const gaps = await source.read(at, bytes);
    const lost = new Uint8Array(bytes.length);
    for (const gap of gaps) lost.fill(1, gap.offset - at, gap.offset - at + gap.length);
    let position = at;
    while (position < at + bytes.length && out.length === 0) {
      list.clear();
      const reached = await flatten(source, position, at + bytes.length, list);
      for (let i = 0; i < list.n && out.length === 0; i++) {
        const start = position - at;
        const problem = await compareRun(list, i, bytes.subarray(start, start + list.length[i]), lost, start);
        if (problem !== undefined) out.push(`at ${position}: ${problem}`);
        position += list.length[i];
      }
      if (position !== reached) return [...out, `flatten reached ${reached}, its runs ${position}`];
    }
  }
  return out;
}

async function compareRun(
  list: RunList,
  i: number,
  bytes: Uint8Array,
  lost: Uint8Array,
  start: number,
): Promise<string | undefined> {
  const gaps = lost.subarray(start, start + bytes.length);
  if (list.state(i) === MISSING) {
    if (gaps.includes(0)) return 'runs say missing, read names no gap';
    return bytes.some((b) => b !== 0) ? 'missing bytes are not zeros' : undefined;
  }
  if (gaps.includes(1)) return 'read names a gap, runs say it is there';
  if (list.state(i) === ZERO) return bytes.some((b) => b !== 0) ? 'runs say zero, read gives something' : undefined;
  const there = new Uint8Array(bytes.length);
  await list.sourceOf(i)!.read(list.at[i], there);
  return Buffer.compare(there, bytes) === 0 ? undefined : 'read differs from the bytes that the run points to';
}

async function randomReads(source: Source, seed: number): Promise<string[]> {
  const out: string[] = [];
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 0; i < 20 && source.size > 0; i++) {
    const at = random(source.size);
    const length = Math.min(source.size - at, 1 + random(70_000));
    const whole = new Uint8Array(length);
    await source.read(at, whole);
    const cut = random(length);
    const first = new Uint8Array(cut);
    const second = new Uint8Array(length - cut);
    await source.read(at, first);
    await source.read(at + cut, second);
    if (Buffer.compare(Buffer.concat([first, second]), whole) !== 0) out.push(`two reads at ${at} differ from one`);
  }
  return out;
}
