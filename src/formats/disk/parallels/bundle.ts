/** A bundle by its descriptor: the state that is in use, and where a disk is cut into parts, all of them in their order. */
import type { Damage } from '../../../core/damage.ts';
import type { Candidate, Cx } from '../../../core/format.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import type { Node } from '../../../core/node.ts';
import { STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Bundle, DESCRIPTOR, type Storage } from './descriptor.ts';

const SECTOR = 512;
/** Sectors of the largest disk. */
const MAX_SECTORS: number = 2 ** 40;
const MAX_PARTS = 4096;

export const TITLE = 'Parallels disk';

/** Opens one image of a bundle. */
type OpenImage = (image: Candidate) => Promise<Node>;

/** A disk of these bytes, with nothing more to be said of it. */
export function bareDisk(cx: Cx, source: Source): Node {
  return {
    name: 'parallels',
    rawName: 'parallels',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: TITLE,
    facts: { size: source.size },
    damage: [],
    bytes: async () => source,
  };
}

/** The disk that `bundle` describes. */
export async function openBundle(bundle: Bundle, cx: Cx, openImage: OpenImage): Promise<Node> {
  const damage: Damage[] = [];
  const [only, ...more] = bundle.storage;
  const file = bundle.top === undefined ? undefined : only?.files.get(bundle.top);
  const [image] = file === undefined || more.length > 0 ? [] : await cx.siblings({ name: file });
  // One part: its file is the disk, with whatever lies below it.
  if (image !== undefined) return { ...(await openImage(image)), disk: { createType: 'bundle', extents: [file!] } };
  const list: Segment[] = [];
  const files: string[] = [];
  let end = 0;
  for (const part of bundle.storage.slice(0, MAX_PARTS)) {
    const isWhole = Number.isInteger(part.from) && Number.isInteger(part.end);
    if (!(isWhole && part.from >= end && part.end > part.from && part.end <= MAX_SECTORS)) {
      damage.push(cx.damage(0, 'parallels.storage', 'parts in a row', `${part.from} to ${part.end}`, 'it is left out'));
      continue;
    }
    if (part.from > end) list.push(missing((part.from - end) * SECTOR, whyOf('parallels.storage')));
    end = part.end;
    const name = bundle.top === undefined ? undefined : part.files.get(bundle.top);
    if (name !== undefined) files.push(name);
    list.push(...(await partOf(part, name, cx, damage, openImage)));
  }
  const map = segments(list);
  return {
    ...bareDisk(cx, map),
    facts: { size: map.size, details: { parts: bundle.parts } },
    damage,
    disk: { createType: 'bundle', extents: files },
  };
}

/** The image that has to be opened before its bytes can be placed; a damage where it is not there. */
async function imageOf(name: string | undefined, cx: Cx, damage: Damage[]): Promise<Candidate | undefined> {
  const [image] = name === undefined ? [] : await cx.siblings({ name });
  if (image !== undefined) return image;
  const expected = name === undefined ? 'the file of the state in use' : JSON.stringify(name);
  const effect = 'what it holds is missing; name the file with the other sources if it is elsewhere';
  damage.push(cx.damage(0, 'parallels.image', `${expected} beside ${DESCRIPTOR}`, 'none', effect));
  return undefined;
}

async function partOf(
  { from, end }: Storage,
  name: string | undefined,
  cx: Cx,
  damage: Damage[],
  openImage: OpenImage,
): Promise<Segment[]> {
  const length = (end - from) * SECTOR;
  const image = await imageOf(name, cx, damage);
  const node = image && (await openImage(image));
  damage.push(...(node?.damage ?? []));
  const source = await node?.bytes?.();
  if (node === undefined || source === undefined) return [missing(length, whyOf('parallels.image'))];
  if (node.backing !== undefined) {
    const effect = 'what the part holds itself is had, the rest is missing';
    damage.push(cx.damage(0, 'parallels.split-chain', 'parts without snapshots', `${name} on another one`, effect));
  }
  return filled(source, length);
}

/** A part's bytes, made up to its length. */
function filled(source: Source, length: number): Segment[] {
  const there = Math.min(length, source.size);
  const own = there > 0 ? [data(source, 0, there, STATED)] : [];
  return there < length ? [...own, missing(length - there, whyOf('parallels.part-short'))] : own;
}

function whyOf(code: string): Why {
  return { what: `Parallels ${DESCRIPTOR}`, code };
}
