/** What a child answers about the evidence it has open, by name of the question. */
import type { z } from '@hono/zod-openapi';
import { CERTAINTY_NAMES, MISSING } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import type { Report } from '../export/index.ts';
import { diagnose } from '../stack/diagnosis.ts';
import { byteRows, factRows } from '../stack/facts.ts';
import { filesystems } from '../stack/home.ts';
import { fieldsIn } from '../stack/laid.ts';
import { LocatorError } from '../stack/locate.ts';
import { machinesOf } from '../stack/machines.ts';
import { placed, shortfall, summarize } from '../stack/placed.ts';
import { solve } from '../stack/solve.ts';
import { wayOf } from '../stack/way.ts';
import { hexOf, pictureOf } from './picture.ts';
import { planView } from './plan-view.ts';
import { mediaType, previewOf } from './preview.ts';
import { registryKey } from './registry.ts';
import { gather } from './report-data.ts';
import type * as schemas from './schemas.ts';
import type * as previews from './schemas-preview.ts';
import type { Session } from './session.ts';
import { machineAt, screenNow } from './standing.ts';
import { adviceOf, chainViews, entryOf, layerView, machineView, sentencesFor } from './views.ts';

type In<T extends z.ZodType> = z.infer<T>;
export type Op = (session: Session, args: never, signal: AbortSignal) => Promise<unknown>;

const PAGE = 200;
const BUCKETS = 512;
const MAX_MACHINES = 1000;
const SEARCHED = 200;
/** Bytes handed out by one question. */
const MAX_READ = 1024 * 1024;
const MAX_REGIONS = 256;

async function diagnosis(session: Session): Promise<In<typeof schemas.Diagnosis>> {
  const done = await session.once('diagnosis', () => diagnose(session.stack));
  return { layers: done.layers.map(layerView), ...done.found, advice: adviceOf(done) };
}

async function tree(session: Session, args: In<typeof schemas.TreeQuery>): Promise<In<typeof schemas.TreePage>> {
  const { nodes, ...rest } = await session.page(args.parent, args.after ?? 0, args.limit ?? PAGE);
  return { entries: nodes.map(entryOf), ...rest };
}

async function node(session: Session, { locator }: Located): Promise<In<typeof schemas.NodeView>> {
  const found = await session.node(locator);
  const regions: In<typeof schemas.NodeView>['regions'] = [];
  const inside = found.kind === 'evidence' || found.kind === 'file' ? await session.stack.inside(found) : found;
  if (inside?.kind === 'volume' && inside.children !== undefined) {
    for await (const child of session.stack.children(inside)) {
      const start = child.facts.details?.start;
      if (typeof start !== 'number' || child.facts.size === undefined || regions.length >= MAX_REGIONS) continue;
      regions.push({ name: entryOf(child).name, locator: child.locator, start, size: child.facts.size });
    }
  }
  const facts = factRows(found).map(([label, value]): [string, string] => [label, value]);
  return { entry: entryOf(found), facts, sentences: sentencesFor(found), regions };
}

type Located = { readonly locator: string };

async function sourceOf(session: Session, locator: string): Promise<Source> {
  const found = await session.node(locator);
  const source = await found.bytes?.();
  if (source === undefined) throw new LocatorError(`${locator} is a ${found.kind} and has no bytes of its own.`);
  return source;
}

async function grades(session: Session, { locator }: Located, signal: AbortSignal): Promise<In<typeof schemas.Grades>> {
  const found = await session.node(locator);
  const source = await found.bytes?.();
  const sum = source === undefined ? undefined : await summarize(source, signal);
  const facts = byteRows(found, source, sum).map(([label, value]): [string, string] => [label, value]);
  const certainty = Object.fromEntries(CERTAINTY_NAMES.map((name, i) => [name, sum?.bytes[i] ?? 0]));
  const less = sum === undefined ? undefined : shortfall(sum);
  return { facts, certainty, ...(less !== undefined && { shortfall: less }) };
}

async function map(session: Session, args: In<typeof schemas.MapQuery>, signal: AbortSignal): Promise<unknown> {
  const source = await sourceOf(session, args.locator);
  const from = Math.min(args.from ?? 0, source.size);
  const to = Math.max(from, Math.min(args.to ?? source.size, source.size));
  return pictureOf(args.locator, source, { from, to, count: args.buckets ?? BUCKETS }, signal);
}

async function hex(session: Session, args: In<typeof schemas.HexQuery>, signal: AbortSignal): Promise<unknown> {
  const source = await sourceOf(session, args.locator);
  const fields = await fieldsIn(session.stack, await session.node(args.locator), args.from, args.from + args.length);
  return { ...(await hexOf(source, args.from, args.length, signal)), fields };
}

async function way(session: Session, { locator, at }: In<typeof schemas.WayQuery>): Promise<In<typeof schemas.Way>> {
  const source = await sourceOf(session, locator);
  if (at >= source.size)
    throw new LocatorError(`${locator} has ${source.size} bytes; there is no byte ${at}. The first one is 0.`);
  const steps = await wayOf(session.stack, await session.node(locator), source, at);
  return { steps: steps as In<typeof schemas.Way>['steps'] };
}

async function preview(session: Session, args: In<typeof previews.PreviewQuery>): Promise<unknown> {
  return previewOf(session.stack, await session.node(args.locator), args.encoding);
}

async function registry(session: Session, { locator, key }: In<typeof previews.KeyQuery>): Promise<unknown> {
  return registryKey(await sourceOf(session, locator), locator, key);
}

/** Size and type of something that is served byte by byte. */
async function media(session: Session, { locator }: Located): Promise<{ size: number; name: string; type?: string }> {
  const found = await session.node(locator);
  const source = await sourceOf(session, locator);
  const type = await mediaType(source);
  return { size: source.size, name: found.name, ...(type !== undefined && { type }) };
}

/** How many bytes of a range are known to be missing, before anything of it is read. */
async function missing(
  session: Session,
  args: Located & { from: number; end: number },
  signal: AbortSignal,
): Promise<number> {
  let lost = 0;
  for await (const run of placed(await sourceOf(session, args.locator), args.from, args.end, signal)) {
    if (run.state === MISSING) lost += run.length;
  }
  return lost;
}

/** Bytes, and how many of them are zeros because they could not be had. */
async function read(
  session: Session,
  args: Located & { from: number; length: number },
): Promise<{ bytes: Uint8Array; lost: number }> {
  const source = await sourceOf(session, args.locator);
  const bytes = new Uint8Array(Math.max(0, Math.min(args.length, MAX_READ, source.size - args.from)));
  const gaps = bytes.length > 0 ? await source.read(args.from, bytes) : [];
  return { bytes, lost: gaps.reduce((sum, gap) => sum + gap.length, 0) };
}

async function search(session: Session, args: In<typeof schemas.SearchQuery>): Promise<In<typeof schemas.Found>> {
  const list = session.case.nodes;
  const state = list.of(signatureOf(session));
  if (state === undefined) return { rows: [], looked: 1, listed: 0, complete: false };
  const { damaged, ...rest } = args;
  const found = list.search({ ...rest, damaged: damaged === 'true', limit: SEARCHED });
  const { isCounted, ...answer } = found;
  const counted = isCounted === undefined ? {} : { counted: isCounted };
  return { ...answer, ...counted, rows: [...found.rows], listed: state.nodes, complete: state.ended };
}

/** What a list of everything is of: the sources, as they were given. */
export function signatureOf(session: Session): string {
  return session.stack.roots.map((root) => root.locator).join('\n');
}

async function machines(session: Session): Promise<In<typeof schemas.Machines>> {
  const out: In<typeof schemas.Machines>['machines'] = [];
  for (const root of session.stack.roots) {
    const all = await filesystems(session.stack, root);
    for (const one of all.length === 0 && root.children !== undefined ? [root] : all) {
      for await (const machine of machinesOf(session.stack, one)) {
        if (out.length < MAX_MACHINES) out.push(machineView(machine));
      }
    }
  }
  return { machines: out };
}

async function plan(session: Session, { config, name }: In<typeof schemas.MachineQuery>): Promise<unknown> {
  return planView(session, await machineAt(session, config, name));
}

/** The screen of the machine that a job runs, as PNG. */
async function screen(): Promise<Uint8Array | null> {
  return screenNow() ?? null;
}

async function chains(session: Session): Promise<In<typeof schemas.Chains>> {
  const { chains: solved } = await session.once('chains', () => solve(session.stack));
  return { chains: chainViews(solved) };
}

/** The case as it stands. */
async function kept(session: Session): Promise<In<typeof schemas.CaseView>> {
  const { case: own, stack, alarms } = session;
  const files = (await stack.files()).map(({ locator, source }) => ({
    locator,
    size: source.size,
    scanned: own.scanned(source),
    whole: own.whole(source),
    carved: own.isCarved(source),
    kinds: own.kinds(source).map(({ kind, count }) => ({ kind, count })),
  }));
  const listing = own.nodes.of(signatureOf(session));
  const { entries, count, broken } = own.custody();
  return {
    dir: own.dir,
    alarms: [...alarms],
    notes: [...stack.evidence.notes.values()],
    files,
    listed: listing?.nodes ?? 0,
    complete: listing?.ended === true,
    runs: own.runs().map((run) => ({ ...run })),
    custody: {
      count,
      ...(broken !== undefined && { broken }),
      entries: entries.map(({ id, at, program, command, said }) => ({ id, at, program, command: [...command], said })),
    },
  };
}

async function report(session: Session): Promise<Report> {
  return gather(session, session.program);
}

export const ops: Readonly<Record<string, Op>> = {
  diagnosis,
  tree,
  node,
  grades,
  map,
  hex,
  way,
  preview,
  registry,
  media,
  missing,
  read,
  search,
  machines,
  plan,
  screen,
  chains,
  case: kept,
  report,
};
