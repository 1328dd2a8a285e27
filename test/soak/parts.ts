/** The parts of the soak. Each works through seeds in batches of about a minute. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT: string = join(import.meta.dirname, '..', '..');
export const CACHE: string = join(ROOT, '.cache', 'soak');

/** What a batch brought. */
export interface Batch {
  /** In the part's unit. */
  readonly done: number;
  readonly failures: readonly string[];
  /** Seeds the maker refused. */
  readonly refused?: number;
}

export interface Part {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly target: number;
  /** Seeds, or rounds, of one batch. */
  readonly size: number;
  run(seed: number, size: number): Promise<Batch>;
}

/** A batch that takes longer than this hangs; milliseconds. */
const LIMIT = 8 * 60_000;
const MOST_TEXT = 1500;
const MOST_SAID = 200_000;

async function runNode(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ out: string; said: string; how: string }> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    out += text;
  });
  child.stderr.on('data', (text: Buffer) => {
    said = (said + text).slice(-MOST_SAID);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const how = await new Promise<string>((resolve) => {
    child.on('exit', (code, signal) =>
      resolve(code === 0 ? '' : `${signal ?? `exit code ${code}`}: ${said.slice(-MOST_TEXT)}`),
    );
  });
  clearTimeout(timer);
  return { out, said, how };
}

/** Small seeds are alike to a xorshift generator; spread, they are not. */
function spread(seed: number): number {
  return Math.imul(seed, 0x9e3779b1) >>> 0 || 1;
}

interface Line {
  readonly seed: number;
  readonly wrong?: readonly string[];
  readonly refused?: string;
  readonly kills?: number;
}

/** Runs a script that prints a line of JSON for each seed. */
async function lines(script: string, seed: number, size: number): Promise<Batch> {
  const { out, how } = await runNode([join('test', 'soak', script), String(seed), String(size)]);
  const list = out
    .split('\n')
    .filter(Boolean)
    .map((text) => JSON.parse(text) as Line);
  const failures = list.flatMap((line) => (line.wrong ?? []).map((text) => `seed ${line.seed}: ${text}`));
  if (how !== '') failures.push(`seed ${seed + list.length}: the process ended with ${how}`);
  const refused = list.filter((line) => line.refused !== undefined).length;
  const done = script === 'kills.ts' ? list.reduce((sum, { kills }) => sum + (kills ?? 0), 0) : list.length - refused;
  return { done, failures, refused };
}

interface Report {
  readonly testResults: {
    readonly message?: string;
    readonly assertionResults: {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: string[];
    }[];
  }[];
}

/** What a failed test received: the report has it shortened, the output for people has all of it. */
function received(out: string): string {
  const lines = out.split('\n').filter((line) => /^\+ .*\bround \d+/.test(line));
  return lines.join(' ').slice(0, MOST_TEXT);
}

/** Runs tests that take rounds and a seed from the environment. */
async function tests(file: string, name: string, seed: number, rounds: number): Promise<Batch> {
  mkdirSync(CACHE, { recursive: true });
  const report = join(CACHE, `report-${process.pid}.json`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  const options = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`, `--testTimeout=${LIMIT}`];
  const env = { SALVOR_FUZZ_ROUNDS: String(rounds), SALVOR_FUZZ_SEED: String(spread(seed)), NO_COLOR: '1' };
  const { out, said, how } = await runNode([vitest, 'run', file, '-t', name, ...options], env);
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    const all = testResults.flatMap((result) => result.assertionResults);
    const failures = all
      .filter((test) => test.status === 'failed')
      .map(
        (test) =>
          `seed ${spread(seed)}, ${test.fullName}: ${received(out + said) || test.failureMessages.join(' ').slice(0, MOST_TEXT)}`,
      );
    const ran = all.filter((test) => test.status === 'passed' || test.status === 'failed').length;
    if (ran === 0) failures.push(`seed ${spread(seed)}: no test ran (${how})`);
    return { done: ran === 0 ? 0 : rounds, failures };
  } catch (error) {
    return { done: 0, failures: [`seed ${spread(seed)}: no report, ${(error as Error).message}; ${how}`] };
  } finally {
    rmSync(report, { force: true });
  }
}

/** Whether a comparison that must find something does find it. */
export async function canary(): Promise<boolean> {
  const { out } = await runNode([join('test', 'soak', 'stores.ts'), '3', 'canary']);
  return ((JSON.parse(out) as Line).wrong ?? []).length > 0;
}

export const PARTS: readonly Part[] = [
  {
    id: 'fuzz',
    what: 'any mutation of a VMFS3, VMFS5, VMFS6 or spanned store gives nodes or a refusal',
    unit: 'mutations of each',
    target: 10_000,
    size: 150,
    run: (seed, size) => tests('test/fuzz/vmfs.test.ts', 'any mutation', seed, size),
  },
  {
    id: 'formats',
    what: 'any mutation of a field of any other format is survived',
    unit: 'mutations of each',
    target: 10_000,
    size: 300,
    run: (seed, size) => tests('test/formats', '(?<!vmfs) survives mutations', seed, size),
  },
  {
    id: 'no-lie',
    what: 'no stated byte is wrong after damage to metadata, on VMFS3, VMFS5 and VMFS6',
    unit: 'rounds of each',
    target: 5_000,
    size: 150,
    run: (seed, size) => tests('test/fuzz/no-lie.test.ts', 'no stated byte', seed, size),
  },
  {
    id: 'qcow2',
    what: 'no stated byte is wrong after damage to metadata of QCOW2 images',
    unit: 'rounds of each layout',
    target: 10_000,
    size: 200,
    run: (seed, size) => tests('test/formats/qcow2-salvage.test.ts', 'no stated byte', seed, size),
  },
  {
    id: 'vmdk',
    what: 'no stated byte is wrong after damage to metadata of sparse VMDK extents',
    unit: 'rounds of each kind',
    target: 10_000,
    size: 400,
    run: (seed, size) => tests('test/formats/vmdk-no-lie.test.ts', '', seed, size),
  },
  {
    id: 'disks',
    what: 'disks and chains of every variant that qemu-img makes are read as it reads them, in every byte and hole',
    unit: 'disks',
    target: 500,
    size: 50,
    run: (seed, size) => lines('disks.ts', seed, size),
  },
  {
    id: 'stores',
    what: 'random stores read back as they were made, in every name, fact and byte',
    unit: 'stores',
    target: 2_000,
    size: 60,
    run: (seed, size) => lines('stores.ts', seed, size),
  },
  {
    id: 'kills',
    what: 'recover, killed at any moment and gone on with, ends as if nobody had disturbed it',
    unit: 'kills',
    target: 200,
    size: 12,
    run: (seed, size) => lines('kills.ts', seed, size),
  },
  {
    id: 'web-kills',
    what: 'a server, killed at any moment of a scan or a recovery and started again, ends as if nobody had disturbed it',
    unit: 'kills',
    target: 200,
    size: 12,
    run: (seed, size) => lines('web-kills.ts', seed, size),
  },
];
