/** Files by their content alone: the virtual directory +carved of whatever has bytes that nothing explains. */
import { type Carved, type Carver, Content } from '../core/carver.ts';
import { data, segments } from '../core/map-source.ts';
import type { Node } from '../core/node.ts';
import { GUESSED, INFERRED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { carvers } from '../formats/file/index.ts';
import { startsIn } from '../scan/starts.ts';
import { firstInUse, freeOf } from './free.ts';
import { type Place, Places } from './places.ts';
import type { CarvedName } from './residue.ts';
import type { Stack } from './stack.ts';

export const CARVED: CarvedName = '+carved';
/** Where lies what begins like a file and cannot be followed to its end. */
export const BROKEN = 'broken';
/** Where lies what ends where its head says, with nothing behind that could be checked. */
export const UNCHECKED = 'unchecked';
const SHELVES: Readonly<Record<string, string>> = {
  [BROKEN]: 'begin like files and cannot be followed to their ends',
  [UNCHECKED]: 'end where their heads say, and what lies between cannot be checked',
};
/** Files that are listed at most. */
const MAX_CARVED = 1_000_000;

/** Virtual directories of carved files, by what is looked at: the free space or all, sector starts or every byte. */
const FOLDERS: Readonly<Record<string, Reach>> = {
  [CARVED]: { all: false, everywhere: false },
  '+carved-any': { all: false, everywhere: true },
  '+carved-all': { all: true, everywhere: false },
  '+carved-all-any': { all: true, everywhere: true },
};

interface Reach {
  /** Also what file systems have given to files that live. */
  readonly all: boolean;
  /** Files may begin at every byte, not only at sectors. */
  readonly everywhere: boolean;
}

/** The name of the directory of carved files that looks so far. */
export function carvedName(all: boolean, everywhere: boolean): CarvedName {
  return `+carved${all ? '-all' : ''}${everywhere ? '-any' : ''}`;
}

/** The directory `name` of carved files of a node; undefined where it has no bytes to look through, or there is none such. */
export async function carvedFolder(stack: Stack, node: Node, name: string): Promise<Node | undefined> {
  const reach = Object.hasOwn(FOLDERS, name) ? FOLDERS[name] : undefined;
  const source = reach && (await bytesOf(stack, node));
  if (reach === undefined || source === undefined) return undefined;
  const free = reach.all ? undefined : await freeOf(stack, node, source);
  const files = new Carvings(source, free, reach.everywhere, `${node.locator}/${name}`, stack.signal);
  return {
    name,
    rawName: name,
    locator: `${node.locator}/${name}`,
    kind: 'directory',
    state: 'carved',
    facts: { details: { looksAt: looksAt(reach, free !== undefined) } },
    damage: [],
    child: (rawName) => files.child(rawName),
    children: () => files.children(),
  };
}

function looksAt({ everywhere }: Reach, isFree: boolean): string {
  return `${everywhere ? 'every byte' : 'every sector start'} of ${isFree ? 'what no live file has' : 'all bytes'}`;
}

/** What is looked through: of a file system all of the volume that it lies on. */
async function bytesOf(stack: Stack, node: Node): Promise<Source | undefined> {
  if (node.kind === 'filesystem') return stack.parentOf(node)?.bytes?.();
  if (!['evidence', 'disk', 'partition', 'volume'].includes(node.kind)) return undefined;
  const inside = node.kind === 'evidence' ? await stack.inside(node) : undefined;
  return inside?.kind === 'disk' ? inside.bytes?.() : node.bytes?.();
}

class Carvings {
  /** All bytes, and those to look at: the same, or with what is in use missing. */
  readonly #source: Source;
  readonly #free: Source | undefined;
  readonly #everywhere: boolean;
  readonly #locator: string;
  readonly #signal: AbortSignal;
  #found: Promise<Map<string, Places>> | undefined;

  constructor(source: Source, free: Source | undefined, everywhere: boolean, locator: string, signal: AbortSignal) {
    this.#source = source;
    this.#free = free;
    this.#everywhere = everywhere;
    this.#locator = locator;
    this.#signal = signal;
  }

  async *children(): AsyncGenerator<Node> {
    const all = await this.#all();
    for (const place of all.get(WHOLE) ?? []) yield fileNode(this.#source, this.#locator, place);
    for (const shelf of all.keys()) if (shelf !== WHOLE) yield this.#shelf(shelf, all.get(shelf)!);
  }

  /** A name says where its file begins, so one file is found without looking for all. */
  async child(rawName: string): Promise<Node | undefined> {
    if (SHELVES[rawName] !== undefined) {
      const places = (await this.#all()).get(rawName);
      return places && this.#shelf(rawName, places);
    }
    const at = placeOf(rawName);
    for (const carver of carvers) {
      const found = at < this.#source.size ? await this.#followed(carver, at) : undefined;
      if (found === undefined || shelfOf(found) !== undefined) continue;
      const node = fileNode(this.#source, this.#locator, { at, carver: carvers.indexOf(carver), found });
      if (node.rawName === rawName) return node;
    }
    return undefined;
  }

  #shelf(name: string, places: Places): Node {
    const [source, locator] = [this.#source, `${this.#locator}/${name}`];
    return {
      name,
      rawName: name,
      locator,
      kind: 'directory',
      state: 'carved',
      facts: { details: { what: SHELVES[name] } },
      damage: [],
      child: async (rawName) => {
        const nodes = [...places.from(placeOf(rawName))].map((place) => fileNode(source, locator, place));
        return nodes.find((node) => node.rawName === rawName);
      },
      async *children() {
        for (const place of places) yield fileNode(source, locator, place);
      },
    };
  }

  #all(): Promise<Map<string, Places>> {
    this.#found ??= this.#look();
    return this.#found;
  }

  async #look(): Promise<Map<string, Places>> {
    const out = new Map<string, Places>();
    let end = 0;
    let count = 0;
    const how = { carvers, everywhere: this.#everywhere, signal: this.#signal };
    for await (const { at, carver, head } of startsIn(this.#free ?? this.#source, how)) {
      // What lies inside a file that is whole belongs to it.
      if (at < end) continue;
      if (count >= MAX_CARVED) break;
      const found = await this.#followed(carver, at, head);
      if (found === undefined) continue;
      count++;
      const shelf = shelfOf(found) ?? WHOLE;
      const list = out.get(shelf) ?? new Places();
      out.set(shelf, list);
      list.add({ at, carver: carvers.indexOf(carver), found });
      if (shelf === WHOLE) end = at + found.length;
    }
    return out;
  }

  /** What a carver makes of a place. What lives there now ends it: nothing that is lost goes on in what is in use. */
  async #followed(carver: Carver, at: number, head?: Uint8Array): Promise<Carved | undefined> {
    const found = await followed(this.#free ?? this.#source, carver, at, head);
    if (found === undefined || this.#free === undefined) return found;
    const used = await firstInUse(this.#free, at, at + found.length);
    if (used === undefined) return found;
    return used > at ? { ...found, length: used - at, isWhole: false, isProved: false } : undefined;
  }
}

const WHOLE = '';

/** Where the file of a name begins; infinite where it is no name of one. */
function placeOf(rawName: string): number {
  const place = /^f(\d{1,16})\./.exec(rawName);
  return place === null ? Number.POSITIVE_INFINITY : Number(place[1]);
}

/** The directory that a file is kept in, apart from those that were followed to their ends. */
function shelfOf({ isWhole, isUnchecked }: Carved): string | undefined {
  if (!isWhole) return BROKEN;
  return isUnchecked === true ? UNCHECKED : undefined;
}

async function followed(
  source: Source,
  carver: Carver,
  at: number,
  head: Uint8Array | undefined,
): Promise<Carved | undefined> {
  const content = new Content(source, at, carver.most, head);
  for (const { offset, bytes } of carver.keys) {
    const head = await content.bytes(offset, bytes.length);
    if (head === undefined || !bytes.every((byte, i) => head[i] === byte)) continue;
    const found = await carver.examine(content);
    return found !== undefined && found.length > 0 && found.length <= content.size ? found : undefined;
  }
  return undefined;
}

function fileNode(source: Source, folder: string, { at, carver: number, found }: Place): Node {
  const carver = carvers[number];
  const rawName = `f${String(at).padStart(12, '0')}.${found.extension ?? carver.extension}`;
  const { length, isWhole, isProved = false } = found;
  const code = `carved.${shelfOf(found) ?? (isProved ? 'checksum' : 'structure')}`;
  const why = { what: `the content of a ${carver.title}`, source, at, code };
  const certainty = isProved ? INFERRED : GUESSED;
  return {
    name: rawName,
    rawName,
    locator: `${folder}/${rawName}`,
    kind: 'file',
    state: 'carved',
    facts: { size: length, details: { what: carver.title, isWhole, isProved, ...found.facts } },
    damage: [],
    bytes: async () => segments([data(source, at, length, certainty, why)]),
  };
}
