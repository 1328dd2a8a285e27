/** The work that a child process does for one job: scans, lists, recoveries, conversions. */
import {
  convert,
  ExportError,
  isDoubtful,
  type Manifest,
  machineLines,
  recover,
  recoverMachine,
  recoveryLines,
} from '../export/index.ts';
import { machineWriters, packers, writers } from '../formats/index.ts';
import { type CarveProgress, carve } from '../jobs/carve.ts';
import { list } from '../jobs/list.ts';
import { scan } from '../jobs/scan.ts';
import { notRead } from '../stack/bootable.ts';
import { diskIn } from '../stack/disk-alone.ts';
import { guestOf } from '../stack/guest/index.ts';
import { size } from '../stack/words.ts';
import type { JobOrder } from './messages.ts';
import { signatureOf } from './ops.ts';
import type { Session } from './session.ts';
import { machineAt, stand } from './standing.ts';

export interface Outcome {
  /** Stopped on request, and can be gone on with. */
  readonly stopped: boolean;
  readonly said: readonly string[];
  readonly result?: unknown;
}

type Report = (progress: Readonly<Record<string, number | string>>) => void;
type Options<K extends JobOrder['kind']> = Extract<JobOrder, { kind: K }>['options'];

/** Threads of a scan; as many as the command line takes. */
const THREADS = 2;
/** Files that are named in a result; the manifest has all. */
const NAMED = 200;
/** How long a folder that another process writes to is waited for, and between two looks. */
const BUSY_MS = 5000;
const RETRY_MS = 100;

/** Does one job to its end, or until `signal` fires. */
export async function work(session: Session, job: JobOrder, report: Report, signal: AbortSignal): Promise<Outcome> {
  if (job.kind === 'scan') return doScan(session, job.options, report, signal);
  if (job.kind === 'list') return doList(session, report, signal);
  if (job.kind === 'estimate') return doEstimate(session, job.options, signal);
  if (job.kind === 'nbd' || job.kind === 'dav' || job.kind === 'boot') return stand(session, job, report, signal);
  const id = session.case.beginRun(job.kind, job.options);
  session.case.log(['serve', job.kind, JSON.stringify(job.options)], `${job.kind} to ${job.options.out} begun`);
  try {
    const done =
      job.kind === 'recover'
        ? await doRecover(session, job.options, report, signal)
        : job.kind === 'machine'
          ? await doMachine(session, job.options, report, signal)
          : await doConvert(session, job.options, report, signal);
    session.case.endRun(id, 'done', done.said[0] ?? '');
    session.case.log(['serve', job.kind], done.said[0] ?? 'ended');
    return done;
  } catch (error) {
    const isStopped = error instanceof ExportError && error.code === 'interrupted';
    const message = error instanceof Error ? error.message : String(error);
    session.case.endRun(id, isStopped ? 'stopped' : 'failed', message);
    session.case.log(['serve', job.kind], message);
    if (!isStopped) throw error;
    return { stopped: true, said: [message] };
  }
}

async function doScan(
  session: Session,
  options: Options<'scan'>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const files = (await session.stack.files()).map((file) => file.source);
  session.case.log(['serve', 'scan'], `scan of ${files.map((file) => file.path).join(', ')} begun`);
  const onProgress = (progress: object): void => report({ ...progress });
  const done = await scan(session.case, files, { threads: THREADS, signal, onProgress });
  session.case.log(['serve', 'scan'], done.whole ? 'scan ended' : 'scan stopped');
  const kinds = (await session.stack.files()).flatMap(({ source }) => session.case.kinds(source));
  const found = kinds.map(({ kind, count }) => `${count} × ${kind}`).join(', ') || 'nothing that Salvor knows';
  const said = done.whole
    ? [`Read ${size(done.before + done.swept)}. Found: ${found}.`]
    : [`Stopped; ${size(done.before + done.swept)} are done and kept.`];
  if (!done.whole || options.carve !== true) return { stopped: !done.whole, said, result: done };
  const carved = await doCarve(session, report, signal);
  return { stopped: carved.stopped, said: [...said, ...carved.said], result: done };
}

async function doCarve(session: Session, report: Report, signal: AbortSignal): Promise<Outcome> {
  let files = 0;
  const onProgress = (progress: CarveProgress): void => {
    files = progress.files;
    report({ ...progress });
  };
  const isDone = await carve(session.case, session.stack, { command: ['serve', 'scan'], signal, onProgress });
  if (!isDone) return { stopped: true, said: ['Stopped in the search for files; what was looked through is kept.'] };
  return { stopped: false, said: [`By their content alone ${files} files are known; they are below +carved.`] };
}

async function doList(session: Session, report: Report, signal: AbortSignal): Promise<Outcome> {
  const onProgress = (nodes: number): Promise<void> => {
    report({ nodes });
    // Between batches messages come in: a request to stop is one.
    return new Promise((resolve) => setImmediate(resolve));
  };
  const count = await list(session.case, session.stack, { evidence: signatureOf(session), signal, onProgress });
  return { stopped: signal.aborted, said: [`${count} things are listed by name.`], result: { nodes: count } };
}

/** Thrown to end a recovery once its size is known. */
class Known extends Error {}

async function doEstimate(session: Session, options: Options<'estimate'>, signal: AbortSignal): Promise<Outcome> {
  let result: unknown;
  try {
    await recover(session.stack, {
      ...recoverOptions(options, signal),
      onEstimate: (estimate) => {
        result = estimate;
        throw new Known();
      },
    });
  } catch (error) {
    if (error instanceof ExportError && error.code === 'interrupted') return { stopped: true, said: [error.message] };
    if (!(error instanceof Known)) throw error;
  }
  return { stopped: false, said: [], result: result ?? null };
}

function recoverOptions(options: Options<'recover'>, signal: AbortSignal): Parameters<typeof recover>[1] {
  const { out, locators, vm, deep, fill, sha256 } = options;
  return {
    out,
    ...(locators !== undefined && { locators }),
    ...(vm !== undefined && { vm }),
    deep: deep === true,
    fill: fill ?? 'zero',
    sha256: sha256 === true,
    symlinks: 'text',
    system: false,
    command: ['serve', 'recover', JSON.stringify(options)],
    signal,
  };
}

async function doRecover(
  session: Session,
  options: Options<'recover'>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const onProgress = (progress: object): void => report({ ...progress });
  const manifest = await patiently(() => recover(session.stack, { ...recoverOptions(options, signal), onProgress }));
  return { stopped: false, said: recoveryLines(manifest, options.out), result: resultOf(manifest) };
}

/** Writes a machine for a platform, as `recover --target` does. */
async function doMachine(
  session: Session,
  options: Options<'machine'>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const machine = await machineAt(session, options.config, options.name);
  const done = await recoverMachine(session.stack, machine, {
    out: options.out,
    writer: machineWriters.find(({ platform }) => platform.target === options.target)!,
    guest: await guestOf(session.stack, machine),
    archive: options.ova === true,
    command: ['serve', 'machine', JSON.stringify(options)],
    signal,
    onProgress: (progress) => report({ ...progress }),
  });
  return { stopped: false, said: machineLines(done, options.out) };
}

/** Tries again for a moment where another process is at it: that of a server that fell takes that long to end. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + BUSY_MS; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ExportError) || error.code !== 'busy' || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function resultOf(manifest: Manifest): unknown {
  const files = manifest.files.filter((file) => file.kind !== 'directory');
  const doubtful = files.filter(isDoubtful).slice(0, NAMED);
  return {
    files: files.length,
    bytes: files.reduce((sum, file) => sum + file.size, 0),
    missing: files.reduce((sum, file) => sum + file.certainty.bytes.missing, 0),
    doubtful: doubtful.map(({ path, size: bytes, certainty }) => ({ path, size: bytes, worst: certainty.worst })),
  };
}

async function doConvert(
  session: Session,
  { locator, out, variant }: Options<'convert'>,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome> {
  const node = await session.node(locator);
  const disk = await diskIn(session.stack, node);
  const writer = [...writers, ...packers].find((one) => one.variants.includes(variant));
  if (writer === undefined) throw new ExportError('nothing', `"${variant}" is no format that can be written.`);
  if (disk === undefined) throw new ExportError('nothing', `${locator} has no bytes of its own; name a disk in it.`);
  const onProgress = (progress: object): void => report({ ...progress });
  const command = ['serve', 'convert', locator, out, '--to', variant];
  const done = await convert(session.stack, disk, { out, writer, variant, command, signal, onProgress });
  const said = [`Wrote ${disk.locator}, ${size(done.size)}, to ${done.files.map((file) => file.path).join(', ')}.`];
  const warning = notRead(disk);
  if (warning !== undefined) said.push(warning);
  const { bytes } = done.certainty;
  const less = (['inferred', 'guessed', 'missing'] as const).filter((grade) => bytes[grade] > 0);
  if (less.length === 0) said.push('All of it is stated by live metadata that passed its checks.');
  else said.push(`Of its bytes ${less.map((grade) => `${size(bytes[grade])} are ${grade}`).join(', ')}.`);
  if (done.map !== undefined) said.push(`What was not had stands as zeros; ${done.map} names it.`);
  return { stopped: false, said, result: { files: done.files, size: done.size, certainty: done.certainty } };
}
