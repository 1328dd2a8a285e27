/** Files by their content alone: the virtual directory +carved of whatever has bytes that nothing explains. */
import { type Carved, type Carver, Content } from '../core/carver.ts';
import type { Finder, Hit } from '../core/finder.ts';
import { data, segments } from '../core/map-source.ts';
import type { Node } from '../core/node.ts';
import { GUESSED, INFERRED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { carvers } from '../formats/file/index.ts';
import { Sweep } from '../scan/sweep.ts';
import type { Stack } from './stack.ts';

export const CARVED = '+carved';
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
const WINDOW = 4 * 1024 * 1024;
/** Bytes behind a window that the look at what begins in it may need. */
const NEED = 1024;

/** The directory of carved files of a node; undefined where it has no bytes to look through. */
export async function carvedFolder(stack: Stack, node: Node): Promise<Node | undefined> {
  const source = await bytesOf(stack, node);
  if (source === undefined) return undefined;
  const files = new Carvings(source, `${node.locator}/${CARVED}`, stack.signal);
  return {
    name: CARVED,
    rawName: CARVED,
    locator: `${node.locator}/${CARVED}`,
    kind: 'directory',
    state: 'carved',
    facts: {},
    damage: [],
    child: (rawName) => files.child(rawName),
    children: () => files.children(),
  };
}

/** What is looked through: of a file system all of the volume that it lies on. */
async function bytesOf(stack: Stack, node: Node): Promise<Source | undefined> {
  if (node.kind === 'filesystem') return stack.parentOf(node)?.bytes?.();
  if (!['evidence', 'disk', 'partition', 'volume'].includes(node.kind)) return undefined;
  const inside = node.kind === 'evidence' ? await stack.inside(node) : undefined;
  return inside?.kind === 'disk' ? inside.bytes?.() : node.bytes?.();
}

class Carvings {
  readonly #source: Source;
  readonly #locator: string;
  readonly #signal: AbortSignal;
  #found: Promise<Node[]> | undefined;

  constructor(source: Source, locator: string, signal: AbortSignal) {
    this.#source = source;
    this.#locator = locator;
    this.#signal = signal;
  }

  async *children(): AsyncGenerator<Node> {
    yield* await this.#all();
  }

  /** A name says where its file begins, so one file is found without looking for all. */
  async child(rawName: string): Promise<Node | undefined> {
    if (SHELVES[rawName] !== undefined) return (await this.#all()).find((node) => node.rawName === rawName);
    const place = /^f(\d{1,16})\./.exec(rawName);
    if (place === null) return undefined;
    const at = Number(place[1]);
    for (const carver of carvers) {
      const found = at < this.#source.size ? await followed(this.#source, carver, at) : undefined;
      if (found === undefined || shelfOf(found) !== undefined) continue;
      const node = fileNode(this.#source, this.#locator, carver, at, found);
      if (node.rawName === rawName) return node;
    }
    return undefined;
  }

  #all(): Promise<Node[]> {
    this.#found ??= this.#look();
    return this.#found;
  }

  async #look(): Promise<Node[]> {
    const files: Node[] = [];
    const shelves = new Map<string, Node[]>();
    let end = 0;
    let count = 0;
    for await (const { at, carver } of starts(this.#source, this.#signal)) {
      // What lies inside a file that is whole belongs to it.
      if (at < end || count >= MAX_CARVED) continue;
      const found = await followed(this.#source, carver, at);
      if (found === undefined) continue;
      count++;
      const shelf = shelfOf(found);
      const folder = shelf === undefined ? this.#locator : `${this.#locator}/${shelf}`;
      const node = fileNode(this.#source, folder, carver, at, found);
      if (shelf === undefined) {
        files.push(node);
        end = at + found.length;
      } else shelves.set(shelf, [...(shelves.get(shelf) ?? []), node]);
    }
    for (const [shelf, list] of shelves) files.push(shelfNode(`${this.#locator}/${shelf}`, shelf, list));
    return files;
  }
}

/** The directory that a file is kept in, apart from those that were followed to their ends. */
function shelfOf({ isWhole, isUnchecked }: Carved): string | undefined {
  if (!isWhole) return BROKEN;
  return isUnchecked === true ? UNCHECKED : undefined;
}

async function followed(source: Source, carver: Carver, at: number): Promise<Carved | undefined> {
  const content = new Content(source, at, carver.most);
  for (const { offset, bytes } of carver.keys) {
    const head = await content.bytes(offset, bytes.length);
    if (head === undefined || !bytes.every((byte, i) => head[i] === byte)) continue;
    const found = await carver.examine(content);
    return found !== undefined && found.length > 0 && found.length <= content.size ? found : undefined;
  }
  return undefined;
}

function fileNode(source: Source, folder: string, carver: Carver, at: number, found: Carved): Node {
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

function shelfNode(locator: string, name: string, files: readonly Node[]): Node {
  return {
    name,
    rawName: name,
    locator,
    kind: 'directory',
    state: 'carved',
    facts: { details: { what: SHELVES[name] } },
    damage: [],
    child: async (rawName) => files.find((node) => node.rawName === rawName),
    async *children() {
      yield* files;
    },
  };
}

/** Places at which a file may begin, in order: sectors that hold the start of one. */
async function* starts(source: Source, signal: AbortSignal): AsyncGenerator<{ at: number; carver: Carver }> {
  const sweep = new Sweep(carvers.map(finderOf));
  const byKind = new Map(carvers.map((carver) => [carver.title, carver]));
  const window = new Uint8Array(WINDOW + 65_536);
  for (let from = 0; from < source.size && !signal.aborted; from += WINDOW) {
    const length = Math.min(window.length, source.size - from);
    // Whole pairs of bytes are looked at; an odd one at the end starts nothing.
    const part = window.subarray(0, length - (length % 2));
    await source.read(from, part);
    const hits: Hit[] = [];
    sweep.run(
      part,
      from,
      (at, need) => (at >= from ? part.subarray(at - from, at - from + need) : undefined),
      (hit) => hits.push(hit),
    );
    hits.sort((a, b) => a.at - b.at);
    for (const { at, kind } of hits) if (at < from + WINDOW) yield { at, carver: byKind.get(kind)! };
  }
}

/** Carvers as finders: the key is all that is looked at while bytes go by. */
function finderOf(carver: Carver): Finder {
  return {
    align: 512,
    keys: carver.keys,
    need: NEED,
    examine: (_, at, emit) => emit({ kind: carver.title, at, length: NEED }),
  };
}
