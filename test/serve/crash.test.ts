/** What falls, and what goes on: the child that reads evidence, the server in a scan, a recovery. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, json, LAUNCHER } from '../cli/salvor.ts';
import { makeSample } from '../make/sample.ts';
import { ask, Served } from './client.ts';

const dir = mkdtempSync(join(tmpdir(), 'salvor-crash-'));
const image = join(dir, 'large.img');
/** Large enough that a scan can be interrupted; all of it behind the sample is a hole. */
const SIZE = 12 * 1024 ** 3;
const running: ChildProcess[] = [];

beforeAll(async () => {
  build();
  const { images } = await makeSample(join(dir, 'sample'));
  spawnSync('cp', ['--sparse=always', images[0], image]);
  truncateSync(image, SIZE);
});

afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, value: unknown): Promise<T>;
}

/** `salvor serve` in a process of its own. */
async function served(): Promise<Run> {
  const args = [LAUNCHER, 'serve', image, '--case', join(dir, 'case'), '--json'];
  const child = spawn(process.execPath, args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] });
  running.push(child);
  const text = await new Promise<string>((resolve) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString()));
  });
  const { address, port } = JSON.parse(text) as { address: string; port: number };
  const bearer = { authorization: `Bearer ${address.split('#')[1]}` };
  const parsed = <T>(body: Buffer): T => JSON.parse(body.toString()) as T;
  const run: Run = {
    child,
    get: async (path) => parsed((await ask(port, { path, headers: bearer })).body),
    post: async (path, value) => {
      const body = JSON.stringify(value);
      const headers = { ...bearer, 'content-type': 'application/json', 'content-length': `${Buffer.byteLength(body)}` };
      return parsed((await ask(port, { method: 'POST', path, headers, body })).body);
    },
  };
  while ((await run.get<{ state: string }>('/api/session')).state !== 'open') await pause();
  return run;
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
const SCAN = { job: { kind: 'scan', options: {} } };

interface Jobs {
  readonly jobs: readonly { kind: string; state: string; progress: { doneBytes?: number } }[];
}
interface CaseFiles {
  readonly files: readonly { scanned: number; whole: boolean; kinds: readonly { kind: string; count: number }[] }[];
}

test('a server that is killed in a scan goes on where it was, to the same result', async () => {
  const first = await served();
  await first.post('/api/jobs', SCAN);
  for (;;) {
    const [job] = (await first.get<Jobs>('/api/jobs')).jobs;
    if ((job.progress.doneBytes ?? 0) > 0) break;
    await pause();
  }
  first.child.kill('SIGKILL');
  const second = await served();
  const [before] = (await second.get<CaseFiles>('/api/case')).files;
  expect(before.scanned).toBeGreaterThan(0);
  expect(before.whole).toBe(false);
  await second.post('/api/jobs', SCAN);
  while ((await second.get<Jobs>('/api/jobs')).jobs[0].state === 'running') await pause();
  const [after] = (await second.get<CaseFiles>('/api/case')).files;
  expect(after.whole).toBe(true);
  second.child.kill('SIGTERM');
  type Found = { found: { kinds: { kind: string; count: number }[] }[] };
  const plain = await json<Found>('scan', image, '--case', join(dir, 'undisturbed'));
  expect(after.kinds).toEqual(plain.found[0].kinds.map(({ kind, count }) => ({ kind, count })));
});

test('a scan that is paused is gone on with', async () => {
  const served2 = await new Served().begin([image]);
  try {
    const { id } = await served2.post<{ id: string }>('/api/jobs', SCAN);
    await pause();
    await served2.post('/api/jobs/stop', { id });
    const stateOf = async (): Promise<string> =>
      (await served2.get<{ jobs: { id: string; state: string }[] }>('/api/jobs')).jobs.find((job) => job.id === id)!
        .state;
    while (['running', 'stopping'].includes(await stateOf())) await pause();
    expect(await stateOf()).toBe('stopped');
    expect((await served2.job('scan')).state).toBe('done');
  } finally {
    await served2.end();
  }
});

test('the server outlives the process that reads the evidence, and says so', async () => {
  const { workspace } = (await crashing.begin([image])).serving;
  process.kill(workspace.childPid!, 'SIGKILL');
  while (workspace.view.crashes === 0 || workspace.view.state !== 'open') await pause();
  expect(workspace.view.crash).toMatch(/SIGKILL/);
  const { entries } = await crashing.get<{ entries: unknown[] }>('/api/tree');
  expect(entries).toHaveLength(1);
  await crashing.end();
});
const crashing = new Served();

test('evidence that changed since the case took it up is an alarm', async () => {
  const file = join(dir, 'small.img');
  writeFileSync(file, 'first');
  const one = await new Served().begin([file]);
  expect((await one.get<{ alarms: string[] }>('/api/case')).alarms).toEqual([]);
  writeFileSync(file, 'second, and longer');
  await one.serving.workspace.open([file], join(one.dir, 'case'));
  const { alarms } = await one.get<{ alarms: string[] }>('/api/case');
  expect(alarms).toEqual([expect.stringMatching(/no longer what it was .* it had 5 bytes and has 18/)]);
  await one.end();
});

test('bytes that could not be had are named, never only zeros', async () => {
  const one = await new Served().begin([image]);
  const { machines } = await one.get<{ machines: { name: string; folder: string }[] }>('/api/machines');
  const disk = `${machines.find(({ name }) => name === 'db01')!.folder}/db01-flat.vmdk`;
  const { buckets } = await one.get<{ buckets: number[][] }>('/api/map', { locator: disk, buckets: 8 });
  expect(buckets.reduce((sum, bucket) => sum + bucket[5], 0)).toBe(1024 ** 2);
  const answer = await one.ask(`/api/bytes?locator=${encodeURIComponent(disk)}`, { range: 'bytes=0-0' });
  expect(answer.headers['salvor-missing']).toBeUndefined();
  const whole = await one.ask(`/api/bytes?locator=${encodeURIComponent(disk)}`);
  expect(whole.headers['salvor-missing']).toBe(String(1024 ** 2));
  expect(whole.body.length).toBe(167_772_160);
  await one.end();
});
