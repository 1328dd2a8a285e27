/**
 * Child of the soak: node test/soak/kills.ts FIRST COUNT. For each seed one recovery is killed up to three times and
 * gone on with; then every file has to be what the truth says, and the manifest that of a run nobody disturbed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dice } from '../make/content.ts';
import { writeImages } from '../make/images.ts';
import { fragmented } from '../make/stores.ts';
import type { Content, Made } from '../make/types.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BLOCK = 1024 * 1024;
const MOST_KILLS = 3;
/** A resumed run that takes longer than this hangs. */
const LIMIT = 120_000; // milliseconds

interface Case {
  readonly images: readonly string[];
  /** SHA-256 by path inside the store, from the truth. */
  readonly truth: ReadonlyMap<string, string>;
  /** What an undisturbed run says of the files, and how long it takes in milliseconds. */
  readonly files: string;
  readonly took: number;
}

function recover(images: readonly string[], out: string): ChildProcess {
  const args = [join(ROOT, 'bin', 'salvor.js'), 'recover', ...images, '--out', out];
  return spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Waits for the end; answers the exit code, or null where a signal ended it. */
async function ended(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stderr!.on('data', (text: Buffer) => {
    said = (said + text).slice(-500);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  clearTimeout(timer);
  return { code, said };
}

function sha256(content: Content): string {
  const hash = createHash('sha256');
  for (let at = 0; at < content.size; at += BLOCK) hash.update(content.read(at, Math.min(BLOCK, content.size - at)));
  return hash.digest('hex');
}

function manifestOf(out: string): { path: string; locator: string }[] {
  return (
    JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { files: { path: string; locator: string }[] }
  ).files;
}

async function caseOf(made: Made, dir: string): Promise<Case> {
  const images = await writeImages(made, dir);
  const files = made.truth.files.filter((file) => file.kind === 'file');
  const truth = new Map(files.map((file) => [file.path, file.sha256 ?? sha256(file.content!)]));
  const out = join(dir, 'reference');
  const began = performance.now();
  const { code, said } = await ended(recover(images, out));
  if (code !== 0) throw new Error(`the undisturbed run ended with ${code}: ${said}`);
  const took = performance.now() - began;
  const reference = JSON.stringify(manifestOf(out));
  rmSync(out, { recursive: true });
  return { images, truth, files: reference, took };
}

function departures(out: string, one: Case): string[] {
  const wrong: string[] = [];
  const files = manifestOf(out);
  if (JSON.stringify(files) !== one.files) wrong.push('the manifest is not that of an undisturbed run');
  for (const [path, hash] of one.truth) {
    const entry = files.find((file) => file.locator.endsWith(`::vmfs${path}`));
    if (entry === undefined) wrong.push(`${path} is not in the manifest`);
    else if (
      createHash('sha256')
        .update(readFileSync(join(out, entry.path)))
        .digest('hex') !== hash
    )
      wrong.push(`${path} has other bytes`);
  }
  for (const part of globSync(`${out}/**/*.part`)) wrong.push(`${part} is left over`);
  return wrong;
}

async function disturbed(seed: number, one: Case, out: string): Promise<{ kills: number; wrong: string[] }> {
  const roll = dice(seed);
  const wanted = 1 + roll(MOST_KILLS);
  let kills = 0;
  for (let i = 0; i < wanted; i++) {
    const child = recover(one.images, out);
    // From the first moment to a little past the end: before the journal, amid a file, amid the last step.
    const timer = setTimeout(() => child.kill('SIGKILL'), roll(Math.ceil(one.took * 1.1)));
    const { code, said } = await ended(child);
    clearTimeout(timer);
    if (code === null) kills++;
    else if (code !== 0) return { kills, wrong: [`after ${kills} kills it ended with ${code}: ${said}`] };
  }
  const { code, said } = await ended(recover(one.images, out));
  if (code !== 0) return { kills, wrong: [`after ${kills} kills it ended with ${code}: ${said}`] };
  return { kills, wrong: departures(out, one) };
}

async function main(first: number, count: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-kills-'));
  try {
    const cases: Case[] = [];
    for (const version of [5, 6] as const) cases.push(await caseOf(fragmented(version), dir));
    for (let seed = first; seed < first + count; seed++) {
      const out = join(dir, 'out');
      console.log(JSON.stringify({ seed, ...(await disturbed(seed, cases[seed % cases.length], out)) }));
      rmSync(out, { recursive: true, force: true });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const [first, count] = process.argv.slice(2).map(Number);
await main(first, count);
