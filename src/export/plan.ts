/** Before anything is written: what is wanted, how large it is, and whether its names are free. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { FileSource } from '../core/evidence.ts';
import { DATA, type RunList } from '../core/run.ts';
import { guestTree } from '../stack/inside.ts';
import { isConfiguration, type Machine, machinesAt, machinesOf } from '../stack/machines.ts';
import { mendedOf } from '../stack/mend.ts';
import type { CarvedName } from '../stack/residue.ts';
import type { Stack } from '../stack/stack.ts';
import { ExportError, interrupted } from './error.ts';
import { globs } from './glob.ts';
import { type Fill, WHOLE_FILE } from './jobs.ts';
import type { Past } from './journal.ts';
import { type EvidenceEntry, MANIFEST } from './manifest.ts';
import type { Meter } from './meter.ts';
import { PART } from './names.ts';
import type { Availability, Estimate, RecoverOptions } from './options.ts';
import { type Summary, summarize } from './summary.ts';
import { treesFrom, treesOf } from './trees.ts';
import { type Item, type Selection, type Tree, walk } from './walk.ts';

export interface Plan {
  readonly trees: readonly Tree[];
  readonly selection: Selection;
  readonly machines: readonly Machine[];
  readonly evidence: readonly EvidenceEntry[];
  readonly sources: readonly FileSource[];
  readonly notes: readonly string[];
  readonly estimate: Estimate;
  /** Items of every kind. */
  readonly items: number;
}

/** What carving did not look at, and what does. */
const CARVE_NOTES: Readonly<Record<CarvedName, string>> = {
  '+carved':
    'Files were looked for by their content where sectors begin, and only in what no live file has where a file system ' +
    'can say so; --carve-all looks in the rest, too, and --carve-any at every byte.',
  '+carved-any':
    'Files were looked for by their content at every byte, and only in what no live file has where a file system can ' +
    'say so; --carve-all looks in the rest, too.',
  '+carved-all':
    'Files were looked for by their content where sectors begin, also in what live files have; --carve-any looks at every byte.',
  '+carved-all-any': 'Files were looked for by their content at every byte, also in what live files have.',
};

/** Files take whole blocks. */
const BLOCK = 4096;
const NAMED_CONFLICTS = 5;

/** Walks everything once. Throws ExportError: 'nothing', 'exists', 'journal' where the journal names other things. */
export async function planOf(
  stack: Stack,
  options: RecoverOptions,
  dir: string,
  past: Past | undefined,
  meter: Meter,
): Promise<Plan> {
  const { from } = options;
  const { carve } = options;
  const stores =
    from === undefined ? await treesOf(stack, options.deep === true, carve) : await treesFrom(stack, from, carve);
  const { notes } = stores;
  if (carve !== undefined) notes.push(CARVE_NOTES[carve]);
  const selection = await selectionOf(stack, stores.trees, options);
  const trees = options.guests === true ? [{ node: await guestTree(stack, from), path: '' }] : stores.trees;
  const sum = { files: 0, directories: 0, bytes: 0, bytesOnDisk: 0, gapsBytes: 0 };
  const machines: Machine[] = [];
  const bottoms = new Set<FileSource>();
  const present = new Present(dir, past);
  const noteSources = (list: RunList): void => {
    for (let i = 0; i < list.n; i++) {
      const source = list.state(i) === DATA ? list.sourceOf(i) : undefined;
      if (source instanceof FileSource) bottoms.add(source);
    }
  };
  let items = 0;
  const missing = new Map<string, number>();
  for await (const item of walk(stack, trees, selection, dir)) {
    if (options.signal.aborted) throw interrupted();
    items++;
    if (item.skip !== undefined) continue;
    present.look(item);
    meter.tick(item.path);
    if (isDirectory(item)) {
      sum.directories++;
      continue;
    }
    sum.files++;
    const source = await item.node.bytes?.();
    if (source !== undefined) {
      const summary = await summarize(source, noteSources);
      sum.bytes += source.size;
      sum.gapsBytes += summary.lost;
      if (summary.lost > 0) missing.set(item.node.locator, summary.lost);
      const written = summary.data + filledOf(summary, source.size, options.fill);
      sum.bytesOnDisk += Math.ceil(written / BLOCK) * BLOCK;
    }
    if (!isConfiguration(item.node)) continue;
    for (const machine of await machinesAt(stack, item.node, selection.mend)) {
      const replaced = machines.findIndex((one) => isReplaced(one, machine));
      if (replaced >= 0) machines.splice(replaced, 1);
      machines.push(machine);
    }
  }
  if (items === 0) throw nothing(options);
  present.check();
  const freeBytes = freeBytesOf(dir);
  const names = machines.map((machine) => machine.name);
  const availability = machines.map((machine) => availabilityOf(machine, missing)).filter((one) => one !== undefined);
  const estimate = { ...sum, machines: names, availability, freeBytes, presentBytes: present.bytes };
  const sources = evidenceSources(stack, bottoms);
  return { trees, selection, machines, evidence: identities(stack, sources), sources, notes, estimate, items };
}

/** Bytes of gaps that take room in the output: whole chunks of zeros in large files take none. */
function filledOf({ lost, edges }: Summary, size: number, fill: Fill): number {
  if (fill === 'skip') return 0;
  return fill === 'zero' && size > WHOLE_FILE ? edges : lost;
}

/** What a machine lacks; undefined where it lacks nothing. */
function availabilityOf({ name, disks }: Machine, missing: ReadonlyMap<string, number>): Availability | undefined {
  const files = new Map(disks.flatMap((disk) => disk.files).map((node) => [node.locator, node]));
  const absent = disks.flatMap(({ broken }) => (broken === undefined ? [] : [broken]));
  let bytes = 0;
  let lost = 0;
  for (const [locator, node] of files) {
    bytes += node.facts.size ?? 0;
    lost += missing.get(locator) ?? 0;
  }
  return lost === 0 && absent.length === 0 ? undefined : { machine: name, bytes, missing: lost, absent };
}

export function isDirectory(item: Item): boolean {
  return item.node.kind === 'directory' || item.node.kind === 'filesystem';
}

/** Whether a machine's configuration is one that another was regenerated for. */
function isReplaced(one: Machine, by: Machine): boolean {
  const replaces = mendedOf(by.config)?.replaces;
  return one.config.rawName === replaces && one.folder?.locator === by.folder?.locator;
}

async function selectionOf(stack: Stack, trees: readonly Tree[], options: RecoverOptions): Promise<Selection> {
  const base = {
    system: options.system,
    deep: options.deep === true,
    ...(options.carve !== undefined && { carve: options.carve }),
    mend: options.mend !== false,
    ...(options.paths?.length && { paths: globs(options.paths) }),
  };
  if (options.locators !== undefined) {
    // A chosen file system is a folder, too: everything that is in it.
    const chosen = new Set(options.locators);
    return { ...base, machine: { folders: chosen, files: chosen }, onWay: new Set([...chosen].flatMap(waysTo)) };
  }
  if (options.vm === undefined) return base;
  const wanted = options.vm.toLowerCase();
  const folders = new Set<string>();
  const files = new Set<string>();
  const others: string[] = [];
  for (const tree of trees) {
    for await (const machine of machinesOf(stack, tree.node, base.mend)) {
      const config = machine.config.name.toLowerCase();
      if (![machine.name.toLowerCase(), config, config.replace(/\.[^.]*$/, '')].includes(wanted)) {
        others.push(machine.name);
        continue;
      }
      files.add(machine.config.locator);
      for (const disk of machine.disks) for (const node of disk.files) files.add(node.locator);
      // A machine at the top of a volume does not own the volume: only what it names is its own.
      if (machine.folder?.kind === 'directory') folders.add(machine.folder.locator);
    }
  }
  if (files.size > 0) return { ...base, machine: { folders, files } };
  const there = others.length === 0 ? 'no machine at all' : others.slice(0, 10).join(', ');
  const message = `There is no machine "${options.vm}"; there is ${there}. Leave --vm out to copy all files.`;
  throw new ExportError('nothing', message);
}

/** Locators of everything that one passes on the way down to a locator. */
function waysTo(locator: string): string[] {
  return [...locator.matchAll(/\/|::/g)].map((match) => locator.slice(0, match.index));
}

function nothing(options: RecoverOptions): ExportError {
  const globsGiven = (options.paths ?? []).join(' ');
  if (options.locators !== undefined) {
    const named = options.locators.slice(0, NAMED_CONFLICTS).join(', ') || 'nothing';
    return new ExportError('nothing', `Nothing that can be copied was chosen (${named}). Choose files or folders.`);
  }
  const none = options.guests === true ? 'No file system that is known is inside the disks.' : 'There are no files.';
  const why = globsGiven === '' ? none : `No path matches ${globsGiven}.`;
  const isShallow = globsGiven === '' && options.guests !== true && options.deep !== true;
  const deeper = isShallow ? 'What no directory leads to any more is looked for with --deep. ' : '';
  return new ExportError('nothing', `${why} ${deeper}See what is there with "salvor tree".`);
}

/** Looks at what lies in the target already. */
class Present {
  bytes = 0;
  readonly #dir: string;
  readonly #past: Past | undefined;
  /** Directories that are there; what is below any other needs no look. */
  readonly #there = new Set<string>();
  readonly #conflicts: string[] = [];
  #count = 0;

  constructor(dir: string, past: Past | undefined) {
    this.#dir = dir;
    this.#past = past;
    if (fs.lstatSync(dir, { throwIfNoEntry: false })?.isDirectory() === true) this.#there.add('.');
    if (past === undefined) this.#lookAt(MANIFEST, false);
  }

  look(item: Item): void {
    const above = item.path.lastIndexOf('/');
    if (!this.#there.has(above < 0 ? '.' : item.path.slice(0, above))) return;
    if (isDirectory(item)) {
      const stat = this.#stat(item.path);
      if (stat === undefined) return;
      if (stat.isDirectory() && this.#past?.directories.has(item.path) === true) this.#there.add(item.path);
      else this.#conflict(item.path);
      return;
    }
    const known = this.#past?.files.get(item.path);
    if (known !== undefined && known.locator !== item.node.locator) {
      const actual = `${this.#dir}/${item.path} was copied from ${known.locator}, and would now be ${item.node.locator}`;
      throw new ExportError('journal', `${actual}. Use the same sources and options, or another directory with --out.`);
    }
    this.#lookAt(item.path, known !== undefined);
    this.#lookAt(item.path + PART, known !== undefined);
  }

  /** Throws ExportError('exists') where names are taken. */
  check(): void {
    if (this.#count === 0) return;
    const more = this.#count > this.#conflicts.length ? ` and ${this.#count - this.#conflicts.length} more` : '';
    const names = this.#conflicts.join(', ') + more;
    const next = 'Nothing was written. Give another directory with --out, or move them away.';
    throw new ExportError('exists', `${this.#dir} already holds names that are needed: ${names}. ${next}`);
  }

  #stat(name: string): fs.Stats | undefined {
    return fs.lstatSync(path.join(this.#dir, name), { throwIfNoEntry: false });
  }

  #lookAt(name: string, isOwn: boolean): void {
    const stat = this.#stat(name);
    if (stat === undefined) return;
    if (isOwn && stat.isFile()) this.bytes += stat.blocks * 512;
    else if (!isOwn || !stat.isSymbolicLink()) this.#conflict(name);
  }

  #conflict(name: string): void {
    this.#count++;
    if (this.#conflicts.length < NAMED_CONFLICTS) this.#conflicts.push(name);
  }
}

/** The files and devices that the result depends on. */
function evidenceSources(stack: Stack, bottoms: ReadonlySet<FileSource>): FileSource[] {
  const named = new Set([...stack.roots.map((root) => root.locator), ...stack.borrowed].map((p) => path.resolve(p)));
  const used = stack.evidence.opened.filter((file) => bottoms.has(file) || named.has(path.resolve(file.path)));
  return used.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function identities(stack: Stack, sources: readonly FileSource[]): EvidenceEntry[] {
  const files = sources.map(({ identity }) => ({ ...identity, path: path.resolve(identity.path) }));
  const known = new Set(files.map((file) => file.path));
  const others = stack.roots.filter((root) => root.kind === 'evidence' && !known.has(path.resolve(root.locator)));
  return [...files, ...others.map((root) => ({ path: root.locator, size: root.facts.size ?? 0 }))];
}

/** Bytes that a file system can still take, at the nearest directory that is there. */
function freeBytesOf(dir: string): number {
  let at = dir;
  while (!fs.existsSync(at)) at = path.dirname(at);
  const { bavail, bsize } = fs.statfsSync(at);
  return bavail * bsize;
}
