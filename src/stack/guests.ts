/** Whether what is inside a disk fits together: partition tables, and the superblocks that partitions start with. */
import { sentence } from '../core/damage.ts';
import type { Finder, Hit } from '../core/finder.ts';
import { changedNode, type Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { finders, formats } from '../formats/index.ts';
import type { Stack } from './stack.ts';

/** Findings about the inside of a disk, as sentences. */
export interface Guest {
  /** What agrees with something else that is there. */
  readonly fits: readonly string[];
  /** What contradicts something else that is there. */
  readonly clashes: readonly string[];
  /** What cannot be looked at, because its bytes are missing. */
  readonly unknown: readonly string[];
}

/** Partitions that are looked into, and damages of their tables that are told. */
const MAX_PARTITIONS = 64;
const MAX_TOLD = 4;
/** Formats that cut a disk into parts, and are known by what they start with. */
const tables = formats.filter(
  ({ layer, identity, lastResort }) => layer === 'volume' && identity === undefined && lastResort !== true,
);

/** Looks at the first bytes of a disk and of its partitions. */
export async function guestOf(stack: Stack, disk: Node, source: Source): Promise<Guest> {
  const fits: string[] = [];
  const clashes: string[] = [];
  const unknown: string[] = [];
  const node = changedNode(disk, { kind: 'disk', bytes: async () => source });
  const table = await tableOf(stack, node);
  if (table === undefined) {
    await start(source, 0, source.size, 'the disk', { fits, clashes, unknown });
    return { fits, clashes, unknown };
  }
  for (const one of table.damage.slice(0, MAX_TOLD)) clashes.push(`${table.format}: ${sentence(one)}`);
  if (table.damage.length === 0) fits.push(`${table.format} whose checks all pass`);
  let count = 0;
  for await (const part of stack.children(table)) {
    if (++count > MAX_PARTITIONS) break;
    const from = part.facts.details?.start;
    const bytes = part.facts.size;
    if (typeof from !== 'number' || bytes === undefined) continue;
    const told = { fits, clashes, unknown };
    if (from + bytes > source.size) clashes.push(`${part.name} ends behind the disk, at byte ${from + bytes}`);
    if (from < source.size) await start(source, from, bytes, part.name, told);
  }
  return { fits, clashes, unknown };
}

async function tableOf(stack: Stack, node: Node): Promise<Node | undefined> {
  for (const format of tables) {
    const table = await stack.openAs(node, format);
    if (table?.children !== undefined) return table;
  }
  return undefined;
}

interface Told {
  readonly fits: string[];
  readonly clashes: string[];
  readonly unknown: string[];
}

/** What a stretch starts with, and whether it fits into the stretch by its own size. */
async function start(source: Source, from: number, length: number, name: string, told: Told): Promise<void> {
  const { hits, isLost } = await hitsAt(source, from);
  const known = hits.filter(({ base, facts }) => base === from && typeof facts?.bytes === 'number');
  if (known.length === 0 && isLost) told.unknown.push(`${name} starts with missing bytes`);
  for (const { kind, facts } of known) {
    const bytes = Number(facts!.bytes);
    const what = `${name}: ${facts!.what ?? kind}`;
    if (bytes <= length) told.fits.push(`${what} of ${bytes} bytes, within its ${length}`);
    else told.clashes.push(`${what} says that it has ${bytes} bytes, and there are ${length}`);
  }
}

/** What finders recognise right at a position. */
async function hitsAt(source: Source, at: number): Promise<{ hits: Hit[]; isLost: boolean }> {
  const most = Math.max(...finders.map(({ need }) => need));
  const block = new Uint8Array(Math.min(most, source.size - at));
  const gaps = await source.read(at, block);
  const hits: Hit[] = [];
  for (const finder of finders) {
    const needed = block.subarray(0, finder.need);
    if (!hasKey(finder, needed) || gaps.some((gap) => gap.offset - at < needed.length)) continue;
    finder.examine(needed, at, (hit) => hits.push(hit));
  }
  return { hits, isLost: gaps.length > 0 };
}

function hasKey({ keys }: Finder, block: Uint8Array): boolean {
  return keys.some(({ offset, bytes }) => bytes.every((byte, i) => block[offset + i] === byte));
}
