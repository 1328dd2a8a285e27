/** A machine in the web interface: planned, served, started, looked at, stopped, and in the report. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build } from '../cli/salvor.ts';
import { missing } from '../make/check/peers.ts';
import { guestImage, guestParts } from '../make/guest.ts';
import { isThere, launch, serious, step, watched } from './browser.ts';
import { ask, Served } from './client.ts';

const LINE = 'what the guest finds on its disk';
const absent = missing('qemu-system-x86_64') ?? missing('qemu-img');
const parts = absent === undefined ? guestParts() : absent;
const root = typeof parts === 'string' ? '' : parts.root;
const why = typeof parts === 'string' ? ` (${parts})` : '';
const served = new Served();
const NAME = 'web <01>';
let config: string;
const before = tmpdir();

interface Job {
  readonly id: string;
  readonly state: string;
  readonly progress: Readonly<Record<string, string | number>>;
  readonly said: readonly string[];
  readonly error?: string;
}
interface PlanView {
  readonly guest: readonly [string, string][];
  readonly qemu: boolean;
  readonly targets: readonly {
    target: string;
    archive: boolean;
    decisions: { what: string; value: string }[];
    command: string;
  }[];
}

beforeAll(async () => {
  build();
  if (root === '') return;
  // What runs leave behind is looked for where no other test leaves anything.
  process.env.TMPDIR = join(served.dir, 'tmp');
  fs.mkdirSync(process.env.TMPDIR);
  const folder = join(served.dir, 'vm');
  fs.mkdirSync(folder);
  const image = guestImage(root, LINE);
  const fd = fs.openSync(join(folder, 'web01-flat.vmdk'), 'w');
  fs.ftruncateSync(fd, image.size);
  for (const { at, bytes } of image.pieces) fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
  const extent = `RW ${image.size / 512} VMFS "web01-flat.vmdk" 0`;
  fs.writeFileSync(
    join(folder, 'web01.vmdk'),
    `# Disk DescriptorFile\nversion=1\nCID=1a2b3c4d\nparentCID=ffffffff\ncreateType="vmfs"\n${extent}\n`,
  );
  fs.writeFileSync(
    join(folder, 'web01.vmx'),
    `.encoding = "UTF-8"\ndisplayName = "${NAME}"\nmemSize = "256"\nscsi0.present = "TRUE"\nscsi0.virtualDev = "pvscsi"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "web01.vmdk"\n`,
  );
  await served.begin([folder]);
  const { machines } = await served.get<{ machines: { config: string; name: string }[] }>('/api/machines');
  expect(machines).toEqual([expect.objectContaining({ name: NAME })]);
  config = machines[0].config;
});

afterAll(async () => {
  if (root !== '') await served.end();
  process.env.TMPDIR = before;
});

async function job(id: string): Promise<Job> {
  const { jobs } = await served.get<{ jobs: Job[] }>('/api/jobs');
  return jobs.find((one) => one.id === id)!;
}

async function begin(kind: string, options: Readonly<Record<string, unknown>>): Promise<string> {
  return (await served.post<{ id: string }>('/api/jobs', { job: { kind, options } })).id;
}

/** Waits until a job says this; its faults are told at once. */
async function says(id: string, key: string, pattern: RegExp, timeout = 20_000): Promise<string> {
  const look = async (): Promise<string> => {
    const { progress, error } = await job(id);
    return error ?? String(progress[key] ?? '');
  };
  await expect.poll(look, { timeout, interval: 200 }).toMatch(pattern);
  return look();
}

async function stop(id: string): Promise<Job> {
  await served.post('/api/jobs/stop', { id });
  await expect.poll(async () => (await job(id)).state, { timeout: 15_000 }).toBe('done');
  return job(id);
}

describe.runIf(root !== '')(`a machine over the API${why}`, () => {
  test('planned for each platform, with reasons', async () => {
    const plan = await served.get<PlanView>('/api/plan', { config, name: NAME });
    expect(plan.targets.map(({ target }) => target)).toEqual(['kvm', 'virtualbox', 'vmware', 'proxmox', 'ovf']);
    expect(plan.qemu).toBe(true);
    expect(plan.targets.filter(({ archive }) => archive).map(({ target }) => target)).toEqual(['ovf']);
    expect(plan.targets[0].decisions).toContainEqual(expect.objectContaining({ what: 'storage', value: 'pvscsi' }));
    expect(plan.targets[0].command).toContain(`--vm '${NAME}' --target kvm`);
    await expect(served.get('/api/plan', { config, name: 'nobody' })).rejects.toThrow(/404: .*called \\?"nobody/);
    await expect(served.get('/api/plan', { config: '/etc/passwd', name: NAME })).rejects.toThrow('404');
  });

  test('its disks over NBD, and all files over WebDAV, until they are stopped', async () => {
    const nbd = await begin('nbd', { config, name: NAME, lost: 'error' });
    const uri = await says(nbd, 'disk0', /^nbd\+unix:/);
    if (missing('nbdinfo') === undefined)
      expect(spawnSync('nbdinfo', ['--size', uri], { encoding: 'utf8' }).stdout.trim()).toBe(String(128 * 2 ** 20));
    const dav = await begin('dav', { lost: 'error' });
    const address = new URL(await says(dav, 'address', /^http:\/\/127\.0\.0\.1:\d+\/$/));
    const { password } = (await job(dav)).progress;
    const headers = { authorization: `Basic ${btoa(`x:${password}`)}` };
    const got = await ask(Number(address.port), { path: '/vm/web01.vmx', headers });
    expect(got.body.toString()).toContain('displayName');
    expect((await stop(nbd)).said[0]).toMatch(/^Served /);
    await stop(dav);
    await expect(ask(Number(address.port), { path: '/', headers })).rejects.toThrow();
    expect(fs.existsSync(new URL(uri.replace('nbd+unix:///disk0?socket=', 'file://')).pathname)).toBe(false);
  });

  test('written for another platform, and refused where something is there already', async () => {
    const out = join(served.dir, 'kvm');
    const options = { config, name: NAME, target: 'kvm', out };
    const id = await begin('machine', options);
    await expect.poll(async () => (await job(id)).state, { timeout: 60_000 }).toBe('done');
    expect((await job(id)).said[0]).toContain('for KVM with libvirt');
    const disk = fs.readdirSync(out).find((name) => name.endsWith('.qcow2'))!;
    const raw = join(served.dir, 'vm', 'web01-flat.vmdk');
    const same = spawnSync('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', join(out, disk), raw]);
    expect(same.status).toBe(0);
    const other = await begin('machine', { ...options, target: 'virtualbox' });
    await expect.poll(async () => (await job(other)).state, { timeout: 60_000 }).toBe('failed');
    await expect(begin('machine', { ...options, target: 'floppy' })).rejects.toThrow('400');
  });

  test('started, seen, stopped, and in the report', async () => {
    const id = await begin('boot', { config, name: NAME, lost: 'error' });
    await says(id, 'said', /It comes up: a prompt to log in: "salvor login:"/, 90_000);
    expect((await job(id)).progress.serial).toContain(LINE);
    const { status, body, headers } = await served.ask(`/api/screen?id=${id}`);
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'image/png' });
    expect(body.subarray(1, 4).toString()).toBe('PNG');
    const done = await stop(id);
    expect(done.said[0]).toContain('It comes up');
    expect((await served.ask(`/api/screen?id=${id}`)).status).toBe(404);
    const report = (await served.ask('/api/report')).body.toString();
    expect(report).toContain('Machines that were started');
    expect(report).toContain('web &lt;01&gt;');
    expect(report).toMatch(/src="data:image\/png;base64,iVBOR/);
    expect(fs.readdirSync(tmpdir()).filter((name) => name.startsWith('salvor-run-'))).toEqual([]);
  });

  test.each([
    ['a bus that is none', { bus: 'floppy' }],
    ['memory that is none', { memory: -1 }],
    ['arguments', { args: ['-hda', '/etc/passwd'], lost: 'maybe' }],
  ])('refused: %s', async (_, more) => {
    await expect(begin('boot', { config, name: NAME, lost: 'error', ...more })).rejects.toThrow('400');
  });
});

describe.runIf(root !== '' && isThere)('its page in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());

  test('reasons, serving, the screen of the running machine, and the end of it', async () => {
    const { page, faults } = await watched(browser, served.serving.address);
    page.setDefaultTimeout(30_000);
    await page.getByRole('heading', { name: 'Diagnosis' }).waitFor();
    await step(page, 'Browse');
    await page.getByText('Machines', { exact: true }).click();
    await page.getByRole('button', { name: 'Rebuild, serve or start it' }).click();
    await page.getByText('as it was: the guest started from it').first().waitFor();
    await page.getByLabel('Platform', { exact: true }).selectOption('virtualbox');
    await page.getByText(/--target virtualbox --out DIR$/).waitFor();
    await page.getByLabel('Folder to write to').fill(join(served.dir, 'from the page'));
    await page.getByRole('button', { name: 'Write it for VirtualBox' }).click();
    await page.getByText(/^Wrote machine "web <01>" for VirtualBox/).waitFor();
    await page.getByRole('button', { name: 'Serve all files (WebDAV)' }).click();
    await page.getByText('Password (any name)').waitFor();
    await page.getByRole('button', { name: 'Start it now' }).click();
    await page.getByRole('img', { name: 'The screen of the machine that runs' }).waitFor();
    expect(await serious(page)).toEqual([]);
    await page.locator('[data-job=dav]').first().getByRole('button', { name: 'Stop' }).click();
    await page.locator('[data-job=boot][data-state=running]').getByRole('button', { name: 'Stop' }).click();
    await page.locator('[data-job=boot][data-state=running]').waitFor({ state: 'detached' });
    await page
      .getByText(/Its last screen: /)
      .first()
      .waitFor();
    // No screen of a job that has just ended is no fault of the page.
    expect(faults.filter((fault) => !/404/.test(fault))).toEqual([]);
  }, 90_000);
});

test.runIf(root !== '')('with the server ends what it started, and nothing is left behind', async () => {
  const id = await begin('boot', { config, name: NAME, lost: 'error', memory: 128 });
  await says(id, 'pictures', /^[1-9]/, 60_000);
  const folder = tmpdir();
  const guests = (): string[] =>
    fs
      .readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => commandOf(pid))
      .filter((command) => command.includes('qemu-system') && command.includes(folder));
  expect(guests()).toHaveLength(1);
  await served.serving.close();
  await expect.poll(guests, { timeout: 10_000 }).toEqual([]);
  await expect.poll(() => fs.readdirSync(folder), { timeout: 10_000 }).toEqual([]);
});

function commandOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it ended meanwhile
  }
}
