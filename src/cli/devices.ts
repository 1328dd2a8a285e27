/** salvor devices: the disks of this host, what is on them, and which of them are in use. */
import type { Command } from 'commander';
import type { Node } from '../core/node.ts';
import { type Device, listDevices, type Part, placesBelow, type Use } from '../stack/devices.ts';
import { passesThrough, Stack } from '../stack/stack.ts';
import { INTACT, NOTHING, UNCERTAIN } from './command.ts';
import { note, print, printJson, shown, size } from './output.ts';

export function register(program: Command): void {
  program
    .command('devices')
    .summary('list the disks of this computer, what is on them, and which are in use')
    .description(
      'Lists block devices with size and model, what is on them, and whether this computer uses them. ' +
        'They are only read, and only where partition tables and file systems begin.',
    )
    .option('--json', 'one JSON document on standard output')
    .option('--all', 'also devices without a medium, and loop devices without a file')
    .option('--sysroot <folder>', 'take /sys, /proc and /dev of another system from below this folder', '/')
    .addHelpText('after', EXAMPLES)
    .action(async (options: DevicesOptions) => {
      process.exitCode = await devices(options);
    });
}

interface DevicesOptions {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly sysroot: string;
}

const EXAMPLES = `
Examples:
  salvor devices                   then: salvor inspect /dev/sdb
  salvor devices --json --all`;

/** Something on a device. */
interface Content {
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

interface Report {
  readonly device: Device;
  readonly contents: readonly Content[];
  /** Why it could not be looked into. */
  readonly unseen?: string;
  readonly warning?: string;
}

async function devices({ json, all, sysroot }: DevicesOptions): Promise<number> {
  const reports: Report[] = [];
  for (const device of listDevices(placesBelow(sysroot))) {
    if (all === true || device.size > 0) reports.push(await reportOf(device));
  }
  if (json === true) printJson({ devices: reports.map(reportJson) });
  else if (reports.length > 0) print(reports.flatMap(lines).join('\n'));
  if (reports.length === 0) {
    note('This system shows no block devices. In a container, give an image or pass the device through.');
    return NOTHING;
  }
  return reports.some((report) => report.unseen !== undefined) ? UNCERTAIN : INTACT;
}

async function reportOf(device: Device): Promise<Report> {
  const warning = warningOf(device);
  const { contents, unseen } = await lookInto(device);
  return { device, contents, ...(unseen && { unseen }), ...(warning && { warning }) };
}

/** Opens a device read-only and says what is on it. Whatever goes wrong is a sentence, for the others are still there. */
async function lookInto(device: Device): Promise<{ contents: Content[]; unseen?: string }> {
  if (device.size === 0) return { contents: [] };
  const rest = device.parts.map((part) => ({ ...partContent(part), locator: part.path, damaged: false }));
  if (device.suspended) return { contents: rest, unseen: `${device.path} is suspended and would not answer.` };
  let stack: Stack | undefined;
  try {
    stack = new Stack([device.path], { only: true });
    return { contents: await contentsOf(stack, device) };
  } catch (error) {
    return { contents: rest, unseen: error instanceof Error ? error.message : String(error) };
  } finally {
    stack?.close();
  }
}

function partContent(part: Part): { start: number; size: number; part: Part } {
  return { start: part.start, size: part.size, part };
}

async function contentsOf(stack: Stack, device: Device): Promise<Content[]> {
  const root = stack.roots[0];
  const table = await stack.inside(root);
  const out: Content[] = [];
  const left = new Set(device.parts);
  if (table?.kind === 'volume' && table.children !== undefined) {
    for await (const child of stack.children(table)) {
      const { start, type } = child.facts.details ?? {};
      const part = device.parts.find((one) => one.start === start);
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

function contentOf(from: Node, way: readonly Node[]): Pick<Content, 'what' | 'locator' | 'damaged'> {
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

function usesOf(use: Use): string[] {
  const out: string[] = [];
  if (use.mounts.length > 0) out.push(`mounted at ${use.mounts.join(', ')}`);
  if (use.swap) out.push('used as swap');
  if (use.holders.length > 0) {
    const through = use.through.length > 0 ? `, in use at ${use.through.join(', ')}` : '';
    out.push(`held by ${use.holders.join(', ')}${through}`);
  }
  return out;
}

function lines({ device, contents, unseen, warning }: Report): string[] {
  const kind = [
    device.rotational === undefined ? '' : device.rotational ? 'rotating' : 'solid state',
    device.removable ? 'removable' : '',
    device.readOnly ? 'read-only' : '',
    device.backing === undefined ? '' : `from ${device.backing}`,
  ];
  const model = [device.vendor, device.model, device.label].filter(Boolean).join(' ');
  const serial = device.serial === undefined ? '' : `serial ${device.serial}`;
  const head = [device.path, size(device.size), model, serial, ...kind].filter(Boolean).join(', ');
  const out = [shown(head)];
  if (warning !== undefined) out.push(`  ! ${shown(warning)}`);
  if (unseen !== undefined) out.push(`  not looked into: ${shown(unseen)}`);
  else if (contents.length === 0 && device.size > 0) out.push('  nothing known was found at its start');
  for (const content of contents) out.push(`  ${contentLine(content)}`);
  return out;
}

function contentLine({ part, size: bytes, type, what, locator, damaged }: Content): string {
  const uses = part === undefined ? [] : usesOf(part.use);
  const fields = [
    part?.path,
    bytes === undefined ? undefined : size(bytes),
    type,
    what,
    locator === part?.path ? undefined : locator,
    ...uses,
    damaged ? 'damaged' : undefined,
  ];
  return shown(fields.filter((field) => field !== undefined).join(', '));
}

function reportJson({ device, contents, unseen, warning }: Report): Record<string, unknown> {
  const { parts: _, ...facts } = device;
  return {
    ...facts,
    contents: contents.map(({ part, ...content }) => ({ ...content, ...(part && { path: part.path, use: part.use }) })),
    ...(unseen !== undefined && { unseen }),
    ...(warning !== undefined && { warning }),
  };
}
