/** What folders lack, and the texts made anew for it: files of a virtual directory in each folder, '+regenerated'. */
import { encodeName, printable } from '../core/locator.ts';
import { data, type Segment, segments } from '../core/map-source.ts';
import { MemorySource } from '../core/memory.ts';
import type { Folder, Mended, Piece } from '../core/mend.ts';
import type { Node } from '../core/node.ts';
import { type Certainty, GUESSED, INFERRED, type Why, weaker } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { formats } from '../formats/index.ts';
import type { Stack } from './stack.ts';

/** The name of the virtual directory; a real one of this name is written %2Bregenerated in locators. */
export const MENDED = '+regenerated';

/** Smaller files are looked at only where their names say what they are. */
const LARGE = 1024 * 1024;
/** Files of one folder that are looked at. A machine has some dozens. */
const MAX_PIECES = 4096;
/** Room behind a name for what tells it from another. */
const MAX_TRIES = 1000;

const menders = formats.flatMap(({ mender }) => (mender === undefined ? [] : [mender]));

const made = new WeakMap<Node, Mended>();

/** What a node was made from, for one that was regenerated. */
export function mendedOf(node: Node): Mended | undefined {
  return made.get(node);
}

/** The files of one folder that menders want to see, as a listing goes by. */
export class Pieces {
  readonly #pieces = new Map<string, Piece>();
  #named = false;
  #full = false;

  /** Whether it is one of them. */
  see(node: Node): boolean {
    if (node.kind !== 'file' && node.kind !== 'evidence') return false;
    const isNamed = menders.some(({ pieces }) => pieces.test(node.rawName));
    if (!isNamed && (node.facts.size ?? 0) < LARGE) return false;
    this.#full ||= this.#pieces.size >= MAX_PIECES;
    this.#named ||= isNamed;
    if (this.#full || node.bytes === undefined) return false;
    const { rawName, facts } = node;
    this.#pieces.set(rawName, { rawName, facts, source: async () => node.bytes?.() });
    return true;
  }

  /** What the folder lacks. Nothing where no name speaks of a machine, or there are too many to be one's folder. */
  async mend(folder: Node): Promise<Mended[]> {
    if (!this.#named || this.#full) return [];
    const out: Mended[] = [];
    for (const { mend } of menders) {
      const pieces = new Map(this.#pieces);
      for (const one of out) pieces.set(one.rawName, pieceOf(one));
      out.push(...(await mend(new View(folder.rawName, pieces, [...out]))));
    }
    return out;
  }
}

class View implements Folder {
  readonly rawName: string;
  readonly pieces: ReadonlyMap<string, Piece>;
  readonly mended: readonly Mended[];
  readonly #taken: Set<string>;
  readonly #given = new Map<string, string>();

  constructor(rawName: string, pieces: ReadonlyMap<string, Piece>, mended: readonly Mended[]) {
    this.rawName = rawName;
    this.pieces = pieces;
    this.mended = mended;
    this.#taken = new Set(pieces.keys());
  }

  free(rawName: string): string {
    const given = this.#given.get(rawName);
    if (given !== undefined) return given;
    const [, stem, ending] = /^(.*?)(\.[^.]*)?$/s.exec(rawName)!;
    let name = rawName;
    for (let n = 1; this.#taken.has(name) && n < MAX_TRIES; n++) {
      name = `${stem}.regenerated${n === 1 ? '' : n}${ending ?? ''}`;
    }
    this.#taken.add(name);
    this.#given.set(rawName, name);
    return name;
  }
}

/** The regenerated files of a folder as nodes, from what was seen of it. */
export async function mendedNodes(folder: Node, pieces: Pieces): Promise<Node[]> {
  const mended = await pieces.mend(folder);
  return mended.length === 0 ? [] : virtual(folder, mended).nodes;
}

/** The virtual directory of a folder; undefined where it lacks nothing. */
export async function mendedFolder(stack: Stack, folder: Node): Promise<Node | undefined> {
  if (folder.children === undefined || (folder.kind !== 'directory' && folder.kind !== 'filesystem')) return undefined;
  const pieces = new Pieces();
  for await (const child of stack.children(folder)) pieces.see(child);
  const mended = await pieces.mend(folder);
  return mended.length === 0 ? undefined : virtual(folder, mended).directory;
}

/** Lists the regenerated files only; by name, the rest of the folder is there too, so that disks find their extents. */
function virtual(folder: Node, mended: readonly Mended[]): { directory: Node; nodes: Node[] } {
  const nodes: Node[] = [];
  const locator = `${folder.locator}/${MENDED}`;
  const directory: Node = {
    name: MENDED,
    rawName: MENDED,
    locator,
    kind: 'directory',
    state: folder.state,
    facts: {},
    damage: [],
    parent: folder,
    async *children() {
      yield* nodes;
    },
    child: async (rawName) => {
      const own = nodes.find((node) => node.rawName === rawName);
      return own ?? folder.child?.(rawName);
    },
  };
  for (const one of mended) {
    const source = sourceOf(one);
    const node: Node = {
      name: printable(one.rawName),
      rawName: one.rawName,
      locator: `${locator}/${encodeName(one.rawName)}`,
      kind: 'file',
      state: folder.state,
      facts: { size: source.size },
      damage: [],
      notices: [one.lacks, ...one.notes].map(printable),
      parent: directory,
      bytes: async () => source,
    };
    made.set(node, one);
    nodes.push(node);
  }
  return { directory, nodes };
}

/** The text as bytes; each line says how sure it is and what it was made from. Never more than inferred. */
function sourceOf({ lines }: Mended): Source {
  const bytes = Buffer.from(`${lines.map(({ text }) => text).join('\n')}\n`, 'latin1');
  const memory = new MemorySource(bytes);
  const whys = new Map<string, Why>();
  const out: Segment[] = [];
  let at = 0;
  for (const { text, certainty, from } of lines) {
    const grade: Certainty = weaker(certainty, INFERRED);
    const code = grade === GUESSED ? 'regenerated.assumed' : 'regenerated';
    const key = `${code} ${from}`;
    let why = whys.get(key);
    if (why === undefined) {
      why = { what: `regenerated, from ${printable(from)}`, code };
      whys.set(key, why);
    }
    out.push(data(memory, at, text.length + 1, grade, why));
    at += text.length + 1;
  }
  return segments(out);
}

function pieceOf(one: Mended): Piece {
  const source = sourceOf(one);
  return { rawName: one.rawName, facts: { size: source.size }, source: async () => source };
}

/** Where the parts of a regenerated file came from, each once, and whether anything was assumed. */
export function originsOf({ lines }: Mended): { from: string[]; assumed: boolean } {
  const from = new Set<string>();
  for (const line of lines) if (line.certainty > GUESSED && line.from !== 'the format') from.add(printable(line.from));
  return { from: [...from], assumed: lines.some(({ certainty }) => certainty <= GUESSED) };
}
