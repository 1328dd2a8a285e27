/** Chains of disks: each layer was opened alone by its format; here the files below are found and all is put together. */
import * as path from 'node:path';
import { type ChainLayer, chain } from '../core/chain.ts';
import type { Damage } from '../core/damage.ts';
import { EvidenceError } from '../core/evidence.ts';
import { MAX_CHAIN, MAX_TEXT } from '../core/limits.ts';
import { MemorySource } from '../core/memory.ts';
import type { Backing, Node } from '../core/node.ts';
import { flatten } from '../core/resolve.ts';
import { type Certainty, GUESSED, INFERRED, LOST, RunList, STATED, type Why, weaker } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { diskEndings, isNamedLikeDisk } from '../formats/index.ts';
import { doubtOf, nameOf } from './chain-doubts.ts';
import { givenDisks, givenNamed } from './given.ts';
import { isLike, type Likeness, likenessOf, namesAbove } from './likeness.ts';
import { LocatorError, locate } from './locate.ts';
import { siblingNode } from './siblings.ts';
import { passesThrough, type Stack } from './stack.ts';

/** Files of one directory that are opened in search of a parent that is not where its child says. */
const MAX_SEARCHED = 1024;
/** Of those, how many are held against a layer byte by byte. */
const MAX_COMPARED = 64;

/** Bytes of a text that describes a disk; no disk is as small. */
const MAX_DESCRIPTION = 64 * 1024;

/** What a format opened, before anything was put below it. */
interface Alone {
  readonly source: Source;
  readonly backing: Backing | undefined;
  readonly identities: readonly string[];
  /** Where the text that names its extents is less than stated itself. */
  readonly text?: TextDoubt;
}

interface TextDoubt {
  readonly certainty: Certainty;
  readonly why: Why;
}

/**
 * How it is known that one disk lies on another: it says that it is what its child needs; the child does not know what
 * that should be; it was written to since; by its name alone; several say the same; a person chose it; its bytes are
 * those that a layer copies from below.
 */
export type How = 'proved' | 'stated' | 'changed' | 'named' | 'alike' | 'chosen' | 'alike-bytes';

/** What lies directly below a layer. */
export interface Link {
  readonly file: Node;
  readonly alone: Alone;
  readonly how: How;
  /** Others that say the same of themselves. */
  readonly alike: readonly Node[];
}

/** A parent that a person chose for a layer: both as locators or paths. */
export interface Choice {
  readonly child: string;
  readonly parent: string;
}

/** Parents to try instead of those that would be found, by the locator of the child. */
export type Trial = ReadonlyMap<string, Node>;

/** Where disks are kept in mind that were given from anywhere. */
const GIVEN = '';
/** A layer that says of nothing that it lies on it. */
const UNSAID: Backing = { names: [], at: 0 };
/** What lies below a layer that may have had a parent, where none is found. */
const GROUND: ChainLayer = {
  source: new MemorySource([]),
  certainty: GUESSED,
  why: { what: 'zeros, unless there was a parent', code: 'chain.unsure' },
};

export class Chains {
  readonly #stack: Stack;
  readonly #choices: readonly Choice[];
  readonly #used = new Set<Choice>();
  /** The disks of a folder by what they say that they are. */
  readonly #known = new Map<string, Promise<ReadonlyMap<string, readonly Node[]>>>();

  constructor(stack: Stack, choices: readonly Choice[]) {
    this.#stack = stack;
    this.#choices = choices;
    for (const { child, parent } of choices) {
      const inner = choices.find((other) => parent.startsWith(`${other.child}::`));
      if (inner === undefined) continue;
      throw new EvidenceError(
        `${parent} lies inside ${inner.child}, which lies on a chosen parent itself: ${child} cannot lie on it. Choose another.`,
      );
    }
  }

  /** Choices of parents that nothing was opened for so far. */
  get unused(): readonly Choice[] {
    return this.#choices.filter((choice) => !this.#used.has(choice));
  }

  /** The disk that `opened`, found in `file`, is with all that lies below it. Others are answered as they are. */
  async joined(file: Node, opened: Node, only: boolean): Promise<Node> {
    const source = opened.kind === 'disk' ? await opened.bytes?.() : undefined;
    if (source === undefined) return opened;
    const { backing, identities = [] } = opened;
    const top: Alone = { source, backing, identities, ...(await textDoubt(file, opened)) };
    if (backing === undefined && top.text === undefined && this.#choiceFor(file) === undefined) return opened;
    const damage: Damage[] = [];
    const whole = await this.#follow(file, top, only, damage);
    const joined = { ...opened, damage: [...opened.damage, ...damage], bytes: async () => whole };
    if (opened.snapshots === undefined) return joined;
    // States that the file keeps lie on the same parents.
    const snapshots = opened.snapshots.map((state) => {
      const bytes = async (): Promise<Source> => (await this.joined(file, state, only)).bytes!();
      return { ...state, bytes };
    });
    return { ...joined, snapshots, child: async (rawName) => snapshots.find((state) => state.rawName === rawName) };
  }

  /** The bytes of a disk as they would be with other parents below some of its layers. */
  async tried(file: Node, opened: Node, only: boolean, trial: Trial): Promise<Source | undefined> {
    const source = await opened.bytes?.();
    const { backing, identities = [] } = opened;
    const top = { source: source!, backing, identities, ...(await textDoubt(file, opened)) };
    return source && this.#follow(file, top, only, [], trial);
  }

  /** What lies directly below a layer, if that is to be had. */
  async below(
    child: Node,
    backing: Backing | undefined,
    only: boolean,
    trial?: Trial,
    source?: Source,
  ): Promise<Link | undefined> {
    const tried = trial?.get(child.locator);
    const chosen = tried ?? (await this.#chosen(child));
    if (chosen !== undefined) {
      const found = await this.#opened(chosen, backing ?? UNSAID);
      const isProved = found?.how === 'proved' && backing?.identity !== undefined;
      return found && { ...found, how: isProved ? 'proved' : 'chosen' };
    }
    if (backing?.isUnsure === true) return this.#byBytes(child, backing, only, source);
    return backing && this.#parent(child, backing, only);
  }

  async #follow(file: Node, top: Alone, only: boolean, damage: Damage[], trial?: Trial): Promise<Source> {
    const layers: ChainLayer[] = [{ source: top.source, certainty: STATED, ...top.text }];
    const seen = new Set([file.locator]);
    let child = file;
    let lower: Alone = top;
    for (;;) {
      const link = await this.below(child, lower.backing, only, trial, lower.source);
      if (link === undefined && lower.backing === undefined) return chain(layers);
      const backing = lower.backing ?? UNSAID;
      const at = `${child.locator}@${backing.at}`;
      const problem = troubleOf(link, seen, layers.length);
      if (backing.isUnsure === true && (link === undefined || problem !== undefined)) return chain([...layers, GROUND]);
      if (link === undefined || problem !== undefined) {
        const named = nameOf(backing);
        const effect = 'what this layer and those above it do not hold is missing; give the parent as a further source';
        const code = link === undefined ? 'chain.parent' : 'chain.loop';
        damage.push({ code, at, expected: `a parent ${named}`, actual: problem ?? 'none', effect });
        return chain(layers, { what: `a parent ${named} that is not had`, code });
      }
      const doubt = doubtOf(link, backing, at);
      if (doubt !== undefined) damage.push(doubt.damage);
      const why: Why | undefined = doubt?.why;
      const { source, text } = link.alone;
      const said: ChainLayer = { source, certainty: why ? INFERRED : STATED, ...(why && { why }) };
      layers.push(text !== undefined && text.certainty < said.certainty ? { source, ...text } : said);
      seen.add(link.file.locator);
      child = link.file;
      lower = link.alone;
    }
  }

  #choiceFor(child: Node): Choice | undefined {
    return this.#choices.find(
      (choice) =>
        choice.child === child.locator ||
        Buffer.from(choice.child, 'utf8').toString('latin1') === child.rawName ||
        (child.kind === 'evidence' && path.resolve(choice.child) === path.resolve(child.locator)),
    );
  }

  /** The parent that a person chose for a layer: inside what is open, else a file of that path. */
  async #chosen(child: Node): Promise<Node | undefined> {
    const choice = this.#choiceFor(child);
    if (choice === undefined) return undefined;
    this.#used.add(choice);
    const { parent } = choice;
    const isInside = this.#stack.roots.some(
      ({ locator }) => parent === locator || /^(::|\/)/.test(below(parent, locator)),
    );
    // Nothing else is opened for a piece of evidence that is just being opened: it might be waited for itself.
    if (!isInside && child.kind === 'evidence') return this.#stack.evidence.further(parent);
    try {
      return (await locate(this.#stack, parent)).node;
    } catch (error) {
      if (isInside || !(error instanceof LocatorError)) throw error;
      return this.#stack.evidence.further(parent);
    }
  }

  /** The file that a layer names; else one that says it is what the layer needs; else the named one all the same. */
  async #parent(child: Node, backing: Backing, only: boolean): Promise<Link | undefined> {
    let named: Link | undefined;
    for (const name of backing.names) {
      const file = await siblingNode(this.#stack, child, name, only);
      if (file === undefined || file.locator === child.locator || file.bytes === undefined) continue;
      const found = await this.#opened(file, backing);
      if (found?.how === 'proved' || found?.how === 'stated') return found;
      named ??= found;
    }
    const elsewhere = (await this.#search(child, backing, only)) ?? (await this.#given(child, backing));
    // The very one that was written to since, where no copy of it was kept as it was.
    if (named?.how === 'changed' && elsewhere?.how !== 'proved') return named;
    return elsewhere ?? named;
  }

  /** Of a parent that is known by its name alone: that file where it was given itself, or in a folder of the same name. */
  async #given(child: Node, backing: Backing): Promise<Link | undefined> {
    if (backing.identity !== undefined || child.kind !== 'evidence') return undefined;
    for (const name of backing.names) {
      const [folder, base] = ['', ...name.split('/')].slice(-2);
      const file = await givenNamed(this.#stack, base);
      if (file === undefined || file.locator === child.locator) continue;
      const isMeant = this.#stack.roots.includes(file) || this.#stack.parentOf(file)?.rawName === folder;
      const found = isMeant ? await this.#opened(file, backing) : undefined;
      if (found !== undefined) return { ...found, how: 'named' };
    }
    return undefined;
  }

  async #search(child: Node, backing: Backing, only: boolean): Promise<Link | undefined> {
    if (backing.identity === undefined || backing.raw === true) return undefined;
    const key = this.#stack.parentOf(child)?.locator ?? path.dirname(path.resolve(child.locator));
    const near = await this.#identified(key, () => this.#around(child, only));
    let files = near.get(backing.identity)?.filter(({ locator }) => locator !== child.locator) ?? [];
    // What was given from elsewhere counts only where nothing beside it says that it is the one.
    if (files.length === 0) {
      const given = await this.#identified(GIVEN, () => givenDisks(this.#stack));
      files = given.get(backing.identity)?.filter(({ locator }) => locator !== child.locator) ?? [];
    }
    const found: Link[] = [];
    for (const file of files) {
      const link = await this.#opened(file, backing);
      if (link !== undefined) found.push(link);
    }
    const { unchanged } = backing;
    // Of several, one that was not written to since is the one; without such a mark nothing tells them apart.
    const kept = found.filter(({ how }) => how === 'proved');
    if (unchanged !== undefined && kept.length === 1) return kept[0];
    if (found.length < 2) return found[0];
    const first = kept[0] ?? found[0];
    const alike = found.filter((link) => link !== first).map(({ file }) => file);
    return { ...first, how: 'alike', alike };
  }

  /** The disk beside a layer whose bytes are those that the layer copied from below; the name of its parent is lost. */
  async #byBytes(child: Node, backing: Backing, only: boolean, source: Source | undefined): Promise<Link | undefined> {
    // Where a person says what a file is, all files are opened as that: they would wait for each other.
    if (source === undefined || (child.kind !== 'file' && child.kind !== 'evidence')) return undefined;
    const near: { file: Node; layer: Node | undefined }[] = [];
    const seen = new Set([path.resolve(child.locator)]);
    for await (const file of this.#around(child, only)) {
      if (seen.size > MAX_COMPARED) break;
      const isGiven = this.#stack.roots.includes(file);
      const isMeant =
        (file.kind === 'file' && isNamedLikeDisk(file.rawName)) ||
        (file.kind === 'evidence' && (isGiven || isNamedLikeDisk(file.rawName)));
      if (!isMeant || seen.has(path.resolve(file.locator))) continue;
      seen.add(path.resolve(file.locator));
      near.push({ file, layer: await this.#stack.layer(file) });
    }
    const above = namesAbove(child, near);
    let best: { link: Link; like: Likeness } | undefined;
    for (const { file, layer } of near) {
      if (above.has(file) || layer?.backing?.isUnsure === true) continue;
      const link = await this.#opened(file, layer?.kind === 'disk' ? backing : { ...backing, raw: true });
      const like = link && (await likenessOf(source, link.alone.source, this.#stack.signal));
      if (like !== undefined && isLike(like) && like.same > (best?.like.same ?? 0)) best = { link: link!, like };
    }
    return best && { ...best.link, how: 'alike-bytes' };
  }

  #identified(key: string, files: () => AsyncIterable<Node>): Promise<ReadonlyMap<string, readonly Node[]>> {
    const known = this.#known.get(key) ?? this.#identify(files());
    this.#known.set(key, known);
    return known;
  }

  /** What disks say that they are; each is opened once. */
  async #identify(files: AsyncIterable<Node>): Promise<ReadonlyMap<string, readonly Node[]>> {
    const out = new Map<string, Node[]>();
    const seen = new Set<string>();
    for await (const file of files) {
      const name = file.rawName.toLowerCase();
      const isDisk =
        (file.kind === 'file' || file.kind === 'evidence') && diskEndings.some((ending) => name.endsWith(ending));
      if (!isDisk || seen.has(path.resolve(file.locator))) continue;
      if (seen.size >= MAX_SEARCHED) break;
      seen.add(path.resolve(file.locator));
      const opened = await this.#stack.layer(file);
      if (opened?.kind !== 'disk') continue;
      for (const identity of opened.identities ?? []) out.set(identity, [...(out.get(identity) ?? []), file]);
    }
    return out;
  }

  /** What lies beside a file, then in the folder above: snapshots are often kept in one of their own. */
  async *#around(child: Node, only: boolean): AsyncGenerator<Node> {
    const folder = this.#stack.parentOf(child);
    if (folder === undefined) {
      yield* this.#stack.roots;
      const beside = path.dirname(path.resolve(child.locator));
      const near = only || child.kind !== 'evidence' ? [] : this.#stack.evidence.neighbours();
      return yield* near.filter((node) => path.dirname(node.locator) === beside);
    }
    yield* this.#stack.children(folder);
    const above = this.#stack.parentOf(folder);
    if (above !== undefined && isFolder(folder) && isFolder(above)) yield* this.#stack.children(above);
  }

  async #opened(file: Node, backing: Backing): Promise<Link | undefined> {
    const opened = backing.raw === true ? undefined : await this.#stack.layer(file);
    const source = await (opened?.kind === 'disk' ? opened : file).bytes?.();
    if (source === undefined) return undefined;
    // So short, and no disk: the text that named the parent's extents was lost, and its own bytes are not the disk's.
    const isText = opened?.kind !== 'disk' && source.size <= MAX_DESCRIPTION;
    if (isText && backing.raw !== true && backing.identity !== undefined) return undefined;
    const { backing: below, identities = [] } = opened?.kind === 'disk' ? opened : {};
    const text = opened?.kind === 'disk' ? await textDoubt(file, opened) : undefined;
    return { file, alone: { source, backing: below, identities, ...text }, how: howOf(backing, identities), alike: [] };
  }
}

function howOf({ identity, unchanged }: Backing, identities: readonly string[]): How {
  if (identity === undefined) return 'stated';
  if (!identities.includes(identity)) return 'named';
  return unchanged === undefined || identities.includes(unchanged) ? 'proved' : 'changed';
}

/** A disk whose bytes lie in other files is no surer than the text that names them: one that was made anew, say. */
async function textDoubt(file: Node, opened: Node): Promise<{ text?: TextDoubt }> {
  const source = (opened.disk?.extents.length ?? 0) > 0 ? await file.bytes?.() : undefined;
  if (source === undefined || source.size > MAX_TEXT) return {};
  let certainty: Certainty = STATED;
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) if (list.certainty(i) !== LOST) certainty = weaker(certainty, list.certainty(i));
  }
  const why = { what: `${file.locator}, a description that is not stated itself`, code: 'chain.text' };
  return certainty < STATED ? { text: { certainty, why } } : {};
}

/** What follows a locator in one that is below it. */
function below(locator: string, above: string): string {
  return locator.startsWith(above) ? locator.slice(above.length) : '';
}

function isFolder(node: Node): boolean {
  return node.children !== undefined && !passesThrough(node);
}

function troubleOf(parent: Link | undefined, seen: ReadonlySet<string>, layers: number): string | undefined {
  if (parent === undefined) return undefined;
  if (seen.has(parent.file.locator)) return `${parent.file.locator}, which is above it already`;
  return layers >= MAX_CHAIN ? `a chain of more than ${MAX_CHAIN} layers` : undefined;
}
