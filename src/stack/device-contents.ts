/** What is on the disks of this host, and which of them must be left alone. Opens them read-only. */
import type { Node } from '../core/node.ts';
import type { Device, Part, Use } from './devices.ts';
import { passesThrough, Stack } from './stack.ts';

/** Something on a device. */
export interface DeviceContent {
  /** Bytes from the start of the device. */
  readonly start: number;
  readonly size?: number | undefined;
  /** What the partition table calls it. */
  readonly type?: string | undefined;
  /** The format that was found, with the name it gives itself. */
  readonly what?: string | undefined;
  readonly locator: string;
  readonly damaged: boolean;
  /** The host's own device for this partition. */
  readonly part?: Part | undefined;
}

/** A device with what was found on it. */
export interface DeviceReport {
  readonly device: Device;
  readonly contents: readonly DeviceContent[];
  /** Why it could not be looked into. */
  readonly unseen?: string;
  readonly warning?: string;
}

/** Looks at one device. */
export async function reportOf(device: Device): Promise<DeviceReport> {
  const warning = warningOf(device);
  const { contents, unseen } = await lookInto(device);
  return { device, contents, ...(unseen && { unseen }), ...(warning && { warning }) };
}

/** Opens a device read-only and says what is on it. Whatever goes wrong is a sentence, for the others are still there. */
async function lookInto(device: Device): Promise<{ contents: DeviceContent[]; unseen?: string }> {
  if (device.size === 0) return { contents: [] };
  const rest = device.parts.map((part) => ({ ...partContent(part), locator: part.path, damaged: false }));
  if (device.suspended) return { contents: rest, unseen: `${device.path} is suspended and would not answer.` };
  let stack: Stack | undefined;
  try {
    stack = new Stack([device.path], { only: true });
    return { contents: await contentsOf(stack, device.parts) };
  } catch (error) {
    return { contents: rest, unseen: error instanceof Error ? error.message : String(error) };
  } finally {
    stack?.close();
  }
}

/** What is in a file; nothing where nothing is known of it, or where it cannot be read. */
export async function contentsOfFile(file: string): Promise<DeviceContent[]> {
  let stack: Stack | undefined;
  try {
    stack = new Stack([file], { only: true });
    return await contentsOf(stack, []);
  } catch {
    return [];
  } finally {
    stack?.close();
  }
}

function partContent(part: Part): { start: number; size: number; part: Part } {
  return { start: part.start, size: part.size, part };
}

async function contentsOf(stack: Stack, parts: readonly Part[]): Promise<DeviceContent[]> {
  const root = stack.roots[0];
  const table = await stack.inside(root);
  const out: DeviceContent[] = [];
  const left = new Set(parts);
  if (table?.kind === 'volume' && table.children !== undefined) {
    for await (const child of stack.children(table)) {
      const { start, type } = child.facts.details ?? {};
      const part = parts.find((one) => one.start === start);
      if (part !== undefined) left.delete(part);
      const found = contentOf(child, await layersOf(stack, child));
      out.push({ start: Number(start), size: child.facts.size, type: String(type), part, ...found });
    }
  } else if (table !== undefined) {
    out.push({ start: 0, size: table.facts.size, ...contentOf(root, await layersOf(stack, root)) });
  }
  // The kernel knows kinds of partition tables that Salvor does not.
  for (const part of left) out.push({ ...partContent(part), locator: part.path, damaged: false });
  return out.sort((a, b) => a.start - b.start);
}

function contentOf(from: Node, way: readonly Node[]): Pick<DeviceContent, 'what' | 'locator' | 'damaged'> {
  const found = way[way.length - 1];
  if (found === undefined) return { locator: from.locator, damaged: from.damage.length > 0 };
  const name = found.kind === 'filesystem' ? ` "${found.name}"` : '';
  // A part of something larger: each disk is looked into by itself, so the others count as absent.
  const members = Math.max(...way.map((node) => Number(node.facts.details?.devices ?? 1)));
  const span = members > 1 ? `, one of its ${members} devices` : '';
  const what = `${found.format ?? found.kind}${name}${span}`;
  return {
    what,
    locator: found.locator,
    damaged: members === 1 && [from, ...way].some((one) => one.damage.length > 0),
  };
}

const MAX_LAYERS = 16;

/** The layers of a device, down to the file system or the last thing that is known. */
async function layersOf(stack: Stack, from: Node): Promise<Node[]> {
  const way: Node[] = [];
  for (let at: Node | undefined = from; way.length < MAX_LAYERS; ) {
    at = await stack.inside(at);
    if (at === undefined) break;
    way.push(at);
    if (!passesThrough(at)) break;
  }
  return way;
}

/** The sentence for devices that must be left alone, or undefined. */
function warningOf(device: Device): string | undefined {
  const uses = [device.use, ...device.parts.map((part) => part.use)].flatMap(usesOf);
  if (uses.length === 0) return undefined;
  return `${[...new Set(uses)].join(', ')}: do not recover to it; image it first if you can`;
}

/** What the host uses a device for. */
export function usesOf(use: Use): string[] {
  const out: string[] = [];
  if (use.mounts.length > 0) out.push(`mounted at ${use.mounts.join(', ')}`);
  if (use.swap) out.push('used as swap');
  if (use.holders.length > 0) {
    const through = use.through.length > 0 ? `, in use at ${use.through.join(', ')}` : '';
    out.push(`held by ${use.holders.join(', ')}${through}`);
  }
  return out;
}
