/**
 * The disk that a configuration names: where it says, else by its base name among what was given, never elsewhere; else
 * the one beside it that says of itself what the configuration wants.
 */
import { type MachineDisk, uuidOf } from '../core/machine.ts';
import type { Node } from '../core/node.ts';
import { diskEndings, isNamedLikeDisk, plainEndings } from '../formats/index.ts';
import { givenNamed } from './given.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

/** Endings that disks have, for names that stand in configurations without one. */
const ENDINGS: readonly string[] = [...plainEndings, ...diskEndings];
/** Disks that are opened in search of one that says who it is. */
const MAX_OPENED = 256;
/** Volumes whose parts are looked through for a name. */
const MAX_VOLUMES = 64;

/** The node of a machine's disk; undefined where nothing of that name was given. */
export async function diskNamed(stack: Stack, config: Node, said: MachineDisk): Promise<Node | undefined> {
  let found = said.file === '' ? undefined : await byName(stack, config, said.file);
  for (const name of said.also ?? []) found ??= await siblingNode(stack, config, name, false);
  found ??= said.identity === undefined ? undefined : await byIdentity(stack, config, said.identity);
  return found ?? elsewhere(stack, config, said);
}

/**
 * A disk in another folder that was given, too, where the configuration says that it lies in another one: it has to say
 * of itself what is wanted, or to lie in a folder of the same name. Names alone are those of other machines' disks, too.
 */
async function elsewhere(stack: Stack, config: Node, said: MachineDisk): Promise<Node | undefined> {
  const [folder, base] = said.file.split(/[\\/]/).slice(-2);
  if (config.kind !== 'evidence' || base === undefined || base === '') return undefined;
  const node = await givenNamed(stack, base);
  if (node === undefined) return undefined;
  const wanted = uuidOf(said.identity?.replace(/^uuid:/, ''));
  if (wanted === undefined) return stack.parentOf(node)?.rawName === folder ? node : undefined;
  const own = (await stack.layer(node))?.identities ?? [];
  return own.some((text) => uuidOf(text.replace(/^uuid:/, '')) === wanted) ? node : undefined;
}

/** A disk beside a configuration, or in a folder beside it, that says of itself what the configuration wants. */
async function byIdentity(stack: Stack, config: Node, identity: string): Promise<Node | undefined> {
  const wanted = uuidOf(identity.replace(/^uuid:/, ''));
  if (wanted === undefined) return undefined;
  for await (const child of disksBeside(stack, config)) {
    const own = (await stack.layer(child))?.identities ?? [];
    if (own.some((text) => uuidOf(text.replace(/^uuid:/, '')) === wanted)) return child;
  }
  return undefined;
}

/** Files that are named like disks, beside a configuration and in the folders beside it; a limited number. */
export async function* disksBeside(stack: Stack, config: Node): AsyncGenerator<Node> {
  const folder = stack.parentOf(config);
  if (folder === undefined) return;
  const waiting: { node: Node; level: number }[] = [{ node: folder, level: 0 }];
  let opened = 0;
  for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
    for await (const child of stack.children(one.node)) {
      if (child.children !== undefined && one.level === 0) waiting.push({ node: child, level: 1 });
      if (child.children !== undefined || !isNamedLikeDisk(child.rawName)) continue;
      if (++opened > MAX_OPENED) return;
      yield child;
    }
  }
}

async function byName(stack: Stack, config: Node, file: string): Promise<Node | undefined> {
  const there = await siblingNode(stack, config, file, false);
  if (there !== undefined) return there;
  const base = file.split(/[\\/]/).pop() ?? '';
  if (base === '' || base === '.' || base === '..') return undefined;
  // Archives hold large disks in pieces, and the configuration names the whole.
  const added = base.includes('.') ? ENDINGS.filter((ending) => /^\.\d+$/.test(ending)) : ENDINGS;
  const names = [base, ...added.map((ending) => base + ending)];
  for (const name of names) {
    const beside = name === file ? undefined : await siblingNode(stack, config, name, false);
    if (beside !== undefined && beside.locator !== config.locator) return beside;
    const given = stack.roots.find((root) => root.kind === 'evidence' && root.rawName === name);
    if (given !== undefined && given.locator !== config.locator) return given;
  }
  // Folders that machines keep their snapshots and images in, one level below the configuration.
  const folder = file.includes('\\') || file.startsWith('/') ? file.split(/[\\/]/).at(-2) : undefined;
  const nested = folder === undefined ? undefined : await siblingNode(stack, config, `${folder}/${base}`, false);
  return nested ?? inVolumes(stack, base);
}

/** A part of a volume that has this name: a logical volume is a disk. */
async function inVolumes(stack: Stack, name: string): Promise<Node | undefined> {
  const waiting: Node[] = [...stack.roots];
  let seen = 0;
  for (let node = waiting.pop(); node !== undefined && seen < MAX_VOLUMES; node = waiting.pop()) {
    if (node.kind !== 'evidence' && node.kind !== 'partition' && node.kind !== 'disk') continue;
    seen++;
    const inside = node.children === undefined ? await stack.inside(node) : undefined;
    if (inside === undefined || (inside.kind !== 'volume' && inside.kind !== 'disk')) continue;
    if (inside.children === undefined) continue;
    for await (const part of stack.children(inside)) {
      if (part.rawName === name || part.rawName.endsWith(`/${name}`)) return part;
      if (part.kind === 'partition') waiting.push(part);
    }
  }
  return undefined;
}
