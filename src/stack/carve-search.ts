/** Looking for files by their content: what begins like one, followed to its end, in order and each byte once. */
import { type Carved, type Carver, Content } from '../core/carver.ts';
import { CARVED_HIT, type Hit } from '../core/finder.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { carvers } from '../formats/file/index.ts';
import { type Starts, startsIn } from '../scan/starts.ts';
import { firstInUse, freeOf } from './free.ts';
import type { Place } from './places.ts';
import type { Stack } from './stack.ts';

/** What is looked through. */
export interface Ground {
  /** All bytes. */
  readonly source: Source;
  /** Those to look at, where what is in use is left out: the same with that missing. */
  readonly free: Source | undefined;
}

/** What there is to look through at a node, all of it or what no live file has; undefined where it has no bytes. */
export async function groundOf(stack: Stack, node: Node, all: boolean): Promise<Ground | undefined> {
  const source = await bytesOf(stack, node);
  return source && { source, free: all ? undefined : await freeOf(stack, node, source) };
}

/** What is looked through: of a file system all of the volume that it lies on. */
async function bytesOf(stack: Stack, node: Node): Promise<Source | undefined> {
  if (node.kind === 'filesystem') return stack.parentOf(node)?.bytes?.();
  if (!['evidence', 'disk', 'partition', 'volume'].includes(node.kind)) return undefined;
  const inside = node.kind === 'evidence' ? await stack.inside(node) : undefined;
  return inside?.kind === 'disk' ? inside.bytes?.() : node.bytes?.();
}

/** Files in order. `covered` is where the last whole one in front of the first place to be looked at ends. */
export async function* filesIn(ground: Ground, how: Omit<Starts, 'carvers'>, covered = 0): AsyncGenerator<Place> {
  let end = covered;
  for await (const { at, carver, head } of startsIn(ground.free ?? ground.source, { ...how, carvers })) {
    // What lies inside a file that is whole belongs to it.
    if (at < end) continue;
    const found = await followed(ground, carver, at, head);
    if (found === undefined) continue;
    yield { at, carver: carvers.indexOf(carver), found };
    end = Math.max(end, endOf({ at, found }));
  }
}

/** Where a file ends behind which others may begin; 0 for what says nothing of that. */
export function endOf({ at, found }: Pick<Place, 'at' | 'found'>): number {
  return found.isWhole && found.isUnchecked !== true ? at + found.length : 0;
}

/** What a carver makes of a place. What lives there now ends it: nothing that is lost goes on in what is in use. */
export async function followed(
  { source, free }: Ground,
  carver: Carver,
  at: number,
  head?: Uint8Array,
): Promise<Carved | undefined> {
  const found = await examined(free ?? source, carver, at, head);
  if (found === undefined || free === undefined) return found;
  const used = await firstInUse(free, at, at + found.length);
  if (used === undefined) return found;
  return used > at ? { ...found, length: used - at, isWhole: false, isProved: false } : undefined;
}

async function examined(
  source: Source,
  carver: Carver,
  at: number,
  read: Uint8Array | undefined,
): Promise<Carved | undefined> {
  const content = new Content(source, at, carver.most, read);
  for (const { offset, bytes } of carver.keys) {
    const head = await content.bytes(offset, bytes.length);
    if (head === undefined || !bytes.every((byte, i) => head[i] === byte)) continue;
    const found = await carver.examine(content);
    return found !== undefined && found.length > 0 && found.length <= content.size ? found : undefined;
  }
  return undefined;
}

/** A file as a case keeps it. */
export function hitOf({ at, carver, found: { length, ...said } }: Place): Hit {
  const proved = said.isWhole && said.isProved === true ? 1 : 0;
  return { kind: CARVED_HIT, at, length, facts: { what: carvers[carver].title, proved, said: JSON.stringify(said) } };
}

/** What a case kept; undefined where that is of a kind that is not known any more. */
export function placeIn({ at, length, facts }: Hit): Place | undefined {
  const carver = carvers.findIndex(({ title }) => title === facts?.what);
  if (carver < 0) return undefined;
  return { at, carver, found: { ...(JSON.parse(String(facts?.said)) as Omit<Carved, 'length'>), length } };
}
