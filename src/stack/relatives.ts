/**
 * Whether a disk is the one that a configuration wants, and whether others lie on it: what is wrong where a registry of
 * media and the media themselves do not agree. Source: cases B2 to B5.
 */
import { printable } from '../core/locator.ts';
import { type MachineDisk as Said, uuidOf } from '../core/machine.ts';
import type { Node } from '../core/node.ts';
import { disksBeside } from './named.ts';
import type { Stack } from './stack.ts';

/** Disks that lie on each other; more is a loop or a joke. */
const MAX_GENERATIONS = 256;
/** Ends of branches that are told. */
const MAX_LEAVES = 8;

export interface Relatives {
  /** What does not agree, in sentences. */
  readonly notes: readonly string[];
  /** The newest states above the disk, where the configuration names one that others lie on. */
  readonly leaves: readonly { readonly node: Node; readonly identity: string }[];
}

interface Member {
  readonly node: Node;
  readonly own: string;
  readonly parent: string | undefined;
}

/** The disks beside a configuration, once for all of its disks. */
const gathered = new WeakMap<Node, Promise<readonly Member[]>>();

async function membersBeside(stack: Stack, config: Node): Promise<readonly Member[]> {
  const out: Member[] = [];
  for await (const node of disksBeside(stack, config)) {
    const layer = await stack.layer(node);
    const own = layer?.identities?.map(plain).find((one) => one !== undefined);
    if (own !== undefined) out.push({ node, own, parent: plain(layer?.backing?.identity) });
  }
  return out;
}

const NONE: Relatives = { notes: [], leaves: [] };

/** Looks at the disks beside a configuration, for one disk that it names by what the disk has to say of itself. */
export async function relativesOf(stack: Stack, config: Node, said: Said, disk: Node | undefined): Promise<Relatives> {
  const wanted = plain(said.identity);
  if (wanted === undefined || disk === undefined) return NONE;
  let gathering = gathered.get(config);
  if (gathering === undefined) {
    gathering = membersBeside(stack, config);
    gathered.set(config, gathering);
  }
  const members = await gathering;
  const here = members.find(({ node }) => node.locator === disk.locator);
  if (here === undefined) return NONE;
  const notes: string[] = [];
  if (here.own !== wanted)
    notes.push(
      `${disk.locator} says of itself that it is ${here.own}, and ${config.locator} wants ${wanted} at ${printable(said.slot)}: it was replaced or copied over, and VirtualBox refuses it ("does not match the value stored in the media registry"). recover --target virtualbox writes disks and a .vbox that agree`,
    );
  const twins = members.filter(({ own, node }) => own === here.own && node.locator !== disk.locator);
  if (twins.length > 0)
    notes.push(
      `${twins.map(({ node }) => node.locator).join(', ')} says the same of itself as ${disk.locator} (${here.own}): VirtualBox refuses a second one ("already exists"). recover --target virtualbox gives new ones`,
    );
  const leaves = leavesAbove(members, here.own);
  if (leaves.length > 0)
    notes.push(
      `${config.locator} names ${disk.locator} at ${printable(said.slot)}, but ${leaves.length === 1 ? 'a newer state lies' : `${leaves.length} newer states lie`} on it: ${leaves.map(({ node }) => node.locator).join(', ')}. Its snapshots were lost from the configuration: started as it is, the machine is as old as that disk, and what is written then makes the newer states useless`,
    );
  return { notes, leaves: leaves.map(({ node, own }) => ({ node, identity: `uuid:${own}` })) };
}

/** The ends of all branches above a disk, without the disk itself. */
function leavesAbove(members: readonly Member[], own: string): Member[] {
  const out: Member[] = [];
  const seen = new Set<string>([own]);
  let level = [own];
  for (let depth = 0; level.length > 0 && depth < MAX_GENERATIONS; depth++) {
    const next: string[] = [];
    for (const below of level) {
      const above = members.filter((one) => one.parent === below && !seen.has(one.own));
      if (above.length === 0 && below !== own && out.length < MAX_LEAVES)
        out.push(...members.filter((one) => one.own === below).slice(0, 1));
      for (const one of above) {
        seen.add(one.own);
        next.push(one.own);
      }
    }
    level = next;
  }
  return out;
}

function plain(identity: string | undefined): string | undefined {
  return uuidOf(identity?.replace(/^uuid:/, ''));
}
