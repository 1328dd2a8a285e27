/** Follows locators: from a string to the node, or the byte, that it names. */
import * as fs from 'node:fs';
import { inQuotes } from '../codec/shell.ts';
import { encodeName, parseLocator, printable, type Step } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
import { filesystems, home } from './home.ts';
import { passesThrough, type Stack } from './stack.ts';

/** A locator that leads nowhere. The message says how far it led and what is there instead. */
export class LocatorError extends Error {}

export interface Found {
  readonly node: Node;
  /** Byte offset, where the locator ends in one. */
  readonly at?: number;
}

/** Layers passed through on the way to a format that is not right on top. */
const MAX_PASSED = 16;

/** Splits what was typed into the path of the evidence and the way inside it. */
export function splitArgument(argument: string): { source: string | undefined; inner: string } {
  const parts = argument.split('::');
  for (let n = parts.length; n > 0; n--) {
    const source = parts.slice(0, n).join('::');
    if (fs.existsSync(source)) return { source, inner: ['', ...parts.slice(n)].join('::') };
  }
  const byte = /^(.*)@\d+$/.exec(argument);
  if (byte !== null && fs.existsSync(byte[1])) return { source: byte[1], inner: argument.slice(byte[1].length) };
  // SOURCE/+carved/…: what is found in the bytes of a source without a format.
  const virtual = /^(.*?)(\/\+.*)$/s.exec(argument);
  if (virtual !== null && fs.existsSync(virtual[1])) return { source: virtual[1], inner: virtual[2] };
  return { source: undefined, inner: argument };
}

/** The node that a locator names. Throws LocatorError with a sentence where there is none. */
export async function locate(stack: Stack, locator: string): Promise<Found> {
  const root = stack.roots.find((node) => locator === node.locator || /^(::|\/|@)/.test(after(locator, node)));
  if (root !== undefined) {
    const inner = after(locator, root);
    const slash = inner.startsWith('/') ? inner.indexOf('::') : 0;
    const names = inner.slice(0, slash < 0 ? inner.length : slash).split('/');
    const node = await descend(
      stack,
      root,
      names.filter((n) => n !== ''),
    );
    const rest = parseLocator(`x${slash < 0 ? '' : inner.slice(slash)}`);
    const byte = /^x@(\d+)$/.exec(rest.evidence);
    return byte === null ? follow(stack, node, rest.steps, rest.at) : { node, at: Number(byte[1]) };
  }
  const { evidence, steps, at } = parseLocator(locator);
  // '::/PATH' is a path in the one file system of all that was given.
  if (evidence === '')
    return follow(stack, await home(stack), [{ as: '', names: steps[0]?.names ?? [] }, ...steps.slice(1)], at);
  for (const node of stack.roots) await meetVolumes(stack, node);
  const span = (await stack.spans()).find((node) => node.locator === evidence);
  if (span !== undefined) return follow(stack, span, steps, at);
  const known = [...stack.roots, ...(await stack.spans())].map((node) => node.locator).join(', ');
  throw new LocatorError(
    `There is no "${printable(evidence)}" here. It starts with one of: ${known || 'nothing was given'}.`,
  );
}

function after(locator: string, node: Node): string {
  return locator.startsWith(node.locator) ? locator.slice(node.locator.length) : '';
}

async function follow(stack: Stack, from: Node, steps: readonly Step[], at?: number): Promise<Found> {
  let node = from;
  for (const step of steps) {
    const entered = await enterStep(stack, node, step.as);
    if (entered === undefined) throw new LocatorError(await nothingAs(stack, node, step.as));
    node = await descend(stack, entered, step.names);
  }
  return at === undefined ? { node } : { node, at };
}

async function enterStep(stack: Stack, node: Node, as: string): Promise<Node | undefined> {
  if (/^@\d+$/.test(as)) return stack.offset(node, Number(as.slice(1)));
  if (as !== '') return enter(stack, node, as);
  if (node.kind === 'filesystem') return node;
  const inside = await filesystems(stack, node);
  if (inside.length === 1) return inside[0];
  const ways = inside.map((one) => one.locator).join(', ');
  throw new LocatorError(
    `${node.locator} holds ${inside.length} file systems${ways && `: ${ways}`}. Name one by its locator.`,
  );
}

async function descend(stack: Stack, from: Node, names: readonly string[]): Promise<Node> {
  let node = from;
  for (const name of names) {
    const child = await stack.child(node, name);
    if (child === undefined) {
      const kind =
        node.children === undefined ? `${node.locator} is no directory` : `nothing of that name in ${node.locator}`;
      const hurt =
        node.damage[0] === undefined
          ? ''
          : `, and its listing is damaged (${node.damage[0].code} at ${node.damage[0].at})`;
      throw new LocatorError(`"${printable(name)}": ${kind}${hurt}. List it with: salvor ls ${inQuotes(node.locator)}`);
    }
    node = child;
  }
  return node;
}

/** Enters bytes as a format: right on top, below a disk or a volume, or in the one partition that holds it. */
async function enter(stack: Stack, node: Node, id: string): Promise<Node | undefined> {
  const format = formats.find((f) => f.id === id);
  if (format === undefined) {
    throw new LocatorError(`"${printable(id)}" is no format. There are: ${formats.map((f) => f.id).join(', ')}.`);
  }
  let at = node;
  for (let passed = 0; passed < MAX_PASSED; passed++) {
    const direct = await stack.openAs(at, format);
    if (direct !== undefined) return direct;
    const below = await stack.inside(at);
    if (below === undefined) return undefined;
    if (below.format === format.title) return below;
    if (passesThrough(below)) at = below;
    else return enterOnly(stack, below, id);
  }
  return undefined;
}

/** The one child of a partition table that holds a format; several are a question back. */
async function enterOnly(stack: Stack, table: Node, id: string): Promise<Node | undefined> {
  if (table.kind !== 'volume') return undefined;
  const found: { child: Node; inside: Node }[] = [];
  for await (const child of stack.children(table)) {
    const inside = await enter(stack, child, id).catch(() => undefined);
    if (inside !== undefined) found.push({ child, inside });
  }
  if (found.length > 1) {
    const ways = found.map(({ child }) => `${child.locator}::${id}`).join(', ');
    throw new LocatorError(`There is more than one ${id} in ${table.locator}. Name one: ${ways}.`);
  }
  return found[0]?.inside;
}

async function nothingAs(stack: Stack, node: Node, id: string): Promise<string> {
  const inside = await stack.inside(node);
  const what = inside === undefined ? 'nothing that is known' : `${inside.format ?? inside.kind} (${inside.locator})`;
  return `${node.locator} is no ${id}: there is ${what} in it. To force one: --as ${encodeName(id)}@OFFSET`;
}

/** Opens volumes below a node far enough that spans are met. */
async function meetVolumes(stack: Stack, node: Node): Promise<void> {
  if (node.kind === 'directory') {
    for await (const child of stack.children(node)) await meetVolumes(stack, child);
    return;
  }
  const inside = await stack.inside(node);
  if (inside === undefined || inside.kind !== 'volume' || inside.children === undefined) return;
  for await (const child of stack.children(inside)) await stack.inside(child);
}
