/** What folders lack, and the texts made anew for it: files of a virtual directory in each folder, '+regenerated'. */
import { encodeName, printable } from '../core/locator.ts';
import { data, type Segment, segments } from '../core/map-source.ts';
import { MemorySource } from '../core/memory.ts';
import type { Folder, Mended, Piece } from '../core/mend.ts';
import { changedNode, type Node } from '../core/node.ts';
import { type Certainty, GUESSED, INFERRED, type Why, weaker } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { formats } from '../formats/index.ts';
import { type Stripes, sentenceOf, stripesOf, withoutStripes } from './encrypted.ts';
import type { Stack } from './stack.ts';

/** The name of the virtual directory; a real one of this name is written %2Bregenerated in locators. */
export const MENDED = '+regenerated';

/** Smaller files are looked at only where their names say what they are. */
const LARGE = 1024 * 1024;
/** Files of one folder that are looked at. A machine has some dozens. */
const MAX_PIECES = 4096;
/** Room behind a name for what tells it from another. */
const MAX_TRIES = 1000;

/** Endings that stand behind others by custom, and not because an encryptor put them there. */
const CUSTOMARY = /^(args|lck|old|orig|bak|backup|tmp|part|gz|zip|xz|bz2|zst|txt|log|md5|sha\d*|iso|\d+)$/i;
const APPENDED = /^(.+\.[A-Za-z]{3,5})\.([\w{}@-]{2,64})$/;
/** Files with the same appended ending that make it one. */
const LEAST_APPENDED = 2;

const menders = formats.flatMap(({ layer, mender }) => (mender === undefined ? [] : [{ ...mender, layer }]));

const diskNames = formats.flatMap(({ layer, mender }) =>
  layer === 'disk' && mender !== undefined ? [mender.pieces] : [],
);

const made = new WeakMap<Node, Mended>();

/** What a node was made from, for one that was regenerated. */
export function mendedOf(node: Node): Mended | undefined {
  return made.get(node);
}

/** The files of one folder that menders want to see, as a listing goes by. */
export class Pieces {
  readonly #pieces = new Map<string, Piece>();
  /** Files with the bytes of disks, by the names they have. */
  readonly #disks: Node[] = [];
  readonly #endings = new Map<string, number>();
  #named = false;
  #full = false;

  /** Whether it is one of them. */
  see(node: Node): boolean {
    if (node.kind !== 'file' && node.kind !== 'evidence') return false;
    const appended = APPENDED.exec(node.rawName);
    const isAppended = appended !== null && !CUSTOMARY.test(appended[2]) && isName(appended[1]);
    if (isAppended) this.#endings.set(appended[2], (this.#endings.get(appended[2]) ?? 0) + 1);
    const isNamed = isAppended || isName(node.rawName);
    if (!isNamed && (node.facts.size ?? 0) < LARGE) return false;
    this.#full ||= this.#pieces.size >= MAX_PIECES;
    this.#named ||= isNamed;
    if (this.#full || node.bytes === undefined) return false;
    const { rawName, facts } = node;
    if (isDisk(rawName)) this.#disks.push(node);
    this.#pieces.set(rawName, { rawName, file: rawName, facts, source: async () => node.bytes?.() });
    return true;
  }

  /** The ending that an encryptor put behind the names of this folder. */
  get ending(): string | undefined {
    return [...this.#endings].find(([, count]) => count >= LEAST_APPENDED)?.[0];
  }

  /** Disks that ransomware was at, as nodes that say which of their bytes it took. */
  async encrypted(): Promise<Node[]> {
    const out: Node[] = [];
    if (this.#full) return out;
    for (const node of this.#disks) {
      const masked = await maskedNode(node);
      if (masked !== undefined) out.push(masked);
    }
    return out;
  }

  /** All pieces by the names they had before. */
  #renamed(): Map<string, Piece> {
    const { ending } = this;
    if (ending === undefined) return new Map(this.#pieces);
    const out = new Map<string, Piece>();
    for (const [file, piece] of this.#pieces) {
      const rawName = file.endsWith(`.${ending}`) ? file.slice(0, -ending.length - 1) : file;
      // A file that has the plain name is the one to use.
      if (rawName === file || !this.#pieces.has(rawName)) out.set(rawName, { ...piece, rawName });
    }
    return out;
  }

  /** What the folder lacks. Nothing where no name speaks of a machine, or there are too many to be one's folder. */
  async mend(folder: Node): Promise<Mended[]> {
    if (!this.#named || this.#full) return [];
    const out: Mended[] = [];
    for (const { mend, layer } of menders) {
      // Disks that lie beside each other because they have no names are not one machine.
      if (layer === 'machine' && folder.state === 'carved') continue;
      const pieces = this.#renamed();
      for (const one of out) pieces.set(one.rawName, pieceOf(one));
      const taken = [...this.#pieces.keys(), ...out.map(({ rawName }) => rawName)];
      out.push(...(await mend(new View(folder.rawName, pieces, [...out], taken))));
    }
    return out;
  }
}

/** What is known of a disk's encrypted stripes; undefined for a sound one, and at once for files of other kinds. */
export function stripesIn(node: Node): Promise<{ stripes: Stripes; source: Source } | undefined> | undefined {
  if ((node.kind !== 'file' && node.kind !== 'evidence') || !isDisk(node.rawName)) return undefined;
  return stripesOn(node);
}

async function stripesOn(node: Node): Promise<{ stripes: Stripes; source: Source } | undefined> {
  const source = await node.bytes?.();
  const stripes = source === undefined ? undefined : await stripesOf(source);
  return stripes === undefined ? undefined : { stripes, source: withoutStripes(source!, stripes) };
}

async function maskedNode(node: Node): Promise<Node | undefined> {
  const found = await stripesIn(node);
  if (found === undefined) return undefined;
  const notices = [...(node.notices ?? []), `${node.name} ${sentenceOf(found.stripes)}`];
  return changedNode(node, { notices, bytes: async () => found.source });
}

function isDisk(rawName: string): boolean {
  const plain = APPENDED.exec(rawName)?.[1];
  return diskNames.some((name) => name.test(rawName) || (plain !== undefined && name.test(plain)));
}

function isName(rawName: string): boolean {
  return menders.some(({ pieces }) => pieces.test(rawName));
}

class View implements Folder {
  readonly rawName: string;
  readonly pieces: ReadonlyMap<string, Piece>;
  readonly mended: readonly Mended[];
  readonly #taken: Set<string>;
  readonly #given = new Map<string, string>();

  constructor(
    rawName: string,
    pieces: ReadonlyMap<string, Piece>,
    mended: readonly Mended[],
    taken: readonly string[],
  ) {
    this.rawName = rawName;
    this.pieces = pieces;
    this.mended = mended;
    this.#taken = new Set(taken);
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
  return mended.length === 0 ? [] : virtual(folder, mended, []).nodes;
}

/** The virtual directory of a folder; undefined where it lacks nothing. */
export async function mendedFolder(stack: Stack, folder: Node): Promise<Node | undefined> {
  if (folder.children === undefined || (folder.kind !== 'directory' && folder.kind !== 'filesystem')) return undefined;
  const pieces = new Pieces();
  for await (const child of stack.children(folder)) pieces.see(child);
  const mended = await pieces.mend(folder);
  const encrypted = await pieces.encrypted();
  return mended.length + encrypted.length === 0 ? undefined : virtual(folder, mended, encrypted).directory;
}

/** Lists the regenerated files only; by name, the rest of the folder is there too, so that disks find their extents. */
function virtual(
  folder: Node,
  mended: readonly Mended[],
  encrypted: readonly Node[],
): { directory: Node; nodes: Node[] } {
  const nodes: Node[] = [];
  const locator = `${folder.locator}/${MENDED}`;
  const masked = encrypted.map((node) => changedNode(node, { locator: `${locator}/${encodeName(node.rawName)}` }));
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
      yield* masked;
    },
    child: async (rawName) => {
      const own = [...nodes, ...masked].find((node) => node.rawName === rawName);
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
  return { rawName: one.rawName, file: one.rawName, facts: { size: source.size }, source: async () => source };
}

/** Where the parts of a regenerated file came from, each once, and whether anything was assumed. */
export function originsOf({ lines }: Mended): { from: string[]; assumed: boolean } {
  const from = new Set<string>();
  for (const line of lines) if (line.certainty > GUESSED && line.from !== 'the format') from.add(printable(line.from));
  return { from: [...from], assumed: lines.some(({ certainty }) => certainty <= GUESSED) };
}
