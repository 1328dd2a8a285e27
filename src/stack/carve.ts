/** Files by their content alone: the virtual directory +carved of whatever has bytes that nothing explains. */
import type { Carved } from '../core/carver.ts';
import type { Hit } from '../core/finder.ts';
import { data, missing, segments } from '../core/map-source.ts';
import type { Node } from '../core/node.ts';
import { GUESSED, INFERRED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { carvers } from '../formats/file/index.ts';
import { filesIn, followed, type Ground, groundOf, placeIn } from './carve-search.ts';
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
  const ground = reach && (await groundOf(stack, node, reach.all));
  if (reach === undefined || ground === undefined) return undefined;
  const kept = name === CARVED ? await keptOf(stack, node) : undefined;
  // What a case keeps is of the file as it is registered; where layers make other bytes of it, these may differ.
  const isOwn = kept !== undefined && (await node.bytes?.()) === ground.source;
  const files = new Carvings(ground, reach.everywhere, `${node.locator}/${name}`, stack.signal, kept, isOwn);
  return {
    name,
    rawName: name,
    locator: `${node.locator}/${name}`,
    kind: 'directory',
    state: 'carved',
    facts: { details: { looksAt: looksAt(reach, ground.free !== undefined) } },
    damage: [],
    child: (rawName) => files.child(rawName),
    children: () => files.children(),
  };
}

/** What a search that was ended before found on a piece of evidence; undefined where there was none. */
export async function keptOf(stack: Stack, node: Node): Promise<Iterable<Hit> | undefined> {
  const source = node.kind === 'evidence' ? await node.bytes?.() : undefined;
  return source && stack.found?.carved?.(source);
}

function looksAt({ everywhere }: Reach, isFree: boolean): string {
  return `${everywhere ? 'every byte' : 'every sector start'} of ${isFree ? 'what no live file has' : 'all bytes'}`;
}

class Carvings {
  readonly #ground: Ground;
  readonly #everywhere: boolean;
  readonly #locator: string;
  readonly #signal: AbortSignal;
  readonly #kept: Iterable<Hit> | undefined;
  /** What was found once is what would be found now. */
  readonly #isSettled: boolean;
  #found: Promise<Map<string, Places>> | undefined;

  constructor(
    ground: Ground,
    everywhere: boolean,
    locator: string,
    signal: AbortSignal,
    kept: Iterable<Hit> | undefined,
    isOwn: boolean,
  ) {
    this.#ground = ground;
    this.#everywhere = everywhere;
    this.#locator = locator;
    this.#signal = signal;
    this.#kept = kept;
    this.#isSettled = kept === undefined || isOwn;
  }

  async *children(): AsyncGenerator<Node> {
    const all = await this.#all();
    for (const place of all.get(WHOLE) ?? []) yield this.#file(place);
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
      const found = at < this.#ground.source.size ? await followed(this.#ground, carver, at) : undefined;
      if (found === undefined || shelfOf(found) !== undefined) continue;
      const node = fileNode(this.#ground.source, this.#locator, { at, carver: carvers.indexOf(carver), found });
      if (node.rawName === rawName) return node;
    }
    return undefined;
  }

  #shelf(name: string, places: Places): Node {
    const locator = `${this.#locator}/${name}`;
    const file = (place: Place): Node => this.#file(place, locator);
    return {
      name,
      rawName: name,
      locator,
      kind: 'directory',
      state: 'carved',
      facts: { details: { what: SHELVES[name] } },
      damage: [],
      child: async (rawName) => {
        const nodes = [...places.from(placeOf(rawName))].map(file);
        return nodes.find((node) => node.rawName === rawName);
      },
      async *children() {
        for (const place of places) yield file(place);
      },
    };
  }

  /** Where layers make the bytes, what is there now decides how certain they are: there may be others of them, or other parents. */
  #file(place: Place, folder = this.#locator): Node {
    const { at, carver, found } = place;
    if (this.#isSettled) return fileNode(this.#ground.source, folder, place);
    return fileNode(this.#ground.source, folder, place, async () => {
      const now = await followed(this.#ground, carvers[carver], at);
      return now?.length === found.length && now.isWhole === found.isWhole && now.isProved === found.isProved;
    });
  }

  #all(): Promise<Map<string, Places>> {
    this.#found ??= this.#look();
    return this.#found;
  }

  async #look(): Promise<Map<string, Places>> {
    const out = new Map<string, Places>();
    let count = 0;
    const take = (place: Place): void => {
      count++;
      const shelf = shelfOf(place.found) ?? WHOLE;
      const list = out.get(shelf) ?? new Places();
      out.set(shelf, list);
      list.add(place);
    };
    if (this.#kept !== undefined) {
      for (const hit of this.#kept) {
        const place = placeIn(hit);
        if (place !== undefined && count < MAX_CARVED) take(place);
      }
      return out;
    }
    for await (const place of filesIn(this.#ground, { everywhere: this.#everywhere, signal: this.#signal })) {
      if (count >= MAX_CARVED) break;
      take(place);
    }
    return out;
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

/** `isStill` tells whether what was found once is there; absent where it was found just now. */
function fileNode(
  source: Source,
  folder: string,
  { at, carver: number, found }: Place,
  isStill?: () => Promise<boolean>,
): Node {
  const carver = carvers[number];
  const rawName = `f${String(at).padStart(12, '0')}.${found.extension ?? carver.extension}`;
  const { isWhole, isProved = false } = found;
  return {
    name: rawName,
    rawName,
    locator: `${folder}/${rawName}`,
    kind: 'file',
    state: 'carved',
    facts: { size: found.length, details: { what: carver.title, isWhole, isProved, ...found.facts } },
    damage: [],
    bytes: async () => {
      const isSame = isStill === undefined || (await isStill());
      const code = `carved.${isSame ? (shelfOf(found) ?? (isProved ? 'checksum' : 'structure')) : 'changed'}`;
      const why = { what: `the content of a ${carver.title}`, source, at, code };
      const length = Math.max(0, Math.min(found.length, source.size - at));
      const there = data(source, at, length, isProved && isSame ? INFERRED : GUESSED, why);
      return segments(length === found.length ? [there] : [there, missing(found.length - length, why)]);
    },
  };
}
