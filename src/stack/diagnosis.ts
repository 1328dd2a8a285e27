/** The diagnosis: what is there, layer by layer, in which health, and what can be had. Reads metadata only. */
import type { Look, Node } from '../core/node.ts';
import { beneath, carcassIn } from './beneath.ts';
import { type Machine, machinesOf } from './machines.ts';
import { mendedNodes, Pieces } from './mend.ts';
import type { Stack } from './stack.ts';
import { counted, damageLines, nodeJson, shown, size } from './words.ts';

/** A node with what is inside it. */
export interface Layer {
  readonly node: Node;
  readonly inside: Layer[];
  readonly contents?: Contents;
  readonly look?: Look;
  /** Why the first bytes could not be read, where nothing was found and they could not. */
  readonly unreadable?: string;
}

/** What a file system holds, counted from metadata. */
export interface Contents {
  files: number;
  directories: number;
  bytes: number;
  damaged: number;
  readonly machines: Machine[];
  /** What folders lack, as the files that a recovery makes anew. */
  readonly lacking: Node[];
  /** Folders whose small files look encrypted, and sentences about large ones. */
  readonly encrypted: { folders: number; files: string[] };
}

/** What was met in all sources together. */
export interface Tally {
  known: number;
  damaged: number;
  filesystems: number;
}

const MAX_LAYERS = 32;
/** What the sentence about a file says whose bytes no text has. */
const ENCRYPTED = 'look encrypted';
/** Lines about what machines lack; --json has all. */
const MAX_LACKING = 50;
/** Bytes that say whether evidence can be read at all. */
const START = 64 * 1024;

/** Everything that is known of the sources of a stack, and how much of it is damaged. */
export interface Diagnosis {
  readonly layers: readonly Layer[];
  readonly found: Readonly<Tally>;
}

/** Looks at all sources. */
export async function diagnose(stack: Stack): Promise<Diagnosis> {
  const layers: Layer[] = [];
  const seen = new Set<string>();
  for (const root of stack.roots) layers.push(await layerOf(stack, root, seen, 0));
  const found: Tally = { known: 0, damaged: 0, filesystems: 0 };
  for (const layer of layers) tally(layer, found);
  return { layers, found };
}

async function layerOf(stack: Stack, node: Node, seen: Set<string>, depth: number): Promise<Layer> {
  const layer: Layer = { node, inside: [] };
  if (depth > MAX_LAYERS || seen.has(node.locator)) return layer;
  seen.add(node.locator);
  if (node.kind === 'filesystem') {
    const look = await node.look?.();
    return { ...layer, contents: await count(stack, node), ...(look && { look }) };
  }
  if (node.children !== undefined) {
    for await (const child of stack.children(node)) layer.inside.push(await layerOf(stack, child, seen, depth + 1));
    return layer;
  }
  const inside = await stack.inside(node);
  if (inside !== undefined) layer.inside.push(await layerOf(stack, inside, seen, depth + 1));
  if (node.kind === 'evidence') {
    const carcass = await carcassIn(stack, node);
    if (carcass !== undefined) layer.inside.push(await layerOf(stack, carcass, seen, depth + 1));
    for (const older of await beneath(stack, node)) layer.inside.push(await layerOf(stack, older, seen, depth + 1));
  }
  if (layer.inside.length > 0) return layer;
  const source = await node.bytes?.();
  const gaps = source === undefined ? [] : await source.read(0, new Uint8Array(Math.min(source.size, START)));
  return gaps.length === 0 ? layer : { ...layer, unreadable: gaps[0].code };
}

async function count(stack: Stack, root: Node): Promise<Contents> {
  const contents: Contents = {
    files: 0,
    directories: 0,
    bytes: 0,
    damaged: 0,
    machines: [],
    lacking: [],
    encrypted: { folders: 0, files: [] },
  };
  const queue: Node[] = [root];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    const pieces = new Pieces();
    for await (const child of stack.children(node)) {
      pieces.see(child);
      if (child.damage.length > 0) contents.damaged++;
      if (child.kind === 'directory') {
        contents.directories++;
        queue.push(child);
      } else if (child.kind !== 'system') {
        contents.files++;
        contents.bytes += child.facts.size ?? 0;
      }
    }
    const lacking = await mendedNodes(node, pieces);
    contents.lacking.push(...lacking);
    if (lacking.some(({ notices }) => notices?.[0].includes(ENCRYPTED) === true)) contents.encrypted.folders++;
    for (const { notices } of await pieces.encrypted()) contents.encrypted.files.push(notices?.at(-1) ?? '');
  }
  for await (const machine of machinesOf(stack, root)) {
    contents.machines.push(machine);
  }
  return contents;
}

function tally(layer: Layer, found: Tally): void {
  if (layer.contents !== undefined) found.filesystems++;
  if (layer.node.kind !== 'evidence' && layer.node.kind !== 'directory') found.known++;
  found.damaged += layer.node.damage.length + (layer.contents?.damaged ?? 0) + (layer.contents?.lacking.length ?? 0);
  found.damaged += layer.contents?.encrypted.files.length ?? 0;
  for (const inner of layer.inside) tally(inner, found);
}

/** What is said of a layer, without what is inside it: lines that begin with `!` are what is wrong. */
export function sentencesOf(layer: Layer): string[] {
  const { node, contents } = layer;
  const out = [...(node.notices ?? []), ...(layer.look?.notices ?? []), ...damageLines(node.damage, '')];
  if (contents !== undefined) out.push(...contentLines(contents));
  if (node.kind === 'evidence' && layer.inside.length === 0) {
    const why =
      layer.unreadable === undefined
        ? 'nothing known was found in it'
        : `its start is unreadable (${layer.unreadable})`;
    out.push(why);
  }
  return out;
}

function machineTitle({ name, facts, machines = [] }: Node): string {
  const { platform, memory, firmware } = facts.details ?? {};
  if (machines.length === 0) return 'a configuration that says nothing of a machine';
  const parts = [platform, memory, firmware].filter((part) => part !== undefined).map((part) => shown(String(part)));
  const more = machines.length > 1 ? ` and ${machines.length - 1} more` : '';
  return `machine "${name}"${more} (${parts.join(', ')}): ${shown(String(facts.details?.disks || 'no disks'))}`;
}

/** What a layer is, in one line. */
export function titleOf(node: Node): string {
  const { details, size: bytes } = node.facts;
  const extent = bytes === undefined ? '' : `, ${size(bytes)}`;
  if (node.kind === 'evidence') return `${node.locator}${extent}`;
  if (node.kind === 'partition') {
    const start = details?.start === undefined ? '' : `, from byte ${details.start}`;
    return `${node.name}: ${details?.type ?? ''}${extent}${start}`;
  }
  if (node.kind === 'machine') return machineTitle(node);
  if (node.kind === 'filesystem') {
    const uuid = details?.uuid === undefined ? '' : `, UUID ${details.uuid}`;
    return `${node.format} ${details?.version ?? ''} "${node.name}"${extent}${uuid} (${node.locator})`;
  }
  const members = details?.devices === undefined ? '' : `, ${details.present} of ${details.devices} devices`;
  return `${node.format ?? node.kind}${extent}${members} (${node.locator})`;
}

function contentLines(contents: Contents): string[] {
  const { files, directories, bytes, damaged, machines, lacking, encrypted } = contents;
  const sound = files === 0 ? 'so nothing to have by name' : 'all with sound descriptors';
  const state = damaged === 0 ? sound : `${damaged} of them damaged (salvor tree --damaged shows which)`;
  const out = [`${counted(files, 'file')} in ${counted(directories, 'directory')}, ${size(bytes)}, ${state}`];
  for (const machine of machines) {
    const missing = machine.disks.filter((disk) => disk.broken !== undefined).length;
    const disks = `${machine.disks.length} disk${machine.disks.length === 1 ? '' : 's'}`;
    const deltas = machine.disks.some((disk) => disk.chain.length > 1) ? ', with snapshots' : '';
    const loss = missing > 0 ? `, ${missing} with missing parts` : '';
    out.push(`machine "${machine.name}": ${disks}${deltas}${loss} (${machine.config.locator})`);
  }
  if (encrypted.folders > 0) {
    const count = `${encrypted.folders} machine${encrypted.folders === 1 ? '' : 's'}`;
    out.push(`! small files of ${count} are encrypted whole, as ransomware does it`);
  }
  for (const file of encrypted.files.slice(0, MAX_LACKING)) out.push(`! ${file}`);
  for (const node of lacking.slice(0, MAX_LACKING)) {
    out.push(`! ${node.notices?.[0]}; salvor recover makes it anew (${node.locator})`);
  }
  if (lacking.length > MAX_LACKING) out.push(`! and ${lacking.length - MAX_LACKING} files more that machines lack`);
  return out;
}

/**
 * What can be done outside of this program, and what must not be: each sentence once. Nothing is said of what lies in a
 * table or a volume that is damaged itself: others do not find the way into these.
 */
export function adviceIn(layers: readonly Layer[]): string[] {
  const isFound = ({ kind, damage }: Node): boolean => damage.length === 0 || !WAYS.includes(kind);
  const within = ({ node, inside }: Layer): string[] => (isFound(node) ? adviceIn(inside) : []);
  return [...new Set(layers.flatMap((layer) => [...(layer.node.advice ?? []), ...within(layer)]))];
}

/** What is only a way to other bytes. */
const WAYS: readonly Node['kind'][] = ['disk', 'partition', 'volume'];

/** A layer with all that is inside it, for programs. */
export function layerJson(layer: Layer): unknown {
  const { machines, lacking, encrypted, ...counts } = layer.contents ?? { machines: [], lacking: [] };
  return {
    ...nodeJson(layer.node),
    ...(layer.look !== undefined && { look: layer.look }),
    ...(layer.contents !== undefined && {
      contents: counts,
      machines: machines.map((m) => ({
        name: m.name,
        config: m.config.locator,
        disks: m.disks.map((d) => ({ slot: d.slot, file: d.file, chain: d.chain.map((link) => link.locator) })),
      })),
      encrypted,
      lacking: lacking.map((node) => ({ locator: node.locator, notices: node.notices ?? [] })),
    }),
    inside: layer.inside.map(layerJson),
  };
}
