/** Opens whatever this is: evidence, layer by layer, into one tree of nodes with locators. */
import type { Listing } from '../core/batches.ts';
import type { Damage } from '../core/damage.ts';
import { EvidenceError, FileSource } from '../core/evidence.ts';
import type { Found } from '../core/finder.ts';
import type { Candidate, Cx, Format, Reference } from '../core/format.ts';
import { MAX_PATH_DEPTH } from '../core/limits.ts';
import { slice } from '../core/map-source.ts';
import { type Node, NotThis } from '../core/node.ts';
import { VERIFIED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { formats } from '../formats/index.ts';
import { CARVED, carvedFolder } from './carve.ts';
import { Chains, type Choice, type Link, type Trial } from './chains.ts';
import { Evidence, type NamedSource } from './evidence.ts';
import { Members } from './members.ts';
import { MENDED, mendedFolder } from './mend.ts';
import { siblingsByName } from './siblings.ts';
import { worthALook } from './worth.ts';

export interface OpenOptions {
  /** Use the given sources only, not other files beside them. */
  readonly only?: boolean;
  /** Take what lies at a byte offset of the evidence as this format. */
  readonly as?: { readonly format: string; readonly at: number };
  /** Parents that a person chose, by the disks that lie on them. */
  readonly parents?: readonly Choice[];
  readonly signal?: AbortSignal;
  /** What scans of the evidence found. */
  readonly found?: Found;
}

/** Interiors kept open by locator; volumes are few, files are opened one after the other. */
const MAX_INTERIORS = 256;

/** Those that are asked only where no other format knows the bytes come last. */
const IN_ORDER = [...formats].sort((a, b) => Number(a.lastResort ?? 0) - Number(b.lastResort ?? 0));

/** A format that knows some bytes, and how sure it is of them. */
export interface Claim {
  readonly format: Format;
  readonly score: number;
}

type Ranked = Claim & { readonly cx: Cx };
type Which = (format: Format) => boolean;

/** What is left of a format is never surer of itself than this. */
export const SURE = 50;

export class Stack {
  readonly evidence: Evidence;
  readonly signal: AbortSignal;
  readonly #options: OpenOptions;
  #found: Found | undefined;
  readonly #members: Members;
  readonly #chains: Chains;
  /** Locator that things inside a node's bytes build on, where it is not the node's own. */
  readonly #outer = new WeakMap<Node, string>();
  readonly #formats = new WeakMap<Node, Format>();
  readonly #interiors = new Map<string, Promise<Node | undefined>>();
  readonly #layers = new Map<string, Promise<Node | undefined>>();
  readonly #spans = new Map<string, Promise<Node>>();

  constructor(given: readonly (string | NamedSource)[], options: OpenOptions = {}) {
    this.#options = options;
    this.#found = options.found;
    const as = options.as?.format;
    if (as !== undefined && !formats.some((f) => f.id === as)) {
      throw new EvidenceError(`"${as}" is no format. There are: ${formats.map((f) => f.id).join(', ')}.`);
    }
    this.signal = options.signal ?? new AbortController().signal;
    this.evidence = new Evidence(given, options.only === true);
    this.#members = new Members(this, options.only === true);
    this.#chains = new Chains(this, options.parents ?? []);
  }

  /** Whether nothing is used that was not given. */
  get only(): boolean {
    return this.#options.only === true;
  }

  /** What was given, in the order given. */
  get roots(): readonly Node[] {
    return this.evidence.nodes;
  }

  /** What scans of the evidence found, where there is a case. */
  get found(): Found | undefined {
    return this.#found;
  }

  /** From now on formats are told what scans found; what was opened before is opened again. */
  use(found: Found): void {
    this.#found = found;
    for (const kept of [this.#interiors, this.#layers, this.#spans]) kept.clear();
  }

  /** The files and devices among what was given, also those in directories, with their locators. */
  async files(): Promise<{ locator: string; node: Node; source: FileSource }[]> {
    const out: { locator: string; node: Node; source: FileSource }[] = [];
    const look = async (node: Node): Promise<void> => {
      for await (const child of this.children(node)) await look(child);
      const source = node.kind === 'evidence' ? await node.bytes?.() : undefined;
      if (source instanceof FileSource && source.size > 0) out.push({ locator: node.locator, node, source });
    };
    for (const root of this.roots) await look(root);
    return out;
  }

  /** Volumes that span several of the given places, once each, as far as they were met. */
  async spans(): Promise<Node[]> {
    return Promise.all(this.#spans.values());
  }

  /** Locators of files that were not given but used, because they belong to what was. */
  get borrowed(): readonly string[] {
    return this.#members.borrowed;
  }

  /** What is inside a node's bytes, by the format that is surest of it; undefined where none knows it. */
  inside(node: Node): Promise<Node | undefined> {
    return this.#once(this.#interiors, node, async () => {
      const layer = await this.layer(node);
      return layer === undefined ? undefined : this.#joined(node, layer);
    });
  }

  /** As `inside`, of a disk that differs from another one only what it holds itself. */
  layer(node: Node): Promise<Node | undefined> {
    return this.#once(this.#layers, node, () => this.#openBest(node));
  }

  /** The format that is surest of a node's bytes. */
  async formatOf(node: Node): Promise<Format | undefined> {
    const layer = await this.layer(node);
    return layer === undefined ? undefined : this.#formats.get(layer);
  }

  /** What lies directly below a disk that `layer` answered for `file`. */
  async below(file: Node, layer: Node): Promise<Link | undefined> {
    return this.#chains.below(file, layer.backing, this.#options.only === true, undefined, await layer.bytes?.());
  }

  /** The bytes of a disk as they would be with other parents below some of its layers. */
  tried(file: Node, layer: Node, trial: Trial): Promise<Source | undefined> {
    return this.#chains.tried(file, layer, this.#options.only === true, trial);
  }

  /** Choices of parents that nothing was opened for so far. */
  get unusedParents(): readonly Choice[] {
    return this.#chains.unused;
  }

  #once(
    kept: Map<string, Promise<Node | undefined>>,
    node: Node,
    open: () => Promise<Node | undefined>,
  ): Promise<Node | undefined> {
    const known = kept.get(node.locator);
    if (known !== undefined) return known;
    const opening = open();
    if (kept.size >= MAX_INTERIORS) kept.delete(kept.keys().next().value!);
    kept.set(node.locator, opening);
    return opening;
  }

  /** A disk with all layers below it. */
  async #joined(file: Node, layer: Node): Promise<Node> {
    const joined = await this.#chains.joined(file, layer, this.#options.only === true);
    const outer = this.#outer.get(layer);
    if (joined !== layer && outer !== undefined) this.#outer.set(joined, outer);
    return joined;
  }

  /** A node's children, with what they are children of kept in mind. */
  children(node: Node): Listing<Node> {
    const inner: (AsyncIterator<Node> & { now?(): Node | undefined }) | undefined = node
      .children?.()
      [Symbol.asyncIterator]();
    const done: IteratorResult<Node> = { done: true, value: undefined };
    // Not a generator around a generator: that costs each of thousands of entries three more turns of the queue.
    const iterator: Listing<Node> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => (inner === undefined ? Promise.resolve(done) : inner.next().then(met)),
      return: () => inner?.return?.() ?? Promise.resolve(done),
      now: () => {
        const child = inner?.now?.();
        if (child !== undefined) child.parent = node;
        return child;
      },
    };
    const met = (result: IteratorResult<Node>): IteratorResult<Node> => {
      if (result.done !== true) result.value.parent = node;
      return result;
    };
    return iterator;
  }

  async child(node: Node, rawName: string): Promise<Node | undefined> {
    const own = await node.child?.(rawName);
    const child = own ?? (await this.#virtual(node, rawName));
    if (child !== undefined) child.parent = node;
    return child;
  }

  /** Directories that no format knows of: they are made from what several of them say. */
  #virtual(node: Node, rawName: string): Promise<Node | undefined> | undefined {
    if (rawName === MENDED) return mendedFolder(this, node);
    return rawName.startsWith(CARVED) ? carvedFolder(this, node, rawName) : undefined;
  }

  parentOf(node: Node): Node | undefined {
    return node.parent;
  }

  /** Opens a node's bytes as one format; undefined where they are none of it. `isKnown` as in Cx. */
  async openAs(node: Node, format: Format, isKnown = false): Promise<Node | undefined> {
    const source = await node.bytes?.();
    if (source === undefined) return undefined;
    const cx = { ...this.#cx(node, format), isKnown };
    if ((await format.probe(source, cx)) === 0) return undefined;
    const layer = await this.#open(node, source, format, cx);
    return layer === undefined ? undefined : this.#joined(node, layer);
  }

  /** The bytes of an evidence node from an offset on, as a node of their own. */
  async offset(node: Node, at: number): Promise<Node | undefined> {
    const source = await node.bytes?.();
    if (source === undefined || at >= source.size) return undefined;
    const part = slice(source, at, source.size - at, VERIFIED);
    const name = `@${at}`;
    const facts = { size: part.size, details: { start: at } };
    const shown = { name, rawName: name, locator: `${node.locator}::${name}`, facts };
    return { ...shown, kind: 'partition', state: 'live', damage: [], bytes: async () => part };
  }

  close(): void {
    this.evidence.close();
  }

  async #openBest(node: Node): Promise<Node | undefined> {
    const forced = this.#options.as;
    if (forced !== undefined && node.kind === 'evidence') {
      const part = await this.offset(node, forced.at);
      if (part === undefined) {
        const size = node.facts.size ?? 0;
        throw new EvidenceError(
          `${node.locator} has ${size} bytes, so nothing starts at ${forced.at}. Give a lower offset.`,
        );
      }
      return this.#forced(part, forced.format);
    }
    const source = await node.bytes?.();
    if (source === undefined) return undefined;
    // Searching for what is left of a format reads megabytes, so that is left out where another one is sure.
    for (const isThorough of [false, true]) {
      const ranked = await this.#ranked(node, source, isThorough);
      for (const { format, cx } of ranked) {
        const opened = await this.#open(node, source, format, cx);
        if (opened === undefined) continue;
        this.#formats.set(opened, format);
        return opened;
      }
      if (ranked.length === 0 || ranked[0].score < SURE) return undefined;
    }
    return undefined;
  }

  /** Formats that know these bytes, the surest first. */
  async #ranked(node: Node, source: Source, isThorough: boolean): Promise<Ranked[]> {
    // The one that is sure may be the last that is asked: none searches before all have looked.
    const quick = isThorough ? [] : await this.#asked(node, source, true);
    return quick.length > 0 && quick[0].score >= SURE ? quick : this.#asked(node, source, false);
  }

  /** What `which` formats say of a node's bytes, the surest first; `isKnown` as in Cx. Undefined where one is forced. */
  async claims(node: Node, isKnown: boolean, which?: Which): Promise<readonly Claim[] | undefined> {
    const source = this.#options.as === undefined ? await node.bytes?.() : undefined;
    return source && this.#asked(node, source, isKnown, which);
  }

  async #asked(node: Node, source: Source, isKnown: boolean, which?: Which): Promise<Ranked[]> {
    const out: Ranked[] = [];
    for (const format of IN_ORDER) {
      if (which?.(format) === false || !worthALook(node, format) || (format.lastResort && (isKnown || out.length > 0)))
        continue;
      const cx = this.#cx(node, format);
      const score = await format.probe(source, { ...cx, isKnown });
      if (score > 0) out.push({ format, score, cx });
    }
    return out.sort((a, b) => b.score - a.score);
  }

  /** A forced format may lie below others: VMFS under its volume manager. */
  async #forced(part: Node, id: string): Promise<Node | undefined> {
    const format = formats.find((f) => f.id === id);
    if (format === undefined) return undefined;
    const direct = await this.openAs(part, format);
    if (direct !== undefined) return direct;
    const below = await this.#openBest(part);
    return below !== undefined && passesThrough(below) ? this.openAs(below, format) : undefined;
  }

  async #open(node: Node, source: Source, format: Format, cx: Cx): Promise<Node | undefined> {
    const identity = await format.identity?.(source);
    if (identity === undefined) return this.#opened(node, format, source, cx);
    // Machines made from one template have volumes of the same identity: those in another folder are others.
    const folder = folderOf(node);
    const key = folder === undefined ? identity : `${folder.locator}\n${identity}`;
    let span = this.#spans.get(key);
    if (span === undefined) {
      const whole = folder === undefined ? { ...cx, self: identity } : cx;
      span = this.#opened(node, format, source, whole).then((opened) => opened!);
      this.#spans.set(key, span);
    }
    return span;
  }

  async #opened(node: Node, format: Format, source: Source, cx: Cx): Promise<Node | undefined> {
    try {
      const opened = await format.open(source, cx);
      opened.parent = node;
      // A disk or a volume is only a way to its bytes: what lies inside is named after what it lies on.
      const outer = passesThrough(opened) && !this.#isSpan(opened) ? this.outerOf(node) : opened.locator;
      this.#outer.set(opened, outer);
      return opened;
    } catch (error) {
      if (error instanceof NotThis) return undefined;
      throw error;
    }
  }

  #isSpan(node: Node): boolean {
    return this.#spans.has(node.locator);
  }

  /** The locator that things inside a node are named after. */
  outerOf(node: Node): string {
    return this.#outer.get(node) ?? node.locator;
  }

  #cx(node: Node, format: Format): Cx {
    return {
      source: node.locator,
      self: `${this.outerOf(node)}::${format.id}`,
      signal: this.signal,
      ...(this.#found !== undefined && { found: this.#found }),
      damage: (at, code, expected, actual, effect): Damage => {
        return { code, at: `${node.locator}@${at}`, expected, actual, effect };
      },
      siblings: (reference) => this.#siblings(node, reference),
    };
  }

  async #ofSize(node: Node, size: number): Promise<Candidate[]> {
    const out: Candidate[] = [];
    if (node.kind === 'directory')
      for await (const child of this.children(node)) out.push(...(await this.#ofSize(child, size)));
    else if (node.kind === 'evidence' && node.facts.size === size)
      out.push({ source: (await node.bytes!())!, locator: node.locator });
    return out;
  }

  async #siblings(node: Node, reference: Reference): Promise<Candidate[]> {
    if (reference.identity !== undefined) return this.#members.of(reference.identity, folderOf(node));
    if (reference.size !== undefined) {
      const out: Candidate[] = [];
      for (const root of this.roots) out.push(...(await this.#ofSize(root, reference.size)));
      return out;
    }
    if (reference.name === undefined) return [];
    return siblingsByName(this, node, reference.name, this.#options.only === true);
  }
}

/** The folder of the file in a file system that a node lies inside of; undefined for what lies on evidence itself. */
function folderOf(node: Node): Node | undefined {
  let at: Node | undefined = node;
  for (let levels = 0; at !== undefined && levels < MAX_PATH_DEPTH; levels++) {
    if (at.kind === 'file') return at.parent;
    at = at.parent;
  }
  return undefined;
}

/** A node that is only a way to other bytes: it has bytes and no children. */
export function passesThrough(node: Node): boolean {
  return node.bytes !== undefined && node.children === undefined && (node.kind === 'disk' || node.kind === 'volume');
}
