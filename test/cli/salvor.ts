/** The built program as tests run it: in a process of its own, from the launcher. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { once } from '../once.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const ENTRY = join(ROOT, 'dist', 'cli', 'main.js');
export const LAUNCHER: string = join(ROOT, 'bin', 'salvor.js');

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Builds dist/ where it is older than src/; for beforeAll. Safe when several test files do it at once. */
export function build(): void {
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  once(join(ROOT, '.cache', 'build.lock'), upToDate, () => {
    const done = spawnSync(process.execPath, [join(ROOT, 'tools', 'build.cjs')], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`the build failed: ${done.stdout}${done.stderr}`);
  });
}

function upToDate(): boolean {
  const built = statSync(ENTRY, { throwIfNoEntry: false })?.mtimeMs;
  return built !== undefined && Math.max(newest(join(ROOT, 'src')), newest(join(ROOT, 'web', 'src'))) < built;
}

/** Folders count too: their time changes when a file is taken away. */
function newest(folder: string): number {
  const times = readdirSync(folder, { withFileTypes: true }).map((entry) => {
    const inner = join(folder, entry.name);
    return entry.isDirectory() ? newest(inner) : statSync(inner).mtimeMs;
  });
  return Math.max(statSync(folder).mtimeMs, ...times);
}

/** Runs salvor to its end. */
export function salvor(...args: string[]): Promise<Outcome> {
  return outcome(spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }));
}

/** What a process printed and how it ended. A process that hangs is ended, and has no exit code. */
export async function outcome(child: ChildProcess, milliseconds = 60_000): Promise<Outcome> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout!.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr!.on('data', (chunk: Buffer) => err.push(chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** Runs salvor with --json and answers the one document it printed. */
export async function json<T>(...args: string[]): Promise<T> {
  const { out, err, code } = await salvor(...args, '--json');
  try {
    return JSON.parse(out) as T;
  } catch {
    throw new Error(`salvor ${args.join(' ')} printed no JSON document (exit code ${code}): ${out}${err}`);
  }
}

/** SHA-256 of what salvor writes to standard output, and how it ended. */
export async function hashed(...args: string[]): Promise<{ sha256: string; code: number | null }> {
  const child = spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const hash = createHash('sha256');
  child.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { sha256: hash.digest('hex'), code };
}
