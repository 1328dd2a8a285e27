/** How long whole processes take, and how much memory they hold. */
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';

/** A program to run, and what has to be as it was before each run. */
export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  /** File that takes standard output; nothing does by default. */
  readonly output?: string;
  /** Exit codes that are no failure; 0 by default. */
  readonly allowed?: readonly number[];
  /** Not timed: removes what the last run left. */
  readonly before?: () => void;
}

const SAMPLE_EVERY = 20; // milliseconds
/** Milliseconds for the disk to come to rest before a run that writes. */
const SETTLE = 2000;
const MB = 1_000_000;

/** Runs once; answers milliseconds from start to exit. `each` is called with the process while it runs. */
export async function timed(contender: Contender, each?: (pid: number) => void): Promise<number> {
  if (contender.before !== undefined) {
    contender.before();
    // What the run before this one wrote must be on the disk: its writing back would be part of this one's time.
    spawnSync('sync');
    await new Promise((resolve) => setTimeout(resolve, SETTLE));
  }
  const out = contender.output === undefined ? 'ignore' : openSync(contender.output, 'w');
  const options: SpawnOptions = { stdio: ['ignore', out, 'pipe'] };
  const [program, ...args] = contender.command;
  try {
    const began = performance.now();
    const child = spawn(program, args, options);
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      if (said.length < 2000) said += text;
    });
    const sampler = each && setInterval(() => child.pid !== undefined && each(child.pid), SAMPLE_EVERY);
    const { code, ended } = await new Promise<{ code: number | null; ended: number }>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (exit) => resolve({ code: exit, ended: performance.now() }));
    });
    clearInterval(sampler);
    if (!(contender.allowed ?? [0]).includes(code ?? -1)) {
      throw new Error(`${contender.command.join(' ')} ended with ${code}: ${said.trim()}`);
    }
    return ended - began;
  } finally {
    if (out !== 'ignore') closeSync(out);
  }
}

/** Runs all in turns, once to warm the cache and then `rounds` times. Milliseconds of each contender's runs by name. */
export async function inTurns(contenders: readonly Contender[], rounds: number): Promise<Map<string, number[]>> {
  const times = new Map(contenders.map(({ name }): [string, number[]] => [name, []]));
  for (const contender of contenders) await timed(contender);
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) times.get(contender.name)!.push(await timed(contender));
  }
  return times;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Peak resident memory of a process and all below it, in MB: each one's own high-water mark, summed. Run apart from timing. */
export async function peakMemory(contender: Contender): Promise<number> {
  const peaks = new Map<number, number>();
  await timed(contender, (pid) => {
    for (const one of tree(pid)) peaks.set(one, Math.max(peaks.get(one) ?? 0, highWater(one)));
  });
  return [...peaks.values()].reduce((sum, bytes) => sum + bytes, 0) / MB;
}

function tree(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length && found.length < 1000; i++) {
    try {
      for (const task of readdirSync(`/proc/${found[i]}/task`)) {
        const children = readFileSync(`/proc/${found[i]}/task/${task}/children`, 'latin1');
        found.push(...children.split(' ').filter(Boolean).map(Number));
      }
    } catch {
      // It ended between two looks.
    }
  }
  return found;
}

function highWater(pid: number): number {
  try {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return match === null ? 0 : Number(match[1]) * 1024;
  } catch {
    return 0;
  }
}
