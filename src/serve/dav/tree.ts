/** The tree that is served: sources, what is inside them, and what lies in that, found as far as a path asks for it. */
import type { Node } from '../../core/node.ts';
import { beneath } from '../../stack/beneath.ts';
import { childrenWith } from '../../stack/residue.ts';
import type { Stack } from '../../stack/stack.ts';
import { LAYERS } from '../../stack/walk.ts';
import { ENDINGS, isExpandable } from '../session.ts';
import { rawOfSegment, segmentFor, segmentOf } from './names.ts';

/** Ways to other bytes that are followed to something with children. */
const MAX_PASSED = 16;
/** Places remembered by their path. */
const MAX_PLACES = 4096;
/** The inside of the files of a directory that are disks; they themselves are files. */
const INSIDE = '+inside';
/** The bytes of a disk, with its whole chain, whatever its file keeps them in. */
const BYTES = '+bytes.raw';
const SNAPSHOTS = '+snapshots';
/** File systems that lay there before what lives there now. */
const BENEATH = '+beneath';

/** What a path leads to. Folders have `entries`. */
export interface Place {
  /** Undefined for the top and for folders that nothing but this tree knows. */
  readonly node: Node | undefined;
  /** Whose children are listed, where it is a folder of evidence. */
  readonly holder?: Node | undefined;
  readonly isFolder: boolean;
  entries(): AsyncIterable<Entry>;
  child(segment: string): Promise<Place | undefined>;
}

export interface Entry {
  readonly segment: string;
  readonly place: Place;
}

export class DavTree {
  readonly #stack: Stack;
  readonly #top: Node | undefined;
  readonly #places = new Map<string, Place>();

  /** `top`: serve what is in this only. */
  constructor(stack: Stack, top?: Node) {
    this.#stack = stack;
    this.#top = top;
  }

  /** What a path leads to; undefined where it leads nowhere. */
  async place(segments: readonly string[]): Promise<Place | undefined> {
    let at = await this.#known('', () => this.#root());
    let path = '';
    for (const segment of segments) {
      const from: Place | undefined = at;
      if (from?.isFolder !== true) return undefined;
      path += `/${segment}`;
      at = await this.#known(path, () => from.child(segment));
    }
    return at;
  }

  async #known(path: string, find: () => Promise<Place | undefined>): Promise<Place | undefined> {
    const known = this.#places.get(path);
    if (known !== undefined) return known;
    const found = await find();
    if (found === undefined) return undefined;
    if (this.#places.size >= MAX_PLACES) this.#places.delete(this.#places.keys().next().value!);
    this.#places.set(path, found);
    return found;
  }

  async #root(): Promise<Place> {
    if (this.#top !== undefined) {
      const place = await this.#layer(this.#top);
      return place.isFolder ? place : this.#folder(async () => [place]);
    }
    return this.#folder(async () => Promise.all(this.#stack.roots.map((root) => this.#layer(root))));
  }

  /** A folder of places that are known as a whole; same names get a number. */
  #folder(list: () => Promise<readonly Place[]>): Place {
    const entries = async function* (): AsyncGenerator<Entry> {
      const met = new Map<string, number>();
      for (const place of await list()) {
        const name = segmentFor(place.node!.rawName);
        const count = (met.get(name) ?? 0) + 1;
        met.set(name, count);
        yield { segment: count === 1 ? name : `${name};${count}`, place };
      }
    };
    return {
      node: undefined,
      isFolder: true,
      entries,
      async child(segment) {
        for await (const entry of entries()) if (entry.segment === segment) return entry.place;
        return undefined;
      },
    };
  }

  /** Evidence, disk, partition: a folder of what is inside, where something is; else the file that it is. */
  async #layer(node: Node): Promise<Place> {
    let at = node;
    let disk: Node | undefined;
    for (let passed = 0; passed < MAX_PASSED && at.children === undefined; passed++) {
      if (at.kind === 'disk') disk = at;
      const inside = await this.#stack.inside(at);
      if (inside === undefined || (inside.children === undefined && inside.bytes === undefined)) break;
      at = inside;
    }
    if (at.kind === 'disk') disk = at;
    const older = node.kind === 'evidence' && at.children === undefined ? await beneath(this.#stack, node) : [];
    if (at.children === undefined && disk === undefined && older.length === 0) return file(node);
    return this.#directory(node, at.children === undefined ? undefined : at, disk);
  }

  /** What lies directly in a folder of evidence. */
  async #placeOf(node: Node): Promise<Place> {
    if (node.children !== undefined) return this.#directory(node, node, undefined);
    // Files are files; what disks among them hold is behind +inside.
    return LAYERS.includes(node.kind) && node.kind !== 'evidence' ? this.#layer(node) : file(node);
  }

  #directory(node: Node, holder: Node | undefined, disk: Node | undefined): Place {
    const more = new Map<string, () => Promise<Place | undefined>>();
    const snapshots = disk?.snapshots ?? holder?.snapshots ?? [];
    if (disk?.bytes !== undefined) more.set(BYTES, async () => file(disk));
    if (snapshots.length > 0) more.set(SNAPSHOTS, async () => this.#folder(() => this.#layers(snapshots)));
    if (node.kind === 'evidence') more.set(BENEATH, () => this.#beneath(node));
    return {
      node,
      holder,
      isFolder: true,
      entries: () => this.#entries(holder, more),
      child: async (segment) => {
        const own = await more.get(segment)?.();
        if (own !== undefined || holder === undefined) return own;
        if (segment === INSIDE) return this.#inside(holder);
        const child = await this.#stack.child(holder, rawOfSegment(segment));
        return child === undefined ? undefined : this.#placeOf(child);
      },
    };
  }

  async *#entries(
    holder: Node | undefined,
    more: ReadonlyMap<string, () => Promise<Place | undefined>>,
  ): AsyncGenerator<Entry> {
    let hasDisks = false;
    if (holder !== undefined) {
      for await (const child of childrenWith(this.#stack, holder, 'deleted')) {
        hasDisks ||= isDisk(child);
        yield { segment: segmentOf(child, holder), place: await this.#placeOf(child) };
      }
      if (hasDisks) yield { segment: INSIDE, place: this.#inside(holder) };
    }
    for (const [segment, find] of more) {
      const place = await find();
      if (place !== undefined) yield { segment, place };
    }
  }

  /** Disks in a directory, entered. */
  #inside(holder: Node): Place {
    const enter = async (child: Node | undefined): Promise<Place | undefined> => {
      const place = child === undefined || !isDisk(child) ? undefined : await this.#layer(child);
      return place?.isFolder === true ? place : undefined;
    };
    const stack = this.#stack;
    return {
      node: undefined,
      isFolder: true,
      async *entries() {
        for await (const child of stack.children(holder)) {
          const place = await enter(child);
          if (place !== undefined) yield { segment: segmentOf(child, holder), place };
        }
      },
      child: async (segment) => enter(await stack.child(holder, rawOfSegment(segment))),
    };
  }

  async #beneath(node: Node): Promise<Place | undefined> {
    const older = await beneath(this.#stack, node);
    return older.length === 0 ? undefined : this.#folder(() => this.#layers(older));
  }

  #layers(nodes: readonly Node[]): Promise<Place[]> {
    return Promise.all(nodes.map((node) => this.#layer(node)));
  }
}

function isDisk(node: Node): boolean {
  if (node.children !== undefined || node.bytes === undefined) return false;
  if (node.kind === 'file') return isExpandable(node, ENDINGS);
  const name = node.rawName.toLowerCase();
  return node.kind === 'evidence' && ENDINGS.some((ending) => name.endsWith(ending));
}

function file(node: Node): Place {
  const nothing = async function* (): AsyncGenerator<Entry> {};
  return { node, isFolder: false, entries: nothing, child: async () => undefined };
}
