/** Servers that are killed while they work, gone on with, and held against one that nobody disturbed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { LAUNCHER } from '../cli/salvor.ts';
import { dice } from '../make/content.ts';
import { makeSample, type Sample } from '../make/sample.ts';
import { ask } from './client.ts';

/** Behind the sample lies a hole, so that a scan takes long enough to be disturbed. */
const SIZE = 3 * 1024 ** 3;
const LIMIT_MS = 60_000;

interface Job {
  readonly kind: string;
  readonly state: string;
  readonly error?: string;
  readonly progress: Readonly<Record<string, number | string>>;
}
interface Kept {
  readonly files: readonly { scanned: number; whole: boolean; kinds: readonly unknown[] }[];
  readonly custody: { readonly count: number; readonly broken?: string };
}

/** One `salvor serve` in a process of its own. */
class Server {
  readonly child: ChildProcess;
  readonly #port: number;
  readonly #bearer: Record<string, string>;

  private constructor(child: ChildProcess, port: number, token: string) {
    this.child = child;
    this.#port = port;
    this.#bearer = { authorization: `Bearer ${token}` };
  }

  static async begin(image: string, kept: string): Promise<Server> {
    const args = [LAUNCHER, 'serve', image, '--case', kept, '--json'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const text = await new Promise<string>((resolve) =>
      child.stdout.once('data', (data: Buffer) => resolve(data.toString())),
    );
    const { address, port } = JSON.parse(text) as { address: string; port: number };
    const server = new Server(child, port, address.split('#')[1]);
    await server.until(async () => (await server.get<{ state: string }>('/api/session')).state === 'open');
    return server;
  }

  async get<T>(path: string): Promise<T> {
    return JSON.parse((await ask(this.#port, { path, headers: this.#bearer })).body.toString()) as T;
  }

  async job(kind: string, options: object): Promise<void> {
    const body = JSON.stringify({ job: { kind, options } });
    const headers = { ...this.#bearer, 'content-type': 'application/json', 'content-length': `${body.length}` };
    const { status, body: said } = await ask(this.#port, { method: 'POST', path: '/api/jobs', headers, body });
    if (status !== 200) throw new Error(`${status}: ${said.toString()}`);
  }

  /** Waits for the end of the one job. */
  async ended(): Promise<Job> {
    let job!: Job;
    await this.until(async () => {
      [job] = (await this.get<{ jobs: Job[] }>('/api/jobs')).jobs;
      return job.state !== 'running';
    });
    if (job.state !== 'done') throw new Error(`the ${job.kind} ended ${job.state}: ${job.error}`);
    return job;
  }

  async until(isSo: () => Promise<boolean>): Promise<void> {
    for (const end = performance.now() + LIMIT_MS; !(await isSo()); ) {
      if (performance.now() > end) throw new Error('it takes too long');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async kill(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await gone;
  }
}

/** What undisturbed runs gave, and how long they took. */
export interface Undisturbed {
  readonly dir: string;
  readonly image: string;
  readonly sample: Sample;
  readonly scan: { readonly kinds: string; readonly took: number };
  readonly recover: { readonly files: string; readonly took: number };
}

/** Makes the sample in `dir`, and does everything once. */
export async function undisturbed(dir: string): Promise<Undisturbed> {
  mkdirSync(dir, { recursive: true });
  const sample = await makeSample(join(dir, 'sample'));
  const [image] = sample.images;
  truncateSync(image, SIZE);
  const timed = async (kind: string, options: object): Promise<{ kept: Kept; took: number }> => {
    const server = await Server.begin(image, join(dir, `calm-${kind}`));
    const began = performance.now();
    await server.job(kind, options);
    await server.ended();
    const took = performance.now() - began;
    if (kind === 'scan')
      await server.until(async () => (await server.get<Kept>('/api/case')).files?.[0].whole === true);
    const kept = await server.get<Kept>('/api/case');
    await server.kill();
    return { kept, took };
  };
  const scan = await timed('scan', {});
  const recover = await timed('recover', { out: join(dir, 'calm-out') });
  return {
    dir,
    image,
    sample,
    scan: { kinds: JSON.stringify(scan.kept.files[0].kinds), took: scan.took },
    recover: { files: JSON.stringify(manifestOf(join(dir, 'calm-out'))), took: recover.took },
  };
}

function manifestOf(out: string): { path: string }[] {
  return (JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { files: { path: string }[] }).files;
}

/** Kills a server at a random moment of a job, goes on with it; answers what is not as it should be. */
export async function killed(kind: 'scan' | 'recover', calm: Undisturbed, seed: number): Promise<string[]> {
  const wrong: string[] = [];
  const kept = join(calm.dir, `case-${kind}-${seed}`);
  const out = join(calm.dir, `out-${kind}-${seed}`);
  const options = kind === 'scan' ? {} : { out };
  const first = await Server.begin(calm.image, kept);
  await first.job(kind, options);
  await new Promise((resolve) => setTimeout(resolve, dice(seed)(Math.ceil(calm[kind].took))));
  // What was reported done: bytes of a scan are kept shard by shard before they are told.
  const [told] = (await first.get<{ jobs: Job[] }>('/api/jobs')).jobs;
  await first.kill();
  const second = await Server.begin(calm.image, kept);
  try {
    wrong.push(...(await goneOn(kind, calm, { second, told, out, options })));
  } finally {
    await second.kill();
    for (const place of [kept, out]) rmSync(place, { recursive: true, force: true });
  }
  return wrong;
}

interface Resumed {
  readonly second: Server;
  readonly told: Job;
  readonly out: string;
  readonly options: object;
}

async function goneOn(kind: 'scan' | 'recover', calm: Undisturbed, resumed: Resumed): Promise<string[]> {
  const { second, told, out, options } = resumed;
  const wrong: string[] = [];
  const before = await second.get<Kept>('/api/case');
  if (before.custody.broken !== undefined) wrong.push(before.custody.broken);
  if (kind === 'scan') {
    const done = told.state === 'done' ? SIZE : Number(told.progress.doneBytes ?? 0);
    if (before.files[0].scanned < done)
      wrong.push(`${done} bytes were told to be done, ${before.files[0].scanned} are`);
  }
  await second.job(kind, options);
  await second.ended();
  if (kind === 'scan') {
    await second.until(async () => (await second.get<Kept>('/api/case')).files?.[0].whole === true);
    const kinds = JSON.stringify((await second.get<Kept>('/api/case')).files[0].kinds);
    if (kinds !== calm.scan.kinds) wrong.push(`found ${kinds}, undisturbed ${calm.scan.kinds}`);
  } else {
    if (JSON.stringify(manifestOf(out)) !== calm.recover.files) wrong.push('the manifest is another one');
    for (const file of calm.sample.truth.files) {
      // Names that are no Unicode have other ones on this disk; the manifest above has them.
      if (file.kind !== 'file' || file.sha256 === null || !/^[ -~]*$/.test(file.path)) continue;
      const hash = createHash('sha256')
        .update(readFileSync(join(out, file.path)))
        .digest('hex');
      if (hash !== file.sha256) wrong.push(`${file.path} has other bytes`);
    }
  }
  return wrong;
}
