/** Recovers a machine for another platform: its disks, each joined to one file, and its configuration beside them. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { blake3 } from '../codec/blake3.ts';
import { CHUNK, treeOf } from '../codec/tree-hash.ts';
import type { GuestFacts } from '../core/guest.ts';
import { uuidOf } from '../core/machine.ts';
import type { HashedFile, MachineWriter, WrittenText } from '../core/machine-writer.ts';
import { packers, writers } from '../formats/index.ts';
import type { Bootable, BootableDisk } from '../stack/bootable.ts';
import { Stack } from '../stack/stack.ts';
import { checkNames, packArchive, sha256Of } from './appliance.ts';
import { type Converted, convert, mapOf } from './convert.ts';
import { ExportError, interrupted, writeError } from './error.ts';
import { type Header, Journal, type Past, readJournal } from './journal.ts';
import { takeLock } from './lock.ts';
import { type MachinePlan, planMachine } from './machine-plan.ts';
import { type FileEntry, MANIFEST, type MachineEntry, type Manifest, writeManifest } from './manifest.ts';
import type { Progress } from './options.ts';
import { isThere, removeOwn } from './output.ts';
import { areAsLeft, compare, finished } from './past.ts';
import { checkPlace, realOut } from './place.ts';
import { identities } from './plan.ts';
import { bottomsOf } from './summary.ts';

interface MachineOptions {
  /** Directory that is written to; made if it is not there. */
  readonly out: string;
  readonly writer: MachineWriter;
  readonly guest: GuestFacts;
  /** Put all into one archive, where the platform has such a thing. */
  readonly archive?: boolean;
  /** As it was typed, for the journal. */
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  /** Called once, before anything is written. */
  onPlan?(plan: MachinePlan): void;
  onProgress?(progress: Progress): void;
}

export interface RecoveredMachine {
  readonly plan: MachinePlan;
  readonly manifest: Manifest;
}

const MODE = 0o644;

/** Writes a machine to `options.out`, or goes on where that was stopped. Throws ExportError. */
export async function recoverMachine(
  stack: Stack,
  machine: Bootable,
  options: MachineOptions,
): Promise<RecoveredMachine> {
  const { writer, guest, signal } = options;
  const { dir, ancestor } = realOut(options.out);
  const check = (): void =>
    checkPlace(
      dir,
      ancestor,
      stack.evidence.directories,
      stack.evidence.opened.map((file) => file.identity),
    );
  check();
  const first = planMachine(machine, guest, writer, dir);
  const archive = archiveOf(first, options);
  const bottoms = new Set((await Promise.all(first.disks.map(({ source }) => bottomsOf(source)))).flat());
  check();
  const evidence = identities(stack, [...bottoms]);
  const header: Header = { schema: 1, command: options.command, evidence, options: chosen(first, archive) };
  const past = readJournal(dir);
  if (past?.header !== undefined) compare(dir, past.header, header);
  if (past !== undefined && isThere(path.join(dir, MANIFEST))) return { plan: first, manifest: finished(dir) };
  refuseTaken(dir, first, past, archive);
  options.onPlan?.(first);
  fs.mkdirSync(path.join(dir, '.salvor'), { recursive: true, mode: 0o700 });
  const unlock = takeLock(dir);
  const journal = new Journal(dir, past, header);
  try {
    const files: FileEntry[] = [];
    const uuids: (string | undefined)[] = [];
    for (const [i, disk] of first.disks.entries()) {
      if (signal.aborted) throw interrupted();
      const out = path.join(dir, first.target.disks[i].file);
      files.push(...(await convertedDisk(stack, disk, out, { journal, past, options })));
      uuids.push(await identityOf(out));
    }
    const plan = planMachine(machine, guest, writer, dir, uuids);
    const run = { journal, past, options };
    for (const text of plan.texts) files.push(writeText(dir, text, machine, run));
    const all = await packed(dir, plan, files, archive, run);
    const manifest = manifestOf(plan, all, evidence, archive);
    writeManifest(dir, manifest);
    return { plan, manifest };
  } catch (error) {
    throw error instanceof ExportError ? error : writeError(dir, error);
  } finally {
    journal.close();
    unlock();
  }
}

/** What makes a difference to what is written. */
function chosen({ writer, machine, disks, target }: MachinePlan, archive: string | undefined): Record<string, unknown> {
  return {
    target: writer.platform.target,
    config: machine.config?.locator ?? null,
    disks: disks.map(({ node, source }) => `${node.locator} ${source.size}`),
    names: target.disks.map(({ file }) => file),
    ...(archive !== undefined && { archive }),
  };
}

/** Nothing that is there is ever overwritten, so it is said before hours of copying. */
function refuseTaken(dir: string, plan: MachinePlan, past: Past | undefined, archive: string | undefined): void {
  const { target, texts, writer } = plan;
  const names = [
    ...target.disks.flatMap(({ file }) => [file, mapOf(file), ...partsOf(file, writer)]),
    ...texts.map(({ name }) => name),
    ...(writer.hashes === undefined ? [] : [writer.hashes(target, []).name]),
    ...(archive === undefined ? [] : [archive]),
    MANIFEST,
  ];
  const taken = names.find((name) => past?.files.has(name) !== true && isThere(path.join(dir, name)));
  if (taken === undefined) return;
  const next = 'Give another directory with --out, or move it away.';
  throw new ExportError(
    'exists',
    `${path.join(dir, taken)} is there already, and nothing is ever overwritten. ${next}`,
  );
}

interface Run {
  readonly journal: Journal;
  readonly past: Past | undefined;
  readonly options: MachineOptions;
}

async function convertedDisk(stack: Stack, disk: BootableDisk, out: string, run: Run): Promise<FileEntry[]> {
  const { journal, past, options } = run;
  const dir = path.dirname(out);
  const own = path.basename(out);
  const parts = partsOf(own, options.writer);
  const done = [...parts, own].map((name) => past?.files.get(name)?.done).filter((entry) => entry !== undefined);
  const map = mapOf(out);
  const maps = (): FileEntry[] => (isThere(map) ? [mapEntry(map, disk)] : []);
  if (done.length === parts.length + 1 && (await areAsLeft(dir, done, options.signal))) return [...done, ...maps()];
  // Noted before, and never noted as done: it is this program's own, from a run that ended just then.
  const names = [...parts, mapOf(own), own];
  for (const name of names) if (past?.files.has(name) === true) fs.rmSync(path.join(dir, name), { force: true });
  const variant = options.writer.platform.variant;
  const writer = [...writers, ...packers].find(({ variants }) => variants.includes(variant))!;
  for (const name of names) journal.add({ t: 'file', path: name, locator: disk.node.locator });
  const { command, signal, onProgress } = options;
  const converted = await convert(stack, disk.node, {
    out,
    writer,
    variant,
    command,
    signal,
    ...(onProgress && { onProgress }),
  });
  const entries = converted.files.map((file) => entryOf(disk, converted, file));
  // The file that the disk is named by comes last: once it is noted, all are.
  entries.sort((a, b) => Number(a.path === own) - Number(b.path === own));
  for (const entry of entries) journal.add({ t: 'done', entry });
  return [...entries, ...maps()];
}

/** Names of the files that belong to one disk beside the one it is named by. */
function partsOf(own: string, { platform }: MachineWriter): string[] {
  const stem = own.slice(0, own.length - platform.ending.length);
  return platform.parts.map((suffix) => stem + suffix);
}

/**
 * A written disk in the words of the manifest. Where the file is the disk's own bytes, its grades and gaps are those of
 * the disk; in a container they lie elsewhere, so that the file as a whole has the lowest grade of what is there, and
 * the map beside it names what is missing.
 */
function entryOf(disk: BootableDisk, done: Converted, file: Converted['files'][number]): FileEntry {
  const isDisk = file.tree === done.content;
  const bytes = { verified: 0, stated: 0, inferred: 0, guessed: 0, missing: 0 };
  const grades = ['guessed', 'inferred', 'stated', 'verified'] as const;
  bytes[grades.find((grade) => done.certainty.bytes[grade] > 0) ?? 'inferred'] = file.size;
  return {
    path: path.basename(file.path),
    locator: disk.node.locator,
    kind: 'disk',
    size: file.size,
    tree: file.tree,
    sha256: null,
    mode: MODE,
    modified: null,
    certainty: isDisk ? done.certainty : { worst: done.certainty.worst, bytes },
    gaps: isDisk ? done.gaps : [],
    damage: disk.node.damage,
    reasons: done.reasons,
  };
}

function mapEntry(map: string, disk: BootableDisk): FileEntry {
  return textEntry(path.basename(map), fs.readFileSync(map), disk.node.locator);
}

/** A text that was made here: its bytes follow from what was read, and are no more certain than that. */
function textEntry(name: string, bytes: Uint8Array, locator: string): FileEntry {
  const leaves: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK) leaves.push(blake3(bytes.subarray(at, at + CHUNK)));
  return {
    path: name,
    locator,
    kind: 'file',
    size: bytes.length,
    tree: treeOf(bytes.length, leaves),
    sha256: null,
    mode: MODE,
    modified: null,
    certainty: { worst: 'inferred', bytes: { verified: 0, stated: 0, inferred: bytes.length, guessed: 0, missing: 0 } },
    gaps: [],
    damage: [],
    reasons: [{ code: 'machine.written', bytes: bytes.length }],
  };
}

function writeText(dir: string, { name, text }: WrittenText, machine: Bootable, { past, journal }: Run): FileEntry {
  const full = path.join(dir, name);
  const entry = textEntry(name, Buffer.from(text, 'utf8'), machine.config?.locator ?? machine.disks[0].node.locator);
  if (past?.files.has(name) === true) fs.rmSync(full, { force: true });
  else journal.add({ t: 'file', path: name, locator: entry.locator });
  const fd = fs.openSync(full, 'wx', MODE);
  try {
    fs.writeSync(fd, text);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  journal.add({ t: 'done', entry });
  return entry;
}

/** Name of the archive that all files go into; undefined where none is asked for. */
function archiveOf({ target, texts, writer }: MachinePlan, { archive }: MachineOptions): string | undefined {
  if (archive !== true) return undefined;
  if (writer.archive === undefined)
    throw new ExportError(
      'out',
      `${writer.platform.title} has no archive that holds a whole machine. Leave out --ova.`,
    );
  checkNames([...texts.map(({ name }) => name), ...target.disks.map(({ file }) => file)]);
  return `${target.stem}${writer.archive}`;
}

/** Adds the list of hashes, where there is one, and puts all into one archive, where that is asked for. */
async function packed(
  dir: string,
  plan: MachinePlan,
  files: readonly FileEntry[],
  archive: string | undefined,
  run: Run,
): Promise<FileEntry[]> {
  const { writer, target, machine, texts } = plan;
  const { past, journal, options } = run;
  if (writer.hashes === undefined) return [...files];
  const order = [...texts.map(({ name }) => name), ...target.disks.map(({ file }) => file)];
  const hashed: HashedFile[] = [];
  for (const name of order) hashed.push({ name, sha256: await sha256Of(path.join(dir, name), options.signal) });
  const sums = new Map(hashed.map(({ name, sha256 }) => [name, sha256]));
  const list = writeText(dir, writer.hashes(target, hashed), machine, run);
  const all = [...files, list].map((entry) => ({ ...entry, sha256: sums.get(entry.path) ?? entry.sha256 }));
  if (archive === undefined) return all;
  const names = [...texts.map(({ name }) => name), list.path, ...target.disks.map(({ file }) => file)];
  if (past?.files.has(archive) === true) removeOwn(path.join(dir, archive));
  const locator = machine.config?.locator ?? machine.disks[0].node.locator;
  journal.add({ t: 'file', path: archive, locator });
  const { size, tree } = packArchive(dir, archive, names, options.signal);
  const own = all.filter(({ path: name }) => names.includes(name));
  const entry = archiveEntry(archive, locator, size, tree, own);
  journal.add({ t: 'done', entry });
  // All that is in the archive lies in it now, synced: the files that it was made from go.
  for (const name of names) fs.rmSync(path.join(dir, name));
  return [...all.filter(({ path: name }) => !names.includes(name)), entry];
}

/** An archive holds what its files hold; its own headers, and the texts, follow from what was read. */
function archiveEntry(name: string, locator: string, size: number, tree: string, own: readonly FileEntry[]): FileEntry {
  const bytes = { verified: 0, stated: 0, inferred: size, guessed: 0, missing: 0 };
  for (const { certainty } of own) {
    for (const grade of ['verified', 'stated', 'guessed', 'missing'] as const) {
      bytes[grade] += certainty.bytes[grade];
      bytes.inferred -= certainty.bytes[grade];
    }
  }
  const worst = (['missing', 'guessed'] as const).find((grade) =>
    own.some(({ certainty }) => certainty.worst === grade),
  );
  const disks = own.filter(({ kind }) => kind === 'disk');
  return {
    path: name,
    locator,
    kind: 'disk',
    size,
    tree,
    sha256: null,
    mode: MODE,
    modified: null,
    certainty: { worst: worst ?? 'inferred', bytes },
    gaps: [],
    damage: disks.flatMap(({ damage }) => damage),
    reasons: [...disks.flatMap(({ reasons }) => reasons), { code: 'machine.written', bytes: size }],
  };
}

/** What a written disk says of itself, as 32 digits. */
async function identityOf(file: string): Promise<string | undefined> {
  const stack = new Stack([file], { only: true });
  try {
    const inside = await stack.inside(stack.roots[0]);
    const own = inside?.identities?.find((one) => one.startsWith('uuid:'));
    return uuidOf(own?.slice('uuid:'.length));
  } finally {
    stack.close();
  }
}

function manifestOf(
  plan: MachinePlan,
  files: readonly FileEntry[],
  evidence: Manifest['evidence'],
  archive: string | undefined,
): Manifest {
  const { machine, target, disks, texts, steps, later, guest } = plan;
  const [config] = texts;
  const entry: MachineEntry = {
    name: machine.name,
    config: archive ?? config.name,
    disks: disks.map(({ said, node }, i) => ({
      slot: said?.slot ?? '',
      path: archive ?? target.disks[i].file,
      chain: [node.locator],
    })),
    note: `written for ${plan.writer.platform.title}`,
  };
  return {
    schema: 1,
    evidence,
    files,
    machines: [entry],
    regenerated: texts.map(({ name, what }) => ({
      path: archive ?? name,
      lacks: what,
      from: [machine.config?.locator ?? 'the disks alone'],
      assumed: machine.config === undefined,
      notes: target.decisions.map((one) => `${one.what}: ${one.value} (${one.reason})`),
    })),
    encrypted: [],
    notes: [...machine.lost, ...disks.flatMap(({ notes = [] }) => notes), ...guest.notes, ...steps, ...later],
    left_out: [],
  };
}
