/** Machines whose configurations are lost, by the names of their volumes: vm-102-disk-0. */
import { inferred, MAX_DISKS, type Said, unknownMachine } from '../core/machine.ts';
import type { Node } from '../core/node.ts';
import { type Bootable, type BootableDisk, bareDisk } from './bootable.ts';
import type { Stack } from './stack.ts';

const NAME = /^(?:vm|base)-(\d{3,9})-disk-(\d{1,4})(?:\.\w+)?$/;
/** Volumes whose parts are looked through. */
const MAX_VOLUMES = 64;
/** A store of EFI variables says so behind its first 40 bytes, and is no larger than this. */
const VARIABLES = '_FVH';
const VARIABLES_AT = 40;
const MAX_VARIABLES = 4 * 1024 * 1024;

/** The machines whose disks are among the sources, or are volumes on them, by their numbers. */
export async function numberedMachines(stack: Stack, from: Node | undefined): Promise<Bootable[]> {
  const groups = new Map<string, { index: number; node: Node }[]>();
  const add = (node: Node): boolean => {
    const [, number, index] = NAME.exec(node.rawName) ?? [];
    if (number === undefined) return false;
    const group = groups.get(number) ?? [];
    if (group.length < MAX_DISKS) groups.set(number, [...group, { index: Number(index), node }]);
    return true;
  };
  const waiting: Node[] = from === undefined ? [...stack.roots] : [from];
  const seen = new Set<string>();
  for (let node = waiting.shift(); node !== undefined && seen.size < MAX_VOLUMES; node = waiting.shift()) {
    if (add(node) || node.kind === 'directory') continue;
    const inside = node.children === undefined ? await stack.inside(node) : undefined;
    const isVolume = inside?.kind === 'volume' || inside?.kind === 'disk';
    // A group on several disks is met on each of them.
    if (inside?.children === undefined || !isVolume || seen.has(inside.locator)) continue;
    seen.add(inside.locator);
    for await (const part of stack.children(inside)) if (!add(part) && part.kind === 'partition') waiting.push(part);
  }
  const out: Bootable[] = [];
  for (const [number, group] of [...groups].sort(([a], [b]) => Number(a) - Number(b)))
    out.push(...(await machineOf(stack, number, group)));
  return out;
}

async function machineOf(
  stack: Stack,
  number: string,
  group: readonly { index: number; node: Node }[],
): Promise<Bootable[]> {
  const disks: BootableDisk[] = [];
  const lost: string[] = [];
  let nvram: Said<string> | undefined;
  for (const { node } of group.toSorted((a, b) => a.index - b.index)) {
    const bare = await bareDisk(stack, node);
    if (bare === undefined) lost.push(`${node.locator} cannot be read as a disk`);
    else if (await holdsVariables(bare.disks[0])) nvram = inferred(node.rawName, `${node.locator} holds EFI variables`);
    else disks.push(...bare.disks);
  }
  if (disks.length === 0) return [];
  const name = `vm-${number}`;
  const model = {
    ...unknownMachine(),
    name: inferred(name, 'the names of its volumes'),
    ...(nvram && { nvram, firmware: inferred('efi' as const, nvram.from) }),
  };
  return [{ name, config: undefined, model, disks, lost }];
}

async function holdsVariables({ source }: BootableDisk): Promise<boolean> {
  if (source.size > MAX_VARIABLES || source.size < VARIABLES_AT + VARIABLES.length) return false;
  const block = new Uint8Array(VARIABLES.length);
  const gaps = await source.read(VARIABLES_AT, block);
  return gaps.length === 0 && Buffer.from(block).toString('latin1') === VARIABLES;
}
