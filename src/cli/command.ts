/** What all commands share: sources and locators from arguments, Ctrl-C, exit codes, errors as sentences. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { CaseError } from '../case/error.ts';
import { caseDir } from '../case/place.ts';
import { EvidenceError } from '../core/evidence.ts';
import type { Node } from '../core/node.ts';
import { ExportError } from '../export/error.ts';
import { GlobError } from '../export/glob.ts';
import { ServeError } from '../serve/error.ts';
import type { Choice } from '../stack/chains.ts';
import { diskIn, disksMeant } from '../stack/disk-alone.ts';
import { home } from '../stack/home.ts';
import { type Found, LocatorError, locate, splitArgument } from '../stack/locate.ts';
import { Stack } from '../stack/stack.ts';
import { note } from './output.ts';

export const INTACT = 0;
/** Something is missing, damaged or less than stated. */
export const UNCERTAIN = 1;
/** The call or its surroundings are at fault. */
export const USAGE = 2;
export const NOTHING = 3;
export const INTERRUPTED = 130;

/** A fault of the call; the message is a sentence that says what to do next. */
export class UsageError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number = USAGE) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface CommonOptions {
  readonly json?: boolean;
  readonly only?: boolean;
  readonly as?: { readonly format: string; readonly at: number };
  readonly case?: string;
  readonly parent?: Choice[];
}

/** What --deleted means wherever it is offered. */
export const DELETED =
  'also what was deleted or lost its directory, as +deleted and +orphan in the root; from metadata alone, without a scan';

/** What --guest-files means to commands that walk. */
export const GUEST_FILES = 'what is inside the disks, not the disks: the files of their file systems';

/** Adds the options that every command on evidence has. */
export function common(command: Command): Command {
  return command
    .option('--json', 'one JSON document on standard output; progress as NDJSON on standard error')
    .option('--only', 'use the named sources only, not other files that lie beside them')
    .option('--as <format@offset>', 'take what lies at that byte of the source as this format', parseAs)
    .option('--parent <child=parent>', 'read CHILD through this PARENT, as inferred (repeatable)', parseParent)
    .option('--case <dir>', 'where findings of scans are kept; by default NAME.salvor in the working directory');
}

/** A port as it is typed; 0 is any that is free. */
export function port(value: string): number {
  if (/^\d{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value);
  throw new InvalidArgumentError('Give a number from 0 to 65535.');
}

function parseParent(value: string, before: Choice[] = []): Choice[] {
  const [child, parent, more] = value.split('=');
  if (!child || !parent || more !== undefined) {
    throw new InvalidArgumentError('Write it as CHILD=PARENT, both as "salvor chain" names them; %3D stands for "=".');
  }
  return [...before, { child: child.replaceAll('%3D', '='), parent: parent.replaceAll('%3D', '=') }];
}

function parseAs(value: string): { format: string; at: number } {
  const match = /^([a-z0-9-]+)@(\d{1,16}|0x[0-9a-f]{1,13})$/i.exec(value);
  if (match === null) throw new InvalidArgumentError('Write it as FORMAT@OFFSET in bytes, for example vmfs@1048576.');
  return { format: match[1], at: Number(match[2]) };
}

/** What a command works on: the opened sources, and the node that the arguments name. */
export interface Target extends Found {
  readonly stack: Stack;
}

/** Opens the sources among `args` and hands them over; closes them in the end. Answers the exit code. */
export async function withStack(
  args: readonly string[],
  options: CommonOptions,
  action: (stack: Stack, inner: string | undefined, signal: AbortSignal) => Promise<number>,
): Promise<void> {
  const signal = interruptible();
  const { sources, inner } = sort(args);
  const dir = caseDir(options.case, sources);
  const kept = hasCase(dir) ? (await import('./case.ts')).openCase(dir) : undefined;
  const stack = new Stack(sources, {
    only: options.only === true,
    signal,
    ...(options.as !== undefined && { as: options.as }),
    ...(options.parent !== undefined && { parents: options.parent }),
    ...(kept !== undefined && { found: kept }),
  });
  try {
    const code = await action(stack, inner, signal);
    for (const line of mapfileNotes(stack)) note(line);
    for (const { child, parent } of stack.unusedParents)
      note(`--parent ${child}=${parent} was not used: no disk "${child}" was opened. "salvor chain" names them.`);
    if (stack.borrowed.length > 0)
      note(`Used beside what was named: ${stack.borrowed.join(', ')} (--only turns this off).`);
    process.exitCode = signal.aborted ? INTERRUPTED : code;
  } finally {
    stack.close();
    kept?.close();
  }
}

/** Whether there is a case in a folder. */
export function hasCase(dir: string): boolean {
  return fs.existsSync(path.join(dir, 'case.db'));
}

/** What mapfiles said of the files that were given or borrowed; others were only looked at. */
function mapfileNotes(stack: Stack): string[] {
  const asked = [...stack.roots.map((root) => root.locator), ...stack.borrowed];
  const isAsked = (file: string): boolean => asked.some((one) => file === one || file.startsWith(`${one}/`));
  return [...stack.evidence.notes].flatMap(([file, said]) => (isAsked(file) ? [said] : []));
}

/** Ctrl-C asks once to stop cleanly; the second one stops at once. */
export function interruptible(): AbortSignal {
  const abort = new AbortController();
  let pressed = 0;
  process.on('SIGINT', () => {
    if (++pressed > 1) process.exit(INTERRUPTED);
    abort.abort();
  });
  process.on('SIGTERM', () => abort.abort());
  return abort.signal;
}

/** As withStack, for commands on one node: `LOCATOR`, or several sources and a locator inside them. */
export function withNode(args: readonly string[], options: CommonOptions, action: OnTarget): Promise<void> {
  return withTarget(args, options, home, action);
}

/**
 * As withNode, for commands on the bytes of a disk: sources alone stand for the disk that they are or hold, whatever
 * lies on it.
 */
export function withDisk(args: readonly string[], options: CommonOptions, action: OnTarget): Promise<void> {
  return withTarget(args, options, diskMeant, action);
}

type OnTarget = (target: Target, signal: AbortSignal) => Promise<number>;

/** `alone`: what sources mean without a locator inside them. */
function withTarget(
  args: readonly string[],
  options: CommonOptions,
  alone: (stack: Stack) => Promise<Node>,
  action: OnTarget,
): Promise<void> {
  return withStack(args, options, async (stack, inner, signal) => {
    const found = inner === undefined ? { node: await alone(stack) } : await locate(stack, inner);
    return action({ stack, ...found }, signal);
  });
}

/** Disks that are named where one has to be chosen. */
const NAMED_DISKS = 8;

async function diskMeant(stack: Stack): Promise<Node> {
  const disks = await disksMeant(stack);
  if (disks.length === 0) throw new UsageError('No disk is in what was named. List what is there with: salvor ls');
  if (disks.length > 1) {
    const named = disks.slice(0, NAMED_DISKS).map(({ locator }) => locator);
    const more = disks.length > named.length ? ', …' : '';
    throw new UsageError(`There are ${disks.length} disks: ${named.join(', ')}${more}. Name one of them.`);
  }
  return (await diskIn(stack, disks[0])) ?? disks[0];
}

/** As withNode; with `guests` what is named is the inside of all disks at and below it. */
export function withTree(
  args: readonly string[],
  options: CommonOptions & { readonly guestFiles?: boolean },
  action: (target: Target, signal: AbortSignal) => Promise<number>,
): Promise<void> {
  if (options.guestFiles !== true) return withNode(args, options, action);
  return withStack(args, options, async (stack, inner, signal) => {
    // Loaded only where it is asked for: most commands start without it.
    const { guestTree } = await import('../stack/inside.ts');
    const from = inner === undefined ? undefined : (await locate(stack, inner)).node;
    return action({ stack, node: await guestTree(stack, from) }, signal);
  });
}

/** Sources are what exists on the host; at most one argument may lead inside. */
function sort(args: readonly string[]): { sources: string[]; inner: string | undefined } {
  const sources: string[] = [];
  let inner: string | undefined;
  for (const argument of args) {
    const split = splitArgument(argument);
    if (split.source !== undefined && !sources.includes(split.source)) sources.push(split.source);
    if (split.source !== undefined && split.inner === '') continue;
    if (inner !== undefined) throw new UsageError(`Only one locator at a time: ${inner} or ${argument}.`);
    inner = argument;
  }
  if (sources.length === 0) {
    throw new UsageError(`${args[0] ?? 'Nothing'} does not exist here. Name an image, a disk or a directory of them.`);
  }
  return { sources, inner };
}

/** Errors that are sentences for the person who called. */
const KNOWN = [EvidenceError, LocatorError, UsageError, CaseError, ExportError, GlobError, ServeError];

/** Says why an export ended before its end; answers the exit code. What is no such end is thrown again. */
export function endOf(error: unknown): number {
  if (!(error instanceof ExportError)) throw error;
  note(`salvor: ${error.message}`);
  if (error.code === 'interrupted') return INTERRUPTED;
  return error.code === 'nothing' ? NOTHING : USAGE;
}

/** Turns what a command threw into a sentence and an exit code. Only faults of the program show more. */
export function fail(error: unknown): void {
  const known = KNOWN.some((kind) => error instanceof kind);
  if (known) process.exitCode = error instanceof UsageError ? error.exitCode : USAGE;
  else process.exitCode = USAGE;
  const message = error instanceof Error ? error.message : String(error);
  if (known) process.stderr.write(`salvor: ${message}\n`);
  else {
    process.stderr.write(`salvor: this is a fault of the program, not yours: ${message}\n`);
    if (process.env.SALVOR_DEBUG !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    else process.stderr.write('Set SALVOR_DEBUG=1 and run it again to see where. The evidence was not touched.\n');
  }
}

/** UNCERTAIN where a node carries damage, else INTACT. */
export function health(node: Node): number {
  return node.damage.length > 0 ? UNCERTAIN : INTACT;
}
