/** Chains of disks: which lies on which, how that is known, and what else could lie there. */
import { MAX_CHAIN } from '../core/limits.ts';
import type { Node } from '../core/node.ts';
import { MISSING } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { nameOf } from './chain-doubts.ts';
import type { How } from './chains.ts';
import { type Disk, disksOf, type Held, heldBy, modifiedOf } from './disks.ts';
import { type Guest, guestOf } from './guests.ts';
import { filesystems } from './home.ts';
import { machinesOf } from './machines.ts';
import { type Offer, offersFor, type Wanted } from './offers.ts';
import { summarize } from './placed.ts';
import type { Stack } from './stack.ts';

/** How one layer is tied to what lies below it. */
export interface Tie {
  readonly how: How | 'missing' | 'loop';
  /** What the layer calls what it lies on. */
  readonly wants: string;
  /** Why this is so, in sentences. */
  readonly reasons: readonly string[];
  /** What could lie there, the best first; empty where there is nothing to ask. */
  readonly offers: readonly Offer[];
}

export interface Level {
  readonly disk: Disk;
  readonly held: Held;
  /** Absent for a base. */
  readonly tie?: Tie;
  /** Machines whose configuration names this layer, with the slot. */
  readonly users: readonly string[];
}

export interface SolvedChain {
  /** From the top, which a machine writes to, down to the base. */
  readonly levels: readonly Level[];
  /** Bytes of the whole that are missing. */
  readonly missing: number;
  readonly guest: Guest;
  /** What is odd about the chain as a whole, in sentences. */
  readonly notices: readonly string[];
}

export interface Solved {
  readonly chains: readonly SolvedChain[];
  /** There are more disks than are looked at. */
  readonly isCut: boolean;
}

/** What is known of a link before anything is weighed. */
interface Edge {
  readonly how: Tie['how'];
  readonly parent?: Disk;
  readonly alike: readonly Node[];
}

/** Puts all disks of the sources into chains. */
export async function solve(stack: Stack): Promise<Solved> {
  const { disks, isCut } = await disksOf(stack);
  const solver = new Solver(stack, disks, await usersOf(stack));
  return { chains: await solver.chains(), isCut };
}

/** Machines by the locators of the disks that their configurations name. */
async function usersOf(stack: Stack): Promise<Map<string, string[]>> {
  const out = new Map<string, string[]>();
  for (const root of stack.roots) {
    // Inside a disk there are no configurations of machines that lie on it.
    const layer = root.kind === 'directory' ? undefined : await stack.layer(root);
    const isStore = layer !== undefined && layer.kind !== 'disk';
    const places = root.kind === 'directory' ? [root] : isStore ? await filesystems(stack, root) : [];
    for (const place of places) {
      for await (const { config, disks } of machinesOf(stack, place, false)) {
        for (const { slot, chain } of disks) {
          const user = `${config.locator} (${slot})`;
          if (chain.length > 0) out.set(chain[0].locator, [...(out.get(chain[0].locator) ?? []), user]);
        }
      }
    }
  }
  return out;
}

class Solver {
  readonly #users: ReadonlyMap<string, readonly string[]>;
  readonly #stack: Stack;
  readonly #disks: readonly Disk[];
  readonly #byLocator: Map<string, Disk>;
  readonly #edges = new Map<Disk, Edge>();
  readonly #children = new Map<Disk, Disk[]>();
  readonly #held = new Map<Disk, Held>();
  readonly #ties = new Map<Disk, Tie>();

  constructor(stack: Stack, disks: readonly Disk[], users: ReadonlyMap<string, readonly string[]>) {
    this.#users = users;
    this.#stack = stack;
    this.#disks = disks;
    this.#byLocator = new Map(disks.map((disk) => [disk.file.locator, disk]));
  }

  async chains(): Promise<SolvedChain[]> {
    for (const disk of this.#disks) {
      const edge = await this.#edge(disk);
      if (edge === undefined) continue;
      this.#edges.set(disk, edge);
      if (edge.parent !== undefined) {
        this.#children.set(edge.parent, [...(this.#children.get(edge.parent) ?? []), disk]);
      }
    }
    const isLayer = ({ layer, isBeside }: Disk): boolean => layer !== undefined && !isBeside;
    const tops = this.#disks.filter((disk) => isLayer(disk) && !this.#children.get(disk)?.some(isLayer));
    const seen = new Set<Disk>();
    const out: SolvedChain[] = [];
    // Disks that all lie on each other have no top; any of them is as good as the others.
    for (const top of [...tops, ...this.#disks.filter(isLayer)]) {
      if (seen.has(top)) continue;
      out.push(await this.#chain(top, seen));
    }
    return out;
  }

  async #edge(disk: Disk): Promise<Edge | undefined> {
    if (disk.layer === undefined) return undefined;
    const link = await this.#stack.below(disk.file, disk.layer);
    if (link === undefined) {
      if (disk.layer.backing?.isUnsure === true) return undefined;
      const isOpen = disk.layer.backing !== undefined || (await this.#heldBy(disk)).below > 0;
      return isOpen ? { how: 'missing', alike: [] } : undefined;
    }
    const { file, alone, how, alike } = link;
    let parent = this.#byLocator.get(file.locator);
    if (parent === undefined) {
      // Beside what was given, or plain sectors.
      const layer = await this.#stack.layer(file);
      const isDisk = layer?.kind === 'disk' && disk.layer.backing?.raw !== true;
      const modified = await modifiedOf(file);
      const plain = { file, layer: isDisk ? layer : undefined, source: alone.source, modified, written: modified };
      parent = { ...plain, isBeside: true };
      this.#byLocator.set(file.locator, parent);
    }
    return { how, parent, alike };
  }

  async #heldBy(disk: Disk): Promise<Held> {
    const known = this.#held.get(disk) ?? (await heldBy(disk.source, this.#stack.signal));
    this.#held.set(disk, known);
    return known;
  }

  async #chain(top: Disk, seen: Set<Disk>): Promise<SolvedChain> {
    const above: Disk[] = [];
    const ties: (Tie['how'] | undefined)[] = [];
    for (let disk: Disk | undefined = top; disk !== undefined && above.length <= MAX_CHAIN; ) {
      above.push(disk);
      seen.add(disk);
      const edge: Edge | undefined = this.#edges.get(disk) ?? (await this.#edge(disk));
      if (edge !== undefined) this.#edges.set(disk, edge);
      const isLoop: boolean = edge?.parent !== undefined && above.includes(edge.parent);
      ties.push(isLoop ? 'loop' : edge?.how);
      disk = isLoop ? undefined : edge?.parent;
    }
    const whole = await this.#whole(top);
    const levels: Level[] = [];
    for (const [i, disk] of above.entries()) {
      const how = ties[i];
      const held = await this.#heldBy(disk);
      const users = this.#users.get(disk.file.locator) ?? [];
      levels.push({ disk, held, users, ...(how !== undefined && { tie: await this.#tied(top, above, i, how) }) });
    }
    // Down to the evidence: a layer that is whole may lie in a file that is not.
    const missing = (await summarize(whole, this.#stack.signal)).states[MISSING];
    return { levels, missing, guest: await guestOf(this.#stack, top.file, whole), notices: noticesOf(levels) };
  }

  async #whole(top: Disk): Promise<Source> {
    const node = top.layer === undefined ? undefined : await this.#stack.inside(top.file);
    return (await node?.bytes?.()) ?? top.source;
  }

  /** Chains share what lies below; what was found of it for the first of them holds for all. */
  async #tied(top: Disk, above: readonly Disk[], i: number, how: Tie['how']): Promise<Tie> {
    const known = this.#ties.get(above[i]) ?? (await this.#tie(top, above, i, how));
    this.#ties.set(above[i], known);
    return known;
  }

  async #tie(top: Disk, above: readonly Disk[], i: number, how: Tie['how']): Promise<Tie> {
    const child = above[i];
    const { backing } = child.layer!;
    const parent = this.#edges.get(child)?.parent;
    const alike = this.#edges.get(child)?.alike ?? [];
    const wants = backing === undefined ? 'a parent that it does not name' : `a parent ${nameOf(backing)}`;
    const reasons = [...reasonsFor(how, child, parent, alike), ...sizes(child, parent)];
    if (how === 'proved' || how === 'stated') return { how, wants, reasons, offers: [] };
    const wanted: Wanted = {
      top,
      child,
      above: above.slice(0, i + 1),
      taken: how === 'loop' ? undefined : parent,
      childrenOf: (disk) => (this.#children.get(disk) ?? []).filter((one) => this.#edges.get(one)?.how === 'proved'),
    };
    return { how, wants, reasons, offers: await offersFor(this.#stack, [...this.#byLocator.values()], wanted) };
  }
}

/** A machine that runs on a layer with others on it goes on from an older state, and spoils those above. */
function noticesOf(levels: readonly Level[]): string[] {
  const out: string[] = [];
  for (const [i, { users, disk }] of levels.entries()) {
    if (i === 0 || users.length === 0) continue;
    const newer = `${i} newer layer${i === 1 ? ' lies' : 's lie'} on it`;
    const next = `${levels[0].disk.file.locator} is the newest state; do not start the machine`;
    out.push(`${users.join(', ')} names ${disk.file.locator}, and ${newer}: ${next}`);
  }
  return out;
}

/** Why a link is what it is, for people. */
function reasonsFor(how: Tie['how'], child: Disk, parent: Disk | undefined, alike: readonly Node[]): readonly string[] {
  const { backing } = child.layer!;
  const is = parent?.layer?.identities?.join(', ') || 'none that it says';
  switch (how) {
    case 'proved':
      return [`its identity is ${backing?.identity}, as the child says`];
    case 'stated':
      return ['the child names it, and says nothing of its identity'];
    case 'named':
      return backing?.identity === undefined
        ? ['the child names a file of this name elsewhere, and it is the only one of that name in what was given']
        : [`the child names it, but needs ${backing.identity}, and its identity is ${is}`, ...since(child, parent)];
    case 'changed':
      return [
        `its identity is the one needed, but it was written to since: ${backing?.unchanged} became ${is}`,
        ...since(child, parent),
      ];
    case 'alike':
      return [`its identity is the one needed, and so is that of ${alike.map(({ locator }) => locator).join(', ')}`];
    case 'chosen':
      return [`it was chosen with --parent; its identity is ${is}`];
    case 'alike-bytes':
      return [
        'what would name its parent is lost; its bytes are those of this disk where a layer copies them from below',
      ];
    case 'loop':
      return [`${parent?.file.locator} lies above it already`];
    default:
      return backing === undefined
        ? ['it has holes that only another disk can fill, and names none']
        : ['nothing that was given or lies beside it is that'];
  }
}

/** Disks that grew, or were cut, while something lay on them. */
function sizes(child: Disk, parent: Disk | undefined): string[] {
  const [size, below] = [child.source.size, parent?.source.size ?? child.source.size];
  if (size === below) return [];
  const effect =
    below < size ? 'what lies behind its end is zeros' : 'what lies behind the end of the child is not shown';
  return [`it has ${below} bytes, and the child ${size}: ${effect}`];
}

/** What the times of writing say about an identity that is another than the child needs. */
function since(child: Disk, parent: Disk | undefined): string[] {
  const { modified, written } = parent ?? {};
  if (child.written === undefined || written === undefined || modified === undefined) return [];
  if (written > child.written) {
    return [
      written > modified
        ? 'its bytes were written after the last write to the child: the child may no longer fit it'
        : 'its descriptor or file was written after the last write to the child: it may have been used on its own',
    ];
  }
  return ['nothing of it was written after the last write to the child: it may only have been attached, or renamed'];
}
