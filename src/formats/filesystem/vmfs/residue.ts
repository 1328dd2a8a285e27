/** The virtual directories of a volume: what it still holds and no longer shows, as nodes. */
import type { Damage } from '../../../core/damage.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { addressText } from './address.ts';
import type { Descriptor } from './descriptor.ts';
import { factsOf, KINDS, MAX_TARGET } from './files.ts';
import { type Leftover, lostOf, textsFor } from './residue-lost.ts';
import { lostNode, textSource } from './residue-lost-node.ts';
import { type Named, namesOf } from './residue-names.ts';
import { shareOf, withShare } from './residue-share.ts';
import { type Residue, Survey } from './residue-survey.ts';
import { type Branch, pathTo, treeOf } from './residue-tree.ts';
import { TYPE_DIRECTORY, TYPE_RDM, TYPE_SYMLINK } from './structs.ts';
import type { Volume } from './volume.ts';

/** Names that lead to what is gone, beside the root's own children. */
const STATES: Readonly<Record<string, Residue['state']>> = { '+deleted': 'deleted', '+orphan': 'orphan' };
const FREE = 'the file was deleted; its name and bytes are what is left, inferred at most';
const UNNAMED = 'no directory names it; its name and place are inferred, its bytes too';

/** A file that is known by name, and whose bytes are to be looked for. */
export interface OpenFile {
  readonly path: readonly string[];
  /** Its descriptor's number; -1 where it is not known. */
  readonly index: number;
  readonly size: number | undefined;
}

/** What is gone from one volume; looked for once, when somebody asks. */
export class ResidueOf {
  readonly #volume: Volume;
  readonly #root: string;
  #survey: Promise<Survey> | undefined;
  #names: Promise<Map<number, Named>> | undefined;
  #lost: Promise<Leftover> | undefined;
  readonly #trees = new Map<string, Promise<Branch>>();

  /** `root` is the locator of the file system. */
  constructor(volume: Volume, root: string) {
    this.#volume = volume;
    this.#root = root;
  }

  /** '+deleted' or '+orphan', which are always there; undefined for any other name. */
  node(rawName: string): Node | undefined {
    const state = Object.hasOwn(STATES, rawName) ? STATES[rawName] : undefined;
    if (state === undefined) return undefined;
    const locator = `${this.#root}/${rawName}`;
    const tree = (): Promise<Branch> => this.#tree(rawName, state);
    // What is wrong is known once somebody has looked.
    const damage: Damage[] = [];
    const looked = async (): Promise<Branch> => {
      const branch = await tree();
      if (damage.length === 0) damage.push(...(await this.#take()).damage);
      return branch;
    };
    return { ...this.#directory(rawName, locator, state, looked), facts: { mode: 0o755 }, damage };
  }

  #tree(rawName: string, state: Residue['state']): Promise<Branch> {
    let tree = this.#trees.get(rawName);
    if (tree === undefined) {
      tree = this.#take().then(async (survey) => {
        if (state === 'orphan' || survey.wants.size > 0) await survey.findTables();
        const names = await this.#namesIn(survey);
        const texts = await textsFor(survey, names);
        if (state === 'deleted') return treeOf(survey, names, state, [], texts);
        const left = await this.#leftover(survey);
        return treeOf(survey, left.names, state, left.lost, texts);
      });
      this.#trees.set(rawName, tree);
    }
    return tree;
  }

  /** Names that are left without bytes, with what else is known of them. */
  async open(): Promise<OpenFile[]> {
    const survey = await this.#take();
    const { names, open } = await this.#leftover(survey);
    return open.map(({ name, directory, index, size }) => ({
      path: [...pathTo(survey, names, directory), name],
      index,
      size,
    }));
  }

  #namesIn(survey: Survey): Promise<Map<number, Named>> {
    this.#names ??= namesOf(survey);
    return this.#names;
  }

  #leftover(survey: Survey): Promise<Leftover> {
    this.#lost ??= this.#namesIn(survey).then(async (names) => lostOf(survey, names, await textsFor(survey, names)));
    return this.#lost;
  }

  #take(): Promise<Survey> {
    this.#survey ??= Survey.take(this.#volume);
    return this.#survey;
  }

  /** A directory of such a tree that has no descriptor of its own there. */
  #directory(rawName: string, locator: string, state: Residue['state'], tree: () => Promise<Branch>): Node {
    const below = async (name: string, branch: Branch): Promise<Node> => {
      return this.#node(branch, name, `${locator}/${encodeName(name)}`, state);
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
        for (const [name, branch] of (await tree()).children) yield await below(name, branch);
      },
      async child(name) {
        const branch = (await tree()).children.get(name);
        return branch === undefined ? undefined : below(name, branch);
      },
    };
  }

  async #node(branch: Branch, rawName: string, locator: string, state: Residue['state']): Promise<Node> {
    const { residue, named, lost, match, text } = branch;
    if (lost !== undefined) return lostNode(this.#volume, await this.#take(), rawName, locator, lost);
    const directory = this.#directory(rawName, locator, state, async () => branch);
    if (residue === undefined || named === undefined) return directory;
    const fd = await (await this.#take()).descriptor(residue);
    if (fd === undefined) return directory;
    const facts = factsOf(fd);
    const { name, from, others } = named;
    const details = {
      ...facts.details,
      name_from: from,
      reason: residue.code,
      ...(name !== rawName && { name }),
      ...(text !== undefined && { bytes_from: `${text.from}; ${text.text.name}` }),
      ...(match !== undefined && { pointers_from: match.from, pointerBlocks: match.chain.tables }),
      ...(others !== undefined && { other_names: others.map(printable).join(', ') }),
    };
    const node: Node = { ...directory, facts: { ...facts, details }, damage: this.#damage(residue, fd) };
    if (residue.type === TYPE_DIRECTORY) return node;
    const { children: _, child: __, ...file } = node;
    const plain: Node = { ...file, kind: KINDS[fd.type] ?? 'file' };
    if (residue.type === TYPE_RDM) return plain;
    const survey = await this.#take();
    const bytes = async (): Promise<Source> => {
      if (text !== undefined) return textSource(this.#volume, text.text, text.only ? INFERRED : GUESSED);
      return match === undefined ? survey.bytesOf(residue, fd) : survey.matchedBytes(match);
    };
    const source = await bytes();
    if (residue.type !== TYPE_SYMLINK)
      return { ...withShare(this.#volume, plain, fd.at, await shareOf(survey, source)), bytes };
    const target = new Uint8Array(Math.min(source.size, MAX_TARGET));
    await source.read(0, target);
    return { ...plain, bytes, facts: { ...plain.facts, target: latin1(target, 0, target.length) } };
  }

  #damage(residue: Residue, fd: Descriptor): Node['damage'] {
    const what = `file descriptor ${addressText(residue.address)}`;
    const free = residue.state === 'deleted';
    const expected = free ? `${what} to be allocated` : `a directory entry for ${what}`;
    const actual = free ? 'free, by its bitmap' : 'none that the root leads to';
    const own = { at: fd.at, code: residue.code, expected, actual };
    const effect = 'what it leads to is inferred, not stated';
    return [
      this.#volume.note(own, free ? FREE : UNNAMED),
      ...fd.doubts.map((doubt) => this.#volume.note(doubt, effect)),
    ];
  }
}
