/** Machines among all sources by name, with the bytes of their disks: what is needed to start one. */
import { sentence } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import { type MachineDisk, type MachineModel, unknownMachine } from '../core/machine.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { packagedEndings } from '../formats/index.ts';
import { filesystems, home } from './home.ts';
import { isConfiguration, type Machine, machinesAt, machinesOf } from './machines.ts';
import type { Stack } from './stack.ts';

export interface BootableDisk {
  /** Where it was plugged in; '' where nothing says. */
  readonly slot: string;
  /** What its configuration says of it; undefined where there is none. */
  readonly said: MachineDisk | undefined;
  readonly node: Node;
  readonly source: Source;
  /** What of its chain is missing, in a sentence. */
  readonly broken?: string;
  /** What does not agree between the configuration and the disk, in sentences. */
  readonly notes?: readonly string[];
}

export interface Bootable {
  readonly name: string;
  /** Undefined for a disk without any configuration. */
  readonly config: Node | undefined;
  readonly model: MachineModel;
  readonly disks: readonly BootableDisk[];
  /** Disks that the configuration names and that are not to be had, in sentences. */
  readonly lost: readonly string[];
  /** What is in doubt of the configuration itself, in sentences. */
  readonly doubts?: readonly string[];
}

/** All machines of the sources, or below `from`. */
export async function machinesIn(stack: Stack, from: Node | undefined): Promise<Machine[]> {
  if (from !== undefined && isConfiguration(from)) return machinesAt(stack, from);
  const places = new Map<string, Node>();
  const out = new Map<string, Machine>();
  const add = (node: Node): void => void places.set(node.locator, node);
  for (const root of from === undefined ? stack.roots : [from]) {
    if (isConfiguration(root)) for (const machine of await machinesAt(stack, root)) out.set(keyOf(machine), machine);
    if (root.kind === 'directory') add(root);
    for (const filesystem of await filesystems(stack, root)) add(filesystem);
  }
  if (places.size === 0 && out.size === 0 && from === undefined) add(await home(stack));
  for (const place of places.values()) {
    if (place.children === undefined) continue;
    for await (const machine of machinesOf(stack, place)) out.set(keyOf(machine), machine);
  }
  return [...out.values()];
}

function keyOf({ config, name }: Machine): string {
  return `${config.locator} ${name}`;
}

/** Opens the disks of a machine, each with its whole chain. */
export async function bootable(stack: Stack, machine: Machine): Promise<Bootable> {
  const disks: BootableDisk[] = [];
  const lost: string[] = [];
  for (const { slot, said, file, chain, broken, notes } of machine.disks) {
    const opened = chain.length === 0 ? undefined : await openDisk(stack, chain[0], said);
    if (opened === undefined) lost.push(`${slot}: ${broken ?? unread(file)}`);
    else disks.push({ slot, said, ...opened, ...(broken !== undefined && { broken }), ...(notes && { notes }) });
  }
  const { name, config, model } = machine;
  const doubts = doubtsOf(machine);
  return { name, config, model, disks, lost, ...(doubts.length > 0 && { doubts }) };
}

/** Damages of a configuration that are told. */
const MAX_TOLD = 3;

function doubtsOf({ node, model, config, insteadOf }: Machine): string[] {
  const out = node.damage.slice(0, MAX_TOLD).map(sentence);
  if (model.copy === undefined) return out;
  const own = insteadOf === undefined ? 'no configuration of its own can be read' : `${insteadOf.locator} is damaged`;
  return [
    `${own}, and this is ${config.locator}, ${printable(model.copy)}: what was changed since is not in it`,
    ...out,
  ];
}

const SECTOR = 512;
/** A floppy disk of the smallest kind that a machine was ever started from. */
const LEAST_DISK = 160 * 1024;

/** Endings of what is packed as a whole, and has to be unpacked before anything in it can be found. */
const PACKED = /\.(gz|bz2|xz|zst|lzo)$/i;

function unread(file: string): string {
  return PACKED.test(file) ? `${file} is packed as a whole; unpack it first` : `${file} cannot be read as a disk`;
}

/** A disk alone as a machine; undefined where a node is none. */
export async function bareDisk(stack: Stack, node: Node): Promise<Bootable | undefined> {
  const opened = await openDisk(stack, node, undefined);
  // Any file could be a disk without a format; what is not whole sectors, or has no room for a system, is none.
  const isDisk = opened !== undefined && opened.source.size % SECTOR === 0 && opened.source.size >= LEAST_DISK;
  if (!isDisk) return undefined;
  return {
    name: node.name,
    config: undefined,
    model: unknownMachine(),
    disks: [{ slot: '', said: undefined, ...opened }],
    lost: [],
  };
}

/** Disks as one machine without a configuration, in the order in which they are named; undefined where none is one. */
export async function disksAlone(stack: Stack, nodes: readonly Node[]): Promise<Bootable | undefined> {
  let machine: Bootable | undefined;
  for (const node of nodes) {
    const bare = await bareDisk(stack, node);
    if (bare === undefined) continue;
    machine = machine === undefined ? bare : { ...machine, disks: [...machine.disks, ...bare.disks] };
  }
  return machine && { ...machine, name: machine.name.replace(/\.[^.]{1,5}$/, '') };
}

/** What there is to say of a file that is named like a disk and that no format of disks reads; undefined for others. */
export function notRead({ kind, name, rawName }: Node): string | undefined {
  const isNamed = kind !== 'disk' && packagedEndings.some((ending) => rawName.toLowerCase().endsWith(ending));
  return isNamed
    ? `${name} is named like a disk, and nothing in it is one: its bytes are taken as they stand.`
    : undefined;
}

/** Whether a file can be a disk as it lies: nothing says that it is of a format. */
function isPlain({ rawName }: Node, said: MachineDisk | undefined): boolean {
  const name = rawName.toLowerCase();
  return /^(raw)?$/i.test(said?.format ?? '') && !packagedEndings.some((ending) => name.endsWith(ending));
}

async function openDisk(
  stack: Stack,
  node: Node,
  said: MachineDisk | undefined,
): Promise<{ node: Node; source: Source } | undefined> {
  const inside = node.kind === 'disk' ? node : await stack.inside(node);
  const outer = inside?.kind === 'disk' ? inside : await plainDisk(stack, node, said);
  // A disk that was cut into pieces is put together first, and is a disk of some format then.
  const inner = outer?.kind === 'disk' && outer.backing === undefined ? await stack.inside(outer) : undefined;
  const disk = inner?.kind === 'disk' ? inner : outer;
  const source = await disk?.bytes?.();
  return disk === undefined || source === undefined ? undefined : { node: disk, source };
}

/** A disk that is nothing but its bytes: an image, a logical volume, a file that no format of disks is named like. */
async function plainDisk(stack: Stack, node: Node, said: MachineDisk | undefined): Promise<Node | undefined> {
  if (node.kind === 'evidence') return said !== undefined && !isPlain(node, said) ? undefined : node;
  if (node.kind === 'partition') return node;
  return node.kind === 'file' && isPlain(node, said) ? stack.offset(node, 0) : undefined;
}
