/** Virtual directories: files that were deleted, and files whose directory is lost. */
import { encodeName, printable } from '../../../core/locator.ts';
import type { Node, NodeState } from '../../../core/node.ts';
import { bestName, type Census, type Known } from './census.ts';
import { type Place, recordNodes } from './files.ts';
import { isInUse } from './record.ts';
import { type Slack, slackOf } from './slack.ts';
import { FIRST_USER_RECORD } from './structs.ts';
import type { Volume } from './volume.ts';

const STATES: Readonly<Record<string, NodeState>> = { '+deleted': 'deleted', '+orphan': 'orphan' };
/** Files that are listed at most. */
const MAX_GONE = 1_000_000;
const MAX_DEPTH = 128;

type Make = (locator: string, rawName: string) => Promise<Node[]>;

/** A directory that is put together from what was found. */
class Branch {
  readonly children = new Map<string, Branch | Make>();
  readonly #folders = new Map<string, Branch>();

  /** The directory of a name below; files of that name do not stand in its way. */
  enter(name: string): Branch {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const made = new Branch();
    this.#folders.set(name, made);
    this.children.set(this.#free(name), made);
    return made;
  }

  add(name: string, make: Make): void {
    this.children.set(this.#free(name), make);
  }

  #free(name: string): string {
    let out = name;
    for (let n = 2; this.children.has(out); n++) out = `${name};${n}`;
    return out;
  }
}

/** What is gone from a volume; looked for once, when somebody asks. */
export class Gone {
  readonly #volume: Volume;
  readonly #root: string;
  readonly #trees = new Map<string, Promise<Branch>>();

  /** `root` is the locator of the file system. */
  constructor(volume: Volume, root: string) {
    this.#volume = volume;
    this.#root = root;
  }

  /** '+deleted' or '+orphan', where there is something in it. */
  async node(rawName: string): Promise<Node | undefined> {
    const state = Object.hasOwn(STATES, rawName) ? STATES[rawName] : undefined;
    if (state === undefined) return undefined;
    let tree = this.#trees.get(rawName);
    if (tree === undefined) {
      tree = this.#volume
        .census()
        .then((census) => (state === 'deleted' ? this.#deleted(census) : this.#orphans(census)));
      this.#trees.set(rawName, tree);
    }
    const branch = await tree;
    return branch.children.size === 0 ? undefined : this.#node(branch, `${this.#root}/${rawName}`, rawName, state);
  }

  #node(branch: Branch, locator: string, rawName: string, state: NodeState): Node {
    const made = async (name: string, one: Branch | Make): Promise<Node[]> => {
      const inner = `${locator}/${encodeName(name)}`;
      return one instanceof Branch ? [this.#node(one, inner, name, state)] : one(inner, name);
    };
    return {
      name: printable(rawName),
      rawName,
      locator,
      kind: 'directory',
      state,
      facts: {},
      damage: [],
      async *children() {
        for (const [name, one] of branch.children) yield* await made(name, one);
      },
      async child(name) {
        // Named streams are called after what they belong to.
        const colon = name.indexOf(':', 1);
        const one = branch.children.get(name);
        if (one !== undefined) return (await made(name, one))[0];
        const owner = colon < 0 ? undefined : branch.children.get(name.slice(0, colon));
        if (owner === undefined) return undefined;
        return (await made(name.slice(0, colon), owner)).find((node) => node.rawName === name);
      },
    };
  }

  async #deleted(census: Census): Promise<Branch> {
    const top = new Branch();
    const folders = new Map<number, Branch>();
    let count = 0;
    for (const one of census.known.values()) {
      if (one.isLive || one.isDirectory || one.number < FIRST_USER_RECORD || ++count > MAX_GONE) continue;
      folderOf(census, one, top, folders, 0).add(bestName(one).name, (locator, rawName) =>
        this.#file(one.number, { locator, rawName, above: [], state: 'deleted' }),
      );
    }
    for await (const slack of slackOf(this.#volume, census)) {
      if (++count > MAX_GONE) break;
      const folder = folderOf(census, slack, top, folders, 0);
      folder.add(bestName(slack).name, async (locator, rawName) => [nameOnly(slack, locator, rawName)]);
    }
    return top;
  }

  async #orphans(census: Census): Promise<Branch> {
    const top = new Branch();
    let count = 0;
    for (const one of census.known.values()) {
      if (!one.isLive || one.number < FIRST_USER_RECORD) continue;
      const name = bestName(one);
      // Whoever has another name that leads to it is not lost.
      const isReached = one.names.some((other) => ['root', 'live'].includes(census.parentOf(other).is));
      if (isReached || ++count > MAX_GONE) continue;
      top
        .enter(`record-${name.parent}`)
        .add(name.name, (locator, rawName) => this.#file(one.number, { locator, rawName, above: [], state: 'orphan' }));
    }
    return top;
  }

  async #file(number: number, place: Place): Promise<Node[]> {
    const volume = this.#volume;
    const record = place.state === 'deleted' ? await volume.records.raw(number) : await volume.records.get(number);
    if (record === undefined) return [];
    if (isInUse(record)) {
      const expected = 'the directory that it names';
      const doubt = { at: record.place, code: 'ntfs.orphan', expected, actual: 'another one, or none' };
      return recordNodes(volume, record, place, [doubt]);
    }
    return recordNodes(volume, record, place, []);
  }
}

function folderOf(census: Census, one: Known, top: Branch, folders: Map<number, Branch>, depth: number): Branch {
  const name = bestName(one);
  const { is, directory } = census.parentOf(name);
  if (is === 'root') return top;
  if (directory === undefined || depth > MAX_DEPTH) return top.enter(`record-${name.parent}`);
  const known = folders.get(directory.number);
  if (known !== undefined) return known;
  const made = folderOf(census, directory, top, folders, depth + 1).enter(bestName(directory).name);
  folders.set(directory.number, made);
  return made;
}

/** A file of which only its name, size and times are left. */
function nameOnly({ facts }: Slack, locator: string, rawName: string): Node {
  return { name: printable(rawName), rawName, locator, kind: 'file', state: 'deleted', facts, damage: [] };
}
