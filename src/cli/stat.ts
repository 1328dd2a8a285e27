/** salvor stat: all that is known of one thing, or of one byte of it. */
import type { Command } from 'commander';
import { FileSource } from '../core/evidence.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES, MISSING, RunList, STATE_NAMES, STATED, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { siblingNode } from '../stack/siblings.ts';
import type { Stack } from '../stack/stack.ts';
import { common, health, INTACT, type Target, UNCERTAIN, UsageError, withNode } from './command.ts';
import { type Summary, summarize, whyPlace } from './map.ts';
import { damageLines, modeText, nodeJson, print, printJson, shown, size, timeInFull } from './output.ts';

export function register(program: Command): void {
  common(program.command('stat'))
    .summary('say all that is known of one thing, or of one byte')
    .description(
      'Prints every fact of a thing in plain words, its health, and how certain its bytes are. With @OFFSET at the ' +
        'end also where that byte lies, through every layer down to the evidence, and what said so.',
    )
    .argument('<locator...>', 'what to look at')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) =>
      withNode(args, options, (target, signal) => stat(target, options.json === true, signal)),
    );
}

const EXAMPLES = `
Examples:
  salvor stat lun0.img::/web01/web01.vmx
  salvor stat lun0.img::/web01/web01-flat.vmdk@4096     where byte 4096 lies, and what said so
  salvor stat lun0.img::gpt/p1 --json`;

/** Layers that one byte is followed through. */
const MAX_WAY = 64;

/** One layer on the way of a byte, from the thing down to the evidence. */
interface Layer {
  /** Locator of the byte in this layer, or what this layer is where no locator leads to it. */
  readonly at: string;
  /** What this layer says of the byte; absent at the bottom. */
  readonly state?: string;
  readonly certainty?: string;
  readonly why?: { readonly what: string; readonly at?: string; readonly code?: string };
}

async function stat({ stack, node, at }: Target, json: boolean, signal: AbortSignal): Promise<number> {
  const source = await node.bytes?.();
  if (at !== undefined && (source === undefined || at >= source.size)) {
    const has = source === undefined ? 'no bytes' : `${source.size} bytes`;
    throw new UsageError(`${node.locator} has ${has}; there is no byte ${at}. The first one is @0.`);
  }
  const sum = source === undefined ? undefined : await summarize(source, signal);
  const way = at === undefined ? undefined : await wayOf(stack, node, source!, at);
  if (json) printJson({ ...nodeJson(node), ...(sum && { bytes: bytesJson(sum) }), ...(way && { way }) });
  else
    print(
      [...factLines(node), ...byteLines(node, source, sum), ...healthLines(node, sum), ...wayLines(way)].join('\n'),
    );
  const uncertain = sum?.bytes.slice(0, STATED).some((bytes) => bytes > 0) === true;
  return uncertain ? UNCERTAIN : health(node) === INTACT ? INTACT : UNCERTAIN;
}

function row(label: string, value: string): string {
  return `  ${label.padEnd(14)} ${value}`;
}

function factLines(node: Node): string[] {
  const { facts } = node;
  const out = [shown(node.locator || node.name), row('kind', kindText(node))];
  if (facts.size !== undefined) out.push(row('size', sizeText(facts.size)));
  if (facts.mode !== undefined) out.push(row('mode', `${facts.mode.toString(8).padStart(4, '0')} (${modeText(node)})`));
  if (facts.uid !== undefined) out.push(row('owner', `user ${facts.uid}, group ${facts.gid}`));
  if (facts.links !== undefined) out.push(row('links', String(facts.links)));
  for (const key of ['modified', 'changed', 'accessed'] as const) {
    const seconds = facts[key];
    if (seconds !== undefined) out.push(row(key, timeInFull(seconds)));
  }
  if (facts.target !== undefined) out.push(row('points to', printable(facts.target)));
  for (const [key, value] of Object.entries(facts.details ?? {})) out.push(row(words(key), detailText(key, value)));
  return out;
}

function kindText(node: Node): string {
  const state = node.state === 'live' ? '' : `, ${node.state}`;
  return `${node.kind}${state}${node.format === undefined ? '' : ` (${node.format})`}`;
}

function sizeText(bytes: number): string {
  return bytes < 1024 ? size(bytes) : `${bytes} bytes (${size(bytes)})`;
}

/** blockSize as people write it: block size. */
function words(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function detailText(key: string, value: string | number | boolean): string {
  if (typeof value !== 'number') return shown(String(value));
  if (key === 'created') return timeInFull(value);
  return /size$/i.test(key) || key === 'start' ? sizeText(value) : String(value);
}

function byteLines(node: Node, source: Source | undefined, sum: Summary | undefined): string[] {
  if (source === undefined || sum === undefined) {
    const none = `none; a ${node.kind} has no bytes of its own`;
    return [row('bytes', node.damage.length > 0 ? 'none that can be had' : none)];
  }
  const [data, zero, missing] = sum.states;
  const counted = CERTAINTY_NAMES.flatMap((name, i) => (sum.bytes[i] > 0 ? [`${sum.bytes[i]} ${name}`] : [])).reverse();
  // A directory's bytes are the list of its names, and a file system's are those of its root.
  const own = source.size === node.facts.size ? '' : `${source.size} of its own: `;
  const out = [row('bytes', own + (counted.join(', ') || 'none'))];
  out.push(row('allocated', `${sizeText(data)} in ${sum.fragments} ${sum.fragments === 1 ? 'fragment' : 'fragments'}`));
  if (zero > 0) out.push(row('holes', `${sizeText(zero)} that read as zeros`));
  if (missing > 0) out.push(row('missing', sizeText(missing)));
  if (sum.reasons.length > 0) out.push(row('reasons', sum.reasons.join(', ')));
  return out;
}

function healthLines(node: Node, sum: Summary | undefined): string[] {
  const out = (node.notices ?? []).map((notice) => row('notice', notice));
  const lost = (sum?.states[MISSING] ?? 0) > 0;
  if (node.damage.length === 0) {
    return [...out, row('health', lost ? 'its metadata is sound, but bytes are missing' : 'no damage was found')];
  }
  const count = node.damage.length;
  return [
    ...out,
    row('health', count === 1 ? 'damaged' : `damaged in ${count} ways`),
    ...damageLines(node.damage, '  '),
  ];
}

function wayLines(way: readonly Layer[] | undefined): string[] {
  if (way === undefined) return [];
  const out = ['', 'The way of this byte:'];
  for (const [i, { at, state, certainty, why }] of way.entries()) {
    out.push(`  ${i === 0 ? '' : 'is '}${shown(at)}`);
    if (state === undefined) continue;
    const where = why?.at === undefined ? '' : `, at ${shown(why.at)}`;
    const code = why?.code === undefined ? '' : ` [${why.code}]`;
    const verb = state === 'missing' ? 'missing:' : `${state === 'zero' ? 'zeros, ' : ''}${certainty} by`;
    out.push(`     ${why === undefined ? verb.replace(/:| by$/, '') : `${verb} ${why.what}${where}${code}`}`);
  }
  return out;
}

function bytesJson(sum: Summary): Record<string, unknown> {
  const named = (names: readonly string[], values: readonly number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, i) => [name, values[i]]));
  const { fragments, reasons } = sum;
  return { certainty: named(CERTAINTY_NAMES, sum.bytes), states: named(STATE_NAMES, sum.states), fragments, reasons };
}

/** Follows one byte layer by layer, each asked for itself only, so that nobody's word hides behind another's. */
async function wayOf(stack: Stack, node: Node, source: Source, offset: number): Promise<Layer[]> {
  const known = await candidates(stack, node);
  const out: Layer[] = [];
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

async function saying(list: RunList): Promise<Omit<Layer, 'at'>> {
  if (list.n === 0)
    return { state: 'missing', certainty: 'missing', why: { what: 'the end of this layer', code: 'past-end' } };
  const why = list.why(0);
  return {
    state: STATE_NAMES[list.state(0)],
    certainty: CERTAINTY_NAMES[list.certainty(0)],
    ...(why !== undefined && { why: await whyOf(why) }),
  };
}

async function whyOf(why: Why): Promise<NonNullable<Layer['why']>> {
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
