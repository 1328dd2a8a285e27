/** The web interface over a case with two million things in it, and scans through it beside the command line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { Case } from '../../src/case/case.ts';
import { SCAN } from '../../src/jobs/scan.ts';
import { fillCase, manyRows } from '../../test/make/many-nodes.ts';
import { dense, many6 } from '../../test/make/stores.ts';
import { isThere, launch, step, watched } from '../../test/serve/browser.ts';
import { ask } from '../../test/serve/client.ts';
import { paintOf, residentOf, scrollOf, searchOf } from '../../test/serve/measures.ts';
import { inTurns, median } from '../measure.ts';
import { beyond, faster, type Row } from '../row.ts';
import { salvor } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import type { Job } from './job.ts';

const THINGS = 2_000_000;
const FILES = 60_000;
const SCREENS = 1500;
const SCANNED = 8; // GiB
const ROUNDS = 5;
/** What the bars allow: milliseconds, and MB. */
const PAINT = 1000;
const ANSWER = 200;
const TASK = 50;
const MEMORY = 500;
const TYPED = ['report-photo', '1999999', 'user3/report', 'nothing of that name', 'po'];
const ASKED = [
  'text=report',
  'text=po',
  'text=1999999',
  'text=user3/report',
  'text=nothing+of+that+name',
  'text=q%23',
  'text=&kind=directory',
  'text=report&state=deleted',
  'text=&certainty=missing',
  'text=&certainty=inferred&larger=500000',
  'text=&damaged=true',
  'text=txt&larger=999990',
  'text=&newer=1601999990',
  'text=&older=1600000500&smaller=1000',
];

export const web: Job = {
  id: 'web',
  gib: SCANNED + 6,
  memory: 500,
  async *run(place) {
    if (isThere) yield* large(place);
    else yield 'web: the browser part was skipped, because chromium is not installed';
    yield* scans(place);
  },
};

async function* large(place: Workplace): AsyncIterable<Row> {
  const [image] = await place.images(many6(FILES));
  const dir = place.path('web-case');
  const kept = Case.begin(dir, 'salvor bench', SCAN);
  fillCase(kept.nodes, image, manyRows(THINGS, image));
  kept.close();
  const what = `web, ${THINGS / 1e6} million things`;
  const began = performance.now();
  const server = await started([image, '--case', dir]);
  const browser = await launch();
  try {
    const { page } = await watched(browser, server.address);
    await page.getByRole('region', { name: 'What to do now' }).waitFor();
    const shown = performance.now() - began;
    const again = await visits(browser, server);
    yield within(`${what}: first paint`, [await paintOf(page), ...again.paint], PAINT);
    yield within(`${what}: from the open case to the diagnosis in the browser`, again.seen, PAINT);
    yield within(`${what}: from no process at all to the diagnosis, with a browser started`, [shown], undefined);
    yield within(`${what}: the slowest of ${ASKED.length} searches through the API`, await answers(server), ANSWER);
    await step(page, 'Browse');
    await page
      .getByRole('treeitem', { name: /^many\/\s*,/ })
      .locator('.twist')
      .click();
    const { rows, longest } = await scrollOf(page, SCREENS);
    yield within(`${what}: longest task while ${rows} rows are scrolled`, [longest], TASK);
    await page.getByText('Search', { exact: true }).click();
    const typed: number[] = [];
    for (const text of TYPED) typed.push(await searchOf(page, text));
    // What is typed waits for the next key; that is no part of the search.
    yield within(`${what}: search in the browser, from the last key`, typed, undefined);
    const memory = tree(server.child.pid!).reduce((sum, pid) => sum + residentOf(pid), 0);
    yield {
      ...within(`${what}: memory of the server in MB`, [memory], MEMORY),
      result: `${memory.toFixed(0)} MB`,
      bar: `< ${MEMORY} MB`,
    };
  } finally {
    await browser.close();
    server.child.kill('SIGTERM');
    place.remove(image, dir);
  }
}

function within(job: string, runs: readonly number[], limit: number | undefined): Row {
  const row = beyond(
    job,
    new Map([
      ['salvor', runs],
      ['nothing', [0]],
    ]),
    'nothing',
    limit ?? 0,
  );
  const worst = Math.max(...runs);
  const result = `${worst.toFixed(0)} ms at worst`;
  if (limit === undefined) return { ...row, result, bar: 'none', met: undefined };
  return { ...row, result, bar: `< ${limit} ms`, met: worst < limit };
}

interface Server {
  readonly child: ChildProcess;
  readonly address: string;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, value: unknown): Promise<T>;
}

async function started(args: readonly string[]): Promise<Server> {
  const [program, ...rest] = salvor(['serve', ...args, '--json']).command;
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'ignore'] });
  const text = await new Promise<string>((resolve) =>
    child.stdout.once('data', (data: Buffer) => resolve(data.toString())),
  );
  const { address, port } = JSON.parse(text) as { address: string; port: number };
  const bearer = { authorization: `Bearer ${address.split('#')[1]}` };
  return {
    child,
    address,
    get: async (path) => JSON.parse((await ask(port, { path, headers: bearer })).body.toString()),
    post: async (path, value) => {
      const body = JSON.stringify(value);
      const headers = { ...bearer, 'content-type': 'application/json', 'content-length': `${Buffer.byteLength(body)}` };
      return JSON.parse((await ask(port, { method: 'POST', path, headers, body })).body.toString());
    },
  };
}

async function visits(browser: Browser, { address }: Server): Promise<{ paint: number[]; seen: number[] }> {
  const out = { paint: [] as number[], seen: [] as number[] };
  for (let i = 0; i < ROUNDS; i++) {
    const { page } = await watched(browser, address);
    await page.getByRole('region', { name: 'What to do now' }).waitFor();
    // From when the address was entered: that a browser makes a window is no part of it.
    out.seen.push((await page.evaluate('performance.now()')) as number);
    out.paint.push(await paintOf(page));
    await page.close();
  }
  return out;
}

async function answers(server: Server): Promise<number[]> {
  const slowest: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    let worst = 0;
    for (const asked of ASKED) {
      const began = performance.now();
      await server.get(`/api/search?${asked}`);
      worst = Math.max(worst, performance.now() - began);
    }
    slowest.push(worst);
  }
  return slowest;
}

/** Both with two threads, from the first byte to the last: what starts around it is not the scan. */
async function* scans(place: Workplace): AsyncIterable<Row | string> {
  const [image] = await place.images(dense(5, SCANNED));
  const kept = place.path('web-scan');
  const command = { ...salvor(['scan', image, '--case', kept, '--threads', '2']), before: () => place.remove(kept) };
  const line = await inTurns([command], ROUNDS);
  const times: number[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    place.remove(kept);
    const server = await started([image, '--case', kept]);
    while ((await server.get<{ state: string }>('/api/session')).state !== 'open') await pause();
    const began = performance.now();
    await server.post('/api/jobs', { job: { kind: 'scan', options: {} } });
    while ((await server.get<{ jobs: { state: string }[] }>('/api/jobs')).jobs[0].state === 'running') await pause();
    // The first one warms the cache, as it does for the command line.
    if (i > 0) times.push(performance.now() - began);
    server.child.kill('SIGTERM');
  }
  const runs = new Map([
    ['salvor', times],
    ['command line', line.get('salvor')!],
  ]);
  yield faster(`scan ${SCANNED} GiB in the page cache through the web`, runs, 'command line', 0.95);
  yield `scan through the web: ${median(times).toFixed(0)} ms, by the command line ${median(line.get('salvor')!).toFixed(0)} ms`;
  place.remove(image, kept);
}

// Each look costs the server a little of the time that is measured.
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 25));

/** A process and everything that it started. */
function tree(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length && i < 100; i++) {
    for (const task of readdirSync(`/proc/${found[i]}/task`)) {
      const children = readFileSync(`/proc/${found[i]}/task/${task}/children`, 'latin1');
      found.push(...children.split(' ').filter(Boolean).map(Number));
    }
  }
  return found;
}
