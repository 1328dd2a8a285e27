/** All disks of what was given, each opened alone: what it holds itself, what it says it is, and what it lies on. */
import { FileSource } from '../core/evidence.ts';
import { MAX_PATH_DEPTH } from '../core/limits.ts';
import type { Node } from '../core/node.ts';
import { ABSENT, MISSING, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { diskEndings, plainEndings } from '../formats/index.ts';
import { filesystems } from './home.ts';
import { mendedNodes, Pieces } from './mend.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

/** Disks that are looked at in all. */
export const MAX_DISKS = 4096;
const RUNS = 4096;

/** What a layer says of its bytes. */
export interface Held {
  /** Bytes that it has itself, zeros included. */
  readonly own: number;
  /** Bytes of which it says nothing. */
  readonly below: number;
  readonly missing: number;
}

export interface Disk {
  readonly file: Node;
  /** What a format opened; undefined for plain sectors. */
  readonly layer: Node | undefined;
  readonly source: Source;
  /** When its own file, and the newest of the files that hold its bytes, were last written: seconds since 1970. */
  readonly modified: number | undefined;
  readonly written: number | undefined;
  /** It was not given, and lies beside what was. */
  readonly isBeside: boolean;
}

/** All disks in the sources, in the order of their trees, and plain files of the size of one of them. */
export async function disksOf(stack: Stack): Promise<{ disks: Disk[]; isCut: boolean }> {
  const files = new Map<string, Node>();
  for (const root of stack.roots) await gather(stack, root, { endings: diskEndings, out: files }, 0);
  const beside = new Set(stack.only ? [] : await besides(stack, files));
  const disks: Disk[] = [];
  const plain: Node[] = [];
  const extents = new Set<string>();
  for (const file of [...files.values()].slice(0, MAX_DISKS)) {
    stack.signal.throwIfAborted();
    const layer = await stack.layer(file);
    const source = layer?.kind === 'disk' ? await layer.bytes?.() : undefined;
    if (layer?.kind !== 'disk' || source === undefined) {
      if (file.kind === 'evidence') plain.push(file);
      continue;
    }
    const modified = await modifiedOf(file);
    let written = modified;
    for (const name of layer.disk?.extents ?? []) {
      const extent = await siblingNode(stack, file, name, false);
      if (extent === undefined) continue;
      extents.add(extent.locator);
      written = Math.max(written ?? 0, (await modifiedOf(extent)) ?? 0);
    }
    disks.push({
      file,
      layer,
      source,
      modified,
      written: written === 0 ? undefined : written,
      isBeside: beside.has(file.locator),
    });
  }
  const own = disks.filter(({ file }) => !extents.has(file.locator));
  const sizes = new Set(own.map(({ source }) => source.size));
  for (const file of plain.filter(({ locator }) => !extents.has(locator))) {
    const source = await file.bytes?.();
    if (source === undefined || !sizes.has(source.size)) continue;
    const modified = await modifiedOf(file);
    own.push({ file, layer: undefined, source, modified, written: modified, isBeside: beside.has(file.locator) });
  }
  return { disks: own, isCut: files.size > MAX_DISKS };
}

/** Files in the sources' folders and file systems that are disks by name and plain sectors by content. */
export async function plainDisks(stack: Stack): Promise<Node[]> {
  const out = new Map<string, Node>();
  for (const root of stack.roots) await gather(stack, root, { endings: plainEndings, out }, 0);
  const plain: Node[] = [];
  for (const file of [...out.values()].slice(0, MAX_DISKS)) {
    stack.signal.throwIfAborted();
    if (file.kind === 'file' && (await stack.layer(file))?.kind !== 'disk') plain.push(file);
  }
  return plain;
}

/** Files beside those given whose names are those of disks. */
async function besides(stack: Stack, files: Map<string, Node>): Promise<string[]> {
  const out: string[] = [];
  for (const node of stack.evidence.neighbours()) {
    if (files.size > MAX_DISKS || !diskEndings.some((ending) => node.rawName.toLowerCase().endsWith(ending))) continue;
    files.set(node.locator, node);
    out.push(node.locator);
  }
  return out;
}

/** Files that are looked for, by their endings, and those that were found. */
interface Gathered {
  readonly endings: readonly string[];
  readonly out: Map<string, Node>;
}

async function gather(stack: Stack, node: Node, to: Gathered, depth: number): Promise<void> {
  const { endings, out } = to;
  if (depth > MAX_PATH_DEPTH || out.size > MAX_DISKS) return;
  if (node.kind === 'file') {
    if (endings.some((ending) => node.rawName.toLowerCase().endsWith(ending))) out.set(node.locator, node);
    return;
  }
  if (node.kind === 'directory' || node.kind === 'filesystem') return gatherIn(stack, node, to, depth);
  if (node.kind !== 'evidence') return;
  const layer = await stack.layer(node);
  if (layer?.kind === 'filesystem') return gather(stack, layer, to, depth + 1);
  out.set(node.locator, node);
  if (layer === undefined || layer.kind === 'disk') return;
  for (const inside of await filesystems(stack, node)) await gather(stack, inside, to, depth + 1);
}

/** What a folder holds, and the descriptors that it lacks and that can be made anew. */
async function gatherIn(stack: Stack, folder: Node, to: Gathered, depth: number): Promise<void> {
  const pieces = new Pieces();
  for await (const child of stack.children(folder)) {
    pieces.see(child);
    await gather(stack, child, to, depth + 1);
  }
  for (const node of await mendedNodes(folder, pieces)) await gather(stack, node, to, depth + 1);
}

/** When a file was last written, in seconds since 1970, where that is known. */
export async function modifiedOf(file: Node): Promise<number | undefined> {
  if (file.facts.modified !== undefined) return file.facts.modified;
  const source = file.kind === 'evidence' ? await file.bytes?.() : undefined;
  return source instanceof FileSource && !source.identity.block ? source.identity.modified / 1000 : undefined;
}

/** One pass over the tables of a layer. */
export async function heldBy(source: Source, signal: AbortSignal): Promise<Held> {
  const out = { own: 0, below: 0, missing: 0 };
  const list = new RunList(RUNS);
  for (let at = 0; at < source.size; ) {
    signal.throwIfAborted();
    list.clear();
    const reached = await source.runs(at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const state = list.state(i);
      if (state === ABSENT) out.below += list.length[i];
      else if (state === MISSING) out.missing += list.length[i];
      else out.own += list.length[i];
    }
    at = reached;
  }
  return out;
}
