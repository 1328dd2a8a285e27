/** Disks that no configuration names: in a folder of them, those that nothing else lies on are the newest states. */
import type { Node } from '../core/node.ts';
import { givenDisks } from './given.ts';
import type { Stack } from './stack.ts';

/** Disks that are opened to be told apart. */
const MAX_OPENED = 512;

/** A disk that nothing else lies on. */
export interface Tip {
  readonly node: Node;
  /** It holds what differs from another one. */
  readonly isOver: boolean;
}

/** The ends of all chains among the files that were given. */
export async function tipsGiven(stack: Stack): Promise<Tip[]> {
  const all: { node: Node; own: readonly string[]; parent: Node['backing'] }[] = [];
  for await (const node of givenDisks(stack)) {
    if (all.length >= MAX_OPENED) break;
    const layer = await stack.layer(node);
    // What is no disk of a format may be a part of one, or of anything.
    if (layer?.kind === 'disk') all.push({ node, own: layer.identities ?? [], parent: layer.backing });
  }
  const identities = new Set(all.flatMap(({ parent }) => parent?.identity ?? []));
  const names = new Set(
    all.flatMap(({ parent }) => (parent?.identity === undefined ? (parent?.names ?? []).map(baseOf) : [])),
  );
  return all
    .filter(({ node, own }) => !own.some((one) => identities.has(one)) && !names.has(node.rawName))
    .map(({ node, parent }) => ({ node, isOver: parent !== undefined && parent.isUnsure !== true }));
}

function baseOf(name: string): string {
  return name.split(/[\\/]/).pop() ?? '';
}
