/** Virtual machines of a file system: their configurations, and the chains of disks that these name. */
import { MAX_CHAIN, MAX_PATH_DEPTH } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import { type MachineDisk as Disk, hardDisks, type MachineModel } from '../core/machine.ts';
import type { Node } from '../core/node.ts';
import { STATED } from '../core/run.ts';
import { formats } from '../formats/index.ts';
import { nameOf } from './chain-doubts.ts';
import type { Link } from './chains.ts';
import { MENDED, mendedNodes, mendedOf, Pieces } from './mend.ts';
import { diskNamed } from './named.ts';
import { relativesOf } from './relatives.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

/** Newest states of one machine that are told as machines of their own. */
const MAX_NEWEST = 16;

export interface MachineDisk {
  readonly slot: string;
  /** The name in the configuration. */
  readonly file: string;
  /** All that the configuration says of it. */
  readonly said: Disk;
  /** Descriptors from the one named down to the base; empty where the named one is missing. */
  readonly chain: readonly Node[];
  /** Everything the chain is made of: descriptors and their extents. */
  readonly files: readonly Node[];
  /** What of it is missing, in a sentence. */
  readonly broken?: string;
  /** What does not agree between the configuration and the disk, in sentences. */
  readonly notes?: readonly string[];
}

export interface Machine {
  /** Display name, or that of its configuration. */
  readonly name: string;
  readonly node: Node;
  readonly model: MachineModel;
  readonly config: Node;
  /** The directory that holds the configuration. */
  readonly folder: Node | undefined;
  readonly disks: readonly MachineDisk[];
  /** Not what the configuration says: the newest state above a disk that it names. */
  readonly newest?: true;
  /** The configuration that this one, which is a copy, was taken in place of, because it is damaged. */
  readonly insteadOf?: Node;
}

const endings = formats.filter((f) => f.layer === 'machine').flatMap((f) => f.names ?? []);

/** Whether a node's name is one of a machine's configuration. */
export function isConfiguration(node: Node): boolean {
  const name = node.rawName.toLowerCase();
  return (node.kind === 'file' || node.kind === 'evidence') && endings.some((ending) => name.endsWith(ending));
}

interface Level {
  readonly node: Node;
  readonly children: AsyncIterator<Node>;
  readonly pieces: Pieces;
  readonly machines: Machine[];
}

/**
 * All machines below a file system or a directory, in the order of its tree. With `mend`, a configuration that was
 * regenerated stands for the one that it replaces, or for one that is lost.
 */
export async function* machinesOf(stack: Stack, filesystem: Node, mend = true): AsyncGenerator<Machine> {
  const levelOf = (node: Node): Level => ({ node, children: stack.children(node), pieces: new Pieces(), machines: [] });
  const levels = [levelOf(filesystem)];
  const known = new Set<string>();
  const copies: Machine[] = [];
  const torn: Machine[] = [];
  while (levels.length > 0) {
    const level = levels[levels.length - 1];
    const next = await level.children.next();
    if (next.done === true) {
      levels.pop();
      for await (const machine of withMended(
        stack,
        level.machines,
        mend ? await mendedNodes(level.node, level.pieces) : [],
      )) {
        if (isTorn(machine)) torn.push(machine);
        else {
          known.add(identityOf(machine));
          yield machine;
        }
      }
      continue;
    }
    const node = next.value;
    level.pieces.see(node);
    if (isConfiguration(node)) {
      for (const machine of await machinesAt(stack, node, mend))
        (machine.model.copy === undefined ? level.machines : copies).push(machine);
    } else if (node.children !== undefined && levels.length < MAX_PATH_DEPTH) levels.push(levelOf(node));
  }
  for (const machine of torn) {
    const copy = mend ? wholeCopy(copies, machine) : undefined;
    known.add(identityOf(machine));
    yield copy === undefined ? machine : { ...copy, insteadOf: machine.config };
  }
  yield* unknownOf(copies, known);
}

/** Whether not all of a configuration's own text could be read: what it says is in doubt then. */
function isTorn({ node, model, config }: Machine): boolean {
  return node.damage.length > 0 && model.name.certainty < STATED && mendedOf(config) === undefined;
}

/** The last copy of a configuration that is damaged itself, where the copy is not. */
function wholeCopy(copies: readonly Machine[], { config, name, model, folder }: Machine): Machine | undefined {
  const own = config.rawName.toLowerCase();
  // Where not even the machine's identity is left in it, the names of the two files say that they belong together.
  const isOf = (copy: Machine): boolean =>
    model.uuid === undefined && name !== copy.name
      ? copy.config.rawName.toLowerCase().startsWith(own)
      : model.uuid === undefined || copy.model.uuid?.value === model.uuid.value;
  const whole = copies.filter((copy) => copy.node.damage.length === 0 && isOf(copy));
  return whole.findLast((copy) => copy.folder?.locator === folder?.locator) ?? whole.at(-1);
}

/** Copies of configurations of which the machine's own is not there, the last one of each. */
function unknownOf(copies: readonly Machine[], known: ReadonlySet<string>): Machine[] {
  const out = new Map<string, Machine>();
  for (const copy of copies) if (!known.has(identityOf(copy))) out.set(identityOf(copy), copy);
  return [...out.values()];
}

/** What two configurations of one machine have in common. */
function identityOf({ name, model }: Machine): string {
  return model.uuid === undefined ? `name ${name}` : model.uuid.value;
}

async function* withMended(stack: Stack, machines: Machine[], nodes: readonly Node[]): AsyncGenerator<Machine> {
  const replaced = new Set(nodes.map((node) => mendedOf(node)?.replaces));
  yield* machines.filter(({ config }) => !replaced.has(config.rawName));
  for (const node of nodes.filter(isConfiguration)) yield* await machinesAt(stack, node);
}

/** All machines that a configuration describes: one, or those of an appliance. */
export async function machinesAt(stack: Stack, config: Node, mend = true): Promise<Machine[]> {
  const node = await stack.inside(config);
  if (node === undefined || node.kind !== 'machine') return [];
  const base = config.name.replace(/\.[^.]*$/, '');
  const parent = stack.parentOf(config);
  const folder = mendedOf(config) === undefined ? parent : parent?.parent;
  const out: Machine[] = [];
  // One configuration may hold several machines of one name: people, and what they ask for, tell them apart by it.
  const taken = new Set<string>();
  const unique = (wanted: string): string => {
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted};${n}`;
    taken.add(name);
    return name;
  };
  for (const model of node.machines ?? []) {
    const disks: MachineDisk[] = [];
    const newer: { readonly at: number; readonly identity: string }[] = [];
    for (const said of hardDisks(model)) {
      const one = await diskOf(stack, config, said, mend);
      for (const identity of one.leaves) newer.push({ at: disks.length, identity });
      disks.push(one.disk);
    }
    const called = model.name.value === '' ? base : printable(Buffer.from(model.name.value, 'utf8').toString('latin1'));
    const name = unique(called);
    out.push({ name, node, model, config, folder, disks });
    // Another explanation of what is there is another machine, never mixed into the first one.
    for (const [i, { at, identity }] of newer.slice(0, MAX_NEWEST).entries()) {
      const said = { ...disks[at].said, file: '', identity };
      const { disk } = await diskOf(stack, config, said, mend);
      const file = disk.chain[0]?.rawName ?? '';
      const other = { ...model, disks: model.disks.map((own) => (own === disks[at].said ? { ...said, file } : own)) };
      const changed = disks.map((own, n) => (n === at ? { ...disk, file, said: { ...said, file } } : own));
      out.push({ name: unique(`${name};${i + 2}`), node, model: other, config, folder, disks: changed, newest: true });
    }
  }
  return out;
}

/** One disk with its chain, and what the newest states above it say of themselves, where it is not the newest. */
async function diskOf(
  stack: Stack,
  config: Node,
  said: Disk,
  mend: boolean,
): Promise<{ disk: MachineDisk; leaves: readonly string[] }> {
  const chain = await chainOf(stack, config, said, mend);
  const { notes, leaves } = await relativesOf(stack, config, said, chain.chain[0]);
  const { slot, file } = said;
  return {
    disk: { slot, file, said, ...chain, ...(notes.length > 0 && { notes }) },
    leaves: leaves.map(({ identity }) => identity),
  };
}

/** What was regenerated in a folder, once for all the disks that ask. */
const virtuals = new WeakMap<Node, Promise<Node | undefined>>();

/** What stands in for a descriptor that is missing beside another. */
async function regenerated(stack: Stack, from: Node, name: string): Promise<Node | undefined> {
  const folder = stack.parentOf(from);
  if (folder === undefined || name.includes('/')) return undefined;
  let virtual = virtuals.get(folder);
  if (virtual === undefined) {
    virtual = stack.child(folder, MENDED);
    virtuals.set(folder, virtual);
  }
  const found = await virtual;
  return found === undefined ? undefined : stack.child(found, name);
}

/** What helps where only a configuration was given: folders beside it are not gone into. */
const FOLDER = '; give the whole folder of the machine as the source, or the disk as a further one';

type Chain = Pick<MachineDisk, 'chain' | 'files' | 'broken'>;

async function chainOf(stack: Stack, config: Node, said: Disk, mend: boolean): Promise<Chain> {
  const chain: Node[] = [];
  const files: Node[] = [];
  const seen = new Set<string>();
  let from = config;
  let broken: string | undefined;
  if (said.file === '' && said.identity === undefined)
    return { chain, files, broken: `the configuration names no file for it (${config.locator})` };
  let name: string | undefined = said.file;
  while (name !== undefined) {
    const there: Node | undefined =
      from === config ? await diskNamed(stack, config, said) : await siblingNode(stack, from, name, false);
    const descriptor: Node | undefined = there ?? (mend ? await regenerated(stack, from, name) : undefined);
    const named = name === '' ? `a disk ${said.identity}` : printable(name);
    if (descriptor === undefined) {
      const isBelow = /^[^/\\]+[/\\]/.test(name);
      const next = isBelow && from.kind === 'evidence' && stack.parentOf(from) === undefined ? FOLDER : '';
      return { chain, files, broken: `${named} is named by ${from.locator} and missing${next}` };
    }
    if (seen.has(descriptor.locator)) return { chain, files, broken: `the chain comes back to ${descriptor.locator}` };
    if (chain.length >= MAX_CHAIN) return { chain, files, broken: `the chain has more than ${MAX_CHAIN} links` };
    seen.add(descriptor.locator);
    chain.push(descriptor);
    files.push(descriptor);
    const opened: Node | undefined = await stack.inside(descriptor);
    for (const extent of opened?.disk?.extents ?? []) {
      const found = await siblingNode(stack, descriptor, extent, false);
      if (found !== undefined) files.push(found);
      else broken ??= `${printable(extent)} is named by ${descriptor.locator} and missing`;
    }
    name = opened?.disk?.parent;
    from = descriptor;
  }
  broken ??= await below(stack, chain, files, { seen, said });
  return { chain, files, ...(broken !== undefined && { broken }) };
}

/** Adds what a disk lies on where its own file says that, not a text. A sentence where something is missing. */
async function below(
  stack: Stack,
  chain: Node[],
  files: Node[],
  { seen, said }: { seen: Set<string>; said: Disk },
): Promise<string | undefined> {
  let at: Node | undefined = chain.at(-1);
  while (at !== undefined && chain.length < MAX_CHAIN) {
    const layer: Node | undefined = at.kind === 'file' || at.kind === 'evidence' ? await stack.layer(at) : undefined;
    if (layer?.backing === undefined || layer.kind !== 'disk' || layer.disk?.parent !== undefined) return undefined;
    const link: Link | undefined = await stack.below(at, layer);
    if (link === undefined && layer.backing.isUnsure === true) return undefined;
    if (link === undefined) {
      const file = said.chain[chain.length - 1] ?? '';
      const known = file === '' ? '' : ` (${printable(file)} by its configuration)`;
      return `what ${at.locator} lies on is missing${known}: ${layer.backing.identity ?? nameOf(layer.backing)}`;
    }
    if (seen.has(link.file.locator)) return undefined;
    seen.add(link.file.locator);
    chain.push(link.file);
    files.push(link.file);
    at = link.file;
  }
  return undefined;
}
