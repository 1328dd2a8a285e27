/** Work that stands until somebody ends it: disks over NBD, the tree over WebDAV, a machine that runs. */
import * as path from 'node:path';
import { ExportError } from '../export/error.ts';
import { type RunFolder, runFolder } from '../export/run-folder.ts';
import { type Bootable, bootable, machinesIn } from '../stack/bootable.ts';
import { LocatorError } from '../stack/locate.ts';
import { shown, size } from '../stack/words.ts';
import type { Guest } from './boot/guest.ts';
import { keepStart } from './boot/kept.ts';
import { pngOf } from './boot/screen.ts';
import { GOOD, signIn, WHAT } from './boot/signs.ts';
import { Screen } from './boot/smoke.ts';
import { ready } from './boot/start.ts';
import type { JobOrder } from './messages.ts';
import { uriOf } from './nbd/address.ts';
import { exportsOf, nothingServed, type Served } from './nbd/exports.ts';
import { NbdServer } from './nbd/server.ts';
import type { Session } from './session.ts';
import type { Outcome } from './work.ts';

type Report = (progress: Readonly<Record<string, number | string>>) => void;
type Options<K extends JobOrder['kind']> = Extract<JobOrder, { kind: K }>['options'];

/** Milliseconds between two signs of life, and two looks at a screen. */
const PULSE = 1000;
/** Characters of a serial line that are shown. */
const TAIL = 4000;

/** The guest of this process, for who asks for its screen. */
let running: { readonly screen: Screen; readonly guest: Guest } | undefined;

/** The screen of the machine that this process runs, as PNG; undefined where there is none to show. */
export function screenNow(): Uint8Array | undefined {
  const picture = running?.screen.picture;
  return picture === undefined ? undefined : pngOf(picture);
}

/** The machine that a configuration describes, with its disks opened. Throws LocatorError. */
export async function machineAt(session: Session, config: string, name: string): Promise<Bootable> {
  const all = await machinesIn(session.stack, undefined);
  const machine = all.find((one) => one.config.locator === config && one.name === name);
  if (machine === undefined)
    throw new LocatorError(`No configuration at ${config} describes a machine that is called "${shown(name)}".`);
  return bootable(session.stack, machine);
}

/** Does it until `signal` fires. */
export async function stand(
  session: Session,
  job: Extract<JobOrder, { kind: 'nbd' | 'dav' | 'boot' }>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  if (job.kind === 'dav') return showTree(session, job.options, report, signal);
  const machine = await machineAt(session, job.options.config, job.options.name);
  const run = runFolder();
  // Where the server ends, this process does, too, and nothing else takes the folder away.
  const remove = (): void => run.remove();
  process.once('exit', remove);
  try {
    return await (job.kind === 'nbd'
      ? serveDisks(machine, job.options, run, report, signal)
      : runMachine(session, machine, job.options, run, report, signal));
  } finally {
    process.off('exit', remove);
    run.remove();
  }
}

async function showTree(
  { stack }: Session,
  { lost }: Options<'dav'>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const served = nothingServed();
  const onLost = (_: string, bytes: number): void => {
    served.lostBytes += bytes;
  };
  // The library behind it is a third of all code, and no other job needs it.
  const { serveDav } = await import('./dav/server.ts');
  const serving = await serveDav(stack, { lost, onLost });
  try {
    await until(signal, () =>
      report({ address: serving.address, password: serving.token ?? '', lostBytes: served.lostBytes }),
    );
  } finally {
    await serving.close();
  }
  return { stopped: false, said: ['The files are no longer served.', ...lostWords(served)] };
}

async function serveDisks(
  machine: Bootable,
  { lost }: Options<'nbd'>,
  run: RunFolder,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  if (machine.disks.length === 0)
    throw new ExportError('nothing', `"${shown(machine.name)}" has no disk that could be read.`);
  const exports = exportsOf(machine.disks);
  const server = new NbdServer(exports, { lost, onFault: () => undefined });
  try {
    const where = await server.listen({ path: path.join(run.path, 'nbd.sock') });
    const addresses = Object.fromEntries(exports.map(({ name }): [string, string] => [name, uriOf(where, name)]));
    await until(signal, () => {
      const { requests, bytes, lostBytes } = server.served;
      report({ ...addresses, requests, servedBytes: bytes, lostBytes });
    });
  } finally {
    await server.close();
  }
  const { requests, bytes } = server.served;
  return { stopped: false, said: [`Served ${requests} requests, ${size(bytes)}.`, ...lostWords(server.served)] };
}

async function runMachine(
  session: Session,
  machine: Bootable,
  options: Options<'boot'>,
  run: RunFolder,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const { lost, memory, bus } = options;
  const fixed = { accel: 'auto', display: 'none', network: false, run, kept: run.path } as const;
  const started = await ready(session.stack, machine, { ...fixed, lost, memory, bus, onFault: () => undefined });
  const { guest, server, choices } = started;
  session.case.log(['serve', 'boot', JSON.stringify(options)], `"${shown(machine.name)}" is started from the evidence`);
  const screen = new Screen(guest, path.join(run.path, 'screen.ppm'));
  let said = 'Nothing was seen of it yet.';
  try {
    await guest.start();
    running = { screen, guest };
    const over = new AbortController();
    void guest.ended.then(() => over.abort());
    await until(AbortSignal.any([signal, over.signal]), async () => {
      await screen.look();
      const sign = signIn(guest.serial, screen.text, undefined) ?? screen.sign(true);
      if (sign !== undefined) {
        const isUp = GOOD.includes(sign.sign);
        said = `${isUp ? 'It comes up' : 'It does not come up'}: ${WHAT[sign.sign]}: "${shown(sign.line)}".`;
      } else if (screen.text !== '') said = `On its screen: "${shown(lastLine(screen.text))}"`;
      const { bytes, lostBytes } = server.served;
      const serial = shown(guest.serial.slice(-TAIL).replace(/\r?\n/g, ' ⏎ '));
      report({ said, serial, pictures: screen.count, servedBytes: bytes, lostBytes });
    });
    if (!over.signal.aborted) await screen.look();
    else said += ` The guest ended by itself${guest.errors === '' ? '' : `: ${shown(guest.errors)}`}.`;
  } finally {
    running = undefined;
    await started.stop();
  }
  const first = `"${shown(machine.name)}": ${said}`;
  const picture = keepStart(session.case, options, first, screen.picture);
  const lines = [first, `It read ${size(server.served.bytes)} of the evidence.`];
  lines.push(...lostWords(server.served), ...(picture === undefined ? [] : [`Its last screen: ${picture}`]));
  session.case.log(['serve', 'boot'], first);
  return { stopped: false, said: lines, result: { choices } };
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1).trim();
}

function lostWords({ lostBytes }: Served): string[] {
  return lostBytes === 0 ? [] : [`Reads met ${size(lostBytes)} that are missing.`];
}

/** Calls `pulse` now and then, until `signal` fires. */
async function until(signal: AbortSignal, pulse: () => void | Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await pulse();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, PULSE);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
