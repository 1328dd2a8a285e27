/** The way of one byte, from a thing through all layers down to the evidence, and what each layer says of it. */
import { FileSource } from '../core/evidence.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES, RunList, STATE_NAMES, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { whyPlace } from './placed.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

/** Layers that one byte is followed through. */
const MAX_WAY = 64;

/** One layer on the way of a byte, from the thing down to the evidence. */
export interface WayStep {
  /** Locator of the byte in this layer, or what this layer is where no locator leads to it. */
  readonly at: string;
  /** What this layer says of the byte; absent at the bottom. */
  readonly state?: string;
  readonly certainty?: string;
  readonly why?: { readonly what: string; readonly at?: string; readonly code?: string };
}

/** Follows one byte layer by layer, each asked for itself only, so that nobody's word hides behind another's. */
export async function wayOf(stack: Stack, node: Node, source: Source, offset: number): Promise<WayStep[]> {
  const known = await candidates(stack, node);
  const out: WayStep[] = [];
  let layer: Source | undefined = source;
  let name: string | undefined = node.locator;
  let at = offset;
  while (layer !== undefined && out.length < MAX_WAY) {
    const here = name === undefined ? `byte ${at} of a layer of ${layer.size} bytes` : `${name}@${at}`;
    const list = new RunList(1);
    if (at < layer.size) await layer.runs(at, at + 1, list);
    const below: Source | undefined = list.n === 0 ? undefined : list.sourceOf(0);
    const bottom = below === layer && STATE_NAMES[list.state(0)] === 'data';
    out.push(bottom ? { at: here } : { at: here, ...(await saying(list)) });
    if (bottom || below === layer) break;
    at = list.n === 0 ? 0 : list.at[0];
    layer = below;
    name = layer === undefined ? undefined : await nameOf(layer, at, known);
  }
  return out;
}

async function saying(list: RunList): Promise<Omit<WayStep, 'at'>> {
  if (list.n === 0)
    return { state: 'missing', certainty: 'missing', why: { what: 'the end of this layer', code: 'past-end' } };
  const why = list.why(0);
  return {
    state: STATE_NAMES[list.state(0)],
    certainty: CERTAINTY_NAMES[list.certainty(0)],
    ...(why !== undefined && { why: await whyOf(why) }),
  };
}

async function whyOf(why: Why): Promise<NonNullable<WayStep['why']>> {
  const at = await whyPlace(why);
  return { what: why.what, ...(at !== undefined && { at }), ...(why.code !== undefined && { code: why.code }) };
}

/** Nodes whose bytes may be a layer below a node: what it lies in, a disk's extents, a volume's own tables. */
async function candidates(stack: Stack, node: Node): Promise<Node[]> {
  const out: Node[] = [];
  for (let at: Node | undefined = node; at !== undefined && out.length < MAX_CANDIDATES; at = stack.parentOf(at)) {
    if (at !== node && at.kind !== 'directory' && at.kind !== 'filesystem') out.push(at);
    if (at.kind === 'filesystem') {
      for await (const child of stack.children(at)) if (child.kind === 'system') out.push(child);
    }
    const above = stack.parentOf(at);
    if (above === undefined) continue;
    for (const extent of at.disk?.extents ?? []) {
      const part = await siblingNode(stack, above, extent, false);
      if (part !== undefined) out.push(part);
    }
  }
  for (const root of stack.roots) {
    const table = root.children === undefined ? await stack.inside(root) : undefined;
    if (table?.kind !== 'volume' || table.children === undefined) continue;
    for await (const child of stack.children(table)) if (out.length < MAX_CANDIDATES) out.push(child);
  }
  return out;
}

const MAX_CANDIDATES = 2000;

/** The node whose bytes a layer is: of the same size, and with the same to say about this byte. */
async function nameOf(layer: Source, at: number, known: readonly Node[]): Promise<string | undefined> {
  if (layer instanceof FileSource) return layer.path;
  const wanted = await firstRun(layer, at);
  for (const node of known) {
    const source = await node.bytes?.();
    if (source === layer) return node.locator;
    if (source === undefined || source.size !== layer.size) continue;
    const own = await firstRun(source, at);
    const same = own.n === wanted.n && own.sourceOf(0) === wanted.sourceOf(0) && own.at[0] === wanted.at[0];
    if (same && own.sourceOf(0) !== undefined) return node.locator;
  }
  return undefined;
}

async function firstRun(source: Source, at: number): Promise<RunList> {
  const list = new RunList(1);
  if (at < source.size) await source.runs(at, at + 1, list);
  return list;
}
